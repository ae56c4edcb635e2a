"""Moving a project: freeze the source so that no late write is accepted, copy everything, compare, open the destination.

Every part can be run again after a crash. The source is frozen by its own records: steps get a new epoch, memory keys a
new version, mailboxes a last entry; whoever meets one of them is told where the project went. The destination is closed
by its marker until all is there. A store that a project left takes it back: while it is closed, newer copies win.
Artifacts and workspaces are frozen too, so that no upload under way publishes anything here; its blobs go along for nothing.
"""

from __future__ import annotations

import json

from windlass import effects as fx
from windlass.errors import Damaged, Lost, Moved, NotFound, UsageError, WindlassError
from windlass.ops import logs, pending, registers, waiting
from windlass.ops.mail import agent_names
from windlass.ops.memory import archive
from windlass.ops.status import agents
from windlass.ops.survey import signs, survey
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, MARGIN, Keeper, Presence
from windlass.protocol.artifacts import Artifact
from windlass.protocol.codec import decode, encode
from windlass.protocol.mail import Message
from windlass.protocol.memory import Memory
from windlass.protocol.project import Marker
from windlass.protocol.steps import Step
from windlass.protocol.transitions import Act, frozen
from windlass.protocol.workspaces import Workspace, recorded
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.registers import Version, Write

AT_ONCE = 64
"""Reads in flight."""
LEFT_BEHIND = (keys.PRESENCE, "clock/", "segments/", keys.PENDING, keys.BOARD, keys.SURVEY, keys.MARKER)
"""What has no meaning elsewhere, or is made anew there."""
NOT_FROZEN = (keys.AGENTS, "cursors/", "sent/", keys.SWEEP)
"""What may still change at the source while it is moved; the destination is closed, so the newer copy wins."""


class Moving(Record):
    """How a move came out. `left`: keys of objects so large that no store of ours reads them."""

    to: str
    objects: int = 0
    late: int = 0
    """Objects that commands under way wrote after the first pass, and that were brought along."""
    left: tuple[str, ...] = ()


class Frozen(Record):
    """What a freeze made at the source, and what stays there: the slot of each mailbox's last entry, archived copies of live values."""

    ends: Mapping[str, int]
    archived: frozenset[str]


def may_leave(to: str, *, force: bool) -> Op[Marker]:
    """The source's marker. Raises Lost while claims are live (unless `force`), Moved where it went elsewhere, NotFound."""
    found = yield from registers.fetch(keys.MARKER, Marker)
    if found is None:
        raise NotFound("there is no such project in this store", "see: windlass init, which lists them")
    marker = found.doc
    if marker.arriving_from is not None:
        raise WindlassError("this project has not fully arrived here", "run the move that brings it here again")
    if marker.moved_to not in (None, to):
        raise Moved(str(marker.moved_to))
    if marker.moved_to is None and not force:
        steps = yield from survey()
        over = {name for one in (yield from agents(steps)) for name in one.ran_out}
        live = [one for one in steps.steps.values() if one.agent and one.name not in over]
        if live:
            held = ", ".join(f"{one.name} ({one.agent})" for one in live[:5]) + (f" and {len(live) - 5} more" if len(live) > 5 else "")
            raise Lost(f"claims are live: {held}", "let them finish, or move anyway: --force", steps=[one.name for one in live])
    return marker


def prepare(project: str, source: str, leaving: Marker) -> Op[Marker]:
    """Close the destination until everything is there; its marker, whose last move is this one. Raises Lost where something else is there.

    An open destination comes back as it is where this very move was complete and only the source does not know it.
    """
    move = yield from fx.new_id()
    fresh = Marker(
        name=project,
        created_at=leaving.created_at,
        created_by=leaving.created_by,
        planned=leaving.planned,
        arriving_from=source,
        moves=(move,),
    )

    def decide(entry: Version[Marker] | None, write: Write) -> Marker:
        if entry is None:
            return fresh
        there = entry.doc
        if _same(there, leaving):
            if there.arriving_from == source or (leaving.moving and leaving.moves[-1:] and leaving.moves[-1] in there.moves):
                return there
            if there.arriving_from is not None or (there.moved_to is not None and not there.moving):
                # it lived there once, or was on its way there, and comes back
                return there.but(moved_to=None, arriving_from=source, moves=(*there.moves, move))
        what = f"there is a project {project} at the destination already"
        raise Lost(what, "choose another destination, or another --project", project=project)

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return move in now.moves

    now = yield from registers.update(keys.MARKER, Marker, decide, landed=landed)
    assert now is not None
    return now.doc


