"""Runs several operations in every order of their requests to the store; each request of a small gather counts for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from windlass import effects as fx
from windlass.errors import WindlassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.ops.world import Agent, Place

MOST_APART = 3
"""A gather of more requests than this is a search by reads, and counts as one: its orders would be too many to try."""
REQUESTS = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders)


class Process:
    """One operation, stopped before each of its requests."""

    def __init__(self, agent: Agent, op: fx.Op[Any]) -> None:
        self.agent = agent
        self.result: Any = None
        self._steps = self._run(op)
        self.done = False
        self.step()

    def step(self) -> None:
        """Carry out the request it stands before, and go on to the next."""
        self.done = next(self._steps, "done") == "done"

    def _run(self, op: fx.Op[Any]) -> Iterator[None]:
        send: Any = op.send
        value: Any = None
        while True:
            try:
                effect = send(value)
            except StopIteration as end:
                self.result = end.value
                return
            if isinstance(effect, fx.Gather):
                results = []
                search = len(effect.effects) > MOST_APART
                for n, one in enumerate(effect.effects):
                    if not search or n == 0:
                        yield
                    results.append(self.agent.world._attempt(one))
                send, value = op.send, results
                continue
            if isinstance(effect, REQUESTS):
                yield
            try:
                send, value = op.send, self.agent.world.perform(effect)
            except Exception as error:
                send, value = op.throw, error


def outcome(op: fx.Op[Any]) -> fx.Op[Any]:
    """An operation whose refusal is a result."""
    try:
        return (yield from op)
    except WindlassError as error:
        return error


def explore(
    begin: Callable[[], tuple[Place, list[tuple[Agent, fx.Op[Any]]]]],
    end: Callable[[Place, list[Any]], None],
    most: int = 20_000,
) -> int:
    """Run from `begin` in every order, check each with `end`; how many orders there were. Fails beyond `most`."""
    orders = 0
    schedule: list[int] = []
    while True:
        place, operations = begin()
        processes = [Process(agent, op) for agent, op in operations]
        choices: list[int] = []
        depth = 0
        while ready := [process for process in processes if not process.done]:
            chosen = schedule[depth] if depth < len(schedule) else 0
            choices.append(len(ready))
            if depth >= len(schedule):
                schedule.append(0)
            ready[chosen].step()
            depth += 1
        try:
            end(place, [process.result for process in processes])
        except AssertionError as error:
            raise AssertionError(f"in the order {schedule}: {error}") from error
        orders += 1
        assert orders <= most, "too many orders to try"
        while schedule and schedule[-1] + 1 >= choices[len(schedule) - 1]:
            schedule.pop()
        if not schedule:
            return orders
        schedule[-1] += 1
