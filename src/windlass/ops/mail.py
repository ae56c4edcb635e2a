"""Mail: send, read by cursor, acknowledge, receipts."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_hex
from windlass.errors import Damaged, Lost, Moved, NotFound, TimedOut, UsageError, WindlassError
from windlass.ops import logs, registers, waiting
from windlass.ops.agents import act
from windlass.protocol import keys
from windlass.protocol.agents import FRESH
from windlass.protocol.codec import check_text, decode, encode
from windlass.protocol.mail import NEWCOMER, Ack, Cursor, Mail, Message, Sent
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.registers import Version, Write
    from windlass.ops.waiting import Pace


GAPS = 600.0
"""Seconds between a reader's looks for messages behind a gap, which it would not meet otherwise."""


class Posted(Record):
    """A message that was sent. `again`: this id had been sent before. `stranger`: nobody registered the recipient's name."""

    id: str
    to: str
    again: bool = False
    stranger: bool = False


class Inbox(Record):
    """What a reader got, oldest first, and where its cursor may go once it has been shown. `more`: there is more behind it.

    Iterates over its mails, and has their number as its length.
    """

    mails: tuple[Mail, ...]
    direct: int
    broadcast: int
    more: bool = False

    def __iter__(self) -> Iterator[Mail]:
        return iter(self.mails)

    def __len__(self) -> int:
        return len(self.mails)


class Receipt(Record):
    """How far a message got with one recipient: "sent", "delivered" or "acked"."""

    agent: str
    state: str
    at: float = 0.0


def send(
    actor: Actor, to: str, text: str, *, step: str = "", reply_to: str = "", needs_ack: bool = False, ident: str | None = None
) -> Op[Posted]:
    """Send to an agent or to `_broadcast`. With `ident`, sending the same again sends nothing. Raises UsageError, Lost, Indeterminate."""
    keys.check_mailbox(to)
    check_text(text, "message")
    if ident is not None:
        keys.check_name(ident, "message id")
    if step:
        keys.check_name(step, "step")
    thread = ""
    if reply_to:
        box, number = keys.parse_message_id(reply_to)
        thread = (yield from _read_one(box, number)).message.thread or reply_to
    me = yield from act(actor)
    return (yield from _post(me, Message(to=to, text=text, step=step, reply_to=reply_to, thread=thread, needs_ack=needs_ack), ident))


def tell_about(me: Me, step: str, to: str, text: str, ident: str) -> Op[None]:
    """Send what belongs to a change of a step that has landed, once, as who made it. Raises WindlassError where it was not sent."""
    try:
        check_text(text, "message")
        yield from _post(me, Message(to=to, text=text, step=step), ident)
    except WindlassError as error:
        raise WindlassError(
            f"{text.partition(chr(10))[0][:100]}, but the mail to {to} was not sent: {error.message}",
            "repeat the command: what is done stays done, and the mail is sent once",
            step=step,
        ) from error


def _post(me: Me, message: Message, ident: str | None) -> Op[Posted]:
    to = message.to
    message = message.but(sender=me.agent, incarnation=me.incarnation, at=(yield from fx.now()))
    stranger = yield from _stranger(to)
    if ident is None:
        slot, again = (yield from logs.append(to, message)), False
    else:
        slot, again = yield from _send_once(me.agent, ident, message)
    return Posted(id=keys.message_id(to, slot), to=to, again=again, stranger=stranger)


def _stranger(to: str) -> Op[bool]:
    if to == keys.BROADCAST or (yield from fx.recall("known:" + to)):
        return False
    if (yield from fx.read(keys.agent(to))) is None:
        return True
    yield from fx.remember("known:" + to, b"1")
    return False


def _send_once(sender: str, ident: str, message: Message) -> Op[tuple[int, bool]]:
    """Send under an id: first a record of what is sent and where it can be, then the message, then its slot."""
    digest = sha256_hex(encode(message.but(at=0.0, incarnation=0)))
    key = keys.sent(sender, ident)
    start = yield from logs.hint(message.to)
    if (yield from logs.is_taken(message.to, start)):
        start = yield from logs.end(message.to, start)
    fresh = Sent(to=message.to, entry_id=(yield from fx.new_id()), digest=digest, start=start)
    made = yield from registers.create(key, fresh, Sent)
    noted = made.doc
    if noted.digest != digest:
        raise Lost(f"you sent something else as {ident} before", "use another --id", id=ident)
    if noted.slot is not None:
        return noted.slot, True
    look = noted.entry_id != fresh.entry_id
    slot, again = yield from logs.append_once(message.to, message.but(write_id=noted.entry_id), noted.start, look=look)

    def decide(entry: Version[Sent] | None, write: Write) -> Sent | None:
        return entry.doc.but(slot=slot) if entry and entry.doc.slot is None else entry.doc if entry else None

    try:
        yield from registers.update(key, Sent, decide, known=made)
    except WindlassError:  # it is sent; a repeat finds it without this note too
        yield from fx.tell("the message's place was not noted")
    return slot, again