def _same(one: Marker, other: Marker) -> bool:
    return (one.created_at, one.created_by) == (other.created_at, other.created_by)


def announce(to: str, move: str) -> Op[None]:
    """Mark the source as moving. Raises Moved where another move was faster."""

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or entry.doc.moved_to == to:
            return entry.doc if entry else None
        if entry.doc.moved_to is not None:
            raise Moved(entry.doc.moved_to)
        return entry.doc.but(moved_to=to, moving=True, moves=(*entry.doc.moves, move))

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return move in now.moves

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)


def settle_down(mover: str) -> Op[None]:
    """Wait until every agent that acted in the last minute must look at the marker before it acts again.

    Agents of this machine are made to look at once; agents elsewhere look once a minute.
    """
    marker = yield from registers.fetch(keys.MARKER, Marker)
    assert marker is not None
    here = yield from _age_here()
    latest = yield from _elsewhere(here)
    if latest + FRESH + MARGIN < marker.modified:
        return
    mine = keys.clock("moving")
    pace = yield from waiting.begin()
    while True:
        yield from registers.overwrite(mine, Presence(agent=mover))
        own = yield from fx.read(mine)
        latest = max(latest, (yield from _elsewhere(here)))
        left = latest + FRESH + MARGIN - (own.modified if own else 0.0)
        if left <= 0:
            yield from fx.gather([fx.Delete(key=mine)])
            return
        yield from fx.tell(f"waiting up to {left:.0f} s for agents on other machines to notice")
        pace = yield from waiting.pause(pace, pace.waited + min(left, 2.0))


def _age_here() -> Op[set[tuple[str, int]]]:
    """Make what this machine remembers of who acts from here so old that they look; the incarnations that were remembered."""
    here: set[tuple[str, int]] = set()
    for agent, number in (yield from signs()):
        for given in ("", number):
            for keeper in Keeper:
                hint = f"me:{agent}:{given}:{keeper.value}"
                note = yield from fx.recall(hint)
                if note is None:
                    continue
                try:
                    known = {**json.loads(note), "seen_at": 0.0}
                    here.add((agent, known["incarnation"]))
                except (ValueError, KeyError, TypeError):  # an odd hint is nobody's
                    known = None
                yield from fx.remember(hint, json.dumps(known).encode() if known else None)
    return here


def _elsewhere(here: set[tuple[str, int]]) -> Op[float]:
    """The newest sign of life of an agent on another machine, by the store's clock."""
    return max((at for who, at in (yield from signs()).items() if who not in here), default=0.0)


def freeze(mover: str, to: str) -> Op[Frozen]:
    """Freeze every step, artifact, workspace, memory key and mailbox of the source; what is damaged cannot be written to by anybody."""

    def leave(entry: Version[Step] | None, write: Write) -> Step | None:
        return frozen(entry.doc, Act(agent=mover, incarnation=0, at=write.at, write_id=write.id), to) if entry else None

    def stop(entry: Version[Artifact] | None, write: Write) -> Artifact | None:
        return entry.doc.but(moved_to=to) if entry is not None and entry.doc.moved_to != to else entry.doc if entry else None

    def close(entry: Version[Workspace] | None, write: Write) -> Workspace | None:
        if entry is None or entry.doc.moved_to == to:
            return entry.doc if entry else None
        forming = "" if entry.doc.forming in done else entry.doc.forming
        return recorded(entry.doc, "move", mover, write.at, write.id, to, moved_to=to, forming=forming)

    yield from registers.update_all((yield from _names(keys.STEPS)), Step, leave, "freezing steps")
    yield from registers.update_all((yield from _names(keys.ARTIFACTS)), Artifact, stop, "freezing artifacts")
    done = yield from _end_uploads()
    yield from registers.update_all((yield from _names(keys.WORKSPACES)), Workspace, close, "freezing workspaces")
    archived: set[str] = set()
    for key in (yield from _names(keys.MEMORY)):
        archived |= yield from _freeze_memory(key, to)
    boxes = {keys.BROADCAST, *(yield from agent_names()), *(yield from _mailboxes())}
    ends: dict[str, int] = {}
    for mailbox in sorted(boxes):
        ends[mailbox] = yield from _end_log(mailbox, mover, to)
    return Frozen(ends=ends, archived=frozenset(archived))


