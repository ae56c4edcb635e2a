"""Registers: one object each, changed only by conditional writes. The only retry-on-conflict loop, the only read-back.

A write has three outcomes. After every answer that is not a plain success the register is read back: our write id is
there (won), or the version moved on without it (lost), or neither — then the write may be in flight and land later, and
only sending the same bytes again settles it. What cannot be settled is Indeterminate, never a guess.
"""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, Indeterminate, Lost, PutRefused, PutUnclear, StoreError, Unavailable, WindlassError
from windlass.protocol.codec import Document, decode, encode
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Generic, TypeVar

    from windlass.effects import Op

    D = TypeVar("D", bound=Document)
else:

    class Generic:
        """Type checkers only."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    D = None

RESEND = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0)
"""Seconds to wait before each sending of the same bytes."""
CONFLICTS = 60
"""Times that an update starts again on fresh state before it gives up."""


class Version(Record, Generic[D]):
    """A register as read: the document, the store's version and modification time (0 where it was not asked for)."""

    doc: D
    version: str
    modified: float = 0.0
    remembered: bool = False
    """From this machine's memory: only a hint."""


class Write(Record):
    """The identity of one attempt to change a register."""

    id: str
    at: float
    """The client's clock: information only."""


class Unknown:
    """Nothing is known of the register: read it first."""


UNKNOWN = Unknown()


def of(found: fx.Object | None, kind: type[D]) -> Version[D] | None:
    """A register out of an object as read. Raises Damaged, FormatTooNew."""
    return None if found is None else Version(doc=decode(kind, found.key, found.body), version=found.version, modified=found.modified)


def fetch(key: str, kind: type[D]) -> Op[Version[D] | None]:
    """Read one register."""
    return of((yield from fx.read(key)), kind)


def remembered(key: str, kind: type[D]) -> Op[Version[D] | None]:
    """The register as this machine last saw it, or None. A hint: whatever is built on it must hold by the conditional write."""
    note = yield from fx.recall("doc:" + key)
    version, _, body = (note or b"").partition(b"\n")
    if not body:
        return None
    try:
        return Version(doc=decode(kind, key, body), version=version.decode(), remembered=True)
    except (WindlassError, UnicodeDecodeError):  # an odd hint is no hint
        return None


def keep(key: str, entry: Version[D] | None) -> Op[None]:
    """Remember a register for the next command on this machine."""
    body = None if entry is None or not entry.version else entry.version.encode() + b"\n" + encode(entry.doc)
    yield from fx.remember("doc:" + key, body)


def update(
    key: str,
    kind: type[D],
    decide: Callable[[Version[D] | None, Write], D | None],
    *,
    known: Version[D] | None | Unknown = UNKNOWN,
    before: Callable[[Version[D]], Op[None]] | None = None,
    landed: Callable[[str, int, D], Op[bool | None]] | None = None,
    beside: Sequence[fx.Put] = (),
) -> Op[Version[D] | None]:
    """Change a register by compare-and-set; the register as it is now. Raises what `decide` raises, Lost, Indeterminate, StoreError.

    `decide` gets the register (None = absent) and returns its next state, or the same document (or None) for "leave it".
    `known` saves the first read: None guesses that there is no such register; refusals on a guess or a memory are decided
    again on fresh state. `before` runs before a replace is sent. `landed(write_id, seq, doc)` tells whether a write is part
    of a later state. `beside` are attempts on caches that go out with the first write.
    """
    hinted = known is None or (isinstance(known, Version) and known.remembered)
    entry = known if not isinstance(known, Unknown) else (yield from fetch(key, kind))
    for conflict in range(CONFLICTS):
        write = Write(id=(yield from fx.new_id()), at=(yield from fx.now()))
        try:
            decided = decide(entry, write)
        except WindlassError:
            if not hinted:
                raise
            decided = entry.doc if entry else None
        if decided is (entry.doc if entry else None):
            if not hinted:
                return entry
            hinted, entry = False, (yield from fetch(key, kind))
            continue
        assert decided is not None
        hinted = False
        document = decided.but(write_id=write.id, seq=(entry.doc.seq if entry else 0) + 1)
        if before is not None and entry is not None:
            yield from before(entry)
        won, entry = yield from _write(key, kind, document, entry, landed, beside)
        if won:
            return entry
        beside = ()
        yield from back_off(conflict)
    raise Lost(f"{key} changes faster than it can be written", "try again in a moment", key=key)


