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
    while True:
        won = yield from _take(mailbox, number, write_id, body)
        if won:
            yield from _keep(mailbox, number + 1)
            return number
        number = yield from tail(mailbox, number + 1)


def _take(mailbox: str, number: int, write_id: str, body: bytes) -> Op[bool]:
    """Try one slot until it is known who has it, with a look at its predecessor at the same time."""
    sending = fx.Put(key=keys.slot(mailbox, number), body=body, condition=fx.IfAbsent())
    before: object = None
    if number:
        answer, before = yield from fx.gather([sending, fx.Get(key=keys.slot(mailbox, number - 1))])
    else:
        (answer,) = yield from fx.gather([sending])
    won = yield from _settle(sending, answer, write_id)
    try:
        if isinstance(before, Exception):
            (before,) = yield from _slots(mailbox, [number - 1])
        if number and before is None:
            yield from _fill(mailbox, number)
    except StoreError as error:
        if won:
            raise _unknown(sending.key) from error
        raise
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


def _fill(mailbox: str, number: int) -> Op[None]:
    """A hint led beyond the end: fill the gap upward with void entries, so that readers never stop for ever.

    Found by listing: other hints may have left islands in the gap, which would fool a search by reads.
    """
    there: set[str] = set()
    after: str | None = ""
    while after is not None and after < keys.slot(mailbox, number):
        page = yield from fx.page(keys.slots(mailbox), after)
        there.update(entry.key for entry in page.entries)
        after = page.more
    gap = [key for key in (keys.slot(mailbox, slot) for slot in range(number)) if key not in there]
    for start in range(0, len(gap), READ_AHEAD):
        voids = []
        for key in gap[start : start + READ_AHEAD]:
            void = Message(void=True, write_id=(yield from fx.new_id()))
            voids.append((void.write_id, fx.Put(key=key, body=encode(void), condition=fx.IfAbsent())))
        answers = yield from fx.gather([sending for _, sending in voids])
        for (write_id, sending), answer in zip(voids, answers, strict=True):
            yield from _settle(sending, answer, write_id)


def _slots(mailbox: str, numbers: Iterable[int]) -> Op[list[fx.Object | Damaged | None]]:
    """Several slots at once; an object that no store would read is there, but damaged. Raises StoreError."""
    found: list[Any] = yield from fx.gather([fx.Get(key=keys.slot(mailbox, number)) for number in numbers])
    for one in found:
        if isinstance(one, Exception) and not isinstance(one, Damaged):
            raise one
    return found


def read(mailbox: str, start: int, limit: int) -> Op[list[Mail]]:
    """Up to `limit` entries from slot `start`, one for each slot, void and damaged ones too.

    One GET where there is nothing new. Long stretches are read by segments, and a missing segment is written.
    """
    out: list[Mail] = []
    number, ahead = start, 1
    while len(out) < limit:
        if number % SEGMENT == 0 and limit - len(out) >= SEGMENT:
            copies = yield from _segments(mailbox, number, (limit - len(out)) // SEGMENT)
            out += copies
            number += len(copies)
            if copies:
                ahead = READ_AHEAD
                continue
        ahead = min(ahead, limit - len(out), SEGMENT - number % SEGMENT)
        for slot in (yield from _slots(mailbox, range(number, number + ahead))):
            if slot is None:
                return out
            out.append(_mail(mailbox, number, slot))
            number += 1
        ahead = READ_AHEAD
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
    slots = [slot for slot in (yield from _slots(mailbox, range(first, first + SEGMENT))) if slot is not None]
    if len(slots) < SEGMENT:
        return None
    mails = [_mail(mailbox, first + i, slot) for i, slot in enumerate(slots)]
    whole = [slot for slot in slots if isinstance(slot, fx.Object)]
    if not any(mail.damaged for mail in mails) and sum(len(slot.body) for slot in whole) <= SEGMENT_BYTES:
        copy = Segment(first=first, slots=tuple(parse(slot.key, slot.body) for slot in whole))
        try:
            yield from create(keys.segment(mailbox, number), copy, Segment)
        except WindlassError:  # a reader without the right to write still reads
            yield from fx.tell("segment not written")
    return mails