def _end_uploads() -> Op[set[str]]:
    """Give up every upload under way, so that no fork is done after a part of it was frozen; those that are done."""
    done: set[str] = set()
    for key in (yield from _names(keys.PENDING)):
        ident = keys.parse_pending(key)
        try:
            if ident is not None and not (yield from pending.abandon(ident)):
                done.add(ident)
        except Damaged:  # nobody can finish it
            continue
    return done


def _entries(prefix: str) -> Op[list[fx.Entry]]:
    out: list[fx.Entry] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(prefix, after)
        out += page.entries
        after = page.more
    return out


def _names(prefix: str) -> Op[list[str]]:
    return [entry.key for entry in (yield from _entries(prefix))]


def _mailboxes() -> Op[list[str]]:
    found: tuple[str, ...] = yield fx.Folders(prefix=keys.MAIL)
    boxes = []
    for name in found:
        try:
            boxes.append(keys.check_mailbox(name))
        except UsageError:  # somebody else's folder
            continue
    return boxes


def _freeze_memory(key: str, to: str) -> Op[set[str]]:
    """The key of the archived copy of the value that is live."""
    name = keys.parse_memory(key)
    if name is None:
        return set()

    def decide(entry: Version[Memory] | None, write: Write) -> Memory | None:
        if entry is None or entry.doc.moved_to == to:
            return entry.doc if entry else None
        return entry.doc.but(moved_to=to)

    def landed(write_id: str, seq: int, now: Memory) -> Op[bool | None]:
        yield from ()
        return now.moved_to == to

    try:
        now = yield from registers.update(key, Memory, decide, before=lambda entry: archive(name, entry), landed=landed)
    except Damaged:
        return set()
    return {keys.memory_version(name, now.doc.version - 1)} if now and now.doc.version > 1 else set()


def _end_log(mailbox: str, mover: str, to: str) -> Op[int]:
    """The slot of a mailbox's last entry, which is appended where it is missing."""
    while True:
        try:
            ends = yield from _ends(mailbox)
            if ends:
                return ends[0]
            return (yield from logs.append(mailbox, Message(sender=mover, moved_to=to)))
        except Moved:  # another run of this move was faster
            continue


def _ends(mailbox: str) -> Op[list[int]]:
    """The slots of last entries near a mailbox's tail: an append that raced one may have left something behind it."""
    tail = yield from logs.mend(mailbox, 0)
    slots = range(max(0, tail - 16), tail)
    found = yield from fx.gather([fx.Get(key=keys.slot(mailbox, slot)) for slot in slots])
    return [slot for slot, one in zip(slots, found, strict=True) if isinstance(one, fx.Object) and _is_end(one)]


def _is_end(found: fx.Object) -> bool:
    try:
        return decode(Message, found.key, found.body).moved_to is not None
    except Damaged:
        return False


def inventory(stays: Frozen) -> Op[dict[str, fx.Entry]]:
    """Everything that is copied, by key, as it is listed."""
    return {
        entry.key: entry
        for entry in (yield from _entries(""))
        if not entry.key.startswith(LEFT_BEHIND) and entry.key not in stays.archived and not _after_end(entry.key, stays.ends)
    }


def _after_end(key: str, ends: Mapping[str, int]) -> bool:
    slot = keys.parse_slot(key)
    return slot is not None and slot[1] >= ends.get(slot[0], slot[1] + 1)


