"""Local work comes in through an effect; operations are spread side by side, bounded, and none is left behind."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from _thread import get_ident
from functools import partial
from operator import add
from threading import Barrier, Event, Lock
from typing import TYPE_CHECKING, Any

import pytest

from windlass import effects as fx
from windlass.drivers import aio, spread, sync
from windlass.drivers.hints import MemoryHints
from windlass.ops.together import together
from windlass.stores.memory import MemoryStore
from windlass.testing.explore import Bounds, Program, Scene, explore
from windlass.testing.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT = 10.0
"""Seconds after which a test gives up."""


def world_of(*, distant: bool = True) -> sync.World:
    store = MemoryStore()
    store.capabilities = store.capabilities.but(distant=distant)
    return sync.World(store, MemoryHints())


def blocking(op: fx.Op[Any]) -> Any:
    return sync.run(op, world_of())


def on_a_loop(op: fx.Op[Any]) -> Any:
    world = world_of()
    try:
        return asyncio.run(asyncio.wait_for(aio.run(op, world), WAIT))
    finally:
        world.close()


def simulated(op: fx.Op[Any]) -> Any:
    ends: list[Any] = []

    def program() -> fx.Op[None]:
        ends.append((yield from op))

    simulation = Simulation(1, MemoryStore)
    simulation.spawn("a", simulation.machine("m"), program())
    assert simulation.run(simulation.now + 1000.0)
    return ends[0]


DRIVERS = pytest.mark.parametrize("drive", [blocking, on_a_loop])
ALL = pytest.mark.parametrize("drive", [blocking, on_a_loop, simulated])


def explored(make: Callable[[], fx.Op[Any]]) -> set[str]:
    """What an operation can come to, in every order of its requests, printed."""
    ends: set[str] = set()

    def noted(_: tuple[Any, ...]) -> fx.Op[str]:
        return repr((yield from make()))

    scene = Scene(
        programs=(Program(name="a", script=(noted,), machine="m"), Program(name="b", script=(lambda _: fx.read("k"),), machine="n")),
        begin={},
        now=1.0,
        landed=lambda _: None,
        end=lambda end: ends.add(str(end.notes["a"][0])),
    )
    explore(scene, Bounds(reduce=False))
    return ends


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.began = self.ended = 0
        self._lock = Lock()

    def enter(self) -> None:
        with self._lock:
            self.began += 1
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.ended += 1
            self.inside -= 1


def raising(error: BaseException) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


@ALL
def test_a_calls_result_reaches_the_operation(drive: Callable[[fx.Op[Any]], Any]) -> None:
    assert drive(fx.call(lambda: 6 * 7)) == 42


def catching(error: Exception) -> fx.Op[tuple[object, int]]:
    try:
        yield from fx.call(raising(error))
    except type(error) as caught:
        return caught, (yield from fx.call(lambda: 1))
    raise AssertionError("no error")


@ALL
def test_a_calls_error_reaches_the_operation_which_may_go_on(drive: Callable[[fx.Op[Any]], Any]) -> None:
    error = OSError("no such file")
    assert drive(catching(error)) == (error, 1)


@DRIVERS
def test_work_that_raises_stop_iteration_ends_nobody(drive: Callable[[fx.Op[Any]], Any]) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        drive(fx.call(lambda: next(iter(()))))


def mixed() -> fx.Op[list[object]]:
    error = OSError("no such file")
    effects = [fx.Get(key="k"), fx.Call(work=lambda: "worked"), fx.Folders(prefix=""), fx.Call(work=raising(error))]
    found = yield from fx.gather(effects)
    alone = yield from fx.gather([fx.Call(work=lambda: "alone")])
    assert found[3] is error
    return [*found[:3], *alone]


@ALL
def test_a_call_may_stand_in_a_gather(drive: Callable[[fx.Op[Any]], Any]) -> None:
    assert drive(mixed()) == [None, "worked", (), "alone"]


@ALL
def test_calls_and_spreads_pass_through_operations_that_look_together(drive: Callable[[fx.Op[Any]], Any]) -> None:
    assert drive(together(fx.call(lambda: 1), fx.spread([fx.read("k"), fx.call(lambda: 2)]), fx.read("k"))) == [1, [None, 2], None]
    with pytest.raises(OSError, match="gone"):
        blocking(together(fx.read("k"), fx.spread([fx.call(raising(OSError("gone")))])))


def test_an_exploration_does_the_work_and_runs_what_is_spread_in_turn() -> None:
    def spreading() -> fx.Op[Any]:
        return (yield from fx.spread(fx.put(f"k{n}", b"x", fx.IfAbsent()) if n else fx.call(lambda: "call") for n in range(3)))

    version = MemoryStore().put("k", b"x", fx.IfAbsent())
    assert len(explored(spreading)) == 1, version
    assert explored(mixed) == {"[None, 'worked', (), 'alone']"}
    assert explored(lambda: catching(OSError("gone"))) == {"(OSError('gone'), 1)"}


@ALL
def test_results_come_in_the_order_of_the_operations(drive: Callable[[fx.Op[Any]], Any]) -> None:
    def one(n: int) -> fx.Op[int]:
        for _ in range(n % 3):
            yield from fx.read(f"k{n}")
        return (yield from fx.call(lambda: n * n))

    squares = [n * n for n in range(50)]
    assert drive(fx.spread([one(n) for n in range(50)])) == squares
    assert drive(fx.spread(one(n) for n in range(50))) == squares
    assert drive(fx.spread([])) == []
    assert drive(fx.spread([one(3)], at_once=0)) == [9]


@ALL
def test_a_spread_may_lie_in_a_spread(drive: Callable[[fx.Op[Any]], Any]) -> None:
    def row(n: int) -> fx.Op[list[int]]:
        return (yield from fx.spread((fx.call(partial(add, 10 * n, m)) for m in range(10)), at_once=3))

    assert drive(fx.spread((row(n) for n in range(10)), at_once=3)) == [[10 * n + m for m in range(10)] for n in range(10)]


@DRIVERS
@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_just_so_many_are_under_way_and_no_more_are_taken(drive: Callable[[fx.Op[Any]], Any], at_once: int) -> None:
    under_way, taken = Crowd(), Crowd()
    meeting = Barrier(at_once, timeout=WAIT)

    def work() -> None:
        under_way.enter()
        meeting.wait()
        under_way.leave()

    def one() -> fx.Op[None]:
        yield from fx.call(work)
        yield from fx.read("k")
        taken.leave()

    def ops() -> Iterator[fx.Op[None]]:
        for _ in range(4 * at_once):
            taken.enter()
            yield one()

    drive(fx.spread(ops(), at_once=at_once))
    assert under_way.most == at_once
    assert taken.most <= at_once
    assert taken.ended == 4 * at_once


def test_where_the_store_is_near_a_few_threads_are_enough() -> None:
    crowd, meeting = Crowd(), Barrier(spread.NEAR, timeout=WAIT)

    def work() -> None:
        crowd.enter()
        meeting.wait()
        crowd.leave()

    sync.run(fx.spread([fx.call(work) for _ in range(5 * spread.NEAR)], at_once=16), world_of(distant=False))
    assert crowd.most == spread.NEAR


@DRIVERS
def test_a_thousand_large_operations_are_never_there_at_the_same_time(drive: Callable[[fx.Op[Any]], Any]) -> None:
    alive = Crowd()

    class Load:
        """What an operation holds."""

        def __init__(self) -> None:
            alive.enter()
            self.body = bytes(1_000_000)

        def __del__(self) -> None:
            alive.leave()

    def one(load: Load) -> fx.Op[int]:
        yield from fx.read("k")
        return (yield from fx.call(lambda: len(load.body)))

    def ops() -> Iterator[fx.Op[int]]:
        for _ in range(1000):
            yield one(Load())

    assert drive(fx.spread(ops(), at_once=4)) == [1_000_000] * 1000
    assert alive.most <= 4
    assert alive.inside == 0


@ALL
def test_after_an_error_nothing_more_is_begun(drive: Callable[[fx.Op[Any]], Any]) -> None:
    taken: list[int] = []

    def ops() -> Iterator[fx.Op[None]]:
        for n in range(1000):
            taken.append(n)
            yield fx.call(raising(OSError(f"error {n}")))

    def caught(at_once: int) -> fx.Op[str]:
        try:
            yield from fx.spread(ops(), at_once=at_once)
        except OSError as error:
            return str(error)
        raise AssertionError("no error")

    assert drive(caught(1)) == "error 0"
    assert taken == [0]
    taken.clear()
    assert drive(caught(4)).startswith("error ")
    assert len(taken) < 1000


@DRIVERS
def test_an_error_of_one_keeps_the_others_from_beginning_more(drive: Callable[[fx.Op[Any]], Any]) -> None:
    meeting, taken = Barrier(2, timeout=WAIT), Crowd()

    def bad() -> fx.Op[None]:
        yield from fx.call(meeting.wait)
        raise OSError("first")

    def good() -> fx.Op[None]:
        yield from fx.call(meeting.wait)

    def ops() -> Iterator[fx.Op[Any]]:
        yield bad()
        yield good()
        for _ in range(1000):
            taken.enter()
            yield fx.call(lambda: Event().wait(0.001))

    with pytest.raises(OSError, match="first"):
        drive(fx.spread(ops(), at_once=2))
    assert taken.began < 1000


@ALL
def test_an_error_of_whoever_makes_the_operations_ends_it_too(drive: Callable[[fx.Op[Any]], Any]) -> None:
    def ops() -> Iterator[fx.Op[None]]:
        yield fx.call(lambda: None)
        raise OSError("the folder is gone")

    def caught() -> fx.Op[str]:
        try:
            yield from fx.spread(ops())
        except OSError as error:
            return str(error)
        raise AssertionError("no error")

    assert drive(caught()) == "the folder is gone"


@DRIVERS
def test_after_an_error_those_under_way_come_to_their_end(drive: Callable[[fx.Op[Any]], Any]) -> None:
    meeting, raised, ended = Barrier(3, timeout=WAIT), Event(), Event()

    def fails() -> None:
        meeting.wait()
        raised.set()
        raise OSError("first")

    def goes_on() -> None:
        meeting.wait()
        assert raised.wait(WAIT)

    def bad() -> fx.Op[None]:
        yield from fx.call(fails)

    def good() -> fx.Op[None]:
        yield from fx.call(goes_on)
        for _ in range(100):
            yield from fx.read("k")
        yield from fx.call(ended.set)

    def late() -> fx.Op[None]:
        yield from fx.call(goes_on)
        yield from fx.call(lambda: ended.wait(WAIT))
        raise OSError("second")

    with pytest.raises(OSError, match="first"):
        drive(fx.spread([bad(), good(), late()], at_once=3))
    assert ended.is_set()


def test_an_operation_does_not_end_the_wait_of_the_one_that_spread_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Telling:
        """Stands for a watch."""

        def __init__(self) -> None:
            self.name = f"watch {len(told)}"
            told.append(f"{self.name} begins")

        def pause(self, keys: tuple[str, ...], seconds: float) -> None:
            told.append(f"{self.name} waits for {keys[0]}")

        def close(self) -> None:
            told.append(f"{self.name} ends")

    def waiting() -> fx.Op[None]:
        yield from fx.sleep_until(1.0, ("a",))
        yield from fx.spread([fx.sleep_until(1.0, ("b",))], at_once=1)
        yield from fx.sleep_until(1.0, ("a",))

    world = world_of()
    monkeypatch.setattr(world, "notice", Telling)
    sync.run(waiting(), world)
    assert told == [
        "watch 0 begins", "watch 0 waits for a", "watch 2 begins", "watch 2 waits for b", "watch 2 ends", "watch 0 waits for a",
        "watch 0 ends",
    ]  # fmt: skip


class Interrupted:
    """Two operations at once, on the test's thread and on another one; then an interrupt."""

    def __init__(self) -> None:
        self.here = get_ident()
        self.meeting = Barrier(2, timeout=WAIT)
        self.world = world_of()
        self.others: list[str] = []

    def one(self, there: fx.Op[Any], here: Callable[[], Any]) -> fx.Op[None]:
        try:
            yield from fx.call(self.meeting.wait)
            if (yield from fx.call(get_ident)) == self.here:
                yield from fx.call(here)
            else:
                yield from there
                yield from fx.read("k")
                self.others.append("went on")
        finally:
            self.others.append("closed")

    def until_told(self) -> None:
        """Wait on the other thread until the interrupt has arrived."""
        effort = self.world.efforts[get_ident()]
        until(lambda: bool(effort.failed))

    def run(self, there: Callable[[], fx.Op[Any]]) -> None:
        """The other thread runs `there` when this one is interrupted; a thousand more wait for their turn."""

        def ops() -> Iterator[fx.Op[None]]:
            for _ in range(1000):
                yield self.one(there(), raising(KeyboardInterrupt()))

        with pytest.raises(KeyboardInterrupt):
            sync.run(fx.spread(ops(), at_once=2), self.world)
        assert not self.world.efforts
        assert sync.run(fx.spread([fx.call(lambda: 1)]), self.world) == [1], "the next one is not interrupted"


