"""Mail: messages in numbered logs, one cursor register for each reader, acknowledgements."""

from __future__ import annotations

from windlass.protocol.codec import Document
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields

SEGMENT = 256
"""Slots in one segment."""
SEGMENT_BYTES = 1024 * 1024
"""Bytes of the slots of a segment at most: a segment must stay an object that stores read, however its text is escaped."""
NEWCOMER = 20
"""Broadcasts before the tail that a new reader gets."""


class Message(Document):
    """One slot of a mailbox, created once. `void` fills a gap and is shown to nobody; `moved_to` ends the log."""

    KIND: ClassVar[str] = "message"

    sender: str = ""
    incarnation: int = 0
    to: str = ""
    text: str = ""
    at: float = 0.0
    step: str = ""
    reply_to: str = ""
    thread: str = ""
    needs_ack: bool = False
    void: bool = False
    moved_to: str | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            sender=f.text("sender"),
            incarnation=f.whole("incarnation"),
            to=f.text("to"),
            text=f.text("text"),
            at=f.number("at"),
            step=f.text("step"),
            reply_to=f.text("reply_to"),
            thread=f.text("thread"),
            needs_ack=f.flag("needs_ack"),
            void=f.flag("void"),
            moved_to=f.maybe_text("moved_to"),
        )


class Segment(Document):
    """An immutable copy of 256 full slots; losing it costs requests, nothing else."""

    KIND: ClassVar[str] = "segment"

    first: int = 0
    slots: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(first=f.whole("first"), slots=f.objects("slots"))


class Cursor(Document):
    """Register of one reader: the next slot to read in its own mailbox and in the broadcast one. Only ever grows."""

    KIND: ClassVar[str] = "cursor"

    direct: int = 0
    broadcast: int = 0

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(direct=f.whole("direct"), broadcast=f.whole("broadcast"))

    def past(self, direct: int, broadcast: int) -> Cursor:
        """Advanced to at least these; itself where it is there already."""
        if direct <= self.direct and broadcast <= self.broadcast:
            return self
        return self.but(direct=max(direct, self.direct), broadcast=max(broadcast, self.broadcast))


class Ack(Document):
    """Created once by each agent that acknowledges a message."""

    KIND: ClassVar[str] = "ack"

    agent: str = ""
    at: float = 0.0

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(agent=f.text("agent"), at=f.number("at"))


class Sent(Document):
    """What was sent under an id of the sender's choosing, so that sending it again sends nothing. `slot` None: not known yet."""

    KIND: ClassVar[str] = "sent"

    to: str = ""
    entry_id: str = ""
    """The message's own write id."""
    digest: str = ""
    start: int = 0
    """No slot before this one can hold the message."""
    slot: int | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            to=f.text("to"),
            entry_id=f.text("entry_id"),
            digest=f.text("digest"),
            start=f.whole("start"),
            slot=f.maybe_whole("slot"),
        )


class Mail(Record):
    """A message with its address: what readers get."""

    id: str
    mailbox: str
    slot: int
    message: Message
    damaged: str = ""
    """Why it cannot be shown, where its object is torn or hostile."""
