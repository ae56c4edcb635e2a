"""Shared memory: a register for each key; its `seq` is the version that users see."""

from __future__ import annotations

from windlass.errors import Moved, NotFound, VersionMoved
from windlass.protocol.codec import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields


class Memory(Document):
    """One version of a key: `value` is any JSON value. A deleted key keeps counting its versions."""

    KIND: ClassVar[str] = "memory"

    key: str = ""
    value: Any = None
    set_by: str = ""
    set_at: float = 0.0
    deleted: bool = False
    moved_to: str | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            key=f.text("key"),
            value=f.anything("value"),
            set_by=f.text("set_by"),
            set_at=f.number("set_at"),
            deleted=f.flag("deleted"),
            moved_to=f.maybe_text("moved_to"),
        )

    @property
    def version(self) -> int:
        """1 for the first value ever set, one more with each change."""
        return self.seq


def check_version(memory: Memory | None, key: str, if_version: int | None) -> None:
    """Raises VersionMoved unless the key is at that version (0: not there, or deleted); Moved where the project has moved."""
    if memory is not None and memory.moved_to is not None:
        raise Moved(memory.moved_to)
    if if_version is None:
        return
    found = memory.version if memory else 0
    if found == if_version or (if_version == 0 and memory is not None and memory.deleted):
        return
    by = f", set by {memory.set_by}" if memory else ""
    raise VersionMoved(
        f"{key} is at version {found}{by}, not {if_version}", f"look again: windlass memory get {key} --with-meta", key=key, version=found
    )


def gone(key: str) -> NotFound:
    """The error for a key that is not there."""
    return NotFound(f"there is no memory key {key}", "see: windlass memory list", key=key)
