"""The step state machine: (step, who, event) → step, or an error that says what to do. The same step back means "already so".

Safety never depends on a clock here: what counts is agent, incarnation and epoch in the document.
"""

from __future__ import annotations

from windlass.errors import ClaimLost, Fenced, Moved, NotFound, Unmet, UsageError
from windlass.protocol.steps import Claim, Definition, Handoff, Status, Step, Transition
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from windlass.protocol.steps import Git


NOTE_KEPT = 2000
"""Characters of a note kept in the history; the handoff keeps it whole."""


class Act(Record):
    """Who writes, when by its clock, and the write's id."""

    agent: str
    incarnation: int
    at: float
    write_id: str


class Held(ClaimLost):
    """The step is claimed by somebody else whose lease has not been shown to have run out."""

    step: Step

    def __init__(self, step: Step) -> None:
        self.step = step
        claim = step.claim
        assert claim is not None
        super().__init__(
            f"{step.name} is already claimed by {claim.agent}",
            f"take another: windlass next; or wait: windlass wait-for {step.name}",
            step=step.name,
            holder=claim.agent,
            epoch=claim.epoch,
            since=claim.at,
        )


def _record(step: Step, act: Act, event: str, status: Status, note: str = "", of: str = "", **changes: object) -> Step:
    epoch = changes.get("epoch", step.epoch)
    assert isinstance(epoch, int)
    note = note if len(note) <= NOTE_KEPT else note[: NOTE_KEPT - 1] + "…"
    line = Transition(
        event=event,
        by=act.agent,
        incarnation=act.incarnation,
        at=act.at,
        write_id=act.write_id,
        status=status,
        epoch=epoch,
        note=note,
        of=of,
    )
    return step.but(status=status, history=(*step.history, line), **changes)


def _live(step: Step) -> Step:
    if step.moved_to is not None:
        raise Moved(step.moved_to)
    return step


def holds(step: Step, act: Act, epoch: int | None = None) -> bool:
    """Whether the caller's own incarnation holds the step (with that epoch, if given)."""
    claim = step.claim
    return (
        claim is not None and claim.agent == act.agent and claim.incarnation == act.incarnation and (epoch is None or claim.epoch == epoch)
    )


def claimed(
    step: Step | None,
    name: str,
    act: Act,
    lease: float,
    *,
    needs: Mapping[str, int] = {},
    git: Git | None = None,
    dead_seq: int | None = None,
    force: bool = False,
) -> Step:
    """The step in the caller's hands.

    `dead_seq` is the `seq` at which the store's clock showed that the holder's lease ran out. Raises Held, ClaimLost, Fenced, Moved.
    """
    if step is None:
        step = Step(name=name)
    _live(step)
    claim = step.claim
    event, of = "claim", ""
    if claim is not None:
        if claim.agent == act.agent and claim.incarnation == act.incarnation and not force:
            return step
        _refuse_older(step, act)
        mine = claim.agent == act.agent
        if not (mine or force or step.seq == dead_seq):
            raise Held(step)
        event, of = "takeover", claim.agent
    elif step.status in (Status.COMPLETE, Status.CANCELLED):
        raise ClaimLost(
            f"{step.name} is {step.status.value}",
            f"if it must be done again: windlass step reopen {step.name}",
            step=step.name,
            status=step.status.value,
        )
    epoch = step.epoch + 1
    fresh = Claim(agent=act.agent, incarnation=act.incarnation, epoch=epoch, lease=lease, at=act.at, needs=dict(needs), git=git)
    return _record(
        step, act, event, Status.IN_PROGRESS, of=of, note="forced" if force and of else "", epoch=epoch, claim=fresh, worker=act.agent
    )


def fenced(agent: str) -> Fenced:
    """The error of an incarnation that a newer one replaced."""
    return Fenced(f"a newer incarnation of {agent} is acting", "stop, or start anew: windlass init --new, or windlass run", agent=agent)