def test_an_interrupt_waits_for_the_effects_under_way_and_begins_nothing_more() -> None:
    one, ended = Interrupted(), Event()

    def work() -> None:
        one.until_told()
        ended.set()

    one.run(lambda: fx.call(work))
    assert ended.is_set()
    assert one.others == ["closed", "closed"]


def test_an_interrupt_ends_a_long_operation_on_another_thread_at_its_next_effect() -> None:
    def long() -> fx.Op[None]:
        for _ in range(1_000_000):
            yield from fx.read("k")
        one.others.append("came to its end")

    one = Interrupted()
    one.run(long)
    assert one.others == ["closed", "closed"]


def test_an_interrupt_reaches_a_spread_within_a_spread() -> None:
    def ops() -> Iterator[fx.Op[Any]]:
        for _ in range(100_000):
            yield fx.read("k")
        one.others.append("came to its end")

    def wide() -> fx.Op[None]:
        yield from fx.spread(ops(), at_once=2)

    one = Interrupted()
    one.run(wide)
    assert one.others == ["closed", "closed"]


@pytest.fixture
def arrived() -> Iterator[list[int]]:
    """The interrupts that arrived at the test's thread."""
    told: list[int] = []

    def arrive(number: int, _: object) -> None:
        told.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, arrive)
    yield told
    signal.signal(signal.SIGINT, before)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    for _ in range(10_000):
        if true():
            return
        Event().wait(0.001)
    raise AssertionError("it never came")


