"""Claims as context managers: they renew themselves while the project is open, and are given back at the end of their block."""

from __future__ import annotations

from windlass.errors import ClaimLost, WindlassError
from windlass.project.calls import Awaiting, Blocking, holding, under
from windlass.project.steps import complete, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.artifacts import Uploaded
    from windlass.ops.steps import Changed, Claimed
    from windlass.project.session import Session
    from windlass.project.steps import State
    from windlass.project.uploads import What
    from windlass.protocol.artifacts import Published
    from windlass.protocol.steps import Git, Handoff, Step

    T = TypeVar("T")


def _complete(
    actor: Actor,
    name: str,
    epoch: int,
    *,
    state: State = "complete",
    note: str = "",
    to: str = "",
    next_action: str = "",
    changed_files: Sequence[str] = (),
    evidence: Sequence[Mapping[str, Any]] = (),
    artifacts: Sequence[str | PathLike[str]] = (),
    git: Git | None = None,
) -> Op[Changed]:
    """Finish the step under this claim, with a handoff. `state`: "complete", "blocked", "needs_review" or "failed".

    `to`: an agent that is told by mail. `evidence`: JSON objects, such as a command and its exit code. `artifacts`: paths of files
    and folders, sent first and published with the completion. Raises ClaimLost once the claim was taken over (nothing is kept
    then), Fenced, UsageError, Indeterminate.
    """
    return (
        yield from complete(
            actor,
            name,
            state=state,
            note=note,
            to=to,
            next_action=next_action,
            changed_files=changed_files,
            evidence=evidence,
            artifacts=artifacts,
            git=git,
            epoch=epoch,
        )
    )


def _upload(
    actor: Actor,
    step: str,
    epoch: int,
    what: What,
    *,
    name: str | None = None,
    media_type: str = "",
    meta: Mapping[str, Any] = {},
    inputs: Sequence[str] = (),
    git: Git | None = None,
    command: str = "",
) -> Op[Uploaded]:
    """Publish a file or folder (a path), bytes, or a file object as a result of this step, under this claim.

    As `project.artifacts.upload`. Raises ClaimLost once the claim was taken over (nothing is published then), Fenced.
    """
    from windlass.project.uploads import upload

    return (
        yield from upload(
            actor,
            what,
            name=name,
            step=step,
            epoch=epoch,
            media_type=media_type,
            meta=meta,
            inputs=inputs,
            git=git,
            command=command,
        )
    )


def _release(actor: Actor, name: str, epoch: int, note: str = "") -> Op[Changed]:
    """Give the claim back; the step is pending again. Raises ClaimLost once it was taken over, Indeterminate."""
    return (yield from release(actor, name, note=note, epoch=epoch))


class _Held:
    """What both kinds of claim are."""

    if TYPE_CHECKING:
        _session: Session

    complete = holding(_complete, '>>> with p.steps.claim("build") as claim:\n...     claim.complete(note="in dist/", to="tester")')
    upload = under(_upload, '>>> with p.steps.claim("build") as claim:\n...     claim.upload("dist/app.tar.gz", inputs=["schema@2"])')
    release = holding(_release, '>>> claim = p.steps.claim("build")\n>>> claim.release(note="needs the schema first")')

    def _take(self, claimed: Claimed) -> None:
        self.claimed = claimed
        """How it was claimed: `again`, `created`, `taken_from`, and the `handoffs` of the step's needs, by name."""
        self.step: Step = claimed.step
        """The step as it was claimed."""
        self.name: str = claimed.step.name
        self.epoch: int = claimed.step.claim.epoch if claimed.step.claim else claimed.step.epoch
        """The fencing token: a number that only grows."""
        self.open = True
        """Whether neither `complete` nor `release` has succeeded yet."""

    @property
    def handoffs(self) -> Mapping[str, Handoff]:
        """What the workers of the step's needs left behind, by step."""
        return self.claimed.handoffs

    @property
    def artifacts(self) -> Mapping[str, Mapping[str, Published]]:
        """What the workers of the step's needs published, by step and name."""
        return self.claimed.artifacts

    def _ending(self, op: Op[T]) -> Op[T]:
        done = yield from op
        self.open = False
        return done

    def _leave(self, error: BaseException | None) -> Op[None]:
        """Release at the end of the block. An error of the block's own is never hidden by one of the release."""
        try:
            note = f"left by {type(error).__name__}" if error is not None else ""
            yield from self._ending(_release(self._session.actor, self.name, self.epoch, note))
        except WindlassError as problem:
            if error is not None:
                error.add_note(f"windlass: {self.name} was not released: {problem}")
            elif not _finished_otherwise(problem):
                raise


def _finished_otherwise(problem: WindlassError) -> bool:
    """Whether the agent itself finished the step in the block, but not by way of the claim."""
    return isinstance(problem, ClaimLost) and "taken_at" not in problem.details and problem.details.get("status") != "in_progress"


class Claim(_Held, Blocking):
    """A claim that holds. At the end of its `with` block it is released, unless it was completed or released before.

    Leaving by an exception releases with a note. Raises ClaimLost at the end of a block whose claim was taken over.

    >>> with p.steps.claim("design") as claim:
    ...     claim.complete(note="API in api.py", to="developer")
    """

    def __init__(self, session: Session, claimed: Claimed) -> None:
        super().__init__(session)
        self._take(claimed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.open:
            self._session.run(self._leave(error))


class AsyncClaim(_Held, Awaiting):
    """As `Claim`, for `async with`; `complete` and `release` are awaited.

    A task that is cancelled in the block releases, too.
    """

    def __init__(self, session: Session, claimed: Claimed) -> None:
        super().__init__(session)
        self._take(claimed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.open:
            await self._session.settle_async(self._leave(error))