def _refuse_older(step: Step, act: Act) -> None:
    """An agent's own claims go from a lower incarnation to a higher one only, by force too. Raises Fenced."""
    claim = step.claim
    if claim is not None and claim.agent == act.agent and claim.incarnation > act.incarnation:
        raise fenced(act.agent)


def finished(
    step: Step | None,
    name: str,
    act: Act,
    handoff: Handoff,
    *,
    epoch: int | None = None,
    force: bool = False,
    artifacts: Mapping[str, Any] | None = None,
    published: str = "",
) -> Step:
    """With the handoff and its state (complete, blocked, needs_review or failed), and the claim gone.

    Repeating one's own is the same step back. `force` takes the claim over in the same write. `artifacts` are those of the step
    from then on, `published` says what is new among them. Raises ClaimLost, NotFound, Fenced, Moved.
    """
    if step is None:
        raise NotFound(f"there is no step {name}", "see: windlass step list", step=name)
    _live(step)
    event = handoff.state.value
    kept = step.artifacts if artifacts is None else artifacts
    note = f"[{published}] {handoff.note}".rstrip() if published else handoff.note
    if holds(step, act, epoch):
        built_on = step.claim.needs if step.claim else {}
        return _record(step, act, event, handoff.state, note=note, claim=None, handoff=handoff, built_on=built_on, artifacts=kept)
    if step.claim is None and step.status is handoff.state and _last_by(step, act, event, epoch) and kept == step.artifacts:
        return step
    _refuse_older(step, act)
    if force and step.status not in (Status.COMPLETE, Status.CANCELLED):
        of = step.claim.agent if step.claim else ""
        return _record(
            step,
            act,
            event,
            handoff.state,
            note=note or "forced",
            of=of,
            epoch=step.epoch + 1,
            claim=None,
            worker=act.agent,
            handoff=handoff,
            built_on=step.claim.needs if step.claim else {},
            artifacts=kept,
        )
    raise not_mine(step, act, epoch)


def released(step: Step | None, name: str, act: Act, *, epoch: int | None = None, force: bool = False, note: str = "") -> Step:
    """Back to pending without a claim. Repeating one's own is the same step back. Raises ClaimLost, NotFound, Fenced, Moved."""
    if step is None:
        raise NotFound(f"there is no step {name}", "see: windlass step list", step=name)
    _live(step)
    if holds(step, act, epoch):
        return _record(step, act, "release", Status.PENDING, note=note, claim=None)
    if step.claim is None and step.status is Status.PENDING and _last_by(step, act, "release", epoch):
        return step
    _refuse_older(step, act)
    if force and step.claim is not None:
        return _record(step, act, "release", Status.PENDING, note=note or "forced", of=step.claim.agent, epoch=step.epoch + 1, claim=None)
    raise not_mine(step, act, epoch)


_NO_CHANGE_OF_STATE = ("define", "edit", "link", "move", "touch", "publish", "unpublish")
_NOT_OF_HOLDERS = (*_NO_CHANGE_OF_STATE, "approve", "reject", "reopen")


def _last_by(step: Step, act: Act, event: str, epoch: int | None) -> bool:
    """Whether the last change of state was the caller's own `event` (edits of the definition do not count)."""
    for line in reversed(step.history):
        if line.event in _NO_CHANGE_OF_STATE:
            continue
        return line.event == event and line.by == act.agent and line.incarnation <= act.incarnation and epoch in (None, line.epoch)
    return False


