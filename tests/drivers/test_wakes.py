"""Whatever waits in a project on a local store wakes with the event: no poll comes for a minute here."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import windlass
from windlass.drivers import notice
from windlass.ops import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Act = Callable[[windlass.Project], object]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tried on Linux alone")
SOON = 25.0
"""Seconds that are surely before a poll."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(waiting, "SHARE", 1e9)  # after the first, the next poll is a minute away
    return str(tmp_path / "store")


@pytest.fixture
def ann(store: str) -> Iterator[windlass.Project]:
    with windlass.open(store, project="Demo", agent="ann", create=True) as p:
        yield p


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts pauses that begin with a watch in place."""
    begun = threading.Semaphore(0)

    class Spied(notice.Notice):
        def set_up(self, keys: Any) -> bool:
            fresh = super().set_up(keys)
            if not fresh and self.fileno() >= 0:
                begun.release()
            return fresh

    monkeypatch.setattr(notice, "Notice", Spied)
    return begun


def complete(name: str) -> Act:
    def act(p: windlass.Project) -> None:
        p.steps.claim(name)
        p.steps.complete(name)

    return act


def declare(name: str) -> Act:
    def act(p: windlass.Project) -> None:
        p.steps.add(name)
        complete(name)(p)

    return act


def send(to: str) -> Act:
    return lambda p: p.mail.send(to, "news")


WAITS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], Act, str]] = {
    "wait_for": ("steps", (["build", "done"],), {"timeout": 50.0}, complete("build"), "wait_for"),
    "wait_for a step that does not exist": ("steps", (["fresh"],), {"timeout": 50.0}, declare("fresh"), "wait_for"),
    "inbox": ("mail", (), {"new": True, "wait": 50.0}, send("bob"), "inbox"),
    "inbox, a broadcast": ("mail", (), {"new": True, "wait": 50.0}, send("_broadcast"), "inbox"),
    "next": ("steps", (), {"wait": 50.0}, complete("build"), "next"),
}


def prepare(p: windlass.Project) -> None:
    p.plan.apply({"steps": {"build": {}, "after": {"needs": ["build"]}, "done": {}}})
    p.steps.claim("done")
    p.steps.complete("done")
    p.steps.claim("build")


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("what", WAITS)
def test_wakes_with_the_event(ann: windlass.Project, store: str, asleep: threading.Semaphore, kind: str, what: str) -> None:
    part, values, options, act, name = WAITS[what]
    prepare(ann)
    start = time.monotonic()

    def happen() -> None:
        assert asleep.acquire(timeout=SOON)
        act(ann)

    other = threading.Thread(target=happen)
    other.start()
    if kind == "blocking":
        with windlass.open(store, project="Demo", agent="bob") as p:
            assert getattr(getattr(p, part), name)(*values, **options)
    else:

        async def story() -> None:
            async with windlass.aio.open(store, project="Demo", agent="bob") as q:
                assert await getattr(getattr(q, part), name)(*values, **options)

        asyncio.run(story())
    other.join()
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize("what", ["step", "message", "memory"])
def test_who_follows_the_log_sees_what_happens_when_it_does(ann: windlass.Project, asleep: threading.Semaphore, what: str) -> None:
    prepare(ann)
    ann.memory.set("a.deep.key", 1)
    view = ann.log(limit=None)
    seen = {(event.kind, event.subject, event.seq) for event in view.events}
    start = time.monotonic()
    acts: dict[str, Act] = {
        "step": complete("build"),
        "message": send("someone-new"),
        "memory": lambda p: p.memory.set("a.deep.other", 2),
    }

    def happen() -> None:
        assert asleep.acquire(timeout=SOON)
        acts[what](ann)

    other = threading.Thread(target=happen)
    other.start()
    found = ann.views.follow(view, seen, 50.0)
    other.join()
    assert {event.kind for event in found.events} == {what}
    assert time.monotonic() - start < SOON


def test_threads_of_one_project_wait_each_for_its_own(ann: windlass.Project, asleep: threading.Semaphore) -> None:
    start = time.monotonic()
    names = [f"s{number}" for number in range(6)]
    woken: list[str] = []

    def wait(name: str) -> None:
        ann.steps.wait_for([name], timeout=50.0)
        woken.append(name)

    threads = [threading.Thread(target=wait, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for _ in names:
        assert asleep.acquire(timeout=SOON)
    for thread, name in zip(threads, names, strict=True):
        assert name not in woken
        complete(name)(ann)
        thread.join(SOON)
    assert woken == names
    assert time.monotonic() - start < SOON
