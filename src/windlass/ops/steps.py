"""Steps: claim, complete, release, review, cancel, reopen, edit, show, wait."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_hex
from windlass.errors import ClaimLost, Moved, NotFound, TimedOut, Unavailable, Unmet, UsageError, WindlassError
from windlass.ops import registers, waiting
from windlass.ops.agents import act, note_lease, ran_out
from windlass.ops.registers import UNKNOWN, Version
from windlass.protocol import keys, transitions
from windlass.protocol.agents import LEASE_MIN
from windlass.protocol.codec import check_text, check_value
from windlass.protocol.steps import Definition, Handoff, Status, Step
from windlass.protocol.transitions import Act, Held
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.registers import Write
    from windlass.protocol.artifacts import Published
    from windlass.protocol.steps import Git, Transition

LEASE_MAX = 365 * 86400
"""Seconds: a claim that lives longer is no lease."""
MAX_NOTE = 64 * 1024
"""Bytes of a note: it is kept in the step's history."""
DONE = (Status.COMPLETE, Status.CANCELLED)
HOPELESS = (Status.BLOCKED, Status.FAILED, Status.CANCELLED)
"""States that a wait does not sit out."""


class Claimed(Record):
    """A claim that holds. `handoffs` and `artifacts`: what the step's needs left behind. `created`: nobody had declared the step."""

    step: Step
    again: bool = False
    created: bool = False
    handoffs: Mapping[str, Handoff] = {}
    artifacts: Mapping[str, Mapping[str, Published]] = {}
    taken_from: str = ""


class Changed(Record):
    """A step after a command; `again`: it was so already and nothing was written."""

    step: Step
    again: bool = False


class _NeedsUnread(WindlassError):
    """The claim must look at the step's needs first."""

    def __init__(self, entry: Version[Step]) -> None:
        super().__init__("needs unread")
        self.entry = entry


def _act(me: Me, write: Write) -> Act:
    return Act(agent=me.agent, incarnation=me.incarnation, at=write.at, write_id=write.id)


def fetch(name: str) -> Op[Version[Step]]:
    """The register. Raises NotFound with the nearest names, Damaged."""
    found = yield from registers.fetch(keys.step(name), Step)
    if found is None:
        raise (yield from _no_such(name))
    if found.doc.moved_to is not None:
        raise Moved(found.doc.moved_to)
    return found.but(doc=found.doc.but(name=name))  # whatever it says itself


def fetch_all(names: Sequence[str]) -> Op[dict[str, Step | None]]:
    """Several steps at once; None for each that is not there."""
    found = yield from fx.gather_reads([keys.step(name) for name in names])
    return {name: (entry.doc if (entry := registers.of(one, Step)) else None) for name, one in zip(names, found, strict=True)}


def _no_such(name: str) -> Op[NotFound]:
    page = yield from fx.page(keys.STEPS)
    names = [step for step in (keys.parse_step(entry.key) for entry in page.entries) if step]
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "see: windlass step list"
    return NotFound(f"there is no step {name}", hint, step=name, near=near)


def check_lease(lease: float) -> float:
    """Seconds. Raises UsageError below the shortest lease that the store's clock can judge."""
    if not LEASE_MIN <= lease <= LEASE_MAX:
        told = f"{lease:g}" if abs(lease) < 1e15 else "so many"
        raise UsageError(f"a lease of {told} s is not possible", f"use {LEASE_MIN:g} to {LEASE_MAX:,} seconds", lease=lease)
    return lease


def claim(
    actor: Actor, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None
) -> Op[Claimed]:
    """Claim a step. Where no plan was applied an unknown step comes into being.

    Raises Held (by whom), ClaimLost (complete, cancelled), Unmet, NotFound, Fenced, Indeterminate.
    """
    keys.check_name(name, "step")
    if lease is not None:
        check_lease(lease)
    me = yield from act(actor)
    known: Version[Step] | None = None
    if me.planned and not create:
        known = yield from fetch(name)
    return (yield from _claim(actor, _Wish(me=me, name=name, lease=lease, force=force, git=git), known))