def not_mine(step: Step, act: Act, epoch: int | None) -> ClaimLost | Fenced:
    """Why the caller cannot finish or release the step: by whom it was taken over, or what state it is in."""
    claim = step.claim
    if claim is not None and claim.agent == act.agent and claim.incarnation > act.incarnation:
        return fenced(act.agent)
    details: dict[str, object] = {"step": step.name, "status": step.status.value, "epoch": step.epoch}
    taken = _taken_from(step, act.agent)
    if claim is not None and claim.agent == act.agent and claim.incarnation == act.incarnation:
        return ClaimLost(
            f"{step.name} is now held under epoch {claim.epoch}, not {epoch}", f"another command of {act.agent} claimed it again", **details
        )
    if taken is not None:
        details["taken_at"] = taken.at
        lost = f"you lost {step.name}: {taken.by} {'cancelled it' if taken.event == 'cancel' else 'took it over'}"
        if claim is None:
            return ClaimLost(f"{lost}; it is {step.status.value}", "nothing of yours was kept", **details)
        hint = f"drop what you did for it, or hand it to {claim.agent}: windlass send {claim.agent} …"
        return ClaimLost(lost, hint, **details, holder=claim.agent)
    if claim is not None:
        return ClaimLost(
            f"{step.name} is claimed by {claim.agent}, not by you",
            "claim it first, or use --force, on record",
            **details,
            holder=claim.agent,
        )
    hint = f"claim it first: windlass claim {step.name}"
    if step.status in (Status.COMPLETE, Status.CANCELLED):
        hint = f"if it must be done again: windlass step reopen {step.name}"
    return ClaimLost(f"you do not hold {step.name}: it is {step.status.value}", hint, **details)


def _taken_from(step: Step, agent: str) -> Transition | None:
    """The change that took the agent's last claim away, or None where it finished the step or gave it back itself."""
    for line in reversed(step.history):
        if line.event in _NOT_OF_HOLDERS:
            continue
        if line.by == agent:
            return None
        if line.of == agent:
            return line
    return None


def approved(step: Step, act: Act, note: str, *, force: bool = False) -> Step:
    """needs_review → complete, keeping the worker's handoff. Raises ClaimLost, also for the worker itself unless `force`."""
    _live(step)
    if step.status is Status.COMPLETE and _last_by(step, act, "approve", None):
        return step
    _in_review(step)
    if step.worker == act.agent and not force:
        raise ClaimLost(f"{step.name} is your own work", "let somebody else approve it, or use --force, on record", step=step.name)
    return _record(step, act, "approve", Status.COMPLETE, note=note, of=step.worker)


def rejected(step: Step, act: Act, note: str) -> Step:
    """needs_review → pending, keeping the worker's handoff. Raises ClaimLost."""
    _live(step)
    if step.status is Status.PENDING and _last_by(step, act, "reject", None):
        return step
    _in_review(step)
    return _record(step, act, "reject", Status.PENDING, note=note, of=step.worker)


def _in_review(step: Step) -> None:
    if step.status is not Status.NEEDS_REVIEW:
        raise ClaimLost(
            f"{step.name} is {step.status.value}, not needs_review",
            f"see: windlass step show {step.name}",
            step=step.name,
            status=step.status.value,
        )


def cancelled(step: Step, act: Act, note: str) -> Step:
    """Cancelled, from any state but complete; a claim is dropped and fenced. Raises ClaimLost."""
    _live(step)
    if step.status is Status.CANCELLED:
        return step
    if step.status is Status.COMPLETE:
        raise ClaimLost(f"{step.name} is complete", f"reopen it first: windlass step reopen {step.name}", step=step.name, status="complete")
    of = step.claim.agent if step.claim else ""
    return _record(step, act, "cancel", Status.CANCELLED, note=note, of=of, epoch=step.epoch + (step.claim is not None), claim=None)


def reopened(step: Step, act: Act, note: str) -> Step:
    """complete, failed or cancelled → pending. Raises ClaimLost."""
    _live(step)
    if step.status is Status.PENDING:
        return step
    if step.status not in (Status.COMPLETE, Status.FAILED, Status.CANCELLED):
        raise ClaimLost(
            f"{step.name} is {step.status.value}",
            "only complete, failed and cancelled steps are reopened",
            step=step.name,
            status=step.status.value,
        )
    return _record(step, act, "reopen", Status.PENDING, note=note)


