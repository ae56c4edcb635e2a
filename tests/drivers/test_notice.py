"""A pause ends early when a file that is waited for changes; nothing that happens between a look and a pause is missed."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from windlass import effects as fx
from windlass.drivers import aio, notice, sync, watches
from windlass.drivers.hints import MemoryHints
from windlass.drivers.notice import MOST, Notice
from windlass.drivers.sync import World
from windlass.effects import Always
from windlass.stores.local import LocalStore
from windlass.stores.wrappers import Counting, Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from windlass.effects import Op

POLL = 60.0
"""Seconds between polls here."""
SOON = 20.0
"""Seconds that are surely before a poll, on any machine."""
WHERE = ("steps/a.json", "steps/Big-Name.json", "mail/Ann/0000000000.json", "a/b/c/d/e.json")
KINDS = ["inotify", "kqueue"]


class Kevent:
    """As the system's."""

    def __init__(self, ident: int, filter: int = 0, flags: int = 0, fflags: int = 0) -> None:  # noqa: A002 (its name there)
        self.ident, self.fflags = ident, fflags


class Kernel:
    """Stands for a kernel with kqueue: finds what happened to open files and folders by looking at them."""

    KQ_NOTE_DELETE, KQ_NOTE_WRITE, KQ_NOTE_EXTEND, KQ_NOTE_ATTRIB, KQ_NOTE_LINK, KQ_NOTE_RENAME, KQ_NOTE_REVOKE = (1 << n for n in range(7))
    KQ_FILTER_VNODE, KQ_EV_ADD, KQ_EV_CLEAR = -4, 1, 32
    kevent = Kevent

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, ...]] = {}
        self.wanted: dict[int, int] = {}
        self.end, self.other = os.pipe()

    def kqueue(self) -> Kernel:
        return self

    def fileno(self) -> int:
        return self.end

    @staticmethod
    def look(file: int) -> tuple[int, ...]:
        found = os.fstat(file)
        return found.st_nlink, found.st_mtime_ns, found.st_ctime_ns

    def control(self, changes: list[Kevent] | None, most: int, timeout: float | None = None) -> list[Kevent]:
        for one in changes or ():
            self.seen[one.ident], self.wanted[one.ident] = self.look(one.ident), one.fflags
        if not most:
            return []
        fired = []
        for file, before in self.seen.items():
            self.seen[file] = now = self.look(file)
            notes = self.KQ_NOTE_DELETE if before[0] and not now[0] else 0
            notes |= self.KQ_NOTE_WRITE if before[1] != now[1] else 0
            notes |= self.KQ_NOTE_ATTRIB if before[2] != now[2] else 0
            if notes & self.wanted[file]:
                fired.append(Kevent(file, fflags=notes & self.wanted[file]))
        return fired[:most]

    def close(self) -> None:
        os.close(self.end)
        os.close(self.other)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.create(str(tmp_path / "store"))


@pytest.fixture
def project(store: LocalStore) -> Prefix:
    return Prefix(store, "My-Project/")


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, project: Prefix, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notice]:
    """A notice by each kind of system."""
    if request.param == "kqueue":
        monkeypatch.setattr(watches, "open_watch", lambda: watches.Kqueue(Kernel()))
    elif not sys.platform.startswith("linux"):
        pytest.skip("inotify is Linux' own")
    one = Notice(project.capabilities.file)
    yield one
    one.close()