def claim_known(
    actor: Actor,
    me: Me,
    entry: Version[Step],
    needs: Mapping[str, Step | None],
    lease: float | None,
    git: Git | None,
    beside: Sequence[fx.Put] = (),
) -> Op[Claimed]:
    """Claim a step that has just been read together with its needs. `beside`: attempts on caches that go out with the claim."""
    wish = _Wish(me=me, name=entry.doc.name, lease=lease, force=False, git=git, needs=needs, searching=True)
    return (yield from _claim(actor, wish, entry, beside))


class _Wish(Record):
    """What a claim is made with. `dead_seq`: the register's `seq` at which the holder's lease was shown to have run out."""

    me: Me
    name: str
    lease: float | None
    force: bool
    git: Git | None
    needs: Mapping[str, Step | None] = {}
    dead_seq: int | None = None
    searching: bool = False
    """Whoever only looks for work takes nothing out of review, and nothing that is blocked or failed."""

    def decide(self, entry: Version[Step] | None, write: Write) -> Step:
        """The step in the caller's hands. Raises _NeedsUnread, _HeldAt and what the state machine raises."""
        step, by = (entry.doc if entry else None), _act(self.me, write)
        if entry is not None and step is not None and _must_look(step, by):
            if not self.needs.keys() >= set(step.needs):
                raise _NeedsUnread(entry)
            missing = transitions.unmet(step, {need: self.needs[need] for need in step.needs})
            if missing:
                raise transitions.refuse_unmet(self.name, missing)
        if self.searching and step is not None and step.claim is None and step.status is not Status.PENDING:
            raise ClaimLost(f"{self.name} is {step.status.value}", "take another: windlass next", step=self.name, status=step.status.value)
        seqs = {need: found.seq for need, found in self.needs.items() if found is not None and step is not None and need in step.needs}
        lease = self.lease if self.lease is not None else _default_lease(self.me, step)
        try:
            return transitions.claimed(step, self.name, by, lease, needs=seqs, git=self.git, dead_seq=self.dead_seq, force=self.force)
        except Held as held:
            assert entry is not None
            raise _HeldAt(held, entry) from None


def _must_look(step: Step, by: Act) -> bool:
    """Whether the needs of a step decide on a claim of it."""
    return bool(step.needs) and not transitions.holds(step, by) and step.moved_to is None and step.status not in DONE


def _claim(actor: Actor, wish: _Wish, known: Version[Step] | None, beside: Sequence[fx.Put] = ()) -> Op[Claimed]:
    key = keys.step(wish.name)
    for _ in range(20):
        before: list[Step | None] = []
        try:
            now = yield from registers.update(key, Step, _noting(wish.decide, before), known=known, beside=beside)
        except _NeedsUnread as unread:
            known = unread.entry
            wish = wish.but(needs=(yield from fetch_all(known.doc.needs)))
            continue
        except _HeldAt as held:
            seq = held.entry.doc.seq
            if wish.dead_seq == seq or not (yield from ran_out(wish.me, actor, held.entry)):
                raise held.held from None
            known, wish = held.entry, wish.but(dead_seq=seq)
            continue
        assert now is not None
        yield from registers.keep(key, now)
        if now.doc.claim is not None:
            yield from note_lease(actor, wish.me, wish.name, now.doc.claim.lease)
        again = before[-1] is now.doc
        last = None if again else now.doc.history[-1]
        return Claimed(
            step=now.doc.but(name=wish.name),  # whatever it says itself
            again=again,
            created=before[-1] is None,
            handoffs={need: found.handoff for need, found in wish.needs.items() if found is not None and found.handoff is not None},
            artifacts=_results(wish.needs),
            taken_from=last.of if last is not None and last.event == "takeover" else "",
        )
    raise TimedOut(f"{wish.name} changes hands too quickly to claim", "try again in a moment", step=wish.name)