class Asked(MemoryStore):
    """Reads meet; then those on other threads do `act` before they end."""

    def __init__(self, of: int, arrived: list[int], act: Callable[[], None]) -> None:
        super().__init__()
        self.arrived = arrived
        self.here, self.meeting, self.act = get_ident(), Barrier(of, timeout=WAIT), act
        self.ended: list[int] = []
        self.late: list[str] = []
        self.capabilities = self.capabilities.but(distant=True)

    def get(self, key: str, unless: str | None = None) -> fx.Object | fx.Unchanged | None:
        if key == "next":
            self.late += [key] * len(self.arrived)
            return None
        self.meeting.wait()
        if get_ident() != self.here:
            self.act()
            self.ended.append(int(key))
        return None

    def interrupt(self) -> None:
        """Interrupt the test's thread while it waits for the others."""
        until(lambda: sys._current_frames()[self.here].f_code.co_name == "wait")
        before = len(self.arrived)
        signal.pthread_kill(self.here, signal.SIGINT)
        until(lambda: len(self.arrived) > before)


def spreading(n: int) -> fx.Op[Any]:
    def one(k: int) -> fx.Op[None]:
        yield from fx.read(str(k))
        yield from fx.read("next")

    return (yield from fx.spread([one(k) for k in range(n)], at_once=n))


