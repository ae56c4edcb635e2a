"""Several shells of one agent, short leases, moves that cross a refresh, memories of another life, and steps that are nearly full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.interleave import explore, outcome
from tests.ops.planned import a_step, plant, put, set_board, step
from tests.ops.world import Agent, Between, Place, error_of

from windlass.errors import Moved, NothingReady, UsageError
from windlass.ops import agents, memory, moving, steps
from windlass.ops.work import next_
from windlass.protocol import keys
from windlass.protocol.agents import FRESH
from windlass.protocol.codec import MAX_DOCUMENT, encode
from windlass.protocol.steps import Handoff, Status, Step
from windlass.protocol.transitions import Held

if TYPE_CHECKING:
    from windlass.effects import Op


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def finishing(agent: Agent, name: str, state: Status, note: str = "") -> Op[steps.Changed]:
    return steps.finish(agent.actor, name, Handoff(agent="", state=state, at=0.0, note=note))


def test_two_shells_of_one_agent_never_get_one_step_from_next() -> None:
    def begin() -> tuple[Place, list[tuple[Agent, Op[Any]]]]:
        place = Place()
        ready = [a_step("a"), a_step("b")]
        plant(place, ready)
        set_board(place, *ready, at=place.now)
        one, two = place.agent("ann", machine="m").warm(), place.agent("ann", machine="m").warm()
        return place, [(one, outcome(next_(one.actor))), (two, outcome(next_(two.actor)))]

    def end(place: Place, results: list[Any]) -> None:
        assert sorted(result.step.name for result in results) == ["a", "b"]

    assert explore(begin, end) > 10


@pytest.mark.parametrize("state", [Status.NEEDS_REVIEW, Status.BLOCKED, Status.FAILED])
def test_next_takes_nothing_out_of_review_after_a_lost_race(place: Place, ann: Agent, bob: Agent, state: Status) -> None:
    ready = [a_step("a", priority=2), a_step("b")]
    plant(place, ready)
    set_board(place, *ready)

    def meanwhile() -> None:
        bob.do(steps.claim(bob.actor, "a"))
        bob.do(finishing(bob, "a", state))

    Between(ann, meanwhile, key=keys.step("a"), lands=False)
    assert ann.do(next_(ann.actor)).step.name == "b"
    assert step(place, "a").status is state
    assert ann.do(steps.claim(ann.actor, "a")).step.status is Status.IN_PROGRESS, "claimed by name it can be"


def test_a_memory_of_a_former_life_hides_no_step(place: Place, ann: Agent) -> None:
    plant(place, [a_step("one")])
    ann.do(next_(ann.actor))
    ann.do(finishing(ann, "one", Status.COMPLETE))
    for key in list(place.keys()):
        place.store.delete(key)
    ann.hints.remember("me:ann::commands", None)
    plant(place, [a_step("one")])
    assert ann.do(next_(ann.actor)).step.name == "one"
    error_of(NothingReady, lambda: ann.do(next_(ann.actor)))


def test_a_short_lease_is_kept_by_commands_that_come_often_enough(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "a", lease=30))
    for _ in range(20):
        place.pass_(8)
        ann.do(memory.set_(ann.actor, "k", "v"))
        error_of(Held, lambda: bob.do(steps.claim(bob.actor, "a")))
    ann.do(finishing(ann, "a", Status.COMPLETE))
    ann.do(memory.set_(ann.actor, "k", "v"))
    place.pass_(FRESH - 1)
    ann.counting.reset()
    ann.do(memory.set_(ann.actor, "k", "v"))
    assert not [request for request in ann.counting.requests if request.key.startswith("presence/")], "the short lease is over"


def test_a_move_that_crosses_a_refresh_is_seen_or_waits(place: Place, bob: Agent) -> None:
    """A sign of life is shown before the marker is read: so whoever is not told of the move makes the mover wait."""
    far = place.agent("far", machine="elsewhere")
    far.do(agents.act(far.actor))
    place.pass_(FRESH + 10)
    mover = place.agent("mover").warm()
    waited: list[float] = []

    def move() -> None:
        mover.do(moving.announce("s3://there/x", "move1"))
        begun = place.now
        mover.do(moving.settle_down("mover"))
        waited.append(place.now - begun)

    Between(far, move, key="presence/", lands=False)
    error_of(Moved, lambda: far.do(memory.set_(far.actor, "result", "42")))
    assert keys.memory("result") not in set(place.keys())
    again = Place()
    far = again.agent("far", machine="elsewhere").warm()
    again.pass_(FRESH + 10)
    mover = again.agent("mover").warm()
    far.do(agents.act(far.actor))
    mover.do(moving.announce("s3://there/x", "move1"))
    begun = again.now
    mover.do(moving.settle_down("mover"))
    assert again.now - begun > FRESH - 1, "far may act on what it read for a minute"
    error_of(Moved, lambda: far.do(memory.set_(far.actor, "result", "42")))


def grown(name: str, size: int, agent: str = "") -> Step:
    """A step whose document has about so many bytes."""
    base = a_step(name, agent=agent)
    line = base.history[0]
    room = size - len(encode(base))
    return base.but(history=(line.but(note="x" * room), *base.history[1:]))


def test_a_step_that_is_nearly_full_can_be_finished_and_released_and_moved(place: Place, ann: Agent) -> None:
    put(place, keys.step("a"), grown("a", MAX_DOCUMENT - 300 * 1024))
    error_of(UsageError, lambda: ann.do(steps.claim(ann.actor, "a")))
    held = grown("b", MAX_DOCUMENT - 513 * 1024, agent="ann")
    put(place, keys.step("b"), held)
    put(place, keys.step("c"), held.but(name="c"))
    assert ann.do(finishing(ann, "b", Status.BLOCKED, note='"\n' * 30_000)).step.status is Status.BLOCKED
    assert ann.do(steps.release(ann.actor, "c")).step.status is Status.PENDING
    put(place, keys.step("d"), grown("d", MAX_DOCUMENT - 65 * 1024))
    ann.do(moving.announce("s3://there/x", "move1"))
    ann.do(moving.freeze("ann", "s3://there/x"))
    for name in "abcd":
        assert step(place, name).moved_to == "s3://there/x"


def test_a_long_note_is_whole_in_the_handoff_and_cut_in_the_history(place: Place, ann: Agent) -> None:
    ann.do(steps.claim(ann.actor, "a"))
    note = "n" * 60_000
    done = ann.do(finishing(ann, "a", Status.COMPLETE, note=note)).step
    assert done.handoff is not None
    assert done.handoff.note == note
    assert len(done.history[-1].note) == 2000


def test_segments_stay_behind_when_a_project_moves(place: Place, ann: Agent) -> None:
    place.write(keys.segment("ann", 0), b"{}")
    nothing = moving.Frozen(ends={}, archived=frozenset())
    assert not [key for key in ann.do(moving.inventory(nothing)) if key.startswith("segments/")]
