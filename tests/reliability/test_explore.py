"""The explorer finds what there is to find, leaves nothing out, and the operations that ship hold in every small world."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any

import pytest
from tests.reliability import worlds
from tests.reliability.exploration import RUNS, go

from windlass import effects as fx
from windlass.errors import PutUnclear, Unavailable
from windlass.ops import agents, logs, mail, memory
from windlass.protocol import transitions
from windlass.protocol.mail import Cursor
from windlass.protocol.steps import Step
from windlass.testing.explore import Bounds, End, Landed, Program, Scene, TooMany, Violation, explore, wander

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tests.reliability.exploration import Run

    from windlass.effects import Op


def counting(key: str, careful: bool = True) -> Op[Hashable]:
    """Add one to a number in an object; sent again until it is clear, whatever became of it before."""
    while True:
        found = yield from fx.read(key)
        assert found is not None
        try:
            yield from fx.put(key, b"%d" % (int(found.body) + 1), fx.IfMatch(version=found.version) if careful else fx.Always())
        except PutUnclear:
            continue
        except Exception:
            continue
        return "done"


def toy(*scripts: Any, end: Callable[[End], None] = lambda _: None, begin: dict[str, bytes] | None = None, **more: Any) -> Scene:
    programs = tuple(Program(name=f"p{n}", script=script, machine=f"m{n}") for n, script in enumerate(scripts))
    objects = {key: (body, 0.0) for key, body in (begin or {}).items()}
    return Scene(programs=programs, begin=objects, now=0.0, landed=lambda _: None, end=end, **more)


def adds_up(wanted: int) -> Callable[[End], None]:
    def check(end: End) -> None:
        done = sum(notes.count("done") for notes in end.notes.values())
        assert int(end.objects["n"]) == done == wanted or done < wanted

    return check


def test_a_lost_update_is_found_and_the_way_to_it_told() -> None:
    blind = [lambda _: counting("n", careful=False)]
    with pytest.raises(Violation) as caught:
        explore(toy(blind, blind, end=adds_up(2), begin={"n": b"0"}), Bounds())
    assert "p0: get n → object" in "\n".join(caught.value.way)
    careful = [lambda _: counting("n")]
    assert explore(toy(careful, careful, end=adds_up(2), begin={"n": b"0"}), Bounds()).ends >= 1


@pytest.mark.parametrize("fault", ["lose-answer", "late"])
def test_a_blind_retry_is_found(fault: str) -> None:
    """Who sends anew what may have landed counts twice: at once where the answer was lost, later where the write was late."""
    careful = [lambda _: counting("n")]
    scene = toy(careful, careful, end=adds_up(2), begin={"n": b"0"}, faults=(fault,))
    explore(scene, Bounds())
    with pytest.raises(Violation) as caught:
        explore(scene, Bounds(faults=1))
    assert f"({fault})" in "\n".join(caught.value.way)


def putting(*keys: str) -> Op[Hashable]:
    for key in keys:
        yield from fx.put(key, b"x", fx.Always())
    return "done"


def test_every_order_is_tried_and_none_twice() -> None:
    """Two programs with three and four writes each of their own: as many states as pairs of places, and every way between them."""
    found = explore(toy([lambda _: putting("a", "b", "c")], [lambda _: putting("d", "e", "f", "g")]), Bounds())
    assert found.states == 4 * 5
    assert found.transitions == 3 * 5 + 4 * 4
    assert found.longest == 7


def test_the_requests_of_a_gather_are_made_in_every_order() -> None:
    def both() -> Op[Hashable]:
        found = yield from fx.gather([fx.Get(key="a"), fx.Get(key="b")])
        return tuple(one is not None for one in found)

    seen: set[Hashable] = set()
    scene = toy([lambda _: both()], [lambda _: putting("a", "b")], end=lambda end: seen.add(end.notes["p0"]))
    explore(scene, Bounds())
    assert seen == {((False, False),), ((True, False),), ((True, True),), ((False, True),)}


def test_a_crash_can_come_before_and_after_each_request() -> None:
    ends: set[frozenset[str]] = set()
    explore(toy([lambda _: putting("a", "b")], end=lambda end: ends.add(frozenset(end.objects)), faults=("crash",)), Bounds(faults=1))
    assert ends == {frozenset(), frozenset("a"), frozenset("ab")}


def test_a_late_write_lands_at_any_time_or_never() -> None:
    def slow() -> Op[Hashable]:
        try:
            yield from fx.put("a", b"old", fx.Always())
        except PutUnclear:
            yield from fx.put("a", b"new", fx.Always())
        return "done"

    ends: set[bytes] = set()
    explore(toy([lambda _: slow()], end=lambda end: ends.add(end.objects["a"]), faults=("late",)), Bounds(faults=1))
    assert ends == {b"old", b"new"}


def test_a_program_that_shares_its_memory_is_interrupted_between_looking_and_noting() -> None:
    def take() -> Op[Hashable]:
        if (yield from fx.recall("taken")) is not None:
            return "late"
        yield from fx.remember("taken", b"1")
        return "mine"

    seen: set[tuple[Hashable, ...]] = set()
    programs = tuple(Program(name=name, script=[lambda _: take()], machine="m") for name in ("one", "two"))
    explore(
        Scene(
            programs=programs,
            begin={},
            now=0.0,
            landed=lambda _: None,
            end=lambda end: seen.add((end.notes["one"], end.notes["two"])),
        ),
        Bounds(),
    )
    assert (("mine",), ("mine",)) in seen
    assert (("mine",), ("late",)) in seen


def test_a_bound_that_is_too_small_is_an_error() -> None:
    with pytest.raises(TooMany):
        explore(toy([lambda _: putting(*"abc")], [lambda _: putting(*"def")]), Bounds(states=comb(6, 3) // 2))


SMALL = [
    (run, faults)
    for run in RUNS
    if run.small
    for faults in (0, 1)
    if run.quick is not None and not (faults and (run.agents > 2 or "jump" in run.name))
]
"""Worlds that can be gone through without the reduction too, and with how many faults."""


@pytest.mark.parametrize(("run", "faults"), SMALL, ids=lambda one: getattr(one, "name", str(one)))
def test_the_reduction_loses_no_end_and_no_write(run: Run, faults: int) -> None:
    """Neither an end nor a write to an object differs from what there is when every order is tried."""
    seen: list[tuple[set[object], set[object]]] = []
    scene = run.world()
    for reduce in (True, False):
        ends: set[object] = set()
        writes: set[object] = set()

        def landed(write: Landed, writes: set[object] = writes, check: Callable[[Landed], None] = scene.landed) -> None:
            writes.add((write.key, write.before, write.after, write.by, write.late, write.now))
            check(write)

        def end(state: End, ends: set[object] = ends, check: Callable[[End], None] = scene.end) -> None:
            ends.add((frozenset(state.notes.items()), state.dead, frozenset(state.objects.items())))
            check(state)

        explore(scene.but(landed=landed, end=end), Bounds(faults=faults, reduce=reduce), walks=0)
        seen.append((ends, writes))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize("run", [run for run in RUNS if run.quick is not None], ids=lambda run: run.name)
def test_the_operations_hold_in_every_order(run: Run) -> None:
    assert run.quick is not None
    done = go(run, run.quick)
    assert done.ends > 1
    assert not run.quick or set(run.world().faults) <= done.faults.keys()


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_gets_done_on_random_ways_through_worlds_too_large_to_explore(seed: int) -> None:
    assert wander(worlds.three_steps(agents=3), faults=seed, walks=150, seed=seed) > 1000


def held_by_anybody(step: Step | None, *rest: Any, force: bool = False, **more: Any) -> Step:
    return step if step is not None and step.claim is not None and not force else CLAIMED(step, *rest, force=force, **more)


def sent_and_denied(mailbox: str, message: Any) -> Op[int]:
    slot = yield from APPEND(mailbox, message)
    if message.sender != "late":  # who sends afterwards, to see whether the log goes on
        raise Unavailable("no answer", "try again")
    return slot


def half_a_lease(own: float, step: Any, presence: Any) -> bool:
    return bool(own - step.modified > step.doc.claim.lease / 2)


CLAIMED, APPEND = transitions.claimed, logs.append


def nothing(*_: object, **__: object) -> Op[None]:
    yield from ()


BROKEN: dict[str, tuple[object, str, object, Callable[[], Scene], int]] = {
    "a takeover without evidence": (agents, "_dead", lambda *_: True, worlds.takeover, 0),
    "an incarnation that is not compared": (
        transitions,
        "holds",
        lambda step, act, epoch=None: step.claim is not None and step.claim.agent == act.agent,
        worlds.incarnations,
        0,
    ),
    "a holder that is not compared": (transitions, "holds", lambda step, act, epoch=None: step.claim is not None, worlds.takeover, 0),
    "no look for one's own write": (Step, "wrote", lambda *_: False, worlds.claims, 1),
    "nothing archived": (memory, "archive", nothing, worlds.values, 0),
    "a message that does not know its own write": (logs, "_is_ours", lambda *_: False, worlds.mailbox, 1),
    "a cursor that stays": (mail, "seen", nothing, worlds.mailbox, 0),
    "a cursor that goes too far": (Cursor, "past", lambda self, direct, _: self.but(direct=direct + 1), lambda: worlds.mailbox(reads=3), 0),
    "a lost claim that is told as one's own": (transitions, "claimed", held_by_anybody, worlds.claims, 0),
    "half a lease that is enough": (agents, "_dead", half_a_lease, lambda: worlds.takeover(jumps=worlds.SHORT), 0),
    "a message that is sent and denied": (logs, "append", sent_and_denied, worlds.lone_sender, 0),
    "a condition that nobody looks at": (memory, "check_version", lambda *_: None, lambda: worlds.values(start=True, reads=0), 1),
    "needs that nobody looks at": (transitions, "unmet", lambda *_: {}, lambda: worlds.three_steps(rounds=1), 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    where, attribute, instead, world, faults = BROKEN[name]
    scene = world()
    monkeypatch.setattr(where, attribute, instead)
    with pytest.raises(Violation):
        explore(scene, Bounds(faults=faults, states=400_000))