def gathering(n: int) -> fx.Op[Any]:
    return (yield from fx.gather([fx.Get(key=str(k)) for k in range(n)]))


@pytest.mark.parametrize("op", [spreading, gathering])
def test_an_interrupt_while_waiting_for_the_others_waits_on(op: Callable[[int], fx.Op[Any]], arrived: list[int]) -> None:
    last = Lock()

    def act() -> None:
        if last.acquire(blocking=False):  # one of them, after all others
            until(lambda: len(store.ended) == 6)
            store.interrupt()

    store = Asked(8, arrived, act)
    with pytest.raises(KeyboardInterrupt):
        sync.run(op(8), sync.World(store, MemoryHints()))
    assert len(store.ended) == 7
    assert store.late == []


@pytest.mark.parametrize("op", [spreading, gathering])
def test_a_second_interrupt_does_not_wait(op: Callable[[int], fx.Op[Any]], arrived: list[int]) -> None:
    release = Event()

    def act() -> None:
        store.interrupt()
        store.interrupt()
        release.wait(WAIT)

    store = Asked(2, arrived, act)
    world = sync.World(store, MemoryHints())
    with pytest.raises(KeyboardInterrupt):
        sync.run(op(2), world)
    assert store.ended == []
    release.set()
    until(lambda: bool(store.ended) and not world.efforts)


