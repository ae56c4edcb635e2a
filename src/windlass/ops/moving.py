"""Moving a project: freeze the source so that no late write is accepted, copy everything, compare, open the destination.

Every part can be run again after a crash. The source is frozen by its own records: steps get a new epoch, memory keys a
new version, mailboxes a last entry; whoever meets one of them is told where the project went.
"""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Lost, Moved, NotFound, WindlassError
from windlass.ops import logs, registers, waiting
from windlass.ops.mail import agent_names
from windlass.ops.memory import archive
from windlass.ops.status import agents
from windlass.ops.survey import survey
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, MARGIN, Keeper, Presence
from windlass.protocol.codec import decode, encode
from windlass.protocol.mail import Message
from windlass.protocol.memory import Memory
from windlass.protocol.project import Marker
from windlass.protocol.steps import Step
from windlass.protocol.transitions import Act, frozen
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.effects import Op
    from windlass.ops.registers import Version, Write

LEFT_BEHIND = (keys.PRESENCE, "clock/", keys.BOARD, keys.MARKER)
"""What has no meaning elsewhere, or is made anew there."""

NOT_FROZEN = (keys.AGENTS, "cursors/", "sent/")
"""What may still change at the source while it is moved; the destination is closed, so the newer copy wins."""


class Moving(Record):
    """How a move came out."""

    objects: int
    late: int
    """Objects that commands under way wrote after the first pass, and that were brought along."""


def announce(mover: str, to: str, force: bool) -> Op[Marker]:
    """Mark the source as moving. Raises Lost while claims are live (unless `force`), Moved where it went elsewhere, NotFound."""
    marker = yield from registers.fetch(keys.MARKER, Marker)
    if marker is None:
        raise NotFound("there is no such project in this store", "see: windlass init, which lists them")
    if marker.doc.arriving_from is not None:
        raise WindlassError("this project has not fully arrived here", "run the move that brings it here again")
    if marker.doc.moved_to not in (None, to):
        raise Moved(str(marker.doc.moved_to))
    if marker.doc.moved_to is None and not force:
        found = yield from survey()
        over = {name for one in (yield from agents(mover, found)) for name in one.ran_out}
        live = [one for one in found.steps.values() if one.agent and one.name not in over]
        if live:
            held = ", ".join(f"{one.name} ({one.agent})" for one in live[:5]) + (f" and {len(live) - 5} more" if len(live) > 5 else "")
            raise Lost(f"claims are live: {held}", "let them finish, or move anyway: --force", steps=[one.name for one in live])

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or entry.doc.moved_to == to:
            return entry.doc if entry else None
        if entry.doc.moved_to is not None:
            raise Moved(entry.doc.moved_to)
        return entry.doc.but(moved_to=to, moving=True)

    now = yield from registers.update(keys.MARKER, Marker, decide, known=marker)
    assert now is not None
    return now.doc


def settle_down(mover: str) -> Op[None]:
    """Wait until every agent that acted in the last minute must look at the marker before it acts again.

    What this machine remembers for its agents is forgotten, so they look at once; agents elsewhere look once a minute.
    """
    marker = yield from registers.fetch(keys.MARKER, Marker)
    assert marker is not None
    latest = 0.0
    for name in (yield from agent_names()):
        known = False
        for keeper in Keeper:
            hint = f"me:{name}::{keeper.value}"
            if (yield from fx.recall(hint)) is not None:
                known = True
                yield from fx.remember(hint, None)
        if not known:
            page = yield from fx.page(f"{keys.PRESENCE}{name}/")
            latest = max([latest, *(entry.modified for entry in page.entries)])
    if latest + FRESH + MARGIN < marker.modified:
        return
    mine = keys.clock("moving")
    pace = yield from waiting.begin()
    while True:
        yield from registers.overwrite(mine, Presence(agent=mover))
        own = yield from fx.read(mine)
        left = latest + FRESH + MARGIN - (own.modified if own else 0.0)
        if left <= 0:
            yield from fx.gather([fx.Delete(key=mine)])
            return
        yield from fx.tell(f"waiting up to {left:.0f} s for agents on other machines to notice")
        pace = yield from waiting.pause(pace, pace.waited + min(left, 2.0))


def freeze(mover: str, to: str) -> Op[None]:
    """Freeze every step, memory key and mailbox of the source."""
    names = yield from _names(keys.STEPS)
    for done, key in enumerate(names):
        yield from _freeze_step(mover, key, to)
        yield from fx.tell("freezing steps", done + 1, len(names))
    for key in (yield from _names(keys.MEMORY)):
        yield from _freeze_memory(mover, key, to)
    boxes = {keys.BROADCAST, *(yield from agent_names()), *(yield from _mailboxes())}
    for mailbox in sorted(boxes):
        yield from _end_log(mailbox, mover, to)


def _names(prefix: str) -> Op[list[str]]:
    out: list[str] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(prefix, after)
        out += [entry.key for entry in page.entries]
        after = page.more
    return out