def defined(step: Step | None, name: str, act: Act, definition: Definition, needed_by: tuple[str, ...] = ()) -> Step:
    """With a plan's definition; claims and status are never touched. The same step back where nothing changes."""
    event = "define" if step is None else "edit"
    if step is None:
        step = Step(name=name)
    _live(step)
    if name in definition.needs:
        raise UsageError(f"{name} needs itself", "remove it from its own needs", step=name)
    waiting = tuple(sorted({*step.needed_by, *needed_by}))
    if event == "edit" and step.definition == definition and step.needed_by == waiting:
        return step
    if event == "edit" and step.definition == definition:
        event = "link"
    return _record(
        step, act, event, step.status, **{field: getattr(definition, field) for field in Definition.__fields__}, needed_by=waiting
    )


def linked(step: Step, act: Act, *needed_by: str) -> Step:
    """With more steps known to wait for it: a help for finding work, no more."""
    waiting = tuple(sorted({*_live(step).needed_by, *needed_by}))
    return step if waiting == step.needed_by else _record(step, act, "link", step.status, needed_by=waiting)


def published(step: Step | None, name: str, act: Act, artifacts: Mapping[str, Any], what: str = "", *, epoch: int | None = None) -> Step:
    """With these artifacts, by its holder only; `what` names the new one. Where they are so already, the same step back.

    Raises ClaimLost, NotFound, Fenced, Moved.
    """
    if step is None:
        raise NotFound(f"there is no step {name}", "see: windlass step list", step=name)
    _live(step)
    if not holds(step, act, epoch):
        raise not_mine(step, act, epoch)
    return step if artifacts == step.artifacts else _record(step, act, "publish", step.status, note=what, artifacts=artifacts)


def unpublished(step: Step, act: Act, artifacts: Mapping[str, Any], what: str) -> Step:
    """With one artifact marked as deleted; not while somebody else holds the step, who may need it. Raises ClaimLost, Moved."""
    _live(step)
    if step.claim is not None and not holds(step, act):
        raise ClaimLost(
            f"{step.name} is claimed by {step.claim.agent}, who may need it",
            f"ask its holder: windlass send {step.claim.agent} …",
            step=step.name,
            holder=step.claim.agent,
        )
    return _record(step, act, "unpublish", step.status, note=what, artifacts=artifacts)


def touched(step: Step, act: Act) -> Step:
    """Nothing changes but the register's version: a write that builds on an earlier one is refused."""
    _live(step)
    return _record(step, act, "touch", step.status)


def frozen(step: Step, act: Act, to: str) -> Step:
    """Moved away: the epoch grows, so that nobody's late write is accepted here any more."""
    if step.moved_to == to:
        return step
    return _record(step, act, "move", step.status, note=to, epoch=step.epoch + 1, moved_to=to)


def unmet(step: Step, needs: Mapping[str, Step | None]) -> dict[str, str]:
    """The needs that are not complete, each with its state ("missing" where there is no such step)."""
    states = {name: (found.status.value if found else "missing") for name, found in needs.items()}
    return {name: state for name, state in states.items() if state != Status.COMPLETE.value}


def refuse_unmet(name: str, missing: Mapping[str, str]) -> Unmet:
    """The error of a claim whose needs are not complete."""
    listed = ", ".join(f"{need} ({state})" for need, state in sorted(missing.items()))
    first = next(iter(sorted(missing)))
    return Unmet(
        f"{name} needs {listed}", f"wait: windlass wait-for {first}; or take another: windlass next", step=name, unmet=dict(missing)
    )


def stale_needs(step: Step, needs: Mapping[str, Step | None]) -> tuple[str, ...]:
    """Needs that were reopened after the work on this step had begun on them; each write of a step adds one line of history."""
    built_on = step.claim.needs if step.claim else step.built_on if step.status is Status.COMPLETE else {}
    return tuple(
        sorted(
            name
            for name, need in needs.items()
            if need is not None and name in built_on and any(line.event == "reopen" for line in need.history[built_on[name] :])
        )
    )