def test_a_librarys_panic_in_one_is_raised() -> None:
    class Panic(BaseException):
        """As a native library raises it."""

    with pytest.raises(Panic):
        blocking(fx.spread([fx.call(raising(Panic())), *(fx.read("k") for _ in range(100))]))


def test_where_no_thread_can_be_started_they_are_run_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sync, "start_new_thread", none_left)
    assert blocking(fx.spread([fx.call(partial(add, n, 1)) for n in range(5)])) == [1, 2, 3, 4, 5]


def test_on_a_loop_more_than_there_are_threads_do_not_lock_each_other_out() -> None:
    def row() -> fx.Op[list[int]]:
        yield from fx.call(lambda: None)
        return (yield from fx.spread((fx.call(lambda: 1) for _ in range(4)), at_once=4))

    assert on_a_loop(fx.spread([row() for _ in range(3 * sync.WORKERS)], at_once=2 * sync.WORKERS)) == [[1] * 4] * (3 * sync.WORKERS)


def test_a_cancelled_spread_is_over_before_the_cancellation_is_raised() -> None:
    told: list[str] = []
    begun, release = Barrier(5, timeout=WAIT), Event()

    def work() -> None:
        begun.wait()
        assert release.wait(WAIT)
        told.append("work ended")

    def one() -> fx.Op[None]:
        try:
            yield from fx.call(work)
            told.append("went on")
        finally:
            told.append("closed")

    async def main() -> None:
        world = world_of()
        spreading = aio.run(fx.spread((one() for _ in range(100)), at_once=4), world)
        task = asyncio.ensure_future(spreading)
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        assert told == []
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        world.close()

    asyncio.run(main())
    assert sorted(told) == ["closed"] * 4 + ["work ended"] * 4


def test_cancelled_work_that_was_not_begun_is_not_done() -> None:
    release, done = Event(), threading.Event()

    async def main() -> None:
        world = world_of()
        busy = [world.pool().submit(release.wait, WAIT) for _ in range(sync.WORKERS)]
        task = asyncio.ensure_future(aio.run(fx.call(done.set), world))
        await asyncio.wait([task], timeout=0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT)
        release.set()
        assert all(await asyncio.gather(*map(asyncio.wrap_future, busy)))
        world.pool().shutdown(wait=True)

    asyncio.run(main())
    assert not done.is_set()
