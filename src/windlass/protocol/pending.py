"""What keeps uploads and gc apart: the record of an upload that is not published yet, and the register of gc runs."""

from __future__ import annotations

from windlass.choice import Choice
from windlass.protocol.codec import Document
from windlass.protocol.keys import is_blob_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from windlass.protocol.codec import Fields


class State(Choice):
    """What became of an upload."""

    OPEN = "open"
    DONE = "done"
    ABANDONED = "abandoned"


class Pending(Document):
    """An upload, or a fork, from before it relies on any blob until it is published. gc turns a stale one to abandoned."""

    KIND: ClassVar[str] = "pending"

    agent: str = ""
    incarnation: int = 0
    at: float = 0.0
    targets: tuple[str, ...] = ()
    """Keys of the registers that are going to refer to what is sent."""
    holds: tuple[str, ...] = ()
    """Trees that are going to be referred to, though another register refers to them now."""
    state: State = State.OPEN
    fenced: bool = False
    """Abandoned, and since then each of the targets was changed: no write of it is accepted any more."""

    @classmethod
    def load(cls, f: Fields) -> Self:
        holds = f.texts("holds")
        if not all(map(is_blob_name, holds)):
            raise ValueError("holds has something that names no blob")
        return cls(
            agent=f.text("agent"),
            incarnation=f.whole("incarnation"),
            at=f.number("at"),
            targets=f.texts("targets"),
            holds=holds,
            state=f.choice("state", State, State.OPEN),
            fenced=f.flag("fenced"),
        )


class Sweep(Document):
    """The register of gc: its epoch grows by one with each run. While a run is `sweeping`, only blobs of its epoch are trusted."""

    KIND: ClassVar[str] = "gc"

    epoch: int = 0
    sweeping: bool = False
    floor: int = 0
    """Blobs of older epochs may still be deleted, by a run that came to no clear end: none that nobody refers to is trusted."""
    agent: str = ""
    at: float = 0.0

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(epoch=f.whole("epoch"), sweeping=f.flag("sweeping"), floor=f.whole("floor"), agent=f.text("agent"), at=f.number("at"))

    @property
    def trusted(self) -> int:
        """The oldest epoch whose blobs stay for those who begin to upload now, though nobody refers to them yet."""
        return self.epoch if self.sweeping else self.floor
