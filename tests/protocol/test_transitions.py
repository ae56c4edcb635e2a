"""The step state machine: which events are taken in which state, by whom; and what holds after any sequence of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import ClaimLost, Fenced, Moved, NotFound, UsageError, WindlassError
from windlass.protocol import transitions as t
from windlass.protocol.steps import Definition, Handoff, Status, Step
from windlass.protocol.transitions import Act, Held

if TYPE_CHECKING:
    from collections.abc import Callable

S = "s"
FINISHED = (Status.COMPLETE, Status.BLOCKED, Status.NEEDS_REVIEW, Status.FAILED)


def by(agent: str = "ann", incarnation: int = 1, write_id: str = "w") -> Act:
    return Act(agent=agent, incarnation=incarnation, at=5.0, write_id=write_id)


def handoff(state: Status = Status.COMPLETE) -> Handoff:
    return Handoff(agent="ann", state=state, at=5.0)


EVENTS: dict[str, Callable[[Step | None, Act], Step]] = {
    "claim": lambda step, act: t.claimed(step, S, act, 60.0),
    "force claim": lambda step, act: t.claimed(step, S, act, 60.0, force=True),
    "take over": lambda step, act: t.claimed(step, S, act, 60.0, dead_seq=step.seq if step else None),
    "take over on old evidence": lambda step, act: t.claimed(step, S, act, 60.0, dead_seq=step.seq - 1 if step else None),
    **{state.value: lambda step, act, state=state: t.finished(step, S, act, handoff(state)) for state in FINISHED},  # type: ignore[misc]
    "force complete": lambda step, act: t.finished(step, S, act, handoff(), force=True),
    "release": lambda step, act: t.released(step, S, act),
    "force release": lambda step, act: t.released(step, S, act, force=True),
    "approve": lambda step, act: t.approved(step or Step(), act, ""),
    "reject": lambda step, act: t.rejected(step or Step(), act, ""),
    "cancel": lambda step, act: t.cancelled(step or Step(), act, ""),
    "reopen": lambda step, act: t.reopened(step or Step(), act, ""),
    "define": lambda step, act: t.defined(step, S, act, Definition(title=act.write_id)),
    "link": lambda step, act: t.linked(step or Step(), act, act.write_id),
    "publish": lambda step, act: t.published(step, S, act, {"a": act.write_id}, "a@1"),
    "unpublish": lambda step, act: t.unpublished(step or Step(), act, {}, "a@2"),
    "touch": lambda step, act: t.touched(step or Step(), act),
    "move": lambda step, act: t.frozen(step or Step(), act, "elsewhere"),
}


def state(status: Status) -> Step:
    """A step in that state, worked on by ann."""
    step = t.claimed(None, S, by(), 60.0)
    if status is Status.PENDING:
        return t.released(step, S, by())
    if status is Status.CANCELLED:
        return t.cancelled(step, by("eve"), "")
    return step if status is Status.IN_PROGRESS else t.finished(step, S, by(), handoff(status))


TAKEN = {
    "claim": {Status.PENDING, Status.BLOCKED, Status.NEEDS_REVIEW, Status.FAILED},
    "force claim": {Status.PENDING, Status.IN_PROGRESS, Status.BLOCKED, Status.NEEDS_REVIEW, Status.FAILED},
    "complete": set(),
    "force complete": {Status.PENDING, Status.IN_PROGRESS, Status.BLOCKED, Status.NEEDS_REVIEW, Status.FAILED},
    "release": set(),
    "force release": {Status.IN_PROGRESS},
    "approve": {Status.NEEDS_REVIEW},
    "reject": {Status.NEEDS_REVIEW},
    "cancel": set(Status) - {Status.COMPLETE},
    "reopen": {Status.COMPLETE, Status.FAILED, Status.CANCELLED, Status.PENDING},
    "publish": set(),
    "unpublish": set(Status) - {Status.IN_PROGRESS},
    "touch": set(Status),
}


@pytest.mark.parametrize("event", TAKEN)
@pytest.mark.parametrize("status", Status)
def test_what_somebody_else_may_do_in_each_state(event: str, status: Status) -> None:
    step, bob = state(status), by("bob", write_id="b")
    if status in TAKEN[event]:
        after = EVENTS[event](step, bob)
        assert after is step or after.history[-1].write_id == "b"
        return
    with pytest.raises(ClaimLost) as told:
        EVENTS[event](step, bob)
    assert told.value.exit == 3
    assert told.value.hint
    assert "\n" not in told.value.message


def test_only_the_holder_finishes() -> None:
    step = state(Status.IN_PROGRESS)
    for status in FINISHED:
        done = t.finished(step, S, by(), handoff(status))
        assert (done.status, done.claim, done.epoch) == (status, None, 1)
        assert t.finished(done, S, by(write_id="again"), handoff(status)) is done, "doing it again changes nothing"
        for other in (by("bob"), by(incarnation=2)):
            with pytest.raises(ClaimLost):
                t.finished(step, S, other, handoff(status))
        with pytest.raises(ClaimLost):
            t.finished(step, S, by(), handoff(status), epoch=2)
    with pytest.raises(NotFound):
        t.finished(None, S, by(), handoff())
    with pytest.raises(NotFound):
        t.released(None, S, by())


def test_only_the_holder_publishes() -> None:
    step = state(Status.IN_PROGRESS)
    done = t.published(step, S, by(), {"a": 1}, "a@1")
    assert (done.status, done.claim, done.artifacts, done.history[-1].note) == (step.status, step.claim, {"a": 1}, "a@1")
    assert t.published(done, S, by(write_id="again"), {"a": 1}) is done
    for other in (by("bob"), by(incarnation=2)):
        with pytest.raises(ClaimLost):
            t.published(step, S, other, {"a": 1})
    with pytest.raises(ClaimLost):
        t.published(step, S, by(), {"a": 1}, epoch=2)
    with pytest.raises(NotFound):
        t.published(None, S, by(), {})


def test_a_step_that_is_finished_with_artifacts_is_so_once() -> None:
    done = t.finished(state(Status.IN_PROGRESS), S, by(), handoff(), artifacts={"a": 1}, published="a@1")
    assert (done.artifacts, done.history[-1].note, len(done.history)) == ({"a": 1}, "[a@1]", 2)
    assert t.finished(done, S, by(write_id="again"), handoff(), artifacts={"a": 1}) is done
    with pytest.raises(ClaimLost):
        t.finished(done, S, by(write_id="again"), handoff(), artifacts={"a": 2})
    forced = t.finished(state(Status.IN_PROGRESS), S, by("bob"), handoff(), force=True, artifacts={"a": 1}, published="a@1")
    assert (forced.artifacts, forced.epoch, forced.history[-1].note) == ({"a": 1}, 2, "[a@1]")


@pytest.mark.parametrize("between", ["publish", "touch", "unpublish"])
def test_what_changes_no_state_comes_between_nothing(between: str) -> None:
    """A repetition is still one, and who lost the step is told so."""
    claimed = state(Status.IN_PROGRESS)
    released = EVENTS["touch"](t.released(claimed, S, by()), by("gc", write_id="g"))
    assert t.released(released, S, by(write_id="again")) is released
    taken = t.claimed(EVENTS[between](claimed, by()), S, by("bob"), 60.0, force=True)
    taken = EVENTS[between](taken, by("bob"))
    with pytest.raises(ClaimLost, match="bob took it over"):
        t.finished(taken, S, by(), handoff())


def test_who_cannot_finish_is_told_whose_it_is() -> None:
    anns = t.claimed(None, S, by(incarnation=2), 60.0)
    with pytest.raises(ClaimLost) as told:
        t.finished(anns, S, by("bob"), handoff())
    assert "by ann" in told.value.message, "that her incarnation has a higher number than his is no matter"
    with pytest.raises(ClaimLost) as told:
        t.finished(anns, S, by(incarnation=3), handoff())
    assert "claim it first" in told.value.hint, "it is hers to take over; no other command of hers took it"


def test_a_repetition_is_of_the_same_claim_and_the_same_event() -> None:
    """Else somebody is told that it did what somebody else did."""
    again = t.finished(t.claimed(state(Status.IN_PROGRESS), S, by(), 60.0, force=True), S, by(), handoff())
    assert t.finished(again, S, by(write_id="again"), handoff(), epoch=2) is again
    with pytest.raises(ClaimLost):
        t.finished(again, S, by(), handoff(), epoch=1)
    for after in (t.approved(state(Status.NEEDS_REVIEW), by("bob"), ""), t.rejected(state(Status.NEEDS_REVIEW), by("bob"), "")):
        for event in ("complete", "release"):
            with pytest.raises(ClaimLost):
                EVENTS[event](after, by("bob"))


def test_evidence_counts_for_the_state_it_was_found_in() -> None:
    step = state(Status.IN_PROGRESS).but(seq=7)
    for seq in (None, 6, 8):
        with pytest.raises(Held):
            t.claimed(step, S, by("bob"), 60.0, dead_seq=seq)
    taken = t.claimed(step, S, by("bob"), 60.0, dead_seq=7)
    assert (taken.epoch, taken.history[-1].event, taken.history[-1].of) == (2, "takeover", "ann")


def test_an_older_incarnation_gets_nowhere() -> None:
    step = t.claimed(state(Status.IN_PROGRESS), S, by(incarnation=2), 60.0)
    assert step.epoch == 2
    for event in ("claim", "force claim", "take over", "complete", "force complete", "release", "force release"):
        with pytest.raises(Fenced):
            EVENTS[event](step, by(incarnation=1))


@pytest.mark.parametrize("status", FINISHED)
def test_what_a_newer_incarnation_finished_is_no_success_of_an_older_one(status: Status) -> None:
    """What the older one did is not what was kept."""
    step = t.claimed(state(Status.IN_PROGRESS), S, by(incarnation=2), 60.0)
    done, given_back = t.finished(step, S, by(incarnation=2), handoff(status)), t.released(step, S, by(incarnation=2))
    with pytest.raises(ClaimLost):
        t.finished(done, S, by(incarnation=1), handoff(status))
    with pytest.raises(ClaimLost):
        t.released(given_back, S, by(incarnation=1))
    assert t.finished(done, S, by(incarnation=3), handoff(status)) is done, "but it is one of the agent's next life"


def test_a_claim_remembers_what_it_was_built_on() -> None:
    step = t.claimed(None, S, by(), 60.0, needs={"n": 3})
    need = Step(name="n")
    for n in range(5):
        need = t.linked(need, by(write_id=f"{n}"), f"x{n}")
    assert t.stale_needs(step, {"n": need, "m": None}) == ()
    reopened = t.reopened(need.but(status=Status.COMPLETE), by(), "")
    assert t.stale_needs(step, {"n": reopened}) == ("n",)
    done = t.finished(step, S, by(), handoff())
    assert done.built_on == {"n": 3}
    assert t.stale_needs(done, {"n": reopened}) == ("n",)
    assert t.stale_needs(t.reopened(done, by(), ""), {"n": reopened}) == ()


def test_the_worker_does_not_approve_its_own_work() -> None:
    step = state(Status.NEEDS_REVIEW)
    with pytest.raises(ClaimLost):
        t.approved(step, by(), "")
    assert t.approved(step, by(), "", force=True).status is Status.COMPLETE
    done = t.approved(step, by("bob"), "good")
    assert (done.history[-1].of, done.handoff, done.worker) == ("ann", step.handoff, "ann")


def test_defining() -> None:
    step = t.defined(None, S, by(), Definition(title="a", needs=("n",)), needed_by=("z",))
    assert (step.history[-1].event, step.status, step.needed_by) == ("define", Status.PENDING, ("z",))
    assert t.defined(None, S, by(), Definition()).history[-1].event == "define", "also where there is nothing to say but its name"
    assert t.defined(step, S, by(), Definition(title="a", needs=("n",)), needed_by=("z",)) is step
    assert t.defined(step, S, by(), Definition(title="a", needs=("n",)), needed_by=("y",)).history[-1].event == "link"
    edited = t.defined(state(Status.IN_PROGRESS), S, by("bob"), Definition(title="b"))
    assert (edited.history[-1].event, edited.status, edited.claim is not None) == ("edit", Status.IN_PROGRESS, True)
    with pytest.raises(UsageError):
        t.defined(None, S, by(), Definition(needs=(S,)))


def test_unmet_needs_say_in_which_state_they_are() -> None:
    step = Step(name=S, needs=("a", "b", "c"))
    missing = t.unmet(step, {"a": Step(name="a", status=Status.COMPLETE), "b": Step(name="b"), "c": None})
    assert missing == {"b": "pending", "c": "missing"}
    error = t.refuse_unmet(S, missing)
    assert error.exit == 6
    assert "b (pending)" in error.message


@pytest.mark.parametrize("event", ["force claim", "take over", "force complete", "force release", "cancel", "move"])
def test_who_takes_a_claim_away_raises_the_epoch(event: str) -> None:
    """Also where the register itself would refuse its holder: others compare the epoch too."""
    assert EVENTS[event](state(Status.IN_PROGRESS).but(seq=1), by("bob")).epoch == 2


@pytest.mark.parametrize("event", sorted(EVENTS.keys() - {"move"}))
def test_a_frozen_step_takes_nothing_from_anybody(event: str) -> None:
    frozen = EVENTS["move"](state(Status.IN_PROGRESS), by("eve"))
    for who in (by(), by("bob")):
        with pytest.raises(Moved):
            EVENTS[event](frozen, who)


@pytest.mark.parametrize("status", Status)
def test_a_need_is_met_by_being_complete_and_by_nothing_else(status: Status) -> None:
    missing = t.unmet(Step(name=S, needs=("a",)), {"a": Step(name="a", status=status)})
    assert missing == ({} if status is Status.COMPLETE else {"a": status.value})


acts = st.tuples(st.sampled_from(["ann", "bob"]), st.integers(1, 2))


@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), acts), max_size=30))
def test_whatever_happens_the_rules_hold(events: list[tuple[str, tuple[str, int]]]) -> None:
    step: Step | None = None
    written: list[str] = []
    for n, (event, who) in enumerate(events):
        if step is None and event in ("approve", "reject", "cancel", "reopen", "link", "unpublish", "touch", "move"):
            continue  # operations refuse these for a step that is not there
        act = by(*who, write_id=f"w{n}")
        before: Any = step
        refusal: WindlassError | None
        try:
            step = EVENTS[event](step, act)
        except WindlassError as error:
            refusal = error
        else:
            refusal = None
        if refusal is not None:
            assert refusal.exit in (1, 3, 4)
            assert isinstance(refusal, Moved) == (before is not None and before.moved_to is not None)
        if step is None or step is before:
            continue
        step = step.but(write_id=act.write_id, seq=(before.seq if before else 0) + 1)
        written.append(act.write_id)
        assert step.seq == len(step.history) == len(written), "each write is one line of history"
        assert step.history[: len(written) - 1] == (before.history if before else ())
        assert step.epoch - (before.epoch if before else 0) in (0, 1), "the epoch never goes back"
        assert (step.claim is not None) == (step.status is Status.IN_PROGRESS)
        if step.claim is not None and not step.moved_to:
            assert step.claim.epoch <= step.epoch
        if event in ("claim", "force claim", "take over"):
            assert step.claim is not None
            assert step.claim.epoch == step.epoch == (before.epoch if before else 0) + 1
            assert (step.claim.agent, step.claim.incarnation) == who
        if before is not None and before.claim is not None and step.claim != before.claim:
            mine = (before.claim.agent, before.claim.incarnation) == who
            assert mine or step.epoch == before.epoch + 1, "who takes a claim away fences its holder"
        assert all(step.wrote(write_id, 1) for write_id in written)
        assert not step.wrote("never", 1)
