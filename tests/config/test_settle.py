"""`settle` as a whole: relative stores, its cost, and the hints that go with a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import windlass.config
from windlass.config import network_hint, sandbox_hint

if TYPE_CHECKING:
    from .conftest import Settle

SRC = str(Path(__file__).resolve().parents[2] / "src")

HEAVY = {"typing", "dataclasses", "pathlib", "datetime", "tempfile", "subprocess", "urllib", "random", "secrets", "logging", "threading"}
HEAVY |= {"contextlib", "asyncio", "obstore", "concurrent.futures", "collections.abc", "hashlib", "tomllib", "configparser", "shlex"}


@pytest.mark.parametrize("how", ["flag", "variable"])
@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("st", "{repository}/deep/st"),
        ("../st/", "{repository}/st"),
        ("~/st", "{home}/st"),
        ("/abs/./st", "/abs/st"),
        ("s3://team/x?region=eu-1", "s3://team/x?region=eu-1"),
        ("memory://", "memory://"),
    ],
)
def test_a_relative_store_is_relative_to_the_current_folder(
    how: str, store: str, expected: str, repository: Path, home: Path, settled: Settle
) -> None:
    (repository / "deep").mkdir()
    found = settled(repository / "deep", {"store": store}) if how == "flag" else settled(repository / "deep", WINDLASS_STORE=store)
    assert found.store == expected.format(repository=repository, home=home)
    assert found.embedded is None


def test_state_and_cache_are_where_the_desktop_specification_puts_them(repository: Path, home: Path, settled: Settle) -> None:
    found = settled(repository)
    assert (found.state_dir, found.cache_dir) == (f"{home}/.local/state/windlass", f"{home}/.cache/windlass")
    found = settled(repository, XDG_STATE_HOME="/s", XDG_CACHE_HOME="/c")
    assert (found.state_dir, found.cache_dir) == ("/s/windlass", "/c/windlass")


def test_settling_writes_nothing(repository: Path, home: Path, settled: Settle) -> None:
    before = sorted(repository.iterdir())
    settled(repository, WINDLASS_AGENT="")
    assert list(home.iterdir()) == []
    assert sorted(repository.iterdir()) == before


def test_the_plain_case_imports_nothing_heavy(repository: Path, home: Path) -> None:
    program = (
        f"import sys; before = set(sys.modules); sys.path.insert(0, {SRC!r}); from windlass.config import settle; "
        f"s = settle({{}}, {{'HOME': {str(home)!r}, 'WINDLASS_AGENT': 'me'}}, {str(repository)!r}); assert s.embedded; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not set(loaded) & HEAVY
    assert {m for m in loaded if m.startswith("windlass.")} <= {
        f"windlass.{m}"
        for m in ("config", "config.places", "config.settings", "config.where", "config.who", "digest", "errors", "jsons", "record")
    }


def test_every_promised_name_of_the_room_is_there() -> None:
    for name in windlass.config.__all__:
        assert getattr(windlass.config, name)
    with pytest.raises(AttributeError):
        _ = windlass.config.nothing


def test_a_denied_write_is_answered_by_the_setting_of_the_host_tool_in_use() -> None:
    path = '/work/a "b"/.windlass'
    codex = sandbox_hint(path, {"CODEX_SANDBOX": "seatbelt", "CLAUDECODE": "1"})
    setting = codex.split(" set ", 1)[1]
    assert tomllib.loads(setting) == {"writable_roots": [path]}
    assert "--add-dir" in codex
    claude = sandbox_hint(path, {"CLAUDECODE": "1"})
    assert "additionalDirectories" in claude
    assert "allowWrite" in claude
    assert "WINDLASS_STORE" in sandbox_hint(path, {})
    assert "\n" not in codex + claude


def test_a_denied_network_is_answered_by_the_setting_of_the_host_tool_in_use() -> None:
    claude = {"CLAUDE_CODE_SESSION_ID": "s"}
    assert '"allowedDomains": ["s3.example.org"]' in network_hint("s3://team/x?endpoint=https://s3.example.org:9000&region=r", claude)
    assert '"allowedDomains": ["*.amazonaws.com"]' in network_hint("s3://team/x", claude)
    assert "network_access = true" in network_hint("s3://team/x", {"CODEX_THREAD_ID": "t"})
    assert "WINDLASS_STORE" in network_hint("s3://team/x", {})


def test_a_folder_that_is_gone_is_still_settled_by_flags(tmp_path: Path, settled: Settle) -> None:
    found = settled(tmp_path / "gone", {"store": "/x", "project": "p"})
    assert (found.store, found.project, found.agent) == ("/x", "p", "me")
    assert os.path.isabs(found.folder)
