"""The steps of a project: claim, finish, review, find, wait."""

from __future__ import annotations

from windlass.errors import UsageError
from windlass.ops import steps
from windlass.project.calls import Awaiting, Blocking, acting, looking
from windlass.protocol.steps import Definition, Handoff, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, Literal, TypeAlias, TypedDict, Unpack

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.registers import Version
    from windlass.ops.steps import Changed, Claimed, Waited
    from windlass.ops.survey import Survey
    from windlass.project.claims import AsyncClaim, Claim
    from windlass.protocol.steps import Git, Step

    State: TypeAlias = Literal["complete", "blocked", "needs_review", "failed"]

    class Says(TypedDict, total=False):
        """What a step says."""

        title: str
        description: str
        acceptance: str
        needs: Sequence[str]
        priority: int
        labels: Sequence[str]
        max_hold: float | None


STATES = {"complete": Status.COMPLETE, "blocked": Status.BLOCKED, "needs_review": Status.NEEDS_REVIEW, "failed": Status.FAILED}


def complete(
    actor: Actor,
    name: str,
    *,
    state: State = "complete",
    note: str = "",
    to: str = "",
    next_action: str = "",
    changed_files: Sequence[str] = (),
    evidence: Sequence[Mapping[str, Any]] = (),
    artifacts: Sequence[str | PathLike[str]] = (),
    git: Git | None = None,
    epoch: int | None = None,
    force: bool = False,
) -> Op[Changed]:
    """Finish a step that the agent holds, with a handoff. `state`: "complete", "blocked", "needs_review" or "failed".

    `to`: an agent that is told by mail. `evidence`: JSON objects, such as a command and its exit code. `artifacts`: paths of files
    and folders, sent first and published with the completion, each under its own name. Repeating one's own is fine (`again`).
    Raises ClaimLost, NotFound, Fenced, UsageError, Indeterminate.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is no state to finish a step in", f"use one of: {', '.join(STATES)}", state=state)
    handoff = Handoff(
        agent=actor.agent,
        state=STATES[state],
        at=0.0,
        note=note,
        to=to,
        next_action=next_action,
        changed_files=tuple(changed_files),
        evidence=tuple(evidence),
        git=git,
    )
    if artifacts:
        from windlass.project.uploads import finish

        return (yield from then_board(finish(actor, name, handoff, artifacts, git=git, epoch=epoch, force=force)))
    return (yield from then_board(steps.finish(actor, name, handoff, epoch=epoch, force=force)))


def release(actor: Actor, name: str, *, note: str = "", epoch: int | None = None, force: bool = False) -> Op[Changed]:
    """Give a claim back; the step is pending again. Raises ClaimLost, NotFound, Fenced, Indeterminate."""
    return (yield from then_board(steps.release(actor, name, epoch=epoch, force=force, note=note)))


def then_board(op: Op[Changed]) -> Op[Changed]:
    """A change of a step, and what it means for those who look for work, where it means anything."""
    done = yield from op
    if done.step.needed_by or (done.step.status is Status.PENDING and not done.again):
        from windlass.ops import work

        yield from work.after_change(done)
    return done


def _names(names: Sequence[str] | str, what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise UsageError(f"{what} is one text, not a list", f'write: {what}=["{names}"]')
    return tuple(names)


def _said(says: Says) -> dict[str, Any]:
    plain: dict[str, Any] = dict(says)
    for what in ("needs", "labels"):
        if what in plain:
            plain[what] = _names(plain[what], what)
    unknown = plain.keys() - set(Definition.__fields__)
    if unknown:
        raise UsageError(f"a step has no {min(unknown)}", f"known: {', '.join(Definition.__fields__)}")
    return plain


def _approve(actor: Actor, name: str, note: str = "", *, force: bool = False) -> Op[Changed]:
    """needs_review → complete. Raises ClaimLost (also for the worker itself, unless `force`), NotFound."""
    return (yield from then_board(steps.approve(actor, name, note, force=force)))


def _reject(actor: Actor, name: str, note: str) -> Op[Changed]:
    """needs_review → pending, with the note by mail to the worker. Raises ClaimLost, NotFound."""
    return (yield from then_board(steps.reject(actor, name, note)))


def _reopen(actor: Actor, name: str, note: str = "") -> Op[Changed]:
    """complete, failed or cancelled → pending. Raises ClaimLost, NotFound."""
    return (yield from then_board(steps.reopen(actor, name, note)))


def _claim(
    actor: Actor, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None
) -> Op[Claimed]:
    """Claim a step and leave it claimed, as a command does: nothing renews it. `lease` in seconds.

    Raises ClaimLost (says by whom it is held), Unmet, NotFound, Fenced, Indeterminate.
    """
    return (yield from steps.claim(actor, name, lease=lease, force=force, create=create, git=git))


def _next(
    actor: Actor,
    *,
    labels: Sequence[str] = (),
    lease: float | None = None,
    git: Git | None = None,
    wait: float | None = None,
) -> Op[Claimed]:
    """Claim the best ready step and leave it claimed, as a command does: nothing renews it. `wait`, `lease` in seconds.

    Raises NothingLeft (all is finished), NothingReady (others must act first), Unmet (nothing can go on).
    """
    from windlass.ops import work

    return (yield from work.next_(actor, labels=_names(labels, "labels"), lease=lease, git=git, wait=wait))


def _add(actor: Actor, name: str, **says: Unpack[Says]) -> Op[Changed]:
    """Declare one step: title, description, acceptance, needs, priority, labels, max_hold (seconds, the longest a claim may live).

    `again` where it says the same already. Raises ClaimLost where it says something else, UsageError.
    """
    from windlass.ops import plans

    return (yield from plans.add(actor, name, Definition(**_said(says))))


def _edit(actor: Actor, name: str, **says: Unpack[Says]) -> Op[Changed]:
    """Change what a step says, the fields of `add`; its claim is not touched. Raises NotFound, UsageError."""
    from windlass.ops import plans

    return (yield from plans.edit(actor, name, _said(says)))


def _list() -> Op[Survey]:
    """Every step in brief, by name in `steps`. Reads only what changed since this machine last looked. Raises Moved."""
    from windlass.ops.agents import still_here
    from windlass.ops.survey import survey

    yield from still_here()
    return (yield from survey())


def _show(name: str) -> Op[Version[Step]]:
    """One step, whole, with its history, in `doc`. Raises NotFound, Moved, Damaged."""
    return (yield from steps.show(name))


def _wait_for(names: Sequence[str] | str, *, any_: bool = False, timeout: float | None = None) -> Op[Waited]:
    """Wait until all (or any) of the steps are complete, up to `timeout` seconds: one conditional read a poll and step.

    Raises Unmet at once for a step that cannot complete as things are (blocked, failed, cancelled, a circle of needs),
    TimedOut, Moved.
    """
    return (yield from steps.wait_for([names] if isinstance(names, str) else names, any_=any_, timeout=timeout))


class _Calls:
    complete = acting(complete, '>>> p.steps.complete("build", note="in dist/", evidence=[{"command": "make", "exit": 0}])')
    release = acting(release, '>>> p.steps.release("build", note="needs the schema first")')
    approve = acting(_approve, '>>> p.steps.approve("review-me", "well done")')
    reject = acting(_reject, '>>> p.steps.reject("review-me", "the tests fail")')
    cancel = acting(steps.cancel, '>>> p.steps.cancel("docs", "not wanted any more")')
    reopen = acting(_reopen, '>>> p.steps.reopen("done", "a case was forgotten")')
    add = acting(_add, '>>> p.steps.add("deploy", title="Roll it out", needs=["build"], priority=5, labels=["ops"])')
    edit = acting(_edit, '>>> p.steps.edit("docs", priority=9)')
    show = looking(_show, ">>> p.steps.show(\"design\").doc.status.value\n'pending'")
    list = looking(_list, ">>> for step in p.steps.list().steps.values():\n...     print(step.name, step.status.value)")
    wait_for = looking(_wait_for, '>>> p.steps.wait_for(["done"], timeout=100)')
    try_claim = acting(_claim, '>>> p.steps.try_claim("design", lease=900).step.epoch\n1')
    try_next = acting(_next, ">>> p.steps.try_next(labels=[\"backend\"]).step.name\n'design'")


class Steps(_Calls, Blocking):
    """`project.steps`, blocking."""

    def claim(self, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None) -> Claim:
        """Claim a step; presence is kept fresh while the project is open. `lease` in seconds (default 600, at least 5).

        `create`: declare it where nobody has; `force`: take it over whoever holds it, on record. Raises ClaimLost (says by
        whom it is held), Unmet, NotFound, Fenced, Indeterminate.

        >>> with p.steps.claim("design") as claim:
        ...     claim.complete(note="API in api.py", to="developer")
        """
        return self._kept(self.try_claim(name, lease=lease, force=force, create=create, git=git))

    def next(self, *, labels: Sequence[str] = (), lease: float | None = None, wait: float | None = None, git: Git | None = None) -> Claim:
        """Claim the best ready step, at random among equals; presence is kept fresh while the project is open.

        `wait`: seconds for one to become ready; `lease` in seconds. Raises NothingReady, NothingLeft, Unmet.

        >>> with p.steps.next(labels=["backend"], wait=100) as claim:
        ...     print(claim.step.title, claim.handoffs)
        """
        return self._kept(self.try_next(labels=labels, lease=lease, wait=wait, git=git))

    def _kept(self, claimed: Claimed) -> Claim:
        from windlass.project.claims import Claim

        claim = Claim(self._session, claimed)
        self._session.keep_fresh(claimed.step.claim.lease if claimed.step.claim else None)
        return claim


class AsyncSteps(_Calls, Awaiting):
    """`project.steps`, for async programs: as `Steps`, awaited.

    A claim or `next` that is cancelled leaves no claim behind. Other calls that are cancelled may still take effect.
    """

    async def claim(
        self, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None
    ) -> AsyncClaim:
        """Claim a step; presence is kept fresh while the project is open. `lease` in seconds (default 600, at least 5).

        `create`: declare it where nobody has; `force`: take it over whoever holds it, on record. Raises ClaimLost (says by
        whom it is held), Unmet, NotFound, Fenced, Indeterminate.

        >>> async with await p.steps.claim("design") as claim:
        ...     await claim.complete(note="API in api.py", to="developer")
        """
        return await self._kept(_claim(self._session.actor, name, lease=lease, force=force, create=create, git=git))

    async def next(
        self, *, labels: Sequence[str] = (), lease: float | None = None, wait: float | None = None, git: Git | None = None
    ) -> AsyncClaim:
        """Claim the best ready step, at random among equals; presence is kept fresh while the project is open.

        `wait`: seconds for one to become ready; `lease` in seconds. Raises NothingReady, NothingLeft, Unmet.

        >>> async with await p.steps.next(labels=["backend"], wait=100) as claim:
        ...     print(claim.step.title, claim.handoffs)
        """
        return await self._kept(_next(self._session.actor, labels=labels, lease=lease, wait=wait, git=git))

    async def _kept(self, op: Op[Claimed]) -> AsyncClaim:
        claimed = await self._session.settle_async(op, self._given_back)
        from windlass.project.claims import AsyncClaim

        claim = AsyncClaim(self._session, claimed)
        self._session.keep_fresh(claimed.step.claim.lease if claimed.step.claim else None)
        return claim

    def _given_back(self, claimed: Claimed) -> Op[None]:
        """What undoes a claim that nobody waits for any more; one that was held before goes on."""
        if not claimed.again:
            yield from release(self._session.actor, claimed.step.name, note="cancelled", epoch=claimed.step.epoch)
