"""Agents: the register that hands out incarnation numbers, and presence, the sign of life of one incarnation."""

from __future__ import annotations

from windlass.choice import Choice
from windlass.protocol.codec import Document
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields

KEPT_STARTS = 64
"""Starts that an agent register remembers."""
FRESH = 60.0
"""Seconds that a presence counts as fresh: commands refresh it at most that often."""
LEASE_BEATING = 600.0
"""Seconds: default lease where something refreshes presence all the time."""
LEASE_BARE = 7200.0
"""Seconds: default lease of bare commands."""
MARGIN = 2.0
"""Seconds beyond a lease before a takeover: several stores give whole seconds."""
LEASE_MIN = 5.0
"""Seconds: the shortest lease; twice the margin and a whole-second rounding."""


class Keeper(Choice):
    """What keeps an incarnation alive."""

    COMMANDS = "commands"
    RUN = "run"
    PYTHON = "python"
    SIDECAR = "sidecar"


class Start(Record):
    """One incarnation as handed out."""

    number: int
    machine: str
    host: str
    keeper: Keeper
    at: float
    write_id: str
    ended: bool = False
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            number=f.whole("number"),
            machine=f.text("machine"),
            host=f.text("host"),
            keeper=f.choice("keeper", Keeper, Keeper.COMMANDS),
            at=f.number("at"),
            write_id=f.text("write_id"),
            ended=f.flag("ended"),
            extra=f.rest(),
        )


class Agent(Document):
    """Register of one agent; the last start is the incarnation that may act."""

    KIND: ClassVar[str] = "agent"

    name: str = ""
    starts: tuple[Start, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(name=f.text("name"), starts=f.records("starts", Start.load))

    @property
    def current(self) -> Start | None:
        """The newest incarnation."""
        return self.starts[-1] if self.starts else None

    def wrote(self, write_id: str, seq: int) -> bool | None:
        if self.write_id == write_id or any(start.write_id == write_id for start in self.starts):
            return True
        return False if self.seq <= seq or len(self.starts) < KEPT_STARTS else None

    def started(self, machine: str, host: str, keeper: Keeper, at: float, write_id: str) -> Agent:
        """With the next incarnation handed out."""
        number = self.starts[-1].number + 1 if self.starts else 1
        start = Start(number=number, machine=machine, host=host, keeper=keeper, at=at, write_id=write_id)
        return self.but(starts=(*self.starts, start)[-KEPT_STARTS:])

    def ended(self, number: int) -> Agent:
        """With incarnation `number` marked as over; itself where it is not the newest or over already."""
        last = self.current
        if last is None or last.number != number or last.ended:
            return self
        return self.but(starts=(*self.starts[:-1], last.but(ended=True)))


class Presence(Document):
    """Plain object, overwritten by its only writer; its modification time is the sign of life."""

    KIND: ClassVar[str] = "presence"

    agent: str = ""
    incarnation: int = 0
    host: str = ""
    pid: int = 0
    keeper: Keeper = Keeper.COMMANDS
    at: float = 0.0
    doing: str = ""

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            agent=f.text("agent"),
            incarnation=f.whole("incarnation"),
            host=f.text("host"),
            pid=f.whole("pid"),
            keeper=f.choice("keeper", Keeper, Keeper.COMMANDS),
            at=f.number("at"),
            doing=f.text("doing"),
        )
