"""The steps of a project: claim, finish, review, find, wait."""

from __future__ import annotations

from windlass.ops import steps
from windlass.project.calls import Awaiting, Blocking, acting, looking
from windlass.protocol.steps import Definition, Handoff, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.registers import Version
    from windlass.ops.steps import Changed, Claimed
    from windlass.ops.survey import Survey
    from windlass.protocol.steps import Git, Step

STATES = {"complete": Status.COMPLETE, "blocked": Status.BLOCKED, "needs_review": Status.NEEDS_REVIEW, "failed": Status.FAILED}


def _complete(
    actor: Actor,
    name: str,
    *,
    state: str = "complete",
    note: str = "",
    to: str = "",
    next_action: str = "",
    changed_files: Sequence[str] = (),
    evidence: Sequence[Mapping[str, Any]] = (),
    git: Git | None = None,
    epoch: int | None = None,
    force: bool = False,
) -> Op[Changed]:
    """Finish a step that the agent holds, with a handoff. `state`: "complete", "blocked", "needs_review" or "failed".

    Repeating one's own is fine (`again`). Raises ClaimLost, NotFound, Fenced, UsageError, Indeterminate.
    """
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
    return (yield from _then_board(steps.finish(actor, name, handoff, epoch=epoch, force=force)))


def _release(actor: Actor, name: str, *, note: str = "", epoch: int | None = None, force: bool = False) -> Op[Changed]:
    """Give a claim back; the step is pending again. Raises ClaimLost, NotFound, Fenced, Indeterminate."""
    return (yield from _then_board(steps.release(actor, name, epoch=epoch, force=force, note=note)))


def _approve(actor: Actor, name: str, note: str = "", *, force: bool = False) -> Op[Changed]:
    """needs_review → complete. Raises ClaimLost (also for the worker itself, unless `force`), NotFound."""
    return (yield from _then_board(steps.approve(actor, name, note, force=force)))


def _reject(actor: Actor, name: str, note: str) -> Op[Changed]:
    """needs_review → pending, with the note by mail to the worker. Raises ClaimLost, NotFound."""
    return (yield from _then_board(steps.reject(actor, name, note)))


def _reopen(actor: Actor, name: str, note: str = "") -> Op[Changed]:
    """complete, failed or cancelled → pending. Raises ClaimLost, NotFound."""
    return (yield from _then_board(steps.reopen(actor, name, note)))


def _then_board(op: Op[Changed]) -> Op[Changed]:
    """A change of a step, and what it means for those who look for work, where it means anything."""
    done = yield from op
    if done.step.needed_by or (done.step.status is Status.PENDING and not done.again):
        from windlass.ops import work

        yield from work.after_change(done)
    return done


def _next(
    actor: Actor,
    *,
    labels: Sequence[str] = (),
    lease: float | None = None,
    git: Git | None = None,
    wait: float | None = None,
) -> Op[Claimed]:
    """Claim the best ready step, at random among equals; with `wait`, up to that many seconds for one to become ready.

    Raises NothingLeft (all is finished), NothingReady (others must act first), Unmet (nothing can go on).
    """
    from windlass.ops import work

    return (yield from work.next_(actor, labels=labels, lease=lease, git=git, wait=wait))


def _add(actor: Actor, /, name: str, **definition: Any) -> Op[Changed]:
    """Declare one step: title, description, acceptance, needs, priority, labels, max_hold. Raises ClaimLost, UsageError."""
    from windlass.ops import plans

    return (yield from plans.add(actor, name, Definition(**definition)))


def _edit(actor: Actor, /, name: str, **changes: Any) -> Op[Changed]:
    """Change fields of a step's definition; its claim is not touched. Raises NotFound, UsageError."""
    from windlass.ops import plans

    return (yield from plans.edit(actor, name, changes))


def _list() -> Op[Survey]:
    """Every step in brief. Reads only what changed since this machine last looked."""
    from windlass.ops.survey import survey

    return (yield from survey())


def _show(name: str) -> Op[Version[Step]]:
    """One step, whole, with its history. Raises NotFound, Damaged."""
    return (yield from steps.show(name))


