"""For tests of plans and finding work: big worlds made without requests, round trips counted, and agents racing in virtual time."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

from windlass import effects as fx
from windlass.effects import Object
from windlass.ops import steps
from windlass.ops.board import offer
from windlass.ops.work import after_change
from windlass.protocol import keys
from windlass.protocol.board import Board
from windlass.protocol.codec import decode, encode
from windlass.protocol.steps import Claim, Definition, Handoff, Status, Step, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.ops.world import Agent, Place

    from windlass.protocol.codec import Document

REQUESTS = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders)
_ids = count()


def a_step(name: str, *needs: str, status: Status = Status.PENDING, agent: str = "", lease: float = 600.0, **more: Any) -> Step:
    """A declared step, in whatever state; with `agent` it is claimed by incarnation 1."""
    line: dict[str, Any] = {
        "by": "planner",
        "incarnation": 1,
        "at": 0.0,
        "write_id": f"w{next(_ids)}",
        "status": Status.PENDING,
        "epoch": 0,
    }
    history = [Transition(event="define", **line)]
    claim = None
    if agent:
        status = Status.IN_PROGRESS
        claim = Claim(agent=agent, incarnation=1, epoch=1, lease=lease)
        history.append(Transition(event="claim", **{**line, "by": agent, "status": status, "epoch": 1}))
    elif status is not Status.PENDING:
        history.append(Transition(event=status.value, **{**line, "status": status}))
    return Step(
        name=name, needs=needs, status=status, claim=claim, epoch=1 if agent else 0, worker=agent, history=tuple(history),
        seq=len(history), write_id=f"w{next(_ids)}", **more
    )  # fmt: skip


def put(place: Place, key: str, document: Document) -> None:
    """Put a document into the store at once, past all that slows a store down."""
    place.store._writes += 1
    place.store._objects[key] = Object(key=key, body=encode(document), version=f"v{place.store._writes}", modified=place.now)


def plant(place: Place, all_: Iterable[Step]) -> None:
    """Put steps into the store."""
    for one in all_:
        put(place, keys.step(one.name), one)


def set_board(place: Place, *ready: Step, at: float = 0.0) -> None:
    """Make the board offer these, in this order of writing, whatever they are."""
    put(place, keys.BOARD, Board().changed([offer(one) for one in ready], [], at).but(seq=1, write_id=f"w{next(_ids)}"))


def board(place: Place) -> list[str]:
    """What the board offers now."""
    return [one.name for one in decode(Board, keys.BOARD, place.body(keys.BOARD)).ready]


def step(place: Place, name: str) -> Step:
    """A step as it is in the store."""
    return decode(Step, name, place.body(keys.step(name)))


def finishing(agent: Agent, name: str, state: Status = Status.COMPLETE, note: str = "") -> fx.Op[Step]:
    """Finish a step and do what it means for the board, as the facade does."""
    done = yield from steps.finish(agent.actor, name, Handoff(agent="", state=state, at=0.0, note=note))
    yield from after_change(done)
    return done.step


def finish(agent: Agent, name: str, state: Status = Status.COMPLETE, note: str = "") -> Step:
    """Finish it now."""
    return agent.do(finishing(agent, name, state, note))


def definition(**fields: Any) -> Definition:
    """What a plan says of a step."""
    return Definition(**fields)


def trips(agent: Agent, op: fx.Op[Any]) -> int:
    """Carry an operation out; how many round trips it took, a gather counting as one."""
    perform, made = agent.world.perform, [0]

    def counting(effect: fx.Effect) -> Any:
        made[0] += isinstance(effect, (*REQUESTS, fx.Gather))
        return perform(effect)

    def gathering(effects: tuple[fx.Effect, ...]) -> list[Any]:
        before = made[0]
        results = [agent.world._attempt(effect) for effect in effects]
        made[0] = before
        return results

    agent.world.perform, agent.world._gather = counting, gathering  # type: ignore[method-assign]
    try:
        agent.do(op)
    finally:
        del agent.world.perform, agent.world._gather
    return made[0]


def race(place: Place, operations: list[tuple[Agent, fx.Op[Any]]], latency: Callable[[], float], most: int = 200_000) -> list[Any]:
    """Run operations at the same time, each request taking `latency()` virtual seconds and landing at the end of them; their results."""
    results: list[Any] = [None] * len(operations)
    start, due = place.now, [(place.now, n, None) for n in range(len(operations))]
    heapq.heapify(due)
    waiting: dict[int, fx.Effect] = {}
    for _ in range(most):
        if not due:
            return results
        place.now, n, _nothing = heapq.heappop(due)
        agent, op = operations[n]
        send, value = op.send, None
        if n in waiting:
            try:
                value = agent.world.perform(waiting.pop(n))
            except Exception as error:
                send, value = op.throw, error
        while True:
            try:
                effect = send(value)
            except StopIteration as end:
                results[n] = end.value
                break
            if isinstance(effect, fx.Sleep):
                waiting[n] = fx.Now()
                heapq.heappush(due, (place.now + effect.seconds, n, None))
                break
            if isinstance(effect, (*REQUESTS, fx.Gather)):
                waiting[n] = effect
                heapq.heappush(due, (place.now + latency(), n, None))
                break
            try:
                send, value = op.send, agent.world.perform(effect)
            except Exception as error:
                send, value = op.throw, error
    raise AssertionError(f"no end after {place.now - start:.0f} s")
