"""The project's marker: which format it is in, whether a plan was applied, where it moved to."""

from __future__ import annotations

from windlass.errors import Moved, WindlassError
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
    moving: bool = False
    """The move to `moved_to` has begun and is not complete."""
    arriving_from: str | None = None
    """A move from there to here has begun and is not complete."""
    moves: tuple[str, ...] = ()
    """The ids of all moves to and from here, oldest first: both ends of a move keep the same one."""

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            name=f.text("name"),
            created_at=f.number("created_at"),
            created_by=f.text("created_by"),
            planned=f.flag("planned"),
            moved_to=f.maybe_text("moved_to"),
            moving=f.flag("moving"),
            arriving_from=f.maybe_text("arriving_from"),
            moves=f.texts("moves"),
        )


def refuse_moved(marker: Marker) -> None:
    """Raises Moved where the project lives elsewhere now, WindlassError while it is on its way here."""
    if marker.moved_to is not None:
        raise Moved(marker.moved_to)
    if marker.arriving_from is not None:
        raise WindlassError(
            f"this project is being moved here from {marker.arriving_from}",
            "wait until that is done; if it was interrupted, run the same `windlass move` again",
            arriving_from=marker.arriving_from,
        )
