"""Shared memory: set, get, list, history, delete. The version before is archived before it is overwritten."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew, Moved
from windlass.ops import registers
from windlass.ops.agents import act
from windlass.protocol import keys
from windlass.protocol.codec import check_value, decode
from windlass.protocol.memory import Memory, check_version, gone
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.registers import Version, Write


class Listed(Record):
    """One key in a listing; `modified` is the store's time. `memory` None: damaged, `why` says how."""

    key: str
    modified: float
    memory: Memory | None
    why: str = ""


def set_(actor: Actor, key: str, value: Any, if_version: int | None = None) -> Op[Memory]:
    """Set a key to a JSON value, if it is at `if_version` (0: not there). The new version. Raises VersionMoved, UsageError."""
    keys.check_memory_key(key)
    check_value(value)
    return (yield from _change(actor, key, value, False, if_version))


def delete(actor: Actor, key: str, if_version: int | None = None) -> Op[Memory]:
    """Delete a key; its history stays. Raises NotFound, VersionMoved."""
    keys.check_memory_key(key)
    return (yield from _change(actor, key, None, True, if_version))


def _change(actor: Actor, key: str, value: Any, deleted: bool, if_version: int | None) -> Op[Memory]:
    me = yield from act(actor)

    def decide(entry: Version[Memory] | None, write: Write) -> Memory:
        before = entry.doc if entry else None
        check_version(before, key, if_version)
        if deleted and (before is None or before.deleted):
            raise gone(key)
        return (before or Memory(key=key)).but(value=value, set_by=me.agent, set_at=write.at, deleted=deleted)

    def landed(write_id: str, seq: int, now: Memory) -> Op[bool | None]:
        kept = yield from registers.fetch(keys.memory_version(key, seq), Memory)
        return kept.doc.write_id == write_id if kept else None

    now = yield from registers.update(keys.memory(key), Memory, decide, before=lambda entry: archive(key, entry), landed=landed)
    assert now is not None
    return now.doc


def archive(key: str, entry: Version[Memory]) -> Op[None]:
    """Keep a version of a key under its number, as it was when it was live."""
    yield from registers.copy(keys.memory_version(key, entry.doc.version), entry.doc, Memory)


def get(key: str) -> Op[Memory]:
    """The live value. Raises NotFound."""
    found = yield from registers.fetch(keys.memory(key), Memory)
    if found is not None and found.doc.moved_to is not None:
        raise Moved(found.doc.moved_to)
    if found is None or found.doc.deleted:
        raise gone(key)
    return found.doc


def list_(prefix: str = "", limit: int = 1000, deleted: bool = False) -> Op[list[Listed]]:
    """The keys that start with `prefix`, sorted, with their values."""
    out: list[Listed] = []
    after: str | None = ""
    while after is not None and len(out) < limit:
        page = yield from fx.page(keys.memory_prefix(prefix), after, 1000)
        wanted = [entry for entry in page.entries if keys.parse_memory(entry.key)]
        for start in range(0, len(wanted), 64):
            some = wanted[start : start + 64]
            objects = yield from fx.gather([fx.Get(key=entry.key) for entry in some])
            for entry, found in zip(some, objects, strict=True):
                listed = _listed(entry, found)
                if listed is not None and (deleted or listed.memory is None or not listed.memory.deleted):
                    out.append(listed)
            if len(out) >= limit:
                break
        after = page.more
    return sorted(out, key=lambda item: item.key)[:limit]


def _listed(entry: fx.Entry, found: fx.Object | Exception | None) -> Listed | None:
    key = keys.parse_memory(entry.key) or ""
    if found is None:
        return None
    try:
        if isinstance(found, Exception):
            raise found
        memory = decode(Memory, found.key, found.body)
        if memory.moved_to is not None:
            raise Moved(memory.moved_to)
        return Listed(key=key, modified=found.modified, memory=memory)
    except Damaged as error:  # reported with its key; the rest goes on
        return Listed(key=key, modified=entry.modified, memory=None, why=str(error))
    except FormatTooNew as error:
        return Listed(key=key, modified=entry.modified, memory=None, why=f"{error}; {error.hint}")


def history(key: str, limit: int = 20) -> Op[list[Memory]]:
    """The newest versions, newest first; also of a deleted key. Raises NotFound."""
    live = yield from registers.fetch(keys.memory(key), Memory)
    if live is None:
        raise gone(key)
    if live.doc.moved_to is not None:
        raise Moved(live.doc.moved_to)
    out = [live.doc]
    number = live.doc.version - 1
    while number > 0 and len(out) < limit:
        numbers = list(range(number, max(0, number - min(64, limit - len(out))), -1))
        found = yield from fx.gather_reads([keys.memory_version(key, n) for n in numbers])
        out += [decode(Memory, one.key, one.body) for one in found if one is not None]
        number = numbers[-1] - 1
    return out
