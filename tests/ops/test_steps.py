"""Steps: claim, complete, hand on, review, cancel, reopen, wait. Each change is one write, or an honest answer that it is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.world import HOUR, WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import (
    AccessDenied,
    ClaimLost,
    Damaged,
    FormatTooNew,
    Indeterminate,
    Moved,
    NotFound,
    TimedOut,
    Unavailable,
    Unmet,
    UsageError,
    WindlassError,
)
from windlass.ops import agents, mail, steps
from windlass.protocol import keys, transitions
from windlass.protocol.agents import Keeper
from windlass.protocol.codec import decode, encode
from windlass.protocol.project import Marker
from windlass.protocol.steps import Definition, Handoff, Status, Step
from windlass.protocol.transitions import Act, Held
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.effects import Op

S = "build"


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def claim(agent: Agent, name: str = S, **more: Any) -> steps.Claimed:
    return agent.do(steps.claim(agent.actor, name, **more))


def finishing(agent: Agent, state: Status = Status.COMPLETE, name: str = S, note: str = "", to: str = "", **more: Any) -> Op[steps.Changed]:
    return steps.finish(agent.actor, name, Handoff(agent="", state=state, at=0.0, note=note, to=to), **more)


def finish(agent: Agent, state: Status = Status.COMPLETE, name: str = S, **more: Any) -> steps.Changed:
    return agent.do(finishing(agent, state, name, **more))


def define(agent: Agent, name: str = S, **fields: Any) -> None:
    agent.do(steps.define(agent.actor, name, Definition(**fields)))


def stored(place: Place, name: str = S) -> Step:
    return decode(Step, name, place.body(keys.step(name)))


def test_requests(place: Place, ann: Agent, bob: Agent) -> None:
    assert ann.cost(steps.claim(ann.actor, S)) == {"put": 1}
    assert bob.cost(steps.claim(bob.actor, S)) == {"put": 1, "get": 2}
    assert ann.cost(finishing(ann)) == {"put": 1}
    claim(ann, "other")
    assert ann.cost(steps.release(ann.actor, "other")) == {"put": 1}
    claim(ann, "third")
    forgetful = place.agent("ann").warm()
    assert forgetful.cost(finishing(forgetful, name="third")) == {"get": 1, "put": 1}
    assert bob.cost(steps.show(S)) == {"get": 1}


def test_requests_where_there_is_a_plan(place: Place, ann: Agent, bob: Agent) -> None:
    define(ann, "n1")
    define(ann, S, needs=("n1",))
    place.write(keys.MARKER, encode(Marker(name="p", planned=True, seq=2, write_id="w")))
    place.pass_(61)
    bob.do(agents.act(bob.actor))
    assert bob.cost(steps.claim(bob.actor, "n1")) == {"get": 1, "put": 1}
    finish(bob, name="n1")
    assert bob.cost(steps.claim(bob.actor, S)) == {"get": 2, "put": 1}
    error = error_of(NotFound, lambda: claim(bob, "buidl"))
    assert "build" in error.hint
    assert error.exit == 4
    assert claim(bob, "brand-new", create=True).created


def test_an_unknown_step_comes_into_being_with_its_claim(place: Place, ann: Agent) -> None:
    claimed = claim(ann)
    assert claimed.created
    step = stored(place)
    assert step == claimed.step
    assert (step.status, step.epoch, step.seq, step.worker) == (Status.IN_PROGRESS, 1, 1, "ann")
    assert step.claim is not None
    assert (step.claim.agent, step.claim.incarnation, step.claim.epoch) == ("ann", 1, 1)
    assert [line.event for line in step.history] == ["claim"]


def test_who_comes_second_is_told_by_whom_it_is_held(ann: Agent, bob: Agent) -> None:
    claim(ann)
    error = error_of(Held, lambda: claim(bob))
    assert error.exit == 3
    assert error.details["holder"] == "ann"
    assert "ann" in error.message
    assert "next" in error.hint


def test_claiming_again_is_a_success_that_says_so(place: Place, ann: Agent) -> None:
    claim(ann)
    again = claim(ann)
    assert (again.again, again.created, again.step.epoch) == (True, False, 1)
    assert stored(place).seq == 1, "and writes nothing"


ACTS: dict[str, Callable[[Agent], Op[Any]]] = {
    "claim": lambda agent: steps.claim(agent.actor, S),
    "complete": finishing,
    "block": lambda agent: finishing(agent, Status.BLOCKED),
    "release": lambda agent: steps.release(agent.actor, S),
    "cancel": lambda agent: steps.cancel(agent.actor, S),
    "define": lambda agent: steps.define(agent.actor, S, Definition(title="t")),
    "link": lambda agent: steps.link(agent.actor, S, "other"),
}


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("what", ACTS)
@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
def test_a_spoilt_answer_makes_one_change(place: Place, ann: Agent, bob: Agent, what: str, faults: list[object], forgets: bool) -> None:
    if what != "claim":
        claim(ann)
    if forgets:
        ann = place.agent("ann").warm()
    before = stored(place).seq if what != "claim" else 0
    ann.spoil(*faults, key="steps/").do(ACTS[what](ann))
    step = stored(place)
    assert (step.seq, len(step.history)) == (before + 1, before + 1)
    ann.heal().faulty.land_late()
    assert stored(place) == step, "and what lands late does nothing"
    ann.do(ACTS[what](ann))
    assert stored(place) == step, "nor does doing it again"


@pytest.mark.parametrize("what", ACTS)
def test_what_stays_unknown_is_said(place: Place, ann: Agent, what: str) -> None:
    if what != "claim":
        claim(ann)
    before = place.keys("steps/") and place.body(keys.step(S))
    ann.spoil(Fault.DROP, key="steps/", forever=True)
    assert error_of(Indeterminate, lambda: ann.do(ACTS[what](ann))).exit == 7
    assert (place.keys("steps/") and place.body(keys.step(S))) == before


@pytest.mark.parametrize("what", ACTS)
def test_killed_before_any_request_it_can_be_done_again(what: str) -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann = place.agent("ann").warm()
        if what != "claim":
            claim(ann)
        ended = not stop_before(ACTS[what](ann), ann, at)
        ann.do(ACTS[what](ann))
        assert len(stored(place).history) == (1 if what == "claim" else 2)
        at += 1


def test_a_claim_that_landed_and_was_taken_by_force_was_won(place: Place, ann: Agent, bob: Agent) -> None:
    Between(ann, lambda: claim(bob, force=True), key="steps/")
    claimed = claim(ann)
    assert claimed.created
    assert (claimed.step.epoch, stored(place).epoch) == (1, 2)
    assert "bob" in error_of(ClaimLost, lambda: finish(ann)).message


def test_a_completion_that_landed_and_was_reopened_was_won(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    Between(ann, lambda: bob.do(steps.reopen(bob.actor, S)), key="steps/")
    assert finish(ann).step.status is Status.COMPLETE
    assert stored(place).status is Status.PENDING


@pytest.mark.parametrize("state", [Status.COMPLETE, Status.BLOCKED, Status.FAILED, Status.NEEDS_REVIEW])
def test_finishing(place: Place, ann: Agent, bob: Agent, state: Status) -> None:
    error_of(NotFound, lambda: finish(ann, state))
    claim(ann)
    error_of(ClaimLost, lambda: finish(bob, state))
    done = finish(ann, state, note="as found", epoch=1)
    step = stored(place)
    assert done.step == step
    assert (step.status, step.claim, step.worker) == (state, None, "ann")
    assert step.handoff is not None
    assert (step.handoff.agent, step.handoff.note, step.handoff.at) == ("ann", "as found", place.now)
    assert finish(ann, state).again
    error_of(ClaimLost, lambda: finish(bob, state))
    assert stored(place) == step


def test_completing_what_one_never_claimed_is_refused(place: Place, ann: Agent) -> None:
    define(ann)
    error = error_of(ClaimLost, lambda: finish(ann))
    assert "claim" in error.hint
    assert finish(ann, force=True).step.epoch == 1


def test_a_memory_that_is_wrong_only_costs_a_request(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    bob.do(steps.link(bob.actor, S, "other"))
    assert ann.cost(finishing(ann)) == {"put": 2, "get": 1}
    assert stored(place).status is Status.COMPLETE
    claim(ann, "b")
    ann.do(steps.release(ann.actor, "b"))
    claim(bob, "b")
    bob.do(steps.release(bob.actor, "b"))
    other = place.agent("ann")
    claim(other, "b")
    assert finish(ann, name="b").step.status is Status.COMPLETE, "this shell remembers that it had given the step back"


def test_release_and_claim_again(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    assert ann.do(steps.release(ann.actor, S, note="lunch")).step.status is Status.PENDING
    assert ann.do(steps.release(ann.actor, S)).again
    assert stored(place).history[-1].note == "lunch"
    assert claim(bob).step.epoch == 2
    error_of(ClaimLost, lambda: ann.do(steps.release(ann.actor, S)))


def test_review(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    error_of(ClaimLost, lambda: bob.do(steps.approve(bob.actor, S)))
    finish(ann, Status.NEEDS_REVIEW, note="please look")
    error_of(ClaimLost, lambda: ann.do(steps.approve(ann.actor, S)))
    bob.do(steps.reject(bob.actor, S, "no tests"))
    assert bob.do(steps.reject(bob.actor, S, "no tests, I said")).again
    assert stored(place).status is Status.PENDING
    told = ann.do(mail.unread(ann.actor)).mails
    assert len(told) == 1
    assert "no tests" in told[0].message.text
    claim(ann)
    finish(ann, Status.NEEDS_REVIEW, note="with tests")
    done = bob.do(steps.approve(bob.actor, S, "fine"))
    assert (done.step.status, done.step.worker) == (Status.COMPLETE, "ann")
    assert done.step.handoff is not None
    assert done.step.handoff.note == "with tests", "the worker's handoff stays"
    assert bob.do(steps.approve(bob.actor, S)).again


def test_cancel_and_reopen(place: Place, ann: Agent, bob: Agent) -> None:
    for name in ("a", "b", "c"):
        claim(ann, name)
    finish(ann, name="a")
    error_of(ClaimLost, lambda: bob.do(steps.cancel(bob.actor, "a")))
    bob.do(steps.cancel(bob.actor, "b", "not needed"))
    assert bob.do(steps.cancel(bob.actor, "b")).again
    error_of(ClaimLost, lambda: claim(ann, "a"))
    error_of(ClaimLost, lambda: claim(ann, "b"))
    for name in ("a", "b"):
        bob.do(steps.reopen(bob.actor, name))
        assert claim(ann, name).step.status is Status.IN_PROGRESS
    error_of(ClaimLost, lambda: bob.do(steps.reopen(bob.actor, "c")))
    for state in (Status.BLOCKED, Status.FAILED, Status.NEEDS_REVIEW):
        finish(ann, state, "c")
        assert claim(bob, "c").step.status is Status.IN_PROGRESS
        bob.do(steps.release(bob.actor, "c"))
        claim(ann, "c")
    for op in (steps.cancel, steps.reopen, steps.approve):
        error_of(NotFound, lambda op=op: ann.do(op(ann.actor, "nowhere")))  # type: ignore[misc]


def test_needs(place: Place, ann: Agent, bob: Agent) -> None:
    define(ann, "n1")
    define(ann, S, needs=("n1", "n2"))
    error = error_of(Unmet, lambda: claim(bob))
    assert error.exit == 6
    assert error.details["unmet"] == {"n1": "pending", "n2": "missing"}
    error_of(Unmet, lambda: bob.do(steps.claim(bob.actor, S, force=True)))  # force is about the holder, not about the needs
    claim(bob, "n1")
    finish(bob, name="n1", note="the port is 7")
    claim(bob, "n2")
    finish(bob, Status.NEEDS_REVIEW, "n2")
    assert error_of(Unmet, lambda: claim(bob)).details["unmet"] == {"n2": "needs_review"}
    ann.do(steps.approve(ann.actor, "n2"))
    claimed = claim(bob)
    assert claimed.step.claim is not None
    assert claimed.step.claim.needs == {"n1": stored(place, "n1").seq, "n2": stored(place, "n2").seq}
    assert {name: handoff.note for name, handoff in claimed.handoffs.items()} == {"n1": "the port is 7", "n2": ""}
    finish(bob)
    needs = {name: stored(place, name) for name in ("n1", "n2")}
    assert transitions.stale_needs(stored(place), needs) == ()
    ann.do(steps.reopen(ann.actor, "n1"))
    needs["n1"] = stored(place, "n1")
    assert transitions.stale_needs(stored(place), needs) == ("n1",)


def test_claiming_when_needs_appear_between_guess_and_write(place: Place, ann: Agent, bob: Agent) -> None:
    Between(ann, lambda: define(bob, S, needs=("n1",)), key="steps/", lands=False)
    error_of(Unmet, lambda: claim(ann))
    assert stored(place).status is Status.PENDING


def test_a_need_that_appears_after_the_needs_were_read_is_looked_at(place: Place, ann: Agent, bob: Agent) -> None:
    define(ann, "n1")
    define(ann, "n2")
    claim(bob, "n1")
    finish(bob, name="n1")
    define(ann, S, needs=("n1",))
    me, entry, needs = ann.do(agents.act(ann.actor)), ann.do(steps.fetch(S)), ann.do(steps.fetch_all(("n1",)))
    Between(ann, lambda: define(bob, S, needs=("n1", "n2")), key="steps/", lands=False)
    error = error_of(Unmet, lambda: ann.do(steps.claim_known(ann.actor, me, entry, needs, None, None)))
    assert error.details["unmet"] == {"n2": "pending"}
    assert stored(place).status is Status.PENDING


def test_definitions_leave_claims_alone(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    define(bob, title="Build it", priority=-3, labels=("x",))
    step = stored(place)
    assert (step.title, step.priority, step.status, step.epoch) == ("Build it", -3, Status.IN_PROGRESS, 1)
    again = bob.do(steps.define(bob.actor, S, step.definition))
    assert again.again
    finish(ann)
    error_of(UsageError, lambda: define(bob, needs=(S,)))
    for wrong in ({"needs": ("a b",)}, {"labels": ("",)}, {"max_hold": 1.0}, {"title": "x" * (256 * 1024 + 1)}):
        assert bob.cost(steps.define(bob.actor, S, Definition(**wrong))) == {}


def test_mail_about_what_is_done_is_sent_by_who_did_it(place: Place, ann: Agent, bob: Agent) -> None:
    """Another life of the agent that begins in between does not turn what landed into a refusal."""
    python = place.agent("ann", machine=ann.actor.machine, keeper=Keeper.PYTHON).warm()
    claim(python)
    other = place.agent("ann", machine="other")

    def meanwhile() -> None:
        place.pass_(100)
        other.do(agents.start_new(other.actor))

    Between(python, meanwhile, key="steps/")
    assert finish(python, note="read the log", to="bob").step.status is Status.COMPLETE
    assert [one.message.sender for one in bob.do(mail.all_(bob.actor))] == ["ann"]


def test_a_change_whose_mail_was_not_sent_says_both_and_a_repeat_sends_it(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    ann.spoil(Unavailable("the store is away", "try again"), key="mail/bob")
    error = error_of(WindlassError, lambda: finish(ann, note="n", to="bob"))
    assert (type(error), error.exit) == (WindlassError, 1)
    assert error.message == "build is complete: n, but the mail to bob was not sent: the store is away"
    assert error.hint.startswith("repeat the command")
    assert stored(place).status is Status.COMPLETE
    assert finish(ann, note="n", to="bob").again
    assert len(bob.do(mail.all_(bob.actor))) == 1


def test_a_handoff_to_somebody_arrives_by_mail_once(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    finish(ann, note="read the log", to="bob")
    finish(ann, note="read the log", to="bob")
    finish(ann, note="said again in other words", to="bob")
    told = bob.do(mail.unread(bob.actor)).mails
    assert [(one.message.step, one.message.sender) for one in told] == [(S, "ann")]
    assert "read the log" in told[0].message.text


def test_a_handoff_killed_anywhere_arrives_once_by_repeating_it() -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        claim(ann)
        ended = not stop_before(finishing(ann, note="n", to="bob"), ann, at)
        finish(ann, note="n", to="bob")
        assert len(bob.do(mail.unread(bob.actor)).mails) == 1
        at += 1
    assert at >= 4


def test_a_step_that_moved_takes_nothing(place: Place, ann: Agent) -> None:
    claim(ann)
    here = Act(agent="mover", incarnation=1, at=0.0, write_id="m")
    moved = transitions.frozen(stored(place), here, "s3://elsewhere")
    assert moved.epoch == 2
    place.write(keys.step(S), encode(moved.but(seq=2, write_id="m")))
    for what, op in ACTS.items():
        assert error_of(Moved, lambda op=op: ann.do(op(ann))).to == "s3://elsewhere", what  # type: ignore[misc]


def test_repeating_in_the_new_place_is_still_a_repetition(place: Place, ann: Agent) -> None:
    claim(ann)
    finish(ann)
    here = Act(agent="mover", incarnation=1, at=0.0, write_id="m")
    arrived = transitions.frozen(stored(place), here, "x").but(moved_to=None)  # as a move copies it
    place.write(keys.step(S), encode(arrived.but(seq=3, write_id="m")))
    assert finish(ann).again


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"format":1,"kind":"step","status":"dancing"}', b'{"format":1,"kind":"step","history":[1]}']
)
def test_a_damaged_step_is_named_and_never_overwritten(place: Place, ann: Agent, body: bytes) -> None:
    place.write(keys.step(S), body)
    for what, op in ACTS.items():
        error = error_of(Damaged, lambda op=op: ann.do(op(ann)))  # type: ignore[misc]
        assert keys.step(S) in str(error), what
        assert place.body(keys.step(S)) == body
    place.write(keys.step(S), b'{"format":2,"kind":"step"}')
    error_of(FormatTooNew, lambda: claim(ann))


def test_unknown_fields_survive_every_change(place: Place, ann: Agent) -> None:
    claim(ann)
    body = place.body(keys.step(S))
    for at in (b'"claim":{', b'"history":[{'):
        body = body.replace(at, at + b'"x-inner":[1],')
    place.write(keys.step(S), body[:-1] + b',"x-outer":{"a":null}}')
    ann = place.agent("ann").warm()
    ann.do(steps.link(ann.actor, S, "other"))
    assert place.body(keys.step(S)).count(b'"x-inner":[1]') == 2
    finish(ann)
    assert b'"x-outer":{"a":null}' in place.body(keys.step(S))
    assert place.body(keys.step(S)).count(b'"x-inner":[1]') == 1, "the claim is gone, and with it its fields"


@pytest.mark.parametrize("lease", [0.0, -1.0, 4.9, 1e9, float("nan"), float("inf")])
def test_an_impossible_lease_sends_nothing(ann: Agent, lease: float) -> None:
    assert ann.cost(steps.claim(ann.actor, S, lease=lease)) == {}
    error_of(UsageError, lambda: claim(ann, lease=lease))


def test_bad_names_and_notes_send_nothing(ann: Agent) -> None:
    for name in ("", "../x", "a/b", "a b", "x" * 129, "é", ".a", "a\n"):
        for op in (steps.claim, steps.cancel, steps.release):
            assert ann.cost(op(ann.actor, name)) == {}
            error_of(UsageError, lambda op=op, name=name: ann.do(op(ann.actor, name)))  # type: ignore[misc]
    assert ann.cost(finishing(ann, note="x" * (64 * 1024 + 1))) == {}
    assert ann.cost(finishing(ann, to="no name")) == {}


# Waiting


def waits(agent: Agent, *names: str, **more: Any) -> steps.Waited:
    return agent.do(steps.wait_for(names, **more))


def test_waiting_for_what_is_done_is_one_look(ann: Agent, bob: Agent) -> None:
    claim(ann)
    finish(ann)
    assert bob.cost(steps.wait_for([S])) == {"get": 1}
    assert waits(bob, S, S).steps[S] is not None


def later(agent: Agent, polls: int, then: Callable[[], object]) -> None:
    """Something happens while the agent waits for the n-th time."""
    sleep, left = agent.world._sleep, [polls]

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 0:
            then()

    agent.world._sleep = sleeping


def test_waiting_ends_when_it_happens(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    later(bob, 50, lambda: finish(ann))
    bob.counting.reset()
    assert waits(bob, S).steps[S].status is Status.COMPLETE  # type: ignore[union-attr]
    assert bob.counting.counts()["get"] <= 51
    outcomes = [request.outcome for request in bob.counting.requests if request.key == keys.step(S)]
    assert outcomes.count("unchanged") >= 48, "idle polls are conditional reads"


def test_waiting_notices_soon_and_slows_down(place: Place, ann: Agent, bob: Agent) -> None:
    claim(ann)
    start = place.now
    error = error_of(TimedOut, lambda: waits(bob, S, timeout=2 * HOUR))
    assert error.exit == 5
    assert 2 * HOUR <= place.now - start < 2 * HOUR + 1
    pauses = bob.counting.counts()["get"]
    assert pauses < 350
    assert error.details["steps"] == {S: "in_progress"}


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_jumps_neither_ends_nor_stretches_a_wait(place: Place, ann: Agent, bob: Agent, jump: float) -> None:
    claim(ann)

    def jumps() -> None:
        bob.skew += jump

    later(bob, 5, jumps)
    start = place.now
    error_of(TimedOut, lambda: waits(bob, S, timeout=60))
    assert 55 <= place.now - start <= 66


def test_waiting_for_a_step_nobody_declared_yet(ann: Agent, bob: Agent) -> None:
    later(bob, 3, lambda: (claim(ann), finish(ann)))
    waits(bob, S)


@pytest.mark.parametrize("state", [Status.BLOCKED, Status.FAILED])
def test_waiting_ends_at_once_where_it_cannot_come(ann: Agent, bob: Agent, state: Status) -> None:
    claim(ann)
    claim(ann, "other")
    later(bob, 3, lambda: finish(ann, state))
    error = error_of(Unmet, lambda: waits(bob, S, "other"))
    assert error.exit == 6
    assert state.value in error.message
    later(bob, 3, lambda: finish(ann, name="other"))
    assert waits(bob, S, "other", any_=True).steps["other"].status is Status.COMPLETE  # type: ignore[union-attr]
    error_of(Unmet, lambda: waits(bob, S, any_=True))


def test_waiting_for_any_and_all(ann: Agent, bob: Agent) -> None:
    for name in ("a", "b"):
        claim(ann, name)
    finish(ann, name="a")
    waits(bob, "a", "b", any_=True)
    error_of(TimedOut, lambda: waits(bob, "a", "b", timeout=10))
    finish(ann, name="b")
    waits(bob, "a", "b")
    error_of(UsageError, lambda: waits(bob))


def test_waiting_sits_out_a_store_that_is_away(ann: Agent, bob: Agent) -> None:
    claim(ann)

    def storm() -> None:
        bob.spoil(*[Fault.UNAVAILABLE] * 5, kind="get")

    later(bob, 2, storm)
    sleep, left = bob.world._sleep, [12]

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 0:
            finish(ann)

    bob.world._sleep = sleeping
    waits(bob, S)


def test_waiting_does_not_sit_out_refused_credentials(ann: Agent, bob: Agent) -> None:
    claim(ann)
    later(bob, 2, lambda: bob.spoil(AccessDenied("expired"), kind="get"))
    error_of(AccessDenied, lambda: waits(bob, S, timeout=600))


def test_waiting_on_a_circle_is_refused(ann: Agent, bob: Agent) -> None:
    define(ann, "a", needs=("b",))
    define(ann, "b", needs=("c",))
    define(ann, "c", needs=("a",))
    assert "circle" in error_of(Unmet, lambda: waits(bob, "a", timeout=1)).message


def test_waiting_says_that_a_review_is_due(ann: Agent, bob: Agent) -> None:
    claim(ann)
    finish(ann, Status.NEEDS_REVIEW)
    error_of(TimedOut, lambda: waits(bob, S, timeout=5))
    assert len([told for told in bob.told if "review" in told]) == 1