def back_off(conflict: int) -> Op[None]:
    """Wait before the next attempt after losing to others for the (`conflict` + 1)th time in a row: not at all after the first."""
    if conflict:
        most = min(20 << min(conflict, 6), 1000)
        yield from fx.sleep((yield from fx.pick(most)) / 1000)


def _write(
    key: str,
    kind: type[D],
    document: D,
    entry: Version[D] | None,
    landed: Callable[[str, int, D], Op[bool | None]] | None,
    beside: Sequence[fx.Put] = (),
) -> Op[tuple[bool, Version[D] | None]]:
    """Send one conditional write until its outcome is known: (won, the register as it is)."""
    body = encode(document)
    condition = fx.IfAbsent() if entry is None else fx.IfMatch(version=entry.version)
    sent = refused = False
    for wait in RESEND:
        if wait:
            yield from fx.sleep(wait)
        try:
            version = yield from _put(key, body, condition, () if sent else beside)
            return True, Version(doc=document, version=version)
        except (PutRefused, PutUnclear) as answer:
            refused = isinstance(answer, PutRefused) and (refused or not sent)
            sent = True
        except StoreError as error:
            if sent:
                raise _indeterminate(key) from error
            raise
        try:
            found = yield from fetch(key, kind)
            verdict = found.doc.wrote(document.write_id, document.seq) if found else False
            if found is not None and verdict is None and landed is not None:
                verdict = yield from landed(document.write_id, document.seq, found.doc)
        except Unavailable:
            continue
        except Damaged as error:
            if refused:  # by what is there, which is not ours: ours would be whole
                raise
            raise _may_have_landed(key, error) from error
        except StoreError as error:
            raise _may_have_landed(key, error) from error
        if found is not None:
            if verdict:
                same = found.doc.write_id == document.write_id
                return True, found if same else Version(doc=document, version="")
            if found.version != (entry.version if entry else None):
                if verdict is None:
                    raise _indeterminate(key)
                return False, found
        elif entry is not None:
            return False, None
    raise _indeterminate(key)


def _put(key: str, body: bytes, condition: fx.Condition, beside: Sequence[fx.Put]) -> Op[str]:
    answer, *_ = yield from fx.gather([fx.Put(key=key, body=body, condition=condition), *beside])
    if isinstance(answer, Exception):
        raise answer
    return str(answer)


def attempt(key: str, document: Document, replaces: str | None) -> fx.Put:
    """One write of a cache, over that version (None: where there is none): nobody finds out what became of it."""
    return fx.Put(key=key, body=encode(document), condition=fx.IfAbsent() if replaces is None else fx.IfMatch(version=replaces))


def _may_have_landed(key: str, error: WindlassError) -> Indeterminate:
    return Indeterminate(f"a write to {key} may have landed: {error}", error.hint, key=key)


def _indeterminate(key: str) -> Indeterminate:
    return Indeterminate(
        f"the store did not say whether the write to {key} landed",
        "look before you repeat it: windlass status; or check the store: windlass doctor",
        key=key,
    )


def create(key: str, document: D, kind: type[D]) -> Op[Version[D]]:
    """Create an object that is never changed, or find the one that is there already. Raises Indeterminate, StoreError."""

    def decide(entry: Version[D] | None, write: Write) -> D | None:
        return document if entry is None else entry.doc

    def landed(write_id: str, seq: int, doc: D) -> Op[bool | None]:
        yield from ()
        return False  # whoever made it and whatever became of it since: what is there is the answer

    made = yield from update(key, kind, decide, known=None, landed=landed)
    assert made is not None
    return made


def copy(key: str, document: D, kind: type[D]) -> Op[bool]:
    """Create a document as it is, `write_id` and `seq` included; whether that one is there now. Raises Indeterminate, StoreError."""
    made, _ = yield from _write(key, kind, document, None, None)
    return made


