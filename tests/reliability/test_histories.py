"""What real processes are told by one store is linearizable, whatever befalls them and the network; and a store that lies is caught."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.reliability import histories as runs

from windlass.effects import IfAbsent
from windlass.errors import AccessDenied, Indeterminate, PutUnclear, Unavailable
from windlass.stores.memory import MemoryStore
from windlass.stores.registry import open_store
from windlass.testing import liars
from windlass.testing.faults import Fault, Faulty, seeded
from windlass.testing.hammer import Hammer, record_and_check
from windlass.testing.histories import Recorder, body, content, judge, load, merge
from windlass.testing.linearizable import Verdict
from windlass.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windlass.effects import Object, Unchanged
    from windlass.stores.base import Page, Store

SECONDS = 2.0


@pytest.mark.parametrize("kind", runs.KINDS)
def test_processes_that_are_killed_and_stopped_see_one_history_of_a_local_store(kind: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    open_store(store, create=True).close()
    run = runs.record(kind, store, tmp_path / "run", where="local", seconds=SECONDS, seed=1, env=runs.plain_env(), enough=50, deeds=2)
    assert run.fine, run.text()


@pytest.mark.usefixtures("s3_env")
@pytest.mark.parametrize("kind", runs.KINDS)
def test_processes_see_one_history_of_a_bucket_behind_a_network_that_fails(kind: str, ministack: str, tmp_path: Path) -> None:
    run = through_proxy(kind, ministack, tmp_path, runs.TROUBLE, seconds=SECONDS, faults=15, deeds=2)
    assert run.fine, run.text()


@pytest.mark.usefixtures("s3_env")
@pytest.mark.parametrize(("kind", "lie"), [("object", "strip_conditions"), ("object", "stale_reads"), ("step", "strip_conditions")])
def test_a_bucket_that_lies_is_found_out(kind: str, lie: str, ministack: str, tmp_path: Path) -> None:
    run = through_proxy(kind, ministack, tmp_path, {lie: 0.5}, seconds=1.0, faults=40, deeds=0)
    assert not run.trouble, run.text()
    assert run.report.count(Verdict.VIOLATION) > 0
    assert "python -m windlass.testing.linearizable" in run.text()
    assert not judge(load(str(run.folder))).fine, "the files tell the same"


def through_proxy(kind: str, endpoint: str, folder: Path, odds: dict[str, float], *, seconds: float, faults: int, deeds: int) -> runs.Run:
    """A run against a fresh bucket."""
    bucket = f"histories-{uuid.uuid4().hex}"
    runs.make_bucket(endpoint, bucket)
    with Proxy(endpoint, odds, seed=2, hold=0.7) as proxy:
        return runs.record(
            kind, runs.behind(proxy, bucket), folder / "run", where="s3", seconds=seconds, seed=2, proxy=proxy, env=runs.plain_env(),
            enough=50, deeds=deeds, faults=faults,
        )  # fmt: skip


def test_a_run_in_which_too_little_happened_fails(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    open_store(store, create=True).close()
    env = runs.plain_env()
    run = runs.record(
        "object", store, tmp_path / "run", where="local", seconds=0.2, seed=1, clients=1, env=env, enough=10**6, faults=1, deeds=99
    )
    assert not run.fine
    for part in ("too few to mean anything", "too few faults", "the nemesis did too little"):
        assert part in run.text()


def test_a_client_that_breaks_fails_the_run(tmp_path: Path) -> None:
    run = runs.record("object", "no://such", tmp_path / "run", where="", seconds=0.5, seed=1, clients=1, env=runs.plain_env(), deeds=0)
    assert "no store is called no://" in "".join(run.trouble)


def test_the_operation_of_a_killed_process_is_of_unknown_outcome(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from windlass.testing.histories import Recorder
recorder = Recorder.into(sys.argv[1], "p", "object")
recorder.ask("k", "get", None, lambda: {"value": None})
recorder.ask("k", "create", {"value": "x"}, lambda: os.kill(os.getpid(), signal.SIGKILL))
"""
    path = tmp_path / "p.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    path.write_bytes(path.read_bytes() + b'{"n": 3, "p": "p", "at": 1, "ke')
    first, last = load(str(tmp_path)).operations
    assert first.known
    assert (last.do, last.args, last.known) == ("create", {"value": "x"}, False)


