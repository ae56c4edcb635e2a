"""Logs: objects numbered 0, 1, 2 … without gaps, each created once. The only append loop and the only log reader."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, Indeterminate, Moved, PutRefused, PutUnclear, StoreError, Unavailable, WindlassError
from windlass.ops.registers import RESEND, create
from windlass.protocol import keys
from windlass.protocol.codec import decode, encode, parse
from windlass.protocol.mail import SEGMENT, SEGMENT_BYTES, Mail, Message, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from windlass.effects import Op

READ_AHEAD = 64
"""Slots asked for at once by a reader that found something."""


def hint(mailbox: str) -> Op[int]:
    """The tail as this machine last saw it, 0 where it knows nothing."""
    note = yield from fx.recall("tail:" + mailbox)
    return int(note) if note and note.isdigit() and len(note) <= 10 else 0


def _keep(mailbox: str, tail: int) -> Op[None]:
    yield from fx.remember("tail:" + mailbox, str(tail).encode())


def tail(mailbox: str, start: int = 0) -> Op[int]:
    """The first slot that is absent, found by reads: galloping up from `start`, or from 0 where `start` is beyond the end."""
    low = start
    if start and (yield from _slots(mailbox, [start - 1]))[0] is None:
        low = 0
    jumps = [low] + [low + (1 << n) for n in range(6)]
    while True:  # invariant: every slot below `low` is there
        found = yield from _slots(mailbox, jumps)
        absent = next((i for i, slot in enumerate(found) if slot is None), None)
        if absent is None:
            low = jumps[-1] + 1
            span = max(64, low - start)
            jumps = [low] + [low + (span << n) for n in range(6)]
            continue
        high = jumps[absent]
        low = jumps[absent - 1] + 1 if absent else low
        if low >= high:
            return high
        width = max(1, (high - low) // 8)
        jumps = sorted({*range(low, high, width), high})


def append(mailbox: str, message: Message) -> Op[int]:
    """Append to a mailbox; the slot it got. Raises Moved, Indeterminate, StoreError."""
    write_id = message.write_id or (yield from fx.new_id())
    body = encode(message.but(write_id=write_id))
    number = yield from hint(mailbox)
    while not (yield from _take(mailbox, number, write_id, body)):
        number = yield from end(mailbox, number)
    yield from _keep(mailbox, number + 1)
    return number


def append_once(mailbox: str, message: Message, start: int, *, look: bool) -> Op[tuple[int, bool]]:
    """Append a message that others may be appending too, at `start` or behind; its slot, and whether it was found there.

    No slot from `start` on is passed without a look whether it holds the message, so it is never there twice. `look`: it may be
    there already. Raises Moved, Indeterminate, StoreError.
    """
    body = encode(message)
    number = start
    while True:
        while look and (mails := (yield from read(mailbox, number, SEGMENT))):
            for mail in mails:
                if mail.message.write_id == message.write_id:
                    return mail.slot, True
                if mail.message.moved_to is not None:
                    raise Moved(mail.message.moved_to)
            number += len(mails)
        if (yield from _take(mailbox, number, message.write_id, body)):
            yield from _keep(mailbox, number + 1)
            return number, False
        number, look = number + 1, True


def _take(mailbox: str, number: int, write_id: str, body: bytes) -> Op[bool]:
    """Try one slot until it is known who has it, with a look at its predecessor at the same time."""
    sending = fx.Put(key=keys.slot(mailbox, number), body=body, condition=fx.IfAbsent())
    before: object = None
    if number:
        answer, before = yield from fx.gather([sending, fx.Get(key=keys.slot(mailbox, number - 1))])
    else:
        (answer,) = yield from fx.gather([sending])
    if isinstance(answer, StoreError):
        raise answer
    trouble: StoreError | None = None
    try:
        if isinstance(before, Exception):
            (before,) = yield from _slots(mailbox, [number - 1])
        if number and before is None:  # first of all: until then no reader gets past the gap
            yield from mend(mailbox, 0, number)
    except StoreError as error:
        trouble = error
    won = yield from _settle(sending, answer, write_id)
    if trouble is not None:
        raise (_unknown(sending.key) if won else trouble) from trouble
    if isinstance(before, fx.Object):
        _is_ours(before, write_id)  # a log that has ended takes nothing after its end
    return won


def _settle(sending: fx.Put, answer: object, write_id: str) -> Op[bool]:
    """Whether the slot is ours. Raises Moved where the log has ended, Indeterminate, StoreError."""
    unclear = False
    for wait in (*RESEND[1:], None):
        if isinstance(answer, (PutRefused, PutUnclear)):
            unclear = True
        elif isinstance(answer, StoreError) and unclear:
            raise _unknown(sending.key) from answer
        elif isinstance(answer, Exception):
            raise answer
        else:
            return True
        try:
            found = yield from fx.read(sending.key)
        except Unavailable:
            found = None
        except Damaged:  # taken, by something that nobody can read
            return False
        except StoreError as error:
            raise _unknown(sending.key) from error
        if found is not None:
            return _is_ours(found, write_id)
        if wait is None:
            break
        yield from fx.sleep(0 if wait == RESEND[1] else wait)
        (answer,) = yield from fx.gather([sending])
    raise _unknown(sending.key)


def _unknown(key: str) -> Indeterminate:
    return Indeterminate("the store did not say whether the message landed", "look: windlass log; then send again", key=key)


def _is_ours(found: fx.Object, write_id: str) -> bool:
    try:
        there = decode(Message, found.key, found.body)
    except Damaged:  # a slot that is taken is taken, whatever is in it
        return False
    if there.write_id == write_id:
        return True
    if there.moved_to is not None:
        raise Moved(there.moved_to)
    return False


def is_taken(mailbox: str, number: int) -> Op[bool]:
    """Whether a slot is there, damaged or not. Raises StoreError."""
    return (yield from _slots(mailbox, [number]))[0] is not None


def end(mailbox: str, taken: int) -> Op[int]:
    """Where to append, where slot `taken` turned out to be taken: the first slot behind all others, any gap near it filled.

    By LIST, since a search by reads can end on an island: what a sender left behind that had a hint from before a restore
    and died before it filled the gap. Raises Moved, Indeterminate, StoreError.
    """
    page = yield from fx.page(keys.slots(mailbox), _before(mailbox, taken), READ_AHEAD)
    there = {taken, *_numbers(page)}
    if page.more is None:
        return (yield from _close(mailbox, taken, there, 0))
    if max(there) - taken >= len(there):  # a gap already
        return (yield from mend(mailbox, taken, taken + 1))
    far = yield from tail(mailbox, taken + 1)
    return (yield from mend(mailbox, max(0, far - READ_AHEAD), far))


def mend(mailbox: str, start: int, upto: int = 0) -> Op[int]:
    """The end of a log, found by LIST from a slot that is there (or 0), after gaps behind it and before `upto` were filled.

    Raises Moved, Indeterminate, StoreError.
    """
    there: set[int] = set()
    after: str | None = _before(mailbox, start)
    while after is not None:
        page = yield from fx.page(keys.slots(mailbox), after)
        there |= _numbers(page)
        after = page.more
    if start and start not in there:
        return (yield from mend(mailbox, 0, upto))
    return (yield from _close(mailbox, start, there, upto))


def _before(mailbox: str, number: int) -> str:
    return keys.slot(mailbox, number - 1) if number else ""


def _numbers(page: fx.Page) -> set[int]:
    return {slot[1] for slot in (keys.parse_slot(entry.key) for entry in page.entries) if slot}


def _close(mailbox: str, start: int, there: set[int], upto: int) -> Op[int]:
    """Fill what is missing from `start` on with void entries, so that readers never stop for ever; the log's end."""
    first_free = max([upto, start, *(number + 1 for number in there)])
    gap = [number for number in range(start, first_free) if number not in there]
    for first in range(0, len(gap), READ_AHEAD):
        voids = []
        for number in gap[first : first + READ_AHEAD]:
            void = Message(void=True, write_id=(yield from fx.new_id()))
            voids.append((void.write_id, fx.Put(key=keys.slot(mailbox, number), body=encode(void), condition=fx.IfAbsent())))
        answers = yield from fx.gather([sending for _, sending in voids])
        for (write_id, sending), answer in zip(voids, answers, strict=True):
            yield from _settle(sending, answer, write_id)
    return first_free