def world_of(store: Any) -> World:
    return World(store, MemoryHints())


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts pauses that begin with a watch in place."""
    begun = threading.Semaphore(0)

    class Spied(Notice):
        def set_up(self, keys: Any) -> bool:
            fresh = super().set_up(keys)
            if not fresh and self.fileno() >= 0:
                begun.release()
            return fresh

    monkeypatch.setattr(notice, "Notice", Spied)
    return begun


def polls(*keys: str, most: float = POLL) -> Op[int]:
    """Poll until an object has changed; the number of polls."""
    before = yield from fx.gather_reads(keys)
    for number in range(1, 50):
        yield from fx.sleep_until(most, keys)
        if (yield from fx.gather_reads(keys)) != before:
            return number
    raise AssertionError("never changed")


def run_with(kind: str, op: Op[Any], world: World) -> Any:
    return sync.run(op, world) if kind == "blocking" else asyncio.run(aio.run(op, world))


def open_files() -> set[str]:
    """What inotify instances this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if "inotify" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(name)
        except OSError:
            continue
    return found


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it becomes true: descriptors are closed by a thread of their own."""
    give_up = time.monotonic() + SOON
    while not true():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at Linux' own list of open files")


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("there", [True, False], ids=["changed", "created"])
@pytest.mark.parametrize("key", WHERE)
@linux
def test_a_wait_ends_with_the_change_not_with_the_poll(
    project: Prefix, asleep: threading.Semaphore, kind: str, there: bool, key: str
) -> None:
    if there:
        project.put(key, b"old", Always())
    start = time.monotonic()

    def change() -> None:
        assert asleep.acquire(timeout=SOON)
        project.put(key, b"new", Always())

    other = threading.Thread(target=change)
    other.start()
    number = run_with(kind, polls(key), world_of(project))
    assert number == 2 or not there, "each folder on the way is news, too"
    assert time.monotonic() - start < SOON
    other.join()
    assert eventually(lambda: not open_files())


@pytest.mark.parametrize("key", WHERE)
def test_nothing_between_a_look_and_a_pause_is_missed(project: Prefix, made: Notice, key: str) -> None:
    for body in (b"1", b"2", b"3"):
        assert made.set_up((key,))
        assert not made.set_up((key,)), "in place"
        project.put(key, body, Always())
        assert made.changed()


@pytest.mark.parametrize("key", WHERE)
def test_what_comes_while_a_watch_is_set_up_is_seen_by_the_look_or_by_the_watch(
    project: Prefix, made: Notice, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment of setting up the change falls into: the look after it finds it, or the watch has told of it."""
    opened = watches.open_watch
    for moment in range(20):
        name = f"{moment}/{key}"
        calls = [0]

        def racing(calls: list[int] = calls, moment: int = moment, name: str = name) -> Any:
            watch = opened()
            add = watch.add

            def then(path: str, folder: bool, sure: bool) -> bool:
                done = add(path, folder, sure)
                calls[0] += 1
                if calls[0] == moment + 1:  # half of the way, so that the file itself still has to come
                    project.put(name.rpartition("/")[0] + "/other.json", b"x", Always())
                return done

            watch.add = then  # type: ignore[method-assign]
            return watch

        monkeypatch.setattr(watches, "open_watch", racing)
        assert made.set_up((name,))
        assert project.get(name) is None
        project.put(name, b"new", Always())
        assert made.changed(), f"after {moment + 1} of {calls[0]} steps"
        if calls[0] <= moment:
            return
    raise AssertionError("setting up takes more steps than this test knows")


def test_what_others_do_wakes_nobody(project: Prefix, made: Notice) -> None:
    project.put("steps/mine.json", b"old", Always())
    mine = ("steps/mine.json", "steps/not-yet.json", "mail/ann/0000000007.json")
    assert made.set_up(mine)
    for number in range(50):
        project.put(f"steps/other-{number % 5}.json", b"%d" % number, Always())
        project.put(f"mail/bob/{number:010}.json", b"%d" % number, Always())
        project.get("steps/mine.json")
    if made.changed():  # a folder came that a way leads through
        assert made.set_up(mine)
    for number in range(50):
        project.put(f"steps/other-{number % 5}.json", b"%d" % number, Always())
        project.put(f"mail/bob/{50 + number:010}.json", b"%d" % number, Always())
        project.get("steps/mine.json")
        assert not made.changed()
    assert not made.set_up(mine), "still in place"


@linux
def test_a_busy_store_costs_one_who_waits_no_requests(project: Prefix, asleep: threading.Semaphore) -> None:
    counting = Counting(project)
    project.put("steps/mine.json", b"old", Always())

    def work() -> None:
        assert asleep.acquire(timeout=SOON)
        for number in range(200):
            project.put("steps/other.json", b"%d" % number, Always())
        project.put("steps/mine.json", b"new", Always())

    other = threading.Thread(target=work)
    other.start()
    assert sync.run(polls("steps/mine.json", "steps/not-yet.json"), world_of(counting)) == 2
    other.join()
    assert counting.counts() == {"get": 6}


def test_anything_below_a_folder_can_be_waited_for(project: Prefix, made: Notice) -> None:
    for number in range(2):
        while made.set_up(("steps/", "mail/")):
            continue
        project.put(f"steps/{number}.json", b"x", Always())
        assert made.changed()
        assert not made.changed() or made.fileno() == -1


@linux
def test_where_nothing_can_be_watched_polls_go_on(project: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise OSError(28, "no space left: too many watches")

    monkeypatch.setattr(watches, "open_watch", none)
    for kind in ("blocking", "asyncio"):
        name = f"steps/{kind}.json"
        done = threading.Timer(0.1, project.put, (name, b"new", Always()))
        done.start()
        assert run_with(kind, patient(name), world_of(project))
        done.join()


def patient(key: str) -> Op[bool]:
    for _ in range(1000):
        if (yield from fx.read(key)):
            return True
        yield from fx.sleep_until(0.02, (key,))
    return False


@linux
def test_out_of_descriptors_is_no_error(project: Prefix) -> None:
    one = Notice(project.capabilities.file)
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    slept: list[float] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, was[1]))
        one.pause(("steps/a.json",), 7.0, slept.append)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, was)
    assert slept == [7.0]
    assert one.fileno() == -1
    one.pause(("steps/a.json",), 7.0, slept.append)
    assert one.fileno() >= 0, "tried again at the next pause"
    one.close()


def test_a_process_watches_for_few_at_once_and_the_others_poll(project: Prefix, made: Notice) -> None:
    made.close()
    many = [Notice(project.capabilities.file) for _ in range(MOST + 1)]
    try:
        assert [one.set_up(("steps/a.json",)) for one in many] == [True] * MOST + [False]
        assert many[-1].fileno() == -1
        many[0].close()
        assert many[-1].set_up(("steps/a.json",))
    finally:
        for one in many:
            one.close()