def test_each_error_is_an_outcome() -> None:
    lines: list[bytes] = []
    recorder = Recorder("p", lines.append)
    recorder.begin("object")
    for error in (PutUnclear("k"), Indeterminate("k"), Unavailable("k"), AccessDenied("k")):
        assert recorder.ask("k", "create", {"value": "x"}, lambda error=error: _raise(error)) is None  # type: ignore[misc]
    with pytest.raises(ZeroDivisionError):
        recorder.ask("k", "get", None, lambda: 1 // 0)
    history = merge(lines)
    assert [one.known for one in history.operations] == [False, False, False]
    assert history.failed == {"Unavailable": 1, "AccessDenied": 1}


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("make", [MemoryStore, lambda: liars.Liar(MemoryStore())])
def test_an_honest_store_is_found_linearizable_and_left_as_it_was(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    store.put("theirs", b"x", IfAbsent())
    kept = tmp_path / "history.jsonl"
    report = record_and_check(store, 0.25, clients=4, seed=3, keep=str(kept))
    assert report.fine, report.text()
    assert min(report.done[do] for do in ("create", "replace", "get", "list")) > 10
    assert [entry.key for entry in store.list("").entries] == ["theirs"]
    assert judge(load(str(kept))).operations == report.operations


@pytest.mark.parametrize(
    "lie",
    [liars.IgnoresConditions, liars.IgnoresIfMatch, liars.Races, liars.RefusesIfMatch, liars.StaleReads, liars.StaleLists],
)
def test_a_lying_store_is_found_out_by_anybody(lie: Callable[[Store], Store]) -> None:
    report = record_and_check(lie(MemoryStore()), 0.25)
    assert not report.fine
    assert report.count(Verdict.VIOLATION) > 0
    assert "does not fit" in report.text()


def test_lost_answers_are_unknown_outcomes_and_no_violation() -> None:
    odds = {Fault.LOSE_ANSWER: 0.05, Fault.DROP: 0.05, Fault.DELAY: 0.03, Fault.UNAVAILABLE: 0.05}
    inner = MemoryStore()
    report = record_and_check(Faulty(inner, seeded(7, odds)), 0.25)
    assert all(one.verdict is Verdict.LINEARIZABLE for one in report.findings), report.text()
    assert min(report.unknown, report.failed) > 5
    assert (inner.list("").entries, report.notes) == ((), ())


def test_what_could_not_be_removed_is_said() -> None:
    class Keeps(liars.Liar):
        def delete(self, key: str) -> None:
            raise AccessDenied("no deleting", "ask")

    report = record_and_check(Keeps(MemoryStore()), 0.25)
    assert report.fine
    assert "no deleting" in report.text()


def test_what_is_wrong_with_the_whole_store_is_said_at_once() -> None:
    class Closed(liars.Liar):
        def put(self, key: str, body: bytes, condition: object) -> str:
            raise AssertionError("not asked")

        def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
            raise AccessDenied("no", "mend it")

    with pytest.raises(AccessDenied):
        record_and_check(Closed(MemoryStore()), 5)


def test_a_client_that_meets_a_bug_ends_the_recording_and_the_objects_are_removed() -> None:
    class Broken(liars.Liar):
        def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
            raise ZeroDivisionError

    inner = MemoryStore()
    with pytest.raises(ZeroDivisionError):
        record_and_check(Broken(inner), 60)
    assert inner.list("").entries == ()


def test_a_torn_object_is_no_value_that_anybody_wrote() -> None:
    store = MemoryStore()
    for size in (0, 10, 5000):
        store.put(f"whole{size}", body("v.1", size), IfAbsent())
        assert content(store.get(f"whole{size}")) == "v.1"
        store.put(f"torn{size}", body("v.1", size)[: -1 - size // 2], IfAbsent())
        assert "torn" in str(content(store.get(f"torn{size}")))


def test_the_same_seed_asks_the_same() -> None:
    def asked() -> list[bytes]:
        lines: list[bytes] = []
        recorder = Recorder("p", lines.append)
        hammer = Hammer(MemoryStore(), "x/", recorder, Random("7"), lambda: 0)
        for _ in range(200):
            hammer.act()
        return [line for line in lines if b'"do"' in line]

    def plain(lines: list[bytes]) -> list[bytes]:
        return [line.partition(b'"key"')[2] for line in lines]

    assert plain(asked()) == plain(asked())