def readable_end(mailbox: str, start: int) -> Op[int]:
    """As `mend` for a reader, who may not be allowed to fill a gap: then the end is where it can read to. Raises StoreError."""
    try:
        return (yield from mend(mailbox, start))
    except WindlassError:
        yield from fx.tell("a gap in a mailbox was not filled")
        return (yield from tail(mailbox, start))


def _slots(mailbox: str, numbers: Iterable[int]) -> Op[list[fx.Object | Damaged | None]]:
    """Several slots at once; an object that no store would read is there, but damaged. Raises StoreError."""
    found: list[Any] = yield from fx.gather([fx.Get(key=keys.slot(mailbox, number)) for number in numbers])
    for one in found:
        if isinstance(one, Exception) and not isinstance(one, Damaged):
            raise one
    return found


def read(mailbox: str, start: int, limit: int) -> Op[list[Mail]]:
    """Up to `limit` entries from slot `start`, one for each slot, void and damaged ones too.

    One GET where there is nothing new. Long stretches are read by segments, and a missing segment is written. A gap before an
    entry is filled.
    """
    out: list[Mail] = []
    number, ahead, mended = start, 1, False
    while len(out) < limit:
        if number % SEGMENT == 0 and limit - len(out) >= SEGMENT:
            copies = yield from _segments(mailbox, number, (limit - len(out)) // SEGMENT)
            out += copies
            number += len(copies)
            if copies:
                ahead = READ_AHEAD
                continue
        ahead = min(ahead, limit - len(out), SEGMENT - number % SEGMENT)
        slots = yield from _slots(mailbox, range(number, number + ahead))
        there = slots.index(None) if None in slots else len(slots)
        out += [_mail(mailbox, number + n, slot) for n, slot in enumerate(slots[:there]) if slot is not None]
        number += there
        if there < len(slots):
            if mended or not any(slots[there:]) or (yield from readable_end(mailbox, max(0, number - 1))) <= number:
                return out
            mended = True
        ahead = READ_AHEAD
    return out


def read_whole(mailbox: str, limit: int) -> Op[list[Mail]]:
    """Up to `limit` entries from the first on, with one LIST behind them: whatever is there is read."""
    out = yield from read(mailbox, 0, limit)
    if len(out) < limit and (yield from readable_end(mailbox, max(0, len(out) - 1))) > len(out):
        out += yield from read(mailbox, len(out), limit - len(out))
    return out


def _mail(mailbox: str, number: int, slot: fx.Object | Damaged) -> Mail:
    try:
        if isinstance(slot, Damaged):
            raise slot
        message, why = decode(Message, slot.key, slot.body), ""
    except Damaged as error:  # reported with its key; the rest goes on
        message, why = Message(void=True), str(error)
    return Mail(id=keys.message_id(mailbox, number), mailbox=mailbox, slot=number, message=message, damaged=why)


def _segments(mailbox: str, start: int, count: int) -> Op[list[Mail]]:
    """The full segments from `start` on, without a hole; missing ones that could be written are."""
    out: list[Mail] = []
    first = start // SEGMENT
    wave = 1
    while count > 0:
        wave = min(wave, count)
        numbers = range(first, first + wave)
        found = yield from fx.gather([fx.Get(key=keys.segment(mailbox, n)) for n in numbers])
        for number, copy in zip(numbers, found, strict=True):
            mails = _unpack(mailbox, number, copy) if isinstance(copy, fx.Object) else None
            if mails is None:
                mails = yield from _write_segment(mailbox, number)
            if mails is None:
                return out
            out += mails
        first, count, wave = first + wave, count - wave, min(wave * 4, 16)
    return out


def _unpack(mailbox: str, number: int, copy: fx.Object) -> list[Mail] | None:
    import json

    first = number * SEGMENT
    try:
        segment = decode(Segment, copy.key, copy.body)
        if len(segment.slots) != SEGMENT or segment.first != first:
            return None
        return [
            Mail(
                id=keys.message_id(mailbox, first + i),
                mailbox=mailbox,
                slot=first + i,
                message=decode(Message, copy.key, json.dumps(slot).encode()),
            )
            for i, slot in enumerate(segment.slots)
        ]
    except WindlassError:  # only a copy: the slots are the truth
        return None


def _write_segment(mailbox: str, number: int) -> Op[list[Mail] | None]:
    """Read 256 slots and, if all are there, leave a copy for the next reader; None where the log ends before."""
    first = number * SEGMENT
    if (yield from _slots(mailbox, [first + SEGMENT - 1]))[0] is None:
        return None
    slots = yield from _slots(mailbox, range(first, first + SEGMENT))
    if None in slots:
        yield from readable_end(mailbox, first)
        slots = yield from _slots(mailbox, range(first, first + SEGMENT))
    if None in slots:
        return None
    mails = [_mail(mailbox, first + i, slot) for i, slot in enumerate(slots) if slot is not None]
    whole = [slot for slot in slots if isinstance(slot, fx.Object)]
    if not any(mail.damaged or mail.message.moved_to for mail in mails) and sum(len(slot.body) for slot in whole) <= SEGMENT_BYTES:
        copy = Segment(first=first, slots=tuple(parse(slot.key, slot.body) for slot in whole))
        try:
            yield from create(keys.segment(mailbox, number), copy, Segment)
        except WindlassError:  # a reader without the right to write still reads
            yield from fx.tell("segment not written")
    return mails