def _mailboxes() -> Op[list[str]]:
    found: tuple[str, ...] = yield fx.Folders(prefix=keys.MAIL)
    return list(found)


def _freeze_step(mover: str, key: str, to: str) -> Op[None]:
    def decide(entry: Version[Step] | None, write: Write) -> Step | None:
        return frozen(entry.doc, Act(agent=mover, incarnation=0, at=write.at, write_id=write.id), to) if entry else None

    yield from registers.update(key, Step, decide)


def _freeze_memory(mover: str, key: str, to: str) -> Op[None]:
    name = keys.parse_memory(key)
    if name is None:
        return

    def decide(entry: Version[Memory] | None, write: Write) -> Memory | None:
        if entry is None or entry.doc.moved_to == to:
            return entry.doc if entry else None
        return entry.doc.but(moved_to=to)

    def landed(write_id: str, seq: int, now: Memory) -> Op[bool | None]:
        yield from ()
        return now.moved_to == to

    yield from registers.update(key, Memory, decide, before=lambda entry: archive(name, entry), landed=landed)


def _end_log(mailbox: str, mover: str, to: str) -> Op[None]:
    """Append the last entry. An append that meets it there already says Moved, which is what is wanted."""
    end = yield from logs.tail(mailbox)
    last = (yield from fx.read(keys.slot(mailbox, end - 1))) if end else None
    if last is not None and decode(Message, last.key, last.body).moved_to is not None:
        return
    try:
        yield from logs.append(mailbox, Message(sender=mover, moved_to=to))
    except Moved:
        return


def inventory() -> Op[list[str]]:
    """The keys of everything that is copied."""
    return [key for key in (yield from _names("")) if not key.startswith(LEFT_BEHIND)]


def read_out(names: Sequence[str]) -> Op[list[tuple[str, bytes]]]:
    """Those objects as the destination gets them: the freeze itself stays behind, epochs go along."""
    out: list[tuple[str, bytes]] = []
    for start in range(0, len(names), 64):
        some = names[start : start + 64]
        found = yield from fx.gather_reads(some)
        for one in found:
            if one is None:
                continue
            if one.key.startswith(keys.STEPS):
                step = decode(Step, one.key, one.body)
                out.append((one.key, encode(step.but(moved_to=None))))
            elif one.key.startswith(keys.MEMORY):
                kept = yield from _unfrozen(one)
                if kept is not None:
                    out.append((one.key, kept))
            elif one.key.startswith(keys.MAIL) and decode(Message, one.key, one.body).moved_to is not None:
                continue
            else:
                out.append((one.key, one.body))
        yield from fx.tell("reading", start + len(some), len(names))
    return out


def _unfrozen(found: fx.Object) -> Op[bytes | None]:
    memory = decode(Memory, found.key, found.body)
    if memory.moved_to is None:
        return found.body
    name = keys.parse_memory(found.key)
    if name is None:
        return None
    before = yield from registers.fetch(keys.memory_version(name, memory.version - 1), Memory)
    return encode(before.doc) if before else None


def prepare(mover: str, project: str, source: str, marker: Marker) -> Op[bool]:
    """Make the destination's marker, closed until everything is there; False where the move was complete before. Raises Lost."""
    fresh = Marker(name=project, created_at=marker.created_at, created_by=marker.created_by, planned=marker.planned, arriving_from=source)
    there = (yield from registers.create(keys.MARKER, fresh, Marker)).doc
    if there.arriving_from == source:
        return True
    if marker.moving or there.created_at != marker.created_at or there.created_by != marker.created_by:
        raise Lost(
            f"there is a project {project} at the destination already", "choose another destination, or another --project", project=project
        )
    return False


def write_in(objects: Sequence[tuple[str, bytes]]) -> Op[None]:
    """Create the objects at the destination. Raises Lost where something else is in the way."""
    different = yield from registers.copy_all(objects, NOT_FROZEN)
    if different:
        what = f"{len(different)} objects at the destination differ, the first is {different[0]}"
        raise Lost(what, "empty the destination, or choose another", keys=different[:20])


def compare(objects: Sequence[tuple[str, bytes]]) -> Op[None]:
    """Read every object back and compare. Raises WindlassError naming the first that differs."""
    for start in range(0, len(objects), 64):
        some = objects[start : start + 64]
        found = yield from fx.gather_reads([key for key, _ in some])
        for (key, body), one in zip(some, found, strict=True):
            if one is None or one.body != body:
                raise WindlassError(f"{key} did not arrive as it was", "run the same `windlass move` again", key=key)
        yield from fx.tell("comparing", start + len(some), len(objects))


def open_up(source: str) -> Op[None]:
    """Open the destination for work."""

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or entry.doc.arriving_from is None:
            return entry.doc if entry else None
        return entry.doc.but(arriving_from=None)

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return now.arriving_from is None

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)


def leave(to: str) -> Op[None]:
    """Note at the source that the move is complete."""

    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        if entry is None or not entry.doc.moving:
            return entry.doc if entry else None
        return entry.doc.but(moving=False)

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return not now.moving

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)
