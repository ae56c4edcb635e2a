"""The board: a small cache of ready steps, so that finding work costs the same at any size. Truth is in the step registers."""

from __future__ import annotations

from windlass.protocol.codec import Document
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields

SIZE = 512
"""Ready steps on the board at most."""


class Ready(Record):
    """A step that looked ready when it was written here."""

    name: str
    priority: int = 0
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seq: int = 0
    """The step's `seq` when it was written here: who knows a later state of the step need not look at it."""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            name=f.one_name("name"),
            priority=f.signed("priority"),
            labels=f.texts("labels"),
            needs=f.names("needs"),
            seq=f.whole("seq"),
            extra=f.rest(),
        )


class Board(Document):
    """Register `board.json`: at most 512 ready steps, highest priority first."""

    KIND: ClassVar[str] = "board"

    ready: tuple[Ready, ...] = ()
    at: float = 0.0
    """The last writer's clock: only paces tidying."""

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(ready=f.records("ready", Ready.load), at=f.number("at"))

    def changed(self, add: Iterable[Ready], remove: Iterable[str], at: float) -> Board:
        """With steps added and removed, cut to size; itself where nothing changes."""
        gone = set(remove)
        steps = {one.name: one for one in self.ready if one.name not in gone}
        steps |= {one.name: one for one in add}
        ready = tuple(sorted(steps.values(), key=lambda one: (-one.priority, one.name))[:SIZE])
        return self if ready == self.ready else self.but(ready=ready, at=at)