def _results(needs: Mapping[str, Step | None]) -> dict[str, dict[str, Published]]:
    """What the needs published, by need and name; what is damaged is for those to name who want it."""
    found = {name: step for name, step in needs.items() if step is not None and step.artifacts}
    if not found:
        return {}
    from windlass.ops.artifacts import left_in

    return {name: left for name, step in found.items() if (left := left_in(step.but(name=name)))}


def _noting(
    decide: Callable[[Version[Step] | None, Write], Step], before: list[Step | None]
) -> Callable[[Version[Step] | None, Write], Step]:
    """The same decision, with the state that it was last made on kept in `before`."""

    def noted(entry: Version[Step] | None, write: Write) -> Step:
        before.append(entry.doc if entry else None)
        return decide(entry, write)

    return noted


def _default_lease(me: Me, step: Step | None) -> float:
    return min(me.lease, step.max_hold) if step is not None and step.max_hold is not None else me.lease


class _HeldAt(WindlassError):
    """Held, with the register's version: what a takeover's evidence must be about."""

    def __init__(self, held: Held, entry: Version[Step]) -> None:
        super().__init__(held.message)
        self.held, self.entry = held, entry


def change(
    actor: Actor,
    name: str,
    decide: Callable[[Step | None, Act], Step],
    *,
    remembered: bool = False,
    me: Me | None = None,
    known: Version[Step] | None = None,
    before: Callable[[Version[Step]], Op[None]] | None = None,
) -> Op[Changed]:
    """One transition of one step, as `me` where that is settled, from what is `known`, or what this machine remembers where that saves a
    read. `before` runs before the register is replaced.
    """
    key = keys.step(name)
    me = me or (yield from act(actor))
    if known is None and remembered:
        known = yield from registers.remembered(key, Step)
    was: Step | None = None

    def next_(entry: Version[Step] | None, write: Write) -> Step:
        nonlocal was
        was = entry.doc if entry else None
        return decide(was, _act(me, write))

    now = yield from registers.update(key, Step, next_, known=known or UNKNOWN, before=before)
    assert now is not None
    yield from registers.keep(key, now)
    if name in me.short and now.doc.claim is None:
        yield from note_lease(actor, me, name, None)
    return Changed(step=now.doc.but(name=name), again=was is now.doc)  # whatever it says itself


def finish(actor: Actor, name: str, handoff: Handoff, *, epoch: int | None = None, force: bool = False) -> Op[Changed]:
    """Complete, block, fail or hand in for review a step that the caller holds. Raises ClaimLost, NotFound, Fenced, Indeterminate, and
    WindlassError where that is done and only the mail about it was not sent.
    """
    check_handoff(handoff)
    me = yield from act(actor)
    done = yield from change(
        actor,
        name,
        lambda step, by: transitions.finished(step, name, by, handoff.but(agent=by.agent, at=by.at), epoch=epoch, force=force),
        remembered=True,
        me=me,
    )
    return (yield from then_tell(me, name, handoff, done))


def check_handoff(handoff: Handoff) -> None:
    """Raises UsageError where it cannot be kept."""
    check_text(handoff.note, "note", MAX_NOTE)
    check_text(handoff.next_action, "next action", MAX_NOTE)
    for piece in handoff.evidence:
        check_value(piece, "evidence")
    if handoff.to:
        keys.check_mailbox(handoff.to)


def then_tell(me: Me, name: str, handoff: Handoff, done: Changed) -> Op[Changed]:
    """A step that was handed off, once whoever it is for has been told by mail."""
    if handoff.to:
        from windlass.ops import mail

        if done.again and done.step.handoff is not None:
            handoff = done.step.handoff.but(to=handoff.to)  # what was kept, so that the same mail is sent once
        text = f"{name} is {handoff.state.value}" + (f": {handoff.note}" if handoff.note else "")
        if handoff.next_action:
            text += f"\nnext: {handoff.next_action}"
        text += f"\nread it: windlass handoff {name}"
        yield from mail.tell_about(me, name, handoff.to, text, _ident(done.step, handoff.state.value, handoff.to))
    return done