def read_out(names: Sequence[str]) -> Op[tuple[list[tuple[str, bytes]], list[str]]]:
    """Those objects as the destination gets them, and the keys of what no store reads.

    The freeze itself stays behind, epochs go along. What is not frozen yet is left out: it may still change.
    """
    out: list[tuple[str, bytes]] = []
    unread: list[str] = []
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        for key, one in zip(some, (yield from fx.gather([fx.Get(key=key) for key in some])), strict=True):
            if isinstance(one, Damaged):
                unread.append(key)
            elif isinstance(one, Exception):
                raise one
            elif one is not None:
                body = yield from _thawed(one)
                out += [(key, body)] if body is not None else []
    return out, unread


def _thawed(found: fx.Object) -> Op[bytes | None]:
    """An object's bytes without the freeze; None where it is not frozen yet."""
    try:
        if found.key.startswith(keys.STEPS):
            step = decode(Step, found.key, found.body)
            return encode(step.but(moved_to=None)) if step.moved_to is not None else None
        if found.key.startswith((keys.ARTIFACTS, keys.WORKSPACES)):
            kind: type[Artifact | Workspace] = Artifact if found.key.startswith(keys.ARTIFACTS) else Workspace
            other = decode(kind, found.key, found.body)
            return encode(other.but(moved_to=None)) if other.moved_to is not None else None
        name = keys.parse_memory(found.key)
        if name is None:
            return found.body
        memory = decode(Memory, found.key, found.body)
    except Damaged:  # goes along as it is
        return found.body
    if memory.moved_to is None:
        return None
    before = yield from registers.fetch(keys.memory_version(name, memory.version - 1), Memory)
    return encode(before.doc if before else memory.but(moved_to=None))


def write_in(objects: Sequence[tuple[str, bytes]], arriving: Marker) -> Op[list[str]]:
    """Create the objects at the destination; the keys where something else is in the way."""
    back = len(arriving.moves) > 1
    return (yield from registers.copy_all(objects, ("",) if back else NOT_FROZEN, lambda: is_closed(arriving)))


def is_closed(arriving: Marker) -> Op[bool]:
    """Whether the destination still waits for this move."""
    now = yield from registers.fetch(keys.MARKER, Marker)
    return now is not None and now.doc.arriving_from is not None and now.doc.moves == arriving.moves


def compare(objects: Sequence[tuple[str, bytes]]) -> Op[list[str]]:
    """Read every object back; the keys of those that differ."""
    different: list[str] = []
    for start in range(0, len(objects), AT_ONCE):
        some = objects[start : start + AT_ONCE]
        found = yield from fx.gather_reads([key for key, _ in some])
        different += [key for (key, body), one in zip(some, found, strict=True) if one is None or one.body != body]
    return different


def reopen_logs() -> Op[None]:
    """Take away what ended mailboxes when the project left this store: where nothing was sent since, it is still there."""
    for mailbox in sorted({keys.BROADCAST, *(yield from agent_names()), *(yield from _mailboxes())}):
        for slot in (yield from _ends(mailbox)):
            yield from registers.update(keys.slot(mailbox, slot), Message, _void)


def _void(entry: Version[Message] | None, write: Write) -> Message | None:
    if entry is None or entry.doc.moved_to is None:
        return entry.doc if entry else None
    return Message(void=True)


def open_up(arriving: Marker, planned: bool) -> Op[None]:
    """Open the destination for work."""

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or entry.doc.arriving_from is None or entry.doc.moves != arriving.moves:
            return entry.doc if entry else None
        return entry.doc.but(arriving_from=None, planned=planned)

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return now.arriving_from is None

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)


def marker() -> Op[Marker]:
    """The project's marker, which is there."""
    found = yield from registers.fetch(keys.MARKER, Marker)
    assert found is not None
    return found.doc


def leave() -> Op[None]:
    """Note at the source that the move is complete."""

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or not entry.doc.moving:
            return entry.doc if entry else None
        return entry.doc.but(moving=False)

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return not now.moving

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)
