"""A process may be killed at any system call, and any of them may fail: what was acknowledged is there, and the next process goes on."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.reliability.crash_commands import COMMANDS, Command, Home, sweep_command
from tests.reliability.crashes import CHANGING, KILL, SCENARIOS, Bench, Nursery, Scenario, Tally, faults, sweep, why_not

from windlass.config import places, where
from windlass.drivers import hints
from windlass.drivers.hints import FileHints, NoHints
from windlass.drivers.sync import World, run
from windlass.effects import IfAbsent, Object
from windlass.errors import Indeterminate, StoreError
from windlass.ops import registers
from windlass.protocol.memory import Memory
from windlass.stores import local
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: these are crashes of processes, not of disks."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        place = Path(os.path.realpath(name))
        if reason := why_not(place):
            pytest.skip(reason)
        yield place


@pytest.fixture
def nursery(folder: Path) -> Iterator[Nursery]:
    with Nursery(folder) as parent:
        yield parent


def named(scenario: Scenario | Command) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=named)
def test_a_process_may_be_killed_at_any_call(folder: Path, nursery: Nursery, scenario: Scenario) -> None:
    tally = Tally()
    sweep(Bench(folder, nursery, scenario), tally, lambda point, fault: fault == KILL)
    assert tally.violations == []
    assert tally.rows[scenario.name, KILL]["recovered"] >= 5


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if len(one.calls) < 3], ids=named)
def test_a_call_that_fails_is_told_truthfully(folder: Path, nursery: Nursery, scenario: Scenario) -> None:
    tally = Tally()
    sweep(Bench(folder, nursery, scenario), tally, lambda point, fault: fault in {"EIO", "ENOSPC", "ENOLCK"})
    assert tally.violations == []
    assert tally.rows[scenario.name, "EIO"]["recovered"] >= 5


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_may_be_killed_wherever_it_changes_something(folder: Path, nursery: Nursery, command: Command) -> None:
    tally = Tally()
    sweep_command(
        Home(folder, nursery, command), tally, lambda point, fault: point.call in CHANGING and changes(point.about) and fault == KILL
    )
    assert tally.violations == []
    assert tally.rows[command.name, KILL]["recovered"] >= 5


@pytest.mark.parametrize("command", COMMANDS[:3], ids=named)
def test_a_full_disk_is_told_truthfully_by_a_command(folder: Path, nursery: Nursery, command: Command) -> None:
    tally = Tally()
    wanted = CHANGING - {"openat", "flock"}
    sweep_command(Home(folder, nursery, command), tally, lambda point, fault: point.call in wanted and fault == "ENOSPC")
    assert tally.violations == []


def changes(about: str) -> bool:
    """An open that only reads changes nothing."""
    return "O_RDONLY" not in about


@pytest.mark.parametrize("call", ["linkat", "renameat", "flock", "unlinkat", "fsync"])
def test_a_killed_process_does_not_hinder_one_that_works_beside_it(folder: Path, nursery: Nursery, call: str) -> None:
    store = LocalStore.create(str(folder / "store"))
    store.put("race/count", b"0", IfAbsent())
    with Nursery(folder / "other") as other, ThreadPoolExecutor(1) as pool:
        total = 0
        for when in (1, 2, 5):
            jobs = [
                {"root": store.root, "calls": [{"do": "count", "key": f"race/{who}/{when}/{turn}"} for turn in range(12)]} for who in "ab"
            ]
            beside = pool.submit(other.run, jobs[1])
            ended = nursery.run(jobs[0], ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"))
            assert ended.code == -9
            acknowledged = [line for end in (ended, beside.result()) for line in end.said]
            assert [line for line in acknowledged if line["kind"] != "ack"] == []
            assert len(beside.result().said) == 12
            found = store.get("race/count")
            assert isinstance(found, Object)
            assert int(found.body) - total - len(acknowledged) in {0, 1}
            total = int(found.body)
            assert len(store.list(f"race/a/{when}/").entries) <= 1
            assert store.list(f"race/b/{when}/").entries == ()


def test_a_naive_writer_would_be_caught(folder: Path, nursery: Nursery) -> None:
    body = "".join(f"line {number}\n" for number in range(4))
    scenario = Scenario("naive", {}, ({"do": "naive", "key": "one", "body": body},))
    tally = Tally()
    sweep(Bench(folder, nursery, scenario), tally)
    assert tally.rows["naive", KILL]["torn"] >= 3
    assert any("traceback" in one.lower() for one in tally.violations), "an error that is none of ours is seen"


def test_every_call_that_touches_the_store_is_hit(folder: Path, nursery: Nursery) -> None:
    points = Bench(folder, nursery, SCENARIOS[0]).points()
    assert {"openat", "write", "fsync", "linkat", "unlinkat", "flock", "close", "newfstatat", "utimensat"} <= {
        point.call for point in points
    }
    assert all(KILL in faults(point) and len(faults(point)) > 1 for point in points)


@pytest.mark.parametrize("command", COMMANDS[:4], ids=named)
def test_a_failing_disk_is_told_truthfully_by_a_command(folder: Path, nursery: Nursery, command: Command) -> None:
    tally = Tally()
    wanted = {"openat", "getdents64", "fsync", "linkat", "renameat"}
    sweep_command(Home(folder, nursery, command), tally, lambda point, fault: point.call in wanted and fault == "EIO")
    assert tally.violations == []


def test_a_write_that_the_disk_does_not_confirm_is_never_called_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore.create(str(tmp_path / "store"))
    world = World(store, NoHints())
    store.put("demo/other", b"there", IfAbsent())

    def broken(folder: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(local, "sync_folder", broken)
    with pytest.raises(Indeterminate, match="may not last"):
        run(registers.create("demo/one", Memory(key="one", value="x"), Memory), world)


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def only_files(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    store = LocalStore.create(str(tmp_path / "store"))
    store.put("a/one", b"1", IfAbsent())
    store.delete("a/one")
    places.write_private(str(tmp_path / "facts.json"), {"n": 1})
    assert places.read_private(str(tmp_path / "facts.json")) == {"n": 1}


def test_what_killed_processes_left_of_small_files_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [tmp_path / "facts.json.77-0.tmp", tmp_path / "facts.json.78-1.tmp", tmp_path / "other.json.77-0.tmp"]
    for path in left:
        path.write_text("half a fi")
    for path in left[::2]:
        os.utime(path, (0, 0))
    places.write_private(str(tmp_path / "facts.json"), {"n": 1})
    assert [path.exists() for path in left] == [False, True, True], "the old one of this file; not one in use, nor another's"


def test_what_killed_processes_left_of_hints_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FileHints(str(tmp_path), "here").remember("name", b"1")
    (folder,) = tmp_path.iterdir()
    for name in (".7-0.tmp", ".8-0.tmp"):
        (folder / name).write_bytes(b"half a hi")
    os.utime(folder / ".7-0.tmp", (0, 0))
    monkeypatch.setattr(hints, "_SWEEPERS", 1)
    monkeypatch.setattr(hints, "_numbers", itertools.count())
    FileHints(str(tmp_path), "here").remember("name", b"2")
    assert sorted(path.name for path in folder.glob(".*")) == [".8-0.tmp"]


def test_a_leftover_with_this_process_number_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_numbers", itertools.count())
    (tmp_path / f"facts.json.{os.getpid()}-0.tmp").write_text("half a fi")
    places.write_private(str(tmp_path / "facts.json"), {"n": 1})
    assert places.read_private(str(tmp_path / "facts.json")) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]


def test_an_unreadable_disk_is_not_taken_for_a_folder_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("objects", "refs"):
        (tmp_path / ".git" / name).mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert where.discover(str(tmp_path)) is not None
    real = os.open

    def broken(path: str, *more: int) -> int:
        if path.endswith("/.git"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *more)

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(StoreError, match="cannot read"):
        where.discover(str(tmp_path))