def _last(step: Step, event: str) -> Transition:
    return next(line for line in reversed(step.history) if line.event == event)


def _ident(step: Step, event: str, to: str) -> str:
    """The id of the mail about the last such transition: one for each recipient, the same where the command is repeated."""
    return f"{_last(step, event).write_id}.{sha256_hex(to.encode())[:16]}"


def release(actor: Actor, name: str, *, epoch: int | None = None, force: bool = False, note: str = "") -> Op[Changed]:
    """Give a claim back. Raises ClaimLost, NotFound, Fenced, Indeterminate."""
    return (
        yield from change(
            actor, name, lambda step, by: transitions.released(step, name, by, epoch=epoch, force=force, note=note), remembered=True
        )
    )


def _existing(name: str, step: Step | None) -> Step:
    if step is None:
        raise NotFound(f"there is no step {name}", "see: windlass step list", step=name)
    return step


def approve(actor: Actor, name: str, note: str = "", *, force: bool = False) -> Op[Changed]:
    """needs_review → complete. Raises ClaimLost, NotFound."""
    check_text(note, "note", MAX_NOTE)
    return (yield from change(actor, name, lambda step, by: transitions.approved(_existing(name, step), by, note, force=force)))


def reject(actor: Actor, name: str, note: str) -> Op[Changed]:
    """needs_review → pending, and the note by mail to the worker. Raises ClaimLost, NotFound, and WindlassError as `finish`."""
    check_text(note, "note", MAX_NOTE)
    me = yield from act(actor)
    done = yield from change(actor, name, lambda step, by: transitions.rejected(_existing(name, step), by, note), me=me)
    if done.step.worker:
        from windlass.ops import mail

        kept = _last(done.step, "reject")
        text = f"{name} was rejected: {kept.note}\ndo it again: windlass claim {name}"
        yield from mail.tell_about(me, name, done.step.worker, text, _ident(done.step, "reject", done.step.worker))
    return done


def cancel(actor: Actor, name: str, note: str = "") -> Op[Changed]:
    """Cancel a step that is not complete. Raises ClaimLost, NotFound."""
    return (yield from change(actor, name, lambda step, by: transitions.cancelled(_existing(name, step), by, note)))


def reopen(actor: Actor, name: str, note: str = "") -> Op[Changed]:
    """complete, failed or cancelled → pending. Raises ClaimLost, NotFound."""
    return (yield from change(actor, name, lambda step, by: transitions.reopened(_existing(name, step), by, note)))


def define(
    actor: Actor, name: str, definition: Definition, *, needed_by: tuple[str, ...] = (), only: Sequence[str] | None = None
) -> Op[Changed]:
    """Declare a step, or change what it says, `only` these fields of it; claims are never touched. Raises UsageError, Moved."""
    check_definition(name, definition)
    fields = Definition.__fields__ if only is None else only
    says = {field: getattr(definition, field) for field in fields}

    def decide(step: Step | None, by: Act) -> Step:
        return transitions.defined(step, name, by, (step.definition if step else definition).but(**says), needed_by)

    return (yield from change(actor, name, decide))


def check_definition(name: str, definition: Definition) -> None:
    """Raises UsageError where a name or text is not possible."""
    keys.check_name(name, "step")
    for need in definition.needs:
        keys.check_name(need, "step")
    for label in definition.labels:
        keys.check_name(label, "label")
    for what in ("title", "description", "acceptance"):
        check_text(getattr(definition, what), what)
    if definition.max_hold is not None:
        check_lease(definition.max_hold)


def link(actor: Actor, name: str, *needed_by: str) -> Op[None]:
    """Note on a step that others wait for it, where the step is there."""
    me = yield from act(actor)

    def decide(entry: Version[Step] | None, write: Write) -> Step | None:
        return transitions.linked(entry.doc, _act(me, write), *needed_by) if entry else None

    yield from registers.update(keys.step(name), Step, decide)


def show(name: str) -> Op[Version[Step]]:
    """One step, whole. Raises NotFound."""
    return (yield from fetch(name))


