"""The project's marker: which format it is in, whether a plan was applied, where it moved to."""

from __future__ import annotations

from windlass.protocol.codec import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from windlass.protocol.codec import Fields


class Marker(Document):
    """Register `windlass.json`. `planned`: a plan was applied, so unknown steps are typing errors."""

    KIND: ClassVar[str] = "project"

    name: str = ""
    created_at: float = 0.0
    created_by: str = ""
    planned: bool = False
    moved_to: str | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            name=f.text("name"),
            created_at=f.number("created_at"),
            created_by=f.text("created_by"),
            planned=f.flag("planned"),
            moved_to=f.maybe_text("moved_to"),
        )
