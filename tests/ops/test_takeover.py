"""Takeover: only by the store's own clock, never by a client's; and whoever was taken over writes nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops import interleave
from tests.ops.interleave import explore
from tests.ops.world import DAY, HOUR, WAYS, Agent, Between, Place, error_of

from windlass.effects import now
from windlass.errors import ClaimLost, Fenced, Indeterminate, Lost, PutRefused
from windlass.ops import agents, steps
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN
from windlass.protocol.codec import decode
from windlass.protocol.steps import Definition, Handoff, Status, Step
from windlass.protocol.transitions import Held
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from windlass.effects import Op

S = "build"
LEASE = 10.0


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def claim(agent: Agent, **more: Any) -> Step:
    return agent.do(claiming(agent, **more)).step


def claiming(agent: Agent, **more: Any) -> Op[steps.Claimed]:
    more.setdefault("lease", LEASE)
    return steps.claim(agent.actor, S, **more)


def completing(agent: Agent, note: str = "", **more: Any) -> Op[steps.Changed]:
    return steps.finish(agent.actor, S, Handoff(agent="", state=Status.COMPLETE, at=0.0, note=note), **more)


def complete(agent: Agent, note: str = "", **more: Any) -> Step:
    return agent.do(completing(agent, note, **more)).step


def stored(place: Place) -> Step:
    return decode(Step, S, place.body(keys.step(S)))


def check(step: Step) -> None:
    """What must hold of every history: epochs only grow, each has one holder, and only its holder acts under it."""
    epoch, holder = 0, ("", 0)
    for line in step.history:
        who = (line.by, line.incarnation)
        if line.event in ("claim", "takeover"):
            assert line.epoch == epoch + 1
            epoch, holder = line.epoch, who
        elif line.epoch > epoch:
            assert line.note == "forced" or line.event == "cancel", line
            epoch, holder = line.epoch, who
        elif line.event in ("complete", "release", "blocked", "failed", "needs_review"):
            assert who == holder, line
    assert step.epoch == epoch
    assert step.seq == len(step.history)


def test_requests(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    assert bob.cost(claiming(bob)) == {"put": 1, "get": 2}, "held by somebody plainly alive"
    place.pass_(LEASE + 1)
    assert bob.cost(claiming(bob)) == {"put": 1, "get": 2}, "not run out yet"
    place.pass_(MARGIN + 1)
    assert bob.cost(claiming(bob)) == {"put": 3, "get": 4}, "evidence, then the takeover itself"
    assert stored(place).claim is not None
    check(stored(place))


def test_a_lost_takeover_costs_one_look_more(place: Place, ann: Agent, bob: Agent) -> None:
    """The first look suggests that the lease ran out; the holder has just acted."""
    place.pass_(50)
    claim(ann)
    place.pass_(9)
    place.pass_(LEASE)
    ann.do(agents.act(ann.actor, renew=True))
    bob.cost(claiming(bob))
    assert stored(place).claim.agent == "ann"  # type: ignore[union-attr]
    claim(ann, force=True)
    place.pass_(LEASE + 3)
    acts_during_the_look(bob, ann)
    assert bob.cost(claiming(bob)) == {"put": 2, "get": 4}
    assert stored(place).claim.agent == "ann"  # type: ignore[union-attr]


def acts_during_the_look(bob: Agent, ann: Agent) -> None:
    """Ann acts while Bob writes his own sign."""
    store = bob.faulty

    class Store:
        url, capabilities = store.url, store.capabilities

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def put(self, key: str, body: bytes, condition: Any) -> str:
            version = store.put(key, body, condition)
            if key.startswith("presence/"):
                ann.do(agents.act(ann.actor, renew=True))
            return version

    bob.counting.store = Store()


@pytest.mark.parametrize("whole", [False, True], ids=["fine clock", "whole seconds"])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("holder", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("taker", [0.0, HOUR, -HOUR])
def test_a_dead_holder_is_taken_over_in_time_and_not_before(whole: bool, fraction: float, holder: float, taker: float) -> None:
    place = Place(whole=whole)
    place.pass_(fraction)
    ann, bob = place.agent("ann", skew=holder).warm(), place.agent("bob", skew=taker).warm()
    claim(ann)
    died = place.now
    for _ in range(60):
        try:
            claimed = bob.do(claiming(bob))
        except Held:
            place.pass_(0.7)
        else:
            break
    else:
        raise AssertionError("an immortal claim")
    assert LEASE < place.now - died <= LEASE + MARGIN + 2
    assert (claimed.taken_from, claimed.step.epoch) == ("ann", 2)


@pytest.mark.parametrize("holder", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("taker", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("lease", [70.0, 600.0])
def test_a_live_holder_is_never_taken_over(holder: float, taker: float, lease: float) -> None:
    place = Place(whole=True)
    ann, bob = place.agent("ann", skew=holder).warm(), place.agent("bob", skew=taker).warm()
    claim(ann, lease=lease)
    for n in range(500):
        place.pass_(5.5)
        ann.do(agents.act(ann.actor))
        error_of(Held, lambda: bob.do(claiming(bob)))
        if n % 100 == 50:
            bob.skew += 3 * HOUR * (1 if n % 200 == 50 else -2)  # its clock jumps, too
    assert complete(ann).status is Status.COMPLETE


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_jumps_keeps_nothing_alive(place: Place, ann: Agent, bob: Agent, jump: float) -> None:
    claim(ann)
    error_of(Held, lambda: bob.do(claiming(bob)))
    bob.skew += jump
    place.pass_(LEASE + MARGIN + 1)
    assert claim(bob).claim.agent == "bob"  # type: ignore[union-attr]


@pytest.mark.parametrize("jump", [20.0, 59.0])
def test_a_clock_that_jumps_ahead_takes_nothing_from_the_living(place: Place, ann: Agent, bob: Agent, jump: float) -> None:
    """By less than the minute in which it goes by what it remembers of the store's time."""
    claim(ann)
    error_of(Held, lambda: bob.do(claiming(bob)))
    bob.skew += jump
    error_of(Held, lambda: bob.do(claiming(bob)))