def overwrite(key: str, document: Document) -> Op[str]:
    """Write an object that has this one writer. Raises StoreError; an unclear outcome is tried once more, then Unavailable."""
    write_id = yield from fx.new_id()
    body = encode(document.but(write_id=write_id))
    for wait in RESEND[:3]:
        if wait:
            yield from fx.sleep(wait)
        try:
            return (yield from fx.put(key, body, fx.Always()))
        except (PutRefused, PutUnclear):
            continue
    raise Unavailable("the store gave no clear answer to a write", "try again; windlass doctor shows how the store is")


def create_all(documents: Sequence[tuple[str, D]], kind: type[D], what: str = "creating steps") -> Op[list[str | None]]:
    """Create many registers at once, 64 requests in flight; for each the version, empty where it is not known, or None where it
    is not this document that was created.

    Each document brings its own fresh `write_id`. Raises Indeterminate, StoreError.
    """
    made: list[str | None] = []
    for start in range(0, len(documents), 64):
        some = documents[start : start + 64]
        puts = [fx.Put(key=key, body=encode(document), condition=fx.IfAbsent()) for key, document in some]
        for (key, document), answer in zip(some, (yield from fx.gather(puts)), strict=True):
            if isinstance(answer, (PutRefused, PutUnclear)):
                won, _ = yield from _write(key, kind, document, None, None)
                made.append("" if won else None)
            elif isinstance(answer, Exception):
                raise answer
            else:
                made.append(str(answer))
        yield from fx.tell(what, len(made), len(documents))
    return made


def update_all(names: Sequence[str], kind: type[D], decide: Callable[[Version[D] | None, Write], D | None], what: str) -> Op[None]:
    """As `update` for many registers, 64 requests in flight; damaged ones are left as they are. `what` tells how far it is."""
    for start in range(0, len(names), 64):
        some = names[start : start + 64]
        puts: list[fx.Put] = []
        for key, one in zip(some, (yield from fx.gather([fx.Get(key=key) for key in some])), strict=True):
            if isinstance(one, Exception) and not isinstance(one, Damaged):
                raise one
            write = Write(id=(yield from fx.new_id()), at=(yield from fx.now()))
            try:
                entry = of(one, kind) if isinstance(one, fx.Object) else None
            except Damaged:
                continue
            decided = decide(entry, write)
            if entry is not None and decided is not None and decided is not entry.doc:
                document = decided.but(write_id=write.id, seq=entry.doc.seq + 1)
                puts.append(fx.Put(key=key, body=encode(document), condition=fx.IfMatch(version=entry.version)))
        for put, answer in zip(puts, (yield from fx.gather(puts)), strict=True):
            if isinstance(answer, (PutRefused, PutUnclear)):
                yield from update(put.key, kind, decide)
            elif isinstance(answer, Exception):
                raise answer
        yield from fx.tell(what, start + len(some), len(names))


def copy_all(objects: Sequence[tuple[str, bytes]], replace: tuple[str, ...], still: Callable[[], Op[bool]]) -> Op[list[str]]:
    """Create objects with given bytes, 32 at once; the keys where something else is. Raises Indeterminate, StoreError.

    Under keys that start with one of `replace` other bytes make room, as long as `still` says so after they were read.
    """
    different: list[str] = []
    for start in range(0, len(objects), 32):
        some = objects[start : start + 32]
        left = {key: fx.Put(key=key, body=body, condition=fx.IfAbsent()) for key, body in some}
        for wait in RESEND:
            if wait:
                yield from fx.sleep(wait)
            refused: list[str] = []
            for key, answer in zip(list(left), (yield from fx.gather(list(left.values()))), strict=True):
                if isinstance(answer, (PutRefused, PutUnclear)):
                    refused.append(key)
                elif isinstance(answer, Exception):
                    raise answer
            found = dict(zip(refused, (yield from fx.gather_reads(refused)), strict=True))
            others = [key for key, one in found.items() if one is not None and one.body != left[key].body]
            room = [key for key in others if key.startswith(replace)]
            if room and not (yield from still()):
                room = []
            different += [key for key in others if key not in room]
            left = {key: put for key, put in left.items() if key in room or (key in found and found[key] is None)}
            left = {
                key: put.but(condition=fx.IfMatch(version=one.version) if (one := found[key]) else fx.IfAbsent())
                for key, put in left.items()
            }
            if not left:
                break
        else:
            raise _indeterminate(next(iter(left)))
        yield from fx.tell("copying", start + len(some), len(objects))
    return different
