"""Logs: objects numbered 0, 1, 2 … without gaps, each created once. The only append loop and the only log reader."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, Indeterminate, Moved, PutRefused, PutUnclear, StoreError, Unavailable, WindlassError
from windlass.ops.registers import RESEND, back_off
from windlass.protocol import keys
from windlass.protocol.codec import decode, document, encode, parse
from windlass.protocol.mail import SEGMENT, SEGMENT_BYTES, Mail, Message, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from windlass.effects import Op

READ_AHEAD = 64
"""Slots asked for at once, at most, by a reader that finds more and more."""
NEAR = 256
"""Slots behind a taken one among which the end is looked for by one LIST."""
FAR = 512
"""Slots before the end to which a search by reads goes before a LIST finds it."""
COPIED = 4
"""Segments read slot by slot at once."""


def hint(mailbox: str) -> Op[int]:
    """The tail as this machine last saw it, 0 where it knows nothing."""
    note = yield from fx.recall("tail:" + mailbox)
    return int(note) if note and note.isdigit() and len(note) <= 10 else 0


def _keep(mailbox: str, tail: int) -> Op[None]:
    yield from fx.remember("tail:" + mailbox, str(tail).encode())


def tail(mailbox: str, start: int = 0, within: int = 0) -> Op[int]:
    """The first slot that is absent, found by reads: galloping up from `start`, or from 0 where `start` is beyond the end.

    With `within` a slot before it, at most so many.
    """
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
        if high - low <= within:
            return low
        width = max(1, (high - low) // 8)
        jumps = sorted({*range(low, high, width), high})


def append(mailbox: str, message: Message) -> Op[int]:
    """Append to a mailbox; the slot it got. Raises Moved, Indeterminate, StoreError."""
    write_id = message.write_id or (yield from fx.new_id())
    body = encode(message.but(write_id=write_id))
    number, lost = (yield from hint(mailbox)), 0
    while not (yield from _take(mailbox, number, write_id, body)):
        yield from back_off(lost)
        number, lost = (yield from end(mailbox, number)), lost + 1
    yield from _keep(mailbox, number + 1)
    return number


def append_once(mailbox: str, message: Message, start: int, *, look: bool) -> Op[tuple[int, bool]]:
    """Append a message that others may be appending too, at `start` or behind; its slot, and whether it was found there.

    No slot from `start` on is passed without a look whether it holds the message, so it is never there twice. `look`: it may be
    there already. Raises Moved, Indeterminate, StoreError.
    """
    body = encode(message)
    number, lost = start, 0
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
        yield from back_off(lost)
        lost += 1


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
    return (yield from _end(mailbox, taken, {taken}))


def _end(mailbox: str, start: int, there: set[int]) -> Op[int]:
    page = yield from fx.page(keys.slots(mailbox), _before(mailbox, start), NEAR)
    there |= _numbers(page)
    if start and start not in there:  # from before a restore
        return (yield from mend(mailbox, 0))
    if page.more is None:
        return (yield from _close(mailbox, start, there, 0))
    if max(there) - start >= len(there):  # a gap already
        return (yield from mend(mailbox, start, start + 1))
    far = yield from tail(mailbox, max(start + len(there), (yield from hint(mailbox))), within=FAR)
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
    return _readable((yield from fx.gather([fx.Get(key=keys.slot(mailbox, number)) for number in numbers])))


def _readable(found: list[Any]) -> list[fx.Object | Damaged | None]:
    for one in found:
        if isinstance(one, Exception) and not isinstance(one, Damaged):
            raise one
    return found


def newest(mailbox: str, read_to: int, limit: int) -> Op[list[Mail]]:
    """The newest `limit` entries, found by LIST from where one has read to, and after a gap near them was filled."""
    try:
        upto = yield from _end(mailbox, max(0, read_to - 1), set())
        yield from _keep(mailbox, upto)
    except WindlassError:  # a reader may not be allowed to fill a gap
        yield from fx.tell("a gap in a mailbox was not filled")
        upto = yield from tail(mailbox, read_to)
    start = max(0, upto - limit)
    return (yield from read(mailbox, start, upto - start, READ_AHEAD))


def read(mailbox: str, start: int, limit: int, ahead: int = 1) -> Op[list[Mail]]:
    """Up to `limit` entries from slot `start`, one for each slot, void and damaged ones too; `ahead` slots are asked for at first.

    One GET where there is nothing new. Long stretches are read by segments, and a missing segment is written. A gap before an
    entry is filled.
    """
    out: list[Mail] = []
    number, mended = start, False
    while len(out) < limit:
        if number % SEGMENT == 0 and limit - len(out) >= SEGMENT:
            copies = yield from _segments(mailbox, number, (limit - len(out)) // SEGMENT)
            out += copies
            number += len(copies)
            if copies:
                ahead = READ_AHEAD
                continue
        slots = yield from _slots(mailbox, range(number, number + min(ahead, limit - len(out), SEGMENT - number % SEGMENT)))
        there = slots.index(None) if None in slots else len(slots)
        out += [_mail(mailbox, number + n, slot) for n, slot in enumerate(slots[:there]) if slot is not None]
        number += there
        if there < len(slots):
            if mended or not any(slots[there:]) or (yield from readable_end(mailbox, max(0, number - 1))) <= number:
                return out
            mended = True
        ahead = min(4 * ahead, READ_AHEAD)
    return out


def heads(places: Sequence[tuple[str, int]]) -> Op[list[fx.Object | Damaged | None]]:
    """One slot of each of several mailboxes, for `read_on`: whether there is anything new. Raises StoreError."""
    return _readable((yield from fx.gather([fx.Get(key=keys.slot(mailbox, number)) for mailbox, number in places])))


def fill_gaps(places: Sequence[tuple[str, int]]) -> Op[bool]:
    """Fill the gap where entries lie behind a slot that is not there, in each of several mailboxes; whether there was one.

    A sender leaves one behind that had a hint from before a restore and died. Raises StoreError.
    """
    listed = [fx.List(prefix=keys.slots(mailbox), after=keys.slot(mailbox, number), limit=1) for mailbox, number in places]
    found = False
    for (mailbox, number), page in zip(places, (yield from fx.gather(listed)), strict=True):
        if isinstance(page, Exception):
            raise page
        if page.entries:
            found = (yield from readable_end(mailbox, max(0, number - 1))) > number or found
    return found


def read_on(mailbox: str, start: int, limit: int, head: fx.Object | Damaged | None) -> Op[list[Mail]]:
    """As `read`, where slot `start` was just read: `head` is what was there."""
    if head is None:
        return []
    if limit >= SEGMENT:
        return (yield from read(mailbox, start, limit))
    return [_mail(mailbox, start, head), *(yield from read(mailbox, start + 1, limit - 1, 2))]


def read_whole(mailbox: str, limit: int) -> Op[list[Mail]]:
    """Up to `limit` entries from the first on, with one LIST behind the segments: whatever is there is read."""
    out = yield from _segments(mailbox, 0, limit // SEGMENT)
    upto = yield from readable_end(mailbox, max(0, len(out) - 1))
    return out + (yield from read(mailbox, len(out), min(limit, upto) - len(out), SEGMENT))


def _mail(mailbox: str, number: int, slot: fx.Object | Damaged) -> Mail:
    try:
        if isinstance(slot, Damaged):
            raise slot
        message, why = decode(Message, slot.key, slot.body), ""
    except Damaged as error:  # reported with its key; the rest goes on
        message, why = Message(void=True), str(error)
    return Mail(id=keys.message_id(mailbox, number), mailbox=mailbox, slot=number, message=message, damaged=why)


def _segments(mailbox: str, start: int, count: int) -> Op[list[Mail]]:
    """The full segments from `start` on, without a hole. Missing ones are read slot by slot, and copies left for the next reader."""
    out: list[Mail] = []
    copies: list[fx.Put] = []
    first, wave = start // SEGMENT, 1
    while count > 0:
        wave = min(wave, count)
        numbers = range(first, first + wave)
        found = yield from _beside(copies, [fx.Get(key=keys.segment(mailbox, n)) for n in numbers])
        there = {n: mails for n, copy in zip(numbers, found, strict=True) if (mails := _unpack(mailbox, n, copy)) is not None}
        missing = [n for n in numbers if n not in there]
        for some in range(0, len(missing), COPIED):
            wanted = missing[some : some + COPIED]
            made = yield from _from_slots(mailbox, wanted, copies)
            there |= made
            if len(made) < len(wanted):
                break
        whole = next((i for i, n in enumerate(numbers) if n not in there), wave)
        for n in numbers[:whole]:
            out += there[n]
        if whole < wave:
            break
        first, count, wave = first + wave, count - wave, min(wave * 8, 16)
    yield from _beside(copies, [])
    return out


def _unpack(mailbox: str, number: int, copy: object) -> list[Mail] | None:
    if not isinstance(copy, fx.Object):
        return None
    first = number * SEGMENT
    try:
        segment = decode(Segment, copy.key, copy.body)
        if len(segment.slots) != SEGMENT or segment.first != first:
            return None
        return [
            Mail(id=keys.message_id(mailbox, n), mailbox=mailbox, slot=n, message=document(Message, copy.key, slot))
            for n, slot in enumerate(segment.slots, first)
        ]
    except WindlassError:  # only a copy: the slots are the truth
        return None


def _from_slots(mailbox: str, numbers: Sequence[int], copies: list[fx.Put]) -> Op[dict[int, list[Mail]]]:
    """Segments read slot by slot, up to the first one that is not full; copies of them are added to `copies`, which are sent meanwhile."""
    lasts = yield from _slots(mailbox, [n * SEGMENT + SEGMENT - 1 for n in numbers])
    full = numbers[: lasts.index(None)] if None in lasts else numbers
    wanted = [n * SEGMENT + i for n in full for i in range(SEGMENT - 1)]
    rest = _readable((yield from _beside(copies, [fx.Get(key=keys.slot(mailbox, n)) for n in wanted])))
    made: dict[int, list[Mail]] = {}
    for i, number in enumerate(full):
        slots = [*rest[i * (SEGMENT - 1) : (i + 1) * (SEGMENT - 1)], lasts[i]]
        first = number * SEGMENT
        if None in slots:
            yield from readable_end(mailbox, first)
            slots = yield from _slots(mailbox, range(first, first + SEGMENT))
        if None in slots:
            break
        mails = made[number] = [_mail(mailbox, first + i, slot) for i, slot in enumerate(slots) if slot is not None]
        whole = [slot for slot in slots if isinstance(slot, fx.Object)]
        if not any(mail.damaged or mail.message.moved_to for mail in mails) and sum(len(slot.body) for slot in whole) <= SEGMENT_BYTES:
            copies += yield from _copy(mailbox, number, whole)
    return made


def _copy(mailbox: str, number: int, slots: Sequence[fx.Object]) -> Op[list[fx.Put]]:
    """The write that leaves a copy of 256 slots; none where they cannot be copied."""
    copy = Segment(first=number * SEGMENT, slots=tuple(parse(slot.key, slot.body) for slot in slots), write_id=(yield from fx.new_id()))
    try:
        return [fx.Put(key=keys.segment(mailbox, number), body=encode(copy), condition=fx.IfAbsent())]
    except WindlassError:  # nested as deep as a message may be
        return []


def _beside(copies: list[fx.Put], effects: Sequence[fx.Effect]) -> Op[list[Any]]:
    """Carry out effects and at the same time send the copies that are ready: whatever becomes of these costs requests, no more."""
    if not effects and not copies:
        return []
    answers = yield from fx.gather([*effects, *copies])
    if any(isinstance(one, WindlassError) and not isinstance(one, PutRefused) for one in answers[len(effects) :]):
        yield from fx.tell("segment not written")  # a reader without the right to write still reads
    copies.clear()
    return answers[: len(effects)]
