"""Artifacts: named, versioned results. The current version lies in its register: the artifact's own, or that of its step."""

from __future__ import annotations

from windlass.errors import Damaged, Moved, NotFound, UsageError
from windlass.protocol.codec import Document, Fields, plain
from windlass.protocol.keys import check_name, is_name
from windlass.protocol.steps import Git
from windlass.protocol.trees import Entry, entry_of
from windlass.protocol.trees import row as row_of
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Self


MAX_META = 16 * 1024
"""Bytes of an artifact's metadata and inputs together: they lie in a register."""


class Published(Record):
    """One version of an artifact; it never changes. `content` is a row of a tree: a file, or a folder.

    `stored_at` is the store's time when its upload last gave a sign of life, `at` the producer's. `inputs`: what it was made from,
    `NAME@N` or `STEP/NAME@N`.
    """

    version: int
    content: tuple[Any, ...] = ()
    media_type: str = ""
    agent: str = ""
    incarnation: int = 0
    step: str = ""
    epoch: int = 0
    inputs: tuple[str, ...] = ()
    meta: Mapping[str, Any] = {}
    at: float = 0.0
    stored_at: float = 0.0
    git: Git | None = None
    command: str = ""
    deleted: bool = False
    first: int = 1
    """The oldest version that is not deleted."""
    write_id: str = ""
    """Of the write that published it."""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        content, deleted = f.anything("content"), f.flag("deleted")
        if not deleted:
            entry_of(content)
        return cls(
            version=f.whole("version"),
            content=tuple(content) if isinstance(content, list) else (),
            media_type=f.text("media_type"),
            agent=f.text("agent"),
            incarnation=f.whole("incarnation"),
            step=f.text("step"),
            epoch=f.whole("epoch"),
            inputs=f.texts("inputs"),
            meta=f.mapping("meta"),
            at=f.number("at"),
            stored_at=f.number("stored_at"),
            git=f.record("git", Git.load),
            command=f.text("command"),
            deleted=deleted,
            first=f.whole("first", 1),
            write_id=f.text("write_id"),
            extra=f.rest(),
        )

    @property
    def entry(self) -> Entry:
        """The file or folder. Raises ValueError for a deletion."""
        return entry_of(list(self.content))

    @property
    def size(self) -> int:
        """Bytes, of a folder all that is below it."""
        return 0 if self.deleted else self.entry.size


class Artifact(Document):
    """The register of an artifact that belongs to no step, and each archived version of any."""

    KIND: ClassVar[str] = "artifact"

    name: str = ""
    current: Published | None = None
    moved_to: str | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(name=f.text("name"), current=f.record("current", Published.load), moved_to=f.maybe_text("moved_to"))


def content_of(entry: Entry) -> tuple[Any, ...]:
    """An entry as a version holds it."""
    return tuple(row_of(entry))


def live(current: Published | None, ref: Ref) -> Published:
    """The current version. Raises NotFound where there is none or it is deleted."""
    if current is None or current.deleted:
        raise no_such(ref)
    return current


def no_such(ref: Ref) -> NotFound:
    """The error of who asks for an artifact that is not there."""
    where = f" --step {ref.step}" if ref.step else ""
    return NotFound(f"there is no artifact {ref.bare}", f"see: windlass artifact list{where}", artifact=str(ref.bare))


def following(before: Published | None, new: Published) -> Published:
    """The version that comes after `before`; `before` itself where that says the same already, by the same agent."""
    if before is not None and _same(before, new):
        return before
    return new.but(version=(before.version if before else 0) + 1, first=before.first if before else 1)


def _same(before: Published, new: Published) -> bool:
    if before.deleted or new.deleted or not before.entry.same(new.entry):
        return False
    return all(getattr(before, what) == getattr(new, what) for what in ("agent", "step", "epoch", "media_type", "inputs", "meta"))


def deletion(before: Published | None, ref: Ref, new: Published) -> Published:
    """A version that says the artifact is gone, with all versions before it. Raises NotFound."""
    number = live(before, ref).version + 1
    return Published(
        version=number, deleted=True, first=number + 1, agent=new.agent, incarnation=new.incarnation, step=new.step, at=new.at,
        write_id=new.write_id,
    )  # fmt: skip


def of_row(row: object, name: str, key: str) -> Published:
    """A version as a step holds it. Raises Damaged."""
    try:
        if not is_name(name):
            raise ValueError("an artifact has no legal name")
        return Published.load(Fields(row, f"artifacts.{name}"))
    except ValueError as error:
        raise Damaged(key, str(error)) from None


def row_in_step(version: Published) -> dict[str, Any]:
    """A version as a step holds it."""
    row: dict[str, Any] = plain(version)
    return row


def archived(name: str, version: Published) -> Artifact:
    """A version as it is kept once another follows: whoever keeps it writes the same bytes."""
    return Artifact(name=name, current=version, write_id=version.write_id, seq=version.version)


def refuse_moved(artifact: Artifact | None) -> None:
    """Raises Moved where the project has moved."""
    if artifact is not None and artifact.moved_to is not None:
        raise Moved(artifact.moved_to)


class Ref(Record):
    """Which artifact: of a step, or (`step` empty) of none; one version, or (None) the current one."""

    step: str
    name: str
    version: int | None = None

    @property
    def bare(self) -> Ref:
        """The artifact, whatever version."""
        return self.but(version=None)

    def __str__(self) -> str:
        return f"{self.step + '/' if self.step else ''}{self.name}{'' if self.version is None else f'@{self.version}'}"


def parse_ref(text: str, step: str = "") -> Ref:
    """`NAME`, `NAME@3`, `STEP/NAME@3`. Raises UsageError."""
    where, at, number = text.partition("@")
    if at and not (number.isascii() and number.isdigit() and 0 < len(number) <= 8 and int(number)):
        raise UsageError(f"{text[:80]!r} names no version of an artifact", "write NAME@3, or STEP/NAME@3")
    before, slash, name = where.rpartition("/")
    if slash and step and before != step:
        raise UsageError(f"{text[:80]!r} belongs to {before!r}, not to {step!r}", "leave out --step, or the part before the slash")
    return Ref(step=check_name(before, "step") if slash else step, name=check_name(name, "artifact"), version=int(number) if at else None)
