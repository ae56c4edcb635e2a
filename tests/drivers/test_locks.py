"""The lock between one account's processes: one at a time, none where none can be, and never for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from windlass.drivers.locks import Lock
from windlass.errors import TimedOut

HOLD = """
import sys
from windlass.drivers.locks import Lock
with Lock(sys.argv[1], "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    src = str(Path(__file__).parent.parent.parent / "src")
    with subprocess.Popen([sys.executable, "-c", HOLD, path], env={**os.environ, "PYTHONPATH": src}, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TimedOut, match="reading has not ended"), Lock(path, "reading", patience=0.05):
            pass
        holder.kill()
        holder.wait()
        with Lock(path, "reading", patience=0.05):
            pass


def test_within_a_process_too_and_given_back_after_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(KeyError), Lock(path, "it"):
        with pytest.raises(TimedOut), Lock(path, "it", patience=0.02):
            pass
        raise KeyError
    with Lock(path, "it", patience=0.02):
        pass


@pytest.mark.parametrize("place", [None, "missing/lock", "folder", "link"])
def test_where_no_file_can_be_locked_there_is_no_lock(tmp_path: Path, place: str | None) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    path = None if place is None else str(tmp_path / place)
    with Lock(path, "it", patience=0.02), Lock(path, "it", patience=0.02):
        pass
    assert not (tmp_path / "elsewhere").exists()