@pytest.mark.parametrize("key", ["steps/there.json", "steps/absent.json"])
def test_a_folder_that_vanishes_ends_the_pause(project: Prefix, made: Notice, store: LocalStore, key: str) -> None:
    project.put("steps/there.json", b"old", Always())
    assert made.set_up((key,))
    shutil.rmtree(store.root)
    assert made.changed()
    assert made.set_up((key,)), "above it"
    LocalStore.create(store.root)
    project.put(key, b"new", Always())
    assert made.changed()


def test_a_kqueue_watches_few_files_and_gives_them_back(project: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "open_watch", lambda: watches.Kqueue(Kernel()))
    for number in range(watches.Kqueue.MOST + 1):
        project.put(f"steps/{number}.json", b"x", Always())
    every = tuple(f"steps/{number}.json" for number in range(watches.Kqueue.MOST + 1))
    before = len(os.listdir("/dev/fd"))
    one = Notice(project.capabilities.file)
    assert not one.set_up(every)
    assert one.set_up(every[1:])
    assert not one.set_up(every[1:])
    one.close()
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(hasattr(select, "kqueue"), reason="this system has it")
def test_a_system_without_either_says_so() -> None:
    with pytest.raises(OSError, match="no kqueue"):
        watches.Kqueue()


class Interrupted(Exception):
    """Raised into a wait."""


@linux
def test_a_wait_that_is_broken_off_leaves_nothing_open(project: Prefix, asleep: threading.Semaphore) -> None:
    world = world_of(project)

    def interrupt(*_: object) -> None:
        raise Interrupted

    was, waiting = signal.signal(signal.SIGUSR1, interrupt), threading.get_ident()

    def soon() -> None:
        assert asleep.acquire(timeout=SOON)
        signal.pthread_kill(waiting, signal.SIGUSR1)

    other = threading.Thread(target=soon)
    other.start()
    try:
        with pytest.raises(Interrupted):
            sync.run(polls("steps/a.json"), world)
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, was)
    assert not world.notices
    assert eventually(lambda: not open_files())


@linux
def test_a_task_that_is_cancelled_leaves_nothing_open(project: Prefix, asleep: threading.Semaphore) -> None:
    async def story() -> None:
        task = asyncio.create_task(aio.run(polls("steps/a.json"), world_of(project)))
        assert await asyncio.to_thread(asleep.acquire, timeout=SOON)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert eventually(lambda: not open_files())


def test_a_wait_closed_while_its_watch_is_set_up_leaves_nothing_open(
    project: Prefix, made: Notice, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = watches.open_watch
    left = len(notice._places)

    def closing() -> Any:
        made.close()
        return opened()

    monkeypatch.setattr(watches, "open_watch", closing)
    made.set_up(("steps/a.json",))
    assert made.fileno() == -1
    assert len(notice._places) == left


@linux
def test_tasks_beyond_those_that_can_be_watched_wake_as_well(project: Prefix) -> None:
    async def story() -> None:
        world = world_of(project)
        tasks = [asyncio.create_task(aio.run(patient("steps/a.json"), world)) for _ in range(3 * MOST)]
        await asyncio.sleep(0)
        await asyncio.to_thread(project.put, "steps/a.json", b"new", Always())
        assert all(await asyncio.gather(*tasks))

    asyncio.run(asyncio.wait_for(story(), POLL))


@linux
def test_an_event_loop_that_watches_no_files_polls(project: Prefix) -> None:
    class Plain(asyncio.SelectorEventLoop):
        def add_reader(self, *_: Any) -> None:  # type: ignore[override]
            raise NotImplementedError

    loop = Plain()
    done = threading.Timer(0.1, project.put, ("steps/a.json", b"new", Always()))
    done.start()
    assert loop.run_until_complete(aio.run(patient("steps/a.json"), world_of(project)))
    done.join()
    loop.close()


FORKED = """
import os, sys
from windlass.drivers.notice import Notice
from windlass.effects import Always
from windlass.stores.local import LocalStore
store = LocalStore(sys.argv[1])
store.put("a", b"1", Always())
one = Notice(store.capabilities.file)
assert one.set_up(("a",))
for writes in (False, True):
    child = os.fork()
    if not child:
        fresh = one.set_up(("a",))
        if writes:
            store.put("a", b"2", Always())
        os._exit(0 if fresh and one.changed() == writes else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, "the child has a watch of its own"
    assert one.changed() == writes, "the child took the parent's watch, or its event"
"""


@linux
def test_a_fork_takes_no_event_from_its_parent(store: LocalStore) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, store.root], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_driver_that_moves_time_itself_is_asked(project: Prefix) -> None:
    slept: list[float] = []
    world = World(project, MemoryHints(), sleep=slept.append)
    world.pause(fx.Sleep(seconds=5.0, until=("steps/a.json",)))
    assert slept == [5.0]
