"""The same in virtual time: agents on machines of their own, far from the store, at work for a while on each step.

Nothing but the seed decides: the figures are the same in each run, whatever the machine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.pullers import plan_of

from windlass import effects as fx
from windlass.errors import NothingLeft, PutRefused
from windlass.ops import plans, steps
from windlass.ops.agents import Actor, act
from windlass.ops.work import after_change, next_
from windlass.protocol import keys
from windlass.protocol.steps import Handoff, Status
from windlass.stores.memory import MemoryStore
from windlass.testing.simulate import EPOCH, FINE, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from windlass.ops.steps import Claimed
    from windlass.testing.simulate import Request, Task

DISTANCE = 0.03
"""Seconds of a round trip, in the mean."""
WORK = 5.0
"""Seconds of work on a step, in the mean."""
_REQUESTS = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders, fx.Gather)


class Pulled(NamedTuple):
    """What became of a plan: seconds, requests by kind, lost writes, round trips of each `next` that did not have to wait."""

    steps: int
    seconds: float
    counts: Counter[str]
    trips: list[int]

    def each(self, *kinds: str) -> float:
        """Of these kinds, for each step."""
        return sum(self.counts[kind] for kind in kinds) / self.steps

    @property
    def wasted(self) -> float:
        """Writes that lost to somebody else's, for each claim."""
        return self.each("lost claim", "lost board")


class _Store(MemoryStore):
    """Keeps its keys sorted: no project loses any here."""

    _sorted: Sequence[str] = ()

    def _keys(self, prefix: str) -> Sequence[str]:
        if len(self._sorted) != len(self._objects):
            self._sorted = sorted(self._objects)
        return self._sorted[bisect_left(self._sorted, prefix) : bisect_left(self._sorted, prefix + "\x7f")]


class _World(Simulation):
    """Counts requests to the steps and the board."""

    def __init__(self, seed: int, make_store: Callable[[Callable[[], float]], MemoryStore]) -> None:
        super().__init__(seed, make_store, FINE.but(latency=DISTANCE / 2))
        self.tally: Counter[str] = Counter()

    def event(self, who: str, what: str, key: str, answer: str) -> None:
        """Nobody reads the record of a run without faults."""

    def _perform(self, task: Task, request: Request) -> Any:
        kind = type(request).__name__.lower()
        self.tally[kind] += 1
        try:
            if isinstance(request, fx.Put):
                return self.store.put(request.key, request.body, request.condition)
            return super()._perform(task, request)
        except PutRefused:
            self.tally["lost board" if request.key == keys.BOARD else "lost claim"] += 1  # type: ignore[union-attr]
            raise


def pulled(shape: str, size: int, agents: int, seed: int = 1) -> Pulled:
    """A plan done by so many agents."""
    world = _World(seed, _Store)
    dice, trips, ends = Random(seed), list[int](), list[float]()

    def planner() -> fx.Op[None]:
        actor = Actor(agent="planner", machine="planner", host="planner")
        yield from plans.apply(actor, plan_of(shape, size))

    def puller(number: int) -> fx.Op[None]:
        actor = Actor(agent=f"agent-{number}", machine=f"machine-{number}", host="host")
        yield from act(actor)
        yield from fx.sleep(dice.random() * WORK)
        while True:
            made: list[int] = [0]
            try:
                claimed: Claimed = yield from _counted(next_(actor, wait=86400.0), made)
            except NothingLeft:
                return
            if made[0]:
                trips.append(made[0])
            yield from fx.sleep(dice.expovariate(1 / WORK))
            finished = yield from steps.finish(actor, claimed.step.name, Handoff(agent="", state=Status.COMPLETE, at=0.0))
            yield from after_change(finished)
            ends.append(world.now)

    world.spawn("planner", world.machine("planner"), planner())
    world.run(EPOCH + 86400.0)
    world.tally.clear()
    began = world.now
    for number in range(agents):
        world.spawn(f"agent-{number}", world.machine(f"machine-{number}"), puller(number))
    world.run(began + 30 * 86400.0)
    if len(ends) != size:
        raise RuntimeError(f"{len(ends)} of {size} steps were done")
    return Pulled(size, max(ends) - began, world.tally, trips)


def _counted(op: fx.Op[Claimed], made: list[int]) -> Generator[fx.Effect, Any, Claimed]:
    """The same operation, its round trips counted in `made`; 0 where it had to wait."""
    count, waited = 0, False
    send, value = op.send, None
    while True:
        try:
            effect = send(value)
        except StopIteration as end:
            made[0] = 0 if waited else count
            result: Claimed = end.value
            return result
        count += isinstance(effect, _REQUESTS)
        waited = waited or (isinstance(effect, fx.Sleep) and effect.seconds > 0.1)
        try:
            send, value = op.send, (yield effect)
        except Exception as error:
            send, value = op.throw, error