def _cursor(agent: str, *, fresh: bool) -> Op[Cursor]:
    """The reader's cursor: as read within the last minute unless `fresh`; for a new reader, its own mail from the start and the
    last broadcasts.

    Not longer, because a cursor from before a restore would hide mail.
    """
    noted = None if fresh else (yield from _noted(agent))
    if noted is not None and 0 <= (yield from fx.now()) - noted[1] < FRESH:
        return noted[0].doc
    known = yield from registers.fetch(keys.cursor(agent), Cursor)
    if known is None:
        end = yield from logs.tail(keys.BROADCAST)
        known = yield from registers.create(keys.cursor(agent), Cursor(broadcast=max(0, end - NEWCOMER)), Cursor)
    yield from _note(agent, known)
    return known.doc


def _noted(agent: str) -> Op[tuple[Version[Cursor], float] | None]:
    """The cursor as this machine last saw it, and when, by the client's clock."""
    read_at, _, rest = ((yield from fx.recall("cursor:" + agent)) or b"").partition(b"\n")
    version, _, body = rest.partition(b"\n")
    try:
        cursor = decode(Cursor, "hint", body)
        return registers.Version(doc=cursor, version=version.decode(), remembered=True), float(read_at)
    except (WindlassError, ValueError):  # an odd hint is no hint
        return None


def _note(agent: str, cursor: Version[Cursor] | None) -> Op[None]:
    body = None
    if cursor is not None and cursor.version:
        body = b"%r\n%s\n%s" % ((yield from fx.now()), cursor.version.encode(), encode(cursor.doc))
    yield from fx.remember("cursor:" + agent, body)


def unread(actor: Actor, limit: int = 20) -> Op[Inbox]:
    """What is new for the reader, at most `limit` messages; the cursor stays until `seen`. Raises Moved behind the last one.

    Two reads where there is nothing, and once a minute a third.
    """
    me = yield from act(actor)
    return (yield from _unread(me.agent, limit))


def _unread(agent: str, limit: int) -> Op[Inbox]:
    glanced, heads = yield from _glance(agent)
    if not any(heads):
        return Inbox(mails=(), direct=glanced.direct, broadcast=glanced.broadcast)
    cursor = yield from _cursor(agent, fresh=True)
    if _next(agent, cursor) != _next(agent, glanced):
        heads = yield from logs.heads(_next(agent, cursor))
    while True:
        direct = yield from logs.read_on(agent, cursor.direct, limit + 1, heads[0])
        broadcast = yield from logs.read_on(keys.BROADCAST, cursor.broadcast, limit + 1, heads[1])
        inbox = _shown(agent, cursor, direct, broadcast, limit)
        if inbox.mails or not inbox.more:
            return inbox
        cursor = cursor.past(inbox.direct, inbox.broadcast)  # nothing to show so far, as a run of one's own broadcasts
        heads = yield from logs.heads(_next(agent, cursor))


def _shown(agent: str, cursor: Cursor, direct: list[Mail], broadcast: list[Mail], limit: int) -> Inbox:
    """Both mailboxes as one list: each in its own order, between them by the senders' clocks; cut at `limit`.

    Nothing passes the end of a log that moved. Raises Moved where there is nothing but that.
    """
    mails: list[Mail] = []
    at, end, more = [0, 0], [cursor.direct, cursor.broadcast], False
    ends = [next((i for i, mail in enumerate(box) if mail.message.moved_to is not None), None) for box in (direct, broadcast)]
    boxes = (direct[: ends[0]], broadcast[: ends[1]])
    while True:
        heads = [(boxes[i][at[i]].message.at, i) for i in (0, 1) if at[i] < len(boxes[i])]
        if not heads:
            break
        which = min(heads)[1]
        mail = boxes[which][at[which]]
        show = bool(mail.damaged) or not (mail.message.void or (which == 1 and mail.message.sender == agent))
        if show and len(mails) >= limit:
            more = True
            break
        at[which] += 1
        end[which] = mail.slot + 1
        if show:
            mails.append(mail)
    more = more or any(len(box) > limit for box in boxes)
    for box, last in zip((direct, broadcast), ends, strict=True):
        if last is not None and not mails and not more:
            raise Moved(str(box[last].message.moved_to))
    return Inbox(mails=tuple(mails), direct=end[0], broadcast=end[1], more=more)


