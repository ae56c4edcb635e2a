"""The step register: definition, status, claim, handoff and the history of its transitions, in one document."""

from __future__ import annotations

from windlass.choice import Choice
from windlass.protocol.codec import Document
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields


class Status(Choice):
    """The states of a step."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    NEEDS_REVIEW = "needs_review"
    FAILED = "failed"
    COMPLETE = "complete"
    CANCELLED = "cancelled"


class Git(Record):
    """Where in version control something happened."""

    head: str = ""
    branch: str = ""
    worktree: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(head=f.text("head"), branch=f.text("branch"), worktree=f.text("worktree"), extra=f.rest())


class Claim(Record):
    """An agent's hold on a step. `lease` in seconds; `at` by the claimer's clock, for people only."""

    agent: str
    incarnation: int
    epoch: int
    lease: float
    at: float = 0.0
    needs: Mapping[str, int] = {}
    git: Git | None = None
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            agent=f.one_name("agent"),
            incarnation=f.whole("incarnation"),
            epoch=f.whole("epoch"),
            lease=f.number("lease"),
            at=f.number("at"),
            needs=f.counts("needs"),
            git=f.record("git", Git.load),
            extra=f.rest(),
        )


class Handoff(Record):
    """What the next agent needs."""

    agent: str
    state: Status
    at: float
    note: str = ""
    to: str = ""
    next_action: str = ""
    changed_files: tuple[str, ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    git: Git | None = None
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            agent=f.text("agent"),
            state=f.choice("state", Status, Status.COMPLETE),
            at=f.number("at"),
            note=f.text("note"),
            to=f.text("to"),
            next_action=f.text("next_action"),
            changed_files=f.texts("changed_files"),
            evidence=f.objects("evidence"),
            git=f.record("git", Git.load),
            extra=f.rest(),
        )


class Transition(Record):
    """One accepted write, in order. `event` is a verb; `at` by the writer's clock."""

    event: str
    by: str
    incarnation: int
    at: float
    write_id: str
    status: Status
    epoch: int
    note: str = ""
    of: str = ""
    """Whom it concerns: the holder that was taken over, the worker that was approved."""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            event=f.text("event"),
            by=f.text("by"),
            incarnation=f.whole("incarnation"),
            at=f.number("at"),
            write_id=f.text("write_id"),
            status=f.choice("status", Status, Status.PENDING),
            epoch=f.whole("epoch"),
            note=f.text("note"),
            of=f.text("of"),
            extra=f.rest(),
        )


class Definition(Record):
    """What a plan says of a step. `max_hold` in seconds: the longest a claim may live, signs of life or not."""

    title: str = ""
    description: str = ""
    acceptance: str = ""
    needs: tuple[str, ...] = ()
    priority: int = 0
    labels: tuple[str, ...] = ()
    max_hold: float | None = None


class Step(Document):
    """Register of one step, never deleted. `needed_by` only helps to find work; `needs` is the truth."""

    KIND: ClassVar[str] = "step"

    name: str = ""
    title: str = ""
    description: str = ""
    acceptance: str = ""
    needs: tuple[str, ...] = ()
    priority: int = 0
    labels: tuple[str, ...] = ()
    max_hold: float | None = None
    needed_by: tuple[str, ...] = ()
    status: Status = Status.PENDING
    epoch: int = 0
    claim: Claim | None = None
    worker: str = ""
    """Who last held it."""
    handoff: Handoff | None = None
    built_on: Mapping[str, int] = {}
    """The `seq` that each need had when the finished claim was made."""
    artifacts: Mapping[str, Any] = {}
    """By name the current version of each artifact that was published under a claim of it; `protocol.artifacts` reads them."""
    moved_to: str | None = None
    history: tuple[Transition, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            name=f.text("name"),
            title=f.text("title"),
            description=f.text("description"),
            acceptance=f.text("acceptance"),
            needs=f.names("needs"),
            priority=f.signed("priority"),
            labels=f.texts("labels"),
            max_hold=f.maybe_number("max_hold"),
            needed_by=f.names("needed_by"),
            status=f.choice("status", Status, Status.PENDING),
            epoch=f.whole("epoch"),
            claim=f.record("claim", Claim.load),
            worker=f.text("worker"),
            handoff=f.record("handoff", Handoff.load),
            built_on=f.counts("built_on"),
            artifacts=f.mapping("artifacts"),
            moved_to=f.maybe_text("moved_to"),
            history=f.records("history", Transition.load),
        )

    def wrote(self, write_id: str, seq: int) -> bool | None:
        return any(transition.write_id == write_id for transition in reversed(self.history))

    @property
    def spare(self) -> int:
        """A held step can always be finished or released, and any step can be moved."""
        return 0 if self.moved_to is not None else 64 * 1024 if self.claim is None else 512 * 1024

    @property
    def definition(self) -> Definition:
        """The part that plans and edits set."""
        return Definition(**{name: getattr(self, name) for name in Definition.__fields__})
