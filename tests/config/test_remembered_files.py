"""What a `.windlass.toml` says is remembered by its very bytes, so that a command need not parse it; a bad memory is no memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windlass.errors import UsageError

if TYPE_CHECKING:
    from windlass.config import Settings

    from .conftest import Settle

TEXT = 'store = "./store"\nproject = "demo"\nlease = 90\n'


@pytest.fixture
def folder(repository: Path) -> Path:
    """A repository with a settings file."""
    (repository / ".windlass.toml").write_text(TEXT)
    return repository


def said(found: Settings) -> tuple[str, str, float | None]:
    """What comes out of a file."""
    return Path(found.store).name, found.project, found.lease


def memories(found: Settings) -> list[Path]:
    """The files that remember."""
    return sorted((Path(found.cache_dir or "") / "settings").iterdir())


def test_a_file_is_parsed_once(folder: Path, settled: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settled(folder)
    monkeypatch.setitem(sys.modules, "tomllib", None)
    assert settled(folder) == first
    assert said(first) == ("store", "demo", 90.0)


def test_any_change_of_a_byte_is_read(folder: Path, settled: Settle) -> None:
    settled(folder)
    (folder / ".windlass.toml").write_text(TEXT.replace("90", "91"))
    assert settled(folder).lease == 91.0
    (folder / ".windlass.toml").write_text(TEXT)
    assert settled(folder).lease == 90.0


def test_a_memory_that_was_torn_or_changed_is_not_believed(folder: Path, settled: Settle) -> None:
    first = settled(folder)
    (memory,) = memories(first)
    whole = memory.read_bytes()
    other = json.loads(whole) | {"said": json.dumps({"store": "./elsewhere", "project": "theirs"})}
    for bad in (
        *(whole[:end] for end in range(0, len(whole) - 2, 7)),
        json.dumps(other).encode(),
        b"[]",
        b"{}",
        b'{"said": 1}',
        b"\xff",
        b"0" * 70_000,
    ):
        memory.write_bytes(bad)
        assert settled(folder) == first
        assert memory.read_bytes() == whole, "and it is mended"


def test_the_memory_of_another_file_is_not_believed(folder: Path, settled: Settle) -> None:
    (mine,) = memories(settled(folder))
    (folder / ".windlass.toml").write_text('store = "./other"\nproject = "other"\n')
    (theirs,) = set(memories(settled(folder))) - {mine}
    mine.write_bytes(theirs.read_bytes())
    (folder / ".windlass.toml").write_text(TEXT)
    assert said(settled(folder)) == ("store", "demo", 90.0)


def test_somebody_elses_memory_is_not_believed(folder: Path, settled: Settle, tmp_path: Path) -> None:
    first = settled(folder)
    (memory,) = memories(first)
    moved = memory.rename(tmp_path / "moved")
    memory.symlink_to(moved)
    assert settled(folder) == first
    assert not memory.is_symlink()


def test_a_file_that_is_refused_is_refused_every_time(folder: Path, settled: Settle) -> None:
    (folder / ".windlass.toml").write_text('project = "demo"\nagent = "me"\n')
    for _ in range(2):
        with pytest.raises(UsageError, match="does not belong"):
            settled(folder)


@pytest.mark.parametrize("obstacle", ["a file", "nothing"])
def test_where_nothing_can_be_remembered_the_file_is_read_all_the_same(
    obstacle: str, folder: Path, settled: Settle, tmp_path: Path
) -> None:
    place = tmp_path / "cache"
    if obstacle == "a file":
        place.write_text("")
    for _ in range(2):
        assert said(settled(folder, XDG_CACHE_HOME=str(place))) == ("store", "demo", 90.0)
    assert said(settled(folder, XDG_CACHE_HOME="", HOME="", XDG_STATE_HOME=str(tmp_path / "state"))) == ("store", "demo", 90.0)


def test_trust_is_asked_whatever_is_remembered(folder: Path, settled: Settle) -> None:
    (folder / ".windlass.toml").write_text('store = "s3://team/x"\n')
    for _ in range(2):
        with pytest.raises(UsageError, match="not trusted"):
            settled(folder)


def test_a_lease_beyond_all_numbers_is_refused(folder: Path, settled: Settle) -> None:
    (folder / ".windlass.toml").write_text(f"lease = 1{'0' * 400}\n")
    with pytest.raises(UsageError, match="no number of seconds"):
        settled(folder)