def seen(actor: Actor, inbox: Inbox) -> Op[None]:
    """Advance the reader's cursor past what was shown; it never goes back."""
    key = keys.cursor(actor.agent)

    def decide(entry: Version[Cursor] | None, write: Write) -> Cursor:
        return (entry.doc if entry else Cursor()).past(inbox.direct, inbox.broadcast)

    def landed(write_id: str, seq: int, now: Cursor) -> Op[bool | None]:
        yield from ()
        return False  # deciding again is harmless: advancing takes the maximum

    noted = yield from _noted(actor.agent)
    if noted is not None and noted[0].doc.past(inbox.direct, inbox.broadcast) is noted[0].doc:
        return
    now = yield from registers.update(key, Cursor, decide, landed=landed, known=noted[0] if noted else registers.UNKNOWN)
    yield from _note(actor.agent, now)


def wait_unread(actor: Actor, seconds: float, limit: int = 20) -> Op[Inbox]:
    """Wait until something is new. Raises TimedOut."""
    pace = yield from waiting.begin()
    while True:
        inbox = yield from unread(actor, limit)
        if inbox.mails:
            return inbox
        pace = yield from go_on_waiting(actor, inbox, pace, seconds)


def go_on_waiting(actor: Actor, inbox: Inbox, pace: Pace, seconds: float) -> Op[Pace]:
    """Wait on, at a pace already begun and `seconds` in all, until something lies behind an inbox without mails. Raises TimedOut."""
    yield from seen(actor, inbox)  # what is not shown is passed, so that polling stays two reads
    at = Cursor(direct=inbox.direct, broadcast=inbox.broadcast)
    while pace.waited < seconds:
        pace = yield from waiting.pause(pace, seconds, until=tuple(keys.slot(*place) for place in _next(actor.agent, at)))
        at, heads = yield from _glance((yield from act(actor)).agent)
        if any(heads):
            return pace
    raise TimedOut(f"nothing new in {seconds:g} s", "wait again, or get on with something else", waited=seconds)


def _next(agent: str, cursor: Cursor) -> tuple[tuple[str, int], tuple[str, int]]:
    return (agent, cursor.direct), (keys.BROADCAST, cursor.broadcast)


def _glance(agent: str) -> Op[tuple[Cursor, list[fx.Object | Damaged | None]]]:
    """The cursor as this machine knows it, and what lies just behind it in each mailbox, any gap there filled now and then."""
    cursor = yield from _cursor(agent, fresh=False)
    heads = yield from logs.heads(_next(agent, cursor))
    if not any(heads) and (yield from _gaps_due(agent)) and (yield from logs.fill_gaps(_next(agent, cursor))):
        heads = yield from logs.heads(_next(agent, cursor))
    return cursor, heads


def _gaps_due(agent: str) -> Op[bool]:
    """Whether this machine has not looked for gaps for a while; from now on it has."""
    now, name = (yield from fx.now()), "gaps:" + agent
    try:
        last = float((yield from fx.recall(name)) or b"-inf")
    except ValueError:  # an odd hint is no hint
        last = float("-inf")
    if 0 <= now - last < GAPS:
        return False
    yield from fx.remember(name, b"%r" % now)
    return True


def recent(actor: Actor, limit: int = 20) -> Op[Inbox]:
    """The newest messages of both mailboxes, read or not; the cursor stays."""
    from windlass.ops.together import together

    me = yield from act(actor)
    cursor = yield from _cursor(me.agent, fresh=False)
    direct, broadcast = yield from together(
        logs.newest(me.agent, cursor.direct, limit), logs.newest(keys.BROADCAST, cursor.broadcast, limit)
    )
    starts = [box[0].slot if box else 0 for box in (direct, broadcast)]
    every = _shown(me.agent, Cursor(direct=starts[0], broadcast=starts[1]), direct, broadcast, 2 * limit)
    more = any(starts) or len(every.mails) > limit
    return every.but(mails=every.mails[-limit:], more=more)


