"""Hints: what this machine remembers. Anything odd about one means that it is not there."""

from __future__ import annotations

import errno
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.drivers.hints import LARGEST, FileHints, MemoryHints, NoHints

if TYPE_CHECKING:
    from pathlib import Path

SCOPE = "s3://team/x project"


@pytest.fixture
def hints(tmp_path: Path) -> FileHints:
    return FileHints(str(tmp_path / "cache"), SCOPE)


def only_file(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "cache").iterdir()
    (file,) = folder.iterdir()
    return file


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_was_remembered_last_is_recalled(kind: str, hints: FileHints) -> None:
    kept = hints if kind == "file" else MemoryHints()
    assert kept.recall("a/b") is None
    kept.remember("a/b", b"one\ntwo\n")
    kept.remember("a/c", b"")
    assert (kept.recall("a/b"), kept.recall("a/c")) == (b"one\ntwo\n", b"")
    kept.remember("a/b", b"three")
    assert kept.recall("a/b") == b"three"
    kept.remember("a/b", None)
    kept.remember("never", None)
    assert (kept.recall("a/b"), kept.recall("a/c")) == (None, b"")


@pytest.mark.parametrize("hints", [NoHints(), FileHints(None, SCOPE)])
def test_without_a_folder_nothing_is_remembered(hints: NoHints | FileHints) -> None:
    hints.remember("a", b"x")
    assert hints.recall("a") is None


def test_hints_outlive_the_process_but_not_their_scope(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    assert FileHints(str(tmp_path / "cache"), SCOPE).recall("a") == b"x"
    assert FileHints(str(tmp_path / "cache"), "another").recall("a") is None


@given(names=st.lists(st.text(max_size=300), min_size=2, max_size=4, unique=True))
def test_names_never_meet(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    hints = FileHints(str(tmp_path_factory.mktemp("cache")), SCOPE)
    legal = [name for name in names if not any("\ud800" <= c <= "\udfff" for c in name)]
    for name in legal:
        hints.remember(name, name.encode())
    assert [hints.recall(name) for name in legal] == [name.encode() for name in legal]


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\0b", ".", "A", "x" * 5000, "\ud800"])
def test_no_name_leaves_the_folder(name: str, tmp_path: Path, hints: FileHints) -> None:
    hints.remember(name, b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_names_that_differ_in_case_are_two_on_every_file_system(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"small")
    hints.remember("A", b"large")
    (folder,) = (tmp_path / "cache").iterdir()
    assert len({p.name.lower() for p in folder.iterdir()}) == 2


def test_files_are_private(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    file = only_file(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_every_torn_or_changed_byte_is_noticed(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"body")
    file = only_file(tmp_path)
    whole = file.read_bytes()
    for bad in [whole[:n] for n in range(len(whole))] + [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]:
        file.write_bytes(bad)
        assert hints.recall("a") is None
    file.write_bytes(whole + b"!")
    assert hints.recall("a") is None
    file.write_bytes(whole)
    assert hints.recall("a") == b"body"


def test_a_hint_moved_to_another_name_or_scope_is_not_believed(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"mine")
    mine = only_file(tmp_path)
    other = FileHints(str(tmp_path / "cache"), "another")
    other.remember("a", b"theirs")
    (theirs,) = (f for folder in (tmp_path / "cache").iterdir() for f in folder.iterdir() if f != mine)
    mine.write_bytes(theirs.read_bytes())
    assert hints.recall("a") is None
    hints.remember("b", b"b")
    (b,) = (f for f in mine.parent.iterdir() if f != mine)
    b.rename(mine)
    assert hints.recall("a") is None


def test_links_pipes_folders_and_files_that_others_may_write_are_not_believed(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    file = only_file(tmp_path)
    file.chmod(0o666)
    assert hints.recall("a") is None
    file.chmod(0o600)
    assert hints.recall("a") == b"x"
    moved = file.rename(tmp_path / "moved")
    file.symlink_to(moved)
    assert hints.recall("a") is None
    file.unlink()
    os.mkfifo(file)
    assert hints.recall("a") is None
    file.unlink()
    file.mkdir()
    assert hints.recall("a") is None
    hints.remember("a", b"y")
    assert hints.recall("a") is None


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    folder = only_file(tmp_path).parent
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    assert hints.recall("a") is None
    hints.remember("b", b"x")
    assert len(list(elsewhere.iterdir())) == 1


def test_a_link_in_place_of_a_hint_is_replaced_and_its_target_left_alone(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    file = only_file(tmp_path)
    file.unlink()
    target = tmp_path / "target"
    target.write_text("precious")
    file.symlink_to(target)
    hints.remember("a", b"y")
    assert hints.recall("a") == b"y"
    assert target.read_text() == "precious"


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path, hints: FileHints) -> None:
    (tmp_path / "file").write_text("")
    for folder in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), "/proc/nowhere"):
        blocked = FileHints(folder, SCOPE)
        blocked.remember("a", b"x")
        assert blocked.recall("a") is None
        blocked.remember("a", None)


def test_a_hint_that_cannot_be_replaced_is_forgotten_rather_than_left_old(
    tmp_path: Path, hints: FileHints, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints.remember("a", b"old")

    def full(fd: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "write", full)
    hints.remember("a", b"new")
    monkeypatch.undo()
    assert hints.recall("a") is None
    (folder,) = (tmp_path / "cache").iterdir()
    assert list(folder.iterdir()) == []


def test_what_is_too_large_is_neither_kept_nor_read(tmp_path: Path, hints: FileHints) -> None:
    hints.remember("a", b"x")
    hints.remember("a", bytes(LARGEST))
    assert hints.recall("a") is None
    hints.remember("a", b"x")
    file = only_file(tmp_path)
    os.truncate(file, 1 << 40)
    assert hints.recall("a") is None


def test_threads_never_see_half_a_hint(hints: FileHints) -> None:
    bodies = [json.dumps([n] * 2000).encode() for n in range(4)]
    seen: list[bytes | None] = []

    def write(body: bytes) -> None:
        for _ in range(50):
            hints.remember("a", body)
            seen.append(hints.recall("a"))

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= set(bodies)
    assert None not in seen