class _Calls:
    complete = acting(_complete)
    release = acting(_release)
    approve = acting(_approve)
    reject = acting(_reject)
    cancel = acting(steps.cancel)
    reopen = acting(_reopen)
    add = acting(_add)
    edit = acting(_edit)
    show = looking(_show)
    list = looking(_list)
    wait_for = looking(steps.wait_for)
    try_claim = acting(steps.claim)
    try_next = acting(_next)


class Claim(Blocking):
    """A claim that holds; as a context manager it is given back at the end unless it was finished.

    >>> with p.steps.claim("design") as claim:
    ...     claim.complete(note="API in api.py", to="developer")
    """

    def __init__(self, session: Any, claimed: Claimed) -> None:
        super().__init__(session)
        self.claimed = claimed
        self.step: Step = claimed.step
        self.epoch = claimed.step.epoch
        """The fencing token."""
        self._open = True

    def complete(self, **handoff: Any) -> Changed:
        """Finish under this claim's epoch; options as in `steps.complete`. Raises ClaimLost once it was taken over."""
        changed: Changed = self._do(_complete(self._session.actor, self.step.name, epoch=self.epoch, **handoff))
        self._open = False
        return changed

    def release(self, note: str = "") -> Changed:
        """Give it back."""
        changed: Changed = self._do(_release(self._session.actor, self.step.name, note=note, epoch=self.epoch))
        self._open = False
        return changed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open:
            self.release(note=f"left by {kind.__name__}" if kind else "")


class AsyncClaim(Awaiting):
    """As `Claim`, for `async with`; its methods are awaited."""

    def __init__(self, session: Any, claimed: Claimed) -> None:
        super().__init__(session)
        self.claimed = claimed
        self.step: Step = claimed.step
        self.epoch = claimed.step.epoch
        self._open = True

    async def complete(self, **handoff: Any) -> Changed:
        """Finish under this claim's epoch; options as in `steps.complete`. Raises ClaimLost once it was taken over."""
        changed: Changed = await self._do(_complete(self._session.actor, self.step.name, epoch=self.epoch, **handoff))
        self._open = False
        return changed

    async def release(self, note: str = "") -> Changed:
        """Give it back."""
        changed: Changed = await self._do(_release(self._session.actor, self.step.name, note=note, epoch=self.epoch))
        self._open = False
        return changed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open:
            await self.release(note=f"left by {kind.__name__}" if kind else "")


class Steps(_Calls, Blocking):
    """`project.steps`, blocking."""

    def claim(self, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None) -> Claim:
        """Claim a step; presence is kept fresh while the project is open. `lease` in seconds.

        Raises ClaimLost (says by whom it is held), Unmet, NotFound, Fenced, Indeterminate.
        """
        self._session.keep_fresh()
        return Claim(self._session, self.try_claim(name, lease=lease, force=force, create=create, git=git))

    def next(self, *, labels: Sequence[str] = (), lease: float | None = None, wait: float | None = None, git: Git | None = None) -> Claim:
        """Claim the best ready step. Raises NothingReady, NothingLeft, Unmet. `wait`, `lease` in seconds."""
        self._session.keep_fresh()
        return Claim(self._session, self.try_next(labels=labels, lease=lease, wait=wait, git=git))


class AsyncSteps(_Calls, Awaiting):
    """`project.steps`, for async programs."""

    async def claim(
        self, name: str, *, lease: float | None = None, force: bool = False, create: bool = False, git: Git | None = None
    ) -> AsyncClaim:
        """As `Steps.claim`."""
        self._session.keep_fresh()
        return AsyncClaim(self._session, await self.try_claim(name, lease=lease, force=force, create=create, git=git))

    async def next(
        self, *, labels: Sequence[str] = (), lease: float | None = None, wait: float | None = None, git: Git | None = None
    ) -> AsyncClaim:
        """As `Steps.next`."""
        self._session.keep_fresh()
        return AsyncClaim(self._session, await self.try_next(labels=labels, lease=lease, wait=wait, git=git))