def all_(actor: Actor, limit: int = 1_000_000) -> Op[Inbox]:
    """Every message from the first on, up to `limit`; the cursor stays."""
    from windlass.ops.together import together

    me = yield from act(actor)
    direct, broadcast = yield from together(logs.read_whole(me.agent, limit), logs.read_whole(keys.BROADCAST, limit))
    return _shown(me.agent, Cursor(), direct, broadcast, limit)


def read(ident: str) -> Op[Mail]:
    """One message, whole. Raises NotFound, UsageError, Damaged."""
    return (yield from _read_one(*keys.parse_message_id(ident)))


def _read_one(mailbox: str, number: int) -> Op[Mail]:
    found = yield from fx.read(keys.slot(mailbox, number))
    ident = keys.message_id(mailbox, number)
    if found is None:
        raise NotFound(f"there is no message {ident}", "see: windlass inbox", id=ident)
    message = decode(Message, found.key, found.body)
    if message.moved_to is not None:
        raise Moved(message.moved_to)
    if message.void:
        raise NotFound(f"there is no message {ident}: its slot only closes a gap", "see: windlass inbox", id=ident)
    return Mail(id=ident, mailbox=mailbox, slot=number, message=message)


def ack(actor: Actor, ident: str) -> Op[bool]:
    """Acknowledge a message addressed to the caller; False where it was acknowledged before. Raises NotFound, UsageError."""
    mailbox, number = keys.parse_message_id(ident)
    if mailbox not in (actor.agent, keys.BROADCAST):
        raise UsageError(f"{ident} was not sent to {actor.agent}", "only a recipient acknowledges a message", id=ident)
    yield from _read_one(mailbox, number)
    me = yield from act(actor)
    fresh = Ack(agent=me.agent, at=(yield from fx.now()), write_id="")
    before = yield from fx.read(keys.ack(mailbox, number, me.agent))
    yield from registers.create(keys.ack(mailbox, number, me.agent), fresh, Ack)
    return before is None


def receipts(ident: str) -> Op[list[Receipt]]:
    """How far a message got: its recipient, or for a broadcast every agent but the sender. Raises NotFound."""
    mailbox, number = keys.parse_message_id(ident)
    mail = yield from _read_one(mailbox, number)
    if mailbox == keys.BROADCAST:
        agents = [name for name in (yield from agent_names()) if name != mail.message.sender]
    else:
        agents = [mailbox]
    found = yield from fx.gather_reads([key for name in agents for key in (keys.ack(mailbox, number, name), keys.cursor(name))])
    out = []
    for i, name in enumerate(agents):
        acked, cursor = registers.of(found[2 * i], Ack), registers.of(found[2 * i + 1], Cursor)
        upto = 0 if cursor is None else cursor.doc.broadcast if mailbox == keys.BROADCAST else cursor.doc.direct
        state = "acked" if acked else "delivered" if upto > number else "sent"
        out.append(Receipt(agent=name, state=state, at=acked.doc.at if acked else 0.0))
    return out


def agent_names() -> Op[list[str]]:
    """Every agent that ever acted here, sorted."""
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.AGENTS, after)
        names += [name for name in (keys.parse_agent(entry.key) for entry in page.entries) if name]
        after = page.more
    return sorted(names)


def count_unread(agent: str) -> Op[int]:
    """How many messages are new for an agent, counted without reading more than it must; at most 100."""
    try:
        return len((yield from _peek(agent)).mails)
    except WindlassError:
        return 0


def _peek(agent: str) -> Op[Inbox]:
    from windlass.ops.together import together

    found = yield from registers.fetch(keys.cursor(agent), Cursor)

    def broadcasts() -> Op[tuple[Cursor, list[Mail]]]:
        if found:
            return found.doc, (yield from logs.read(keys.BROADCAST, found.doc.broadcast, 100))
        end = yield from logs.tail(keys.BROADCAST)
        cursor = Cursor(broadcast=max(0, end - NEWCOMER))
        return cursor, ((yield from logs.read(keys.BROADCAST, cursor.broadcast, 100)) if end else [])

    direct, (cursor, broadcast) = yield from together(logs.read(agent, found.doc.direct if found else 0, 100), broadcasts())
    return _shown(agent, cursor, direct, broadcast, 100)