def test_a_claim_is_a_sign_of_life_itself(place: Place, ann: Agent, bob: Agent) -> None:
    place.pass_(50)
    claim(ann)
    assert ann.counting.requests[-1].key == keys.step(S), "its presence is fresh enough: nothing else was written"
    place.pass_(LEASE)
    error_of(Held, lambda: bob.do(claiming(bob)))
    place.pass_(MARGIN + 1)
    assert bob.do(claiming(bob)).taken_from == "ann"


def test_looking_keeps_no_claim(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    for _ in range(14):
        place.pass_(1)
        ann.do(steps.show(S))
        ann.do(agents.look(ann.actor))
    assert claim(bob).claim.agent == "bob"  # type: ignore[union-attr]


def test_acting_elsewhere_keeps_every_claim(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann, lease=100.0)
    for _ in range(20):
        place.pass_(61)
        ann.do(steps.claim(ann.actor, "other"))
    error_of(Held, lambda: bob.do(claiming(bob)))


def test_a_longest_hold_ends_even_a_live_claim(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.define(ann.actor, S, Definition(max_hold=300.0)))
    step = claim(ann, lease=None)
    assert step.claim is not None
    assert step.claim.lease <= 300
    for _ in range(10):
        place.pass_(30)
        ann.do(agents.act(ann.actor, renew=True))
        error_of(Held, lambda: bob.do(claiming(bob)))
    place.pass_(3)
    ann.do(agents.act(ann.actor, renew=True))
    assert bob.do(claiming(bob)).taken_from == "ann"


LATE = [
    pytest.param(completing, id="complete"),
    pytest.param(lambda agent: completing(agent, epoch=1), id="complete its epoch"),
    pytest.param(lambda agent: steps.release(agent.actor, S), id="release"),
    pytest.param(lambda agent: steps.finish(agent.actor, S, Handoff(agent="", state=Status.BLOCKED, at=0.0)), id="block"),
    pytest.param(lambda agent: steps.finish(agent.actor, S, Handoff(agent="", state=Status.NEEDS_REVIEW, at=0.0)), id="hand in"),
]


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("then", ["holds", "released", "completed"])
def test_a_holder_that_comes_too_late_is_told_by_whom_and_nothing_of_it_is_kept(
    place: Place, ann: Agent, bob: Agent, late: Any, then: str
) -> None:
    claim(ann)
    place.pass_(LEASE + MARGIN + 1)
    claim(bob)
    if then == "released":
        bob.do(steps.release(bob.actor, S))
    elif then == "completed":
        complete(bob)
    before = place.body(keys.step(S))
    error = error_of(ClaimLost, lambda: ann.do(late(ann)))
    assert error.exit == 3
    assert "bob" in error.message
    assert isinstance(error.details["taken_at"], float)
    assert error.hint
    assert place.body(keys.step(S)) == before


def test_who_was_approved_or_gave_back_is_not_told_of_a_takeover(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    ann.do(steps.finish(ann.actor, S, Handoff(agent="", state=Status.NEEDS_REVIEW, at=0.0)))
    bob.do(steps.approve(bob.actor, S))
    assert "took" not in error_of(ClaimLost, lambda: ann.do(steps.release(ann.actor, S))).message
    bob.do(steps.reopen(bob.actor, S))
    claim(ann)
    place.pass_(LEASE + MARGIN + 1)
    claim(bob)
    bob.do(steps.release(bob.actor, S))
    claim(ann)
    ann.do(steps.release(ann.actor, S))
    claim(bob)
    assert "took" not in error_of(ClaimLost, lambda: complete(ann)).message, "Ann gave it back herself"


@pytest.mark.parametrize("late", LATE)
def test_a_write_delayed_past_a_takeover_does_nothing(place: Place, ann: Agent, bob: Agent, late: Any) -> None:
    claim(ann)
    ann.spoil(Fault.DELAY, key="steps/", forever=True)
    error_of(Indeterminate, lambda: ann.do(late(ann)))
    place.pass_(LEASE + MARGIN + 1)
    claim(bob)
    assert ann.faulty.land_late() == []
    assert complete(bob).epoch == 2
    check(stored(place))


def test_a_delayed_claim_does_not_take_from_who_came_first(place: Place, ann: Agent, bob: Agent) -> None:
    ann.spoil(Fault.DELAY, key="steps/", forever=True)
    error_of(Indeterminate, lambda: claim(ann))
    claim(bob)
    assert ann.faulty.land_late() == []
    assert complete(bob).worker == "bob"


def test_a_delayed_takeover_does_not_take_from_who_came_first(place: Place, ann: Agent, bob: Agent) -> None:
    eve = place.agent("eve").warm()
    claim(ann)
    place.pass_(LEASE + MARGIN + 1)
    bob.spoil(None, Fault.DELAY, Fault.DELAY, Fault.DELAY, Fault.DELAY, Fault.DELAY, Fault.DELAY, key="steps/")
    error_of(Indeterminate, lambda: claim(bob))
    claim(eve)
    assert bob.faulty.land_late() == []
    assert complete(eve).worker == "eve"
    error_of(ClaimLost, lambda: complete(bob))
    check(stored(place))


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_a_takeover_settles_whatever_happens_to_its_answer(place: Place, ann: Agent, bob: Agent, faults: list[object]) -> None:
    claim(ann)
    place.pass_(LEASE + MARGIN + 1)
    step = claim(bob.spoil(None, *faults, key="steps/"))
    assert (step.epoch, [line.event for line in stored(place).history]) == (2, ["claim", "takeover"])
    bob.heal().faulty.land_late()
    assert complete(bob).epoch == 2


def test_evidence_is_about_one_claim_only(place: Place, ann: Agent, bob: Agent) -> None:
    """Bob saw that Ann's lease ran out; before he writes, Eve takes over. His evidence says nothing of Eve."""
    claim(ann)
    place.pass_(LEASE + MARGIN + 1)

    class Second(Between):
        """Spoils the takeover itself, which is the second put to the step."""

        puts = 0

        def put(self, key: str, body: bytes, condition: Any) -> str:
            self.puts += key.startswith("steps/")
            self.done = self.puts != 2
            return super().put(key, body, condition)

    Second(bob, lambda: claim(place.agent("eve").warm()), key="steps/", lands=False, answer=PutRefused)
    assert "eve" in error_of(Held, lambda: claim(bob)).message
    check(stored(place))


def test_force_takes_at_once_and_is_on_record(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    assert bob.cost(claiming(bob, force=True)) == {"put": 2, "get": 1}
    line = stored(place).history[-1]
    assert (line.event, line.by, line.of, line.note, line.epoch) == ("takeover", "bob", "ann", "forced", 2)
    error_of(ClaimLost, lambda: complete(ann))
    done = complete(ann, force=True)
    assert (done.status, done.epoch, done.worker) == (Status.COMPLETE, 3, "ann")
    assert (done.history[-1].of, done.history[-1].note) == ("bob", "forced")
    assert "ann" in error_of(ClaimLost, lambda: complete(bob)).message
    error_of(ClaimLost, lambda: claim(bob, force=True))
    check(stored(place))


def test_a_forced_release_is_on_record_too(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    step = bob.do(steps.release(bob.actor, S, force=True)).step
    assert (step.status, step.epoch, step.history[-1].of) == (Status.PENDING, 2, "ann")
    assert "bob" in error_of(ClaimLost, lambda: complete(ann)).message
    assert claim(ann).epoch == 3
    check(stored(place))


def test_a_forced_completion_forgets_what_older_work_was_built_on(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "need"))
    ann.do(steps.finish(ann.actor, "need", Handoff(agent="", state=Status.COMPLETE, at=0.0)))
    ann.do(steps.define(ann.actor, S, Definition(needs=("need",))))
    claim(ann)
    assert complete(ann).built_on == {"need": 2}
    ann.do(steps.reopen(ann.actor, S))
    assert complete(bob, force=True).built_on == {}


def test_ones_own_claims_go_from_lower_to_higher_numbers_only(place: Place, ann: Agent) -> None:
    claim(ann)
    newer = place.agent("ann", machine="far")
    newer.do(agents.start_new(newer.actor))
    taken = newer.do(claiming(newer))
    assert (taken.taken_from, taken.step.epoch) == ("ann", 2)
    for op in (claiming(ann), claiming(ann, force=True), completing(ann), completing(ann, force=True),
               steps.release(ann.actor, S), steps.release(ann.actor, S, force=True)):  # fmt: skip
        assert error_of(Fenced, lambda op=op: ann.do(op)).exit == 3  # type: ignore[misc]
    assert complete(newer).status is Status.COMPLETE
    check(stored(place))


def test_a_newer_number_must_claim_before_it_completes(place: Place, ann: Agent) -> None:
    claim(ann)
    newer = place.agent("ann", machine="far")
    newer.do(agents.start_new(newer.actor))
    error_of(Lost, lambda: complete(newer))
    claim(newer)
    complete(newer)


def test_two_shells_of_one_agent_are_told_apart_by_the_epoch(place: Place, ann: Agent) -> None:
    other = place.agent("ann")
    first = claim(ann)
    again = other.do(claiming(other))
    assert (again.again, again.step.epoch) == (True, first.epoch), "claiming what one holds is a success that says so"
    newer = claim(other, force=True)
    assert newer.epoch == 2
    error = error_of(ClaimLost, lambda: complete(ann, epoch=first.epoch))
    assert "epoch 2" in error.message
    assert complete(ann, epoch=2).status is Status.COMPLETE


def test_the_epoch_never_goes_back(place: Place, ann: Agent, bob: Agent) -> None:
    epochs = []
    for n in range(1, 8):
        agent = (ann, bob)[n % 2]
        epochs.append(claim(agent).epoch)
        if n % 3 == 0:
            complete(agent)
            agent.do(steps.reopen(agent.actor, S))
        elif n % 3 == 1:
            agent.do(steps.release(agent.actor, S))
        else:
            agent.do(steps.cancel(agent.actor, S))
            agent.do(steps.reopen(agent.actor, S))
    assert epochs == sorted(set(epochs))
    assert stored(place).epoch >= epochs[-1]
    check(stored(place))


def test_cancelling_fences_the_holder(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    bob.do(steps.cancel(bob.actor, S))
    assert "cancelled" in error_of(ClaimLost, lambda: complete(ann)).message
    error_of(ClaimLost, lambda: claim(ann))


def test_a_stopped_and_continued_holder_is_refused(place: Place, ann: Agent, bob: Agent) -> None:
    """Stopped between its decision and its write, for longer than its lease."""
    claim(ann)

    def meanwhile() -> None:
        place.pass_(DAY)
        claim(bob)

    Between(ann, meanwhile, key="steps/", lands=False, answer=PutRefused)
    error_of(ClaimLost, lambda: complete(ann, "late"))
    assert b"late" not in place.body(keys.step(S))


# Every order of requests of two agents.


def outcome(agent: Agent, op: Op[Any]) -> Op[tuple[str, Any]]:
    """An operation with its agent's name; a refusal is a result."""
    return agent.name, (yield from interleave.outcome(op))


def held(results: list[tuple[str, Any]]) -> list[tuple[str, int]]:
    """Who was told that it holds the step, under which epoch."""
    return [(name, result.step.epoch) for name, result in results if isinstance(result, steps.Claimed)]


@pytest.mark.parametrize("prepared", ["absent", "pending", "expired", "alive"])
def test_two_claimers_in_every_order(prepared: str) -> None:
    def begin() -> tuple[Place, list[tuple[Agent, Op[Any]]]]:
        place = Place()
        ann, bob, eve = (place.agent(name).warm() for name in ("ann", "bob", "eve"))
        if prepared != "absent":
            claim(eve)
        if prepared == "pending":
            eve.do(steps.release(eve.actor, S))
        if prepared == "expired":
            place.pass_(LEASE + MARGIN + 1)
        return place, [(one, outcome(one, claiming(one))) for one in (ann, bob)]

    def end(place: Place, results: list[tuple[str, Any]]) -> None:
        step = stored(place)
        check(step)
        winners = held(results)
        assert step.claim is not None
        if prepared == "alive":
            assert winners == []
            assert step.claim.agent == "eve"
        else:
            assert winners == [(step.claim.agent, step.epoch)]
        assert all(isinstance(result, steps.Claimed | Held) for _, result in results)

    assert explore(begin, end) >= (20 if prepared != "absent" else 2)


@pytest.mark.parametrize("late", LATE)
def test_a_holder_and_its_taker_in_every_order(late: Any) -> None:
    def begin() -> tuple[Place, list[tuple[Agent, Op[Any]]]]:
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        claim(ann)
        place.pass_(LEASE + MARGIN + 1)
        return place, [(ann, outcome(ann, late(ann))), (bob, outcome(bob, claiming(bob)))]

    def end(place: Place, results: list[tuple[str, Any]]) -> None:
        step = stored(place)
        check(step)
        (_, anns), (_, bobs) = results
        by_ann = any(line.by == "ann" and line.event != "claim" for line in step.history)
        assert by_ann == isinstance(anns, steps.Changed), "told that it was done, if and only if it was"
        assert isinstance(anns, steps.Changed | ClaimLost)
        if isinstance(bobs, steps.Claimed):
            assert step.claim is not None
            assert (step.claim.agent, step.claim.epoch) == ("bob", bobs.step.epoch)
        else:
            assert by_ann

    assert explore(begin, end) > 5


def test_two_takers_and_the_holder_in_every_order() -> None:
    def begin() -> tuple[Place, list[tuple[Agent, Op[Any]]]]:
        place = Place()
        ann, bob, eve = (place.agent(name).warm() for name in ("ann", "bob", "eve"))
        claim(ann)
        place.pass_(LEASE + MARGIN + 1)
        for taker in (bob, eve):  # fresh evidence of their own: four requests each
            taker.do(agents.act(taker.actor, renew=True))
        me = ann.do(agents._recall(ann.actor))
        assert me is not None
        ann.do(agents._note(ann.actor, me.but(seen_at=ann.do(now()))))  # stopped when it was about to write
        return place, [(ann, outcome(ann, completing(ann))), (bob, outcome(bob, claiming(bob))), (eve, outcome(eve, claiming(eve)))]

    def end(place: Place, results: list[tuple[str, Any]]) -> None:
        check(stored(place))
        epochs = [epoch for _, epoch in held(results)]
        assert len(epochs) == len(set(epochs)) <= 1

    assert explore(begin, end) > 500