class Waited(Record):
    """What a wait came to: the steps as they are, by name; None where there is none yet."""

    steps: Mapping[str, Step | None]
    waited: float


def wait_for(names: Sequence[str], *, any_: bool = False, timeout: float | None = None) -> Op[Waited]:
    """Wait until all (or any) of the steps are complete: one conditional read a poll and step.

    Raises Unmet at once for a step that cannot complete as things are (blocked, failed, cancelled, or a cycle of needs), TimedOut.
    """
    if not names:
        raise UsageError("no step to wait for", "windlass wait-for STEP…")
    names = list(names)
    at = [keys.step(name) for name in names]
    seen: dict[str, Version[Step] | None] = dict.fromkeys(names)
    pace = yield from waiting.begin()
    told: set[tuple[str, int]] = set()
    while True:
        open_ = [i for i, name in enumerate(names) if (one := seen[name]) is None or one.doc.status is not Status.COMPLETE]
        effects = [fx.Get(key=at[i], unless=known.version if (known := seen[names[i]]) else None) for i in open_]
        for i, found in zip(open_, (yield from fx.gather(effects)), strict=True):
            if isinstance(found, Unavailable) and pace.waited:
                continue  # a poll that failed is asked again at the next
            if isinstance(found, Exception):
                raise found
            if not isinstance(found, fx.Unchanged):
                seen[names[i]] = registers.of(found, Step)
        state = {name: (one.doc if one else None) for name, one in seen.items()}
        gone = next((step.moved_to for step in state.values() if step is not None and step.moved_to is not None), None)
        if gone is not None:
            raise Moved(gone)
        done = [name for name, step in state.items() if step is not None and step.status is Status.COMPLETE]
        if len(done) == len(state) or (any_ and done):
            return Waited(steps=state, waited=pace.waited)
        hopeless = {name: step.status.value for name, step in state.items() if step is not None and step.status in HOPELESS}
        if hopeless and (not any_ or len(hopeless) == len(state)):
            listed = ", ".join(f"{name} is {status}" for name, status in sorted(hopeless.items()))
            raise Unmet(listed, f"read why: windlass handoff {min(hopeless)}", steps=_states(state))
        for name, step in state.items():
            if step is None and pace.waited == 0.0:
                yield from fx.tell(f"{name} does not exist yet: waiting goes on")
            if step is not None and step.status is Status.NEEDS_REVIEW and (name, step.epoch) not in told:
                told.add((name, step.epoch))
                yield from fx.tell(f"{name} needs review: waiting goes on")
        if pace.waited == 0.0:
            yield from _refuse_cycles(state)
        if timeout is not None and pace.waited >= timeout:
            left = len(state) - len(done)
            hint = "wait again; or see who holds what: windlass status"
            raise TimedOut(f"{left} of {len(state)} not complete after {timeout:g} s", hint, steps=_states(state))
        left_at = tuple(at[i] for i in open_ if (step := state[names[i]]) is None or step.status is not Status.COMPLETE)
        pace = yield from waiting.pause(pace, timeout, until=left_at)


def _states(state: Mapping[str, Step | None]) -> dict[str, Any]:
    return {name: step.status.value if step else "missing" for name, step in state.items()}


def _refuse_cycles(state: Mapping[str, Step | None]) -> Op[None]:
    """Two plans applied at once can make a cycle; who waits on one waits for ever. Looks at most at 256 steps, damaged ones aside."""
    from windlass.ops.board import documents, read_steps

    known: dict[str, Step | None] = dict(state)
    while len(known) < 256:
        wanted = sorted({need for step in known.values() if step for need in step.needs} - known.keys())
        if not wanted:
            break
        known |= documents((yield from read_steps(wanted[:64])))
    from windlass.protocol.plans import find_cycle

    cycle = find_cycle({name: step.needs for name, step in known.items() if step})
    if cycle:
        raise Unmet(f"the needs go in a circle: {' → '.join(cycle)}", f"take one away: windlass step edit {cycle[0]}", cycle=list(cycle))
