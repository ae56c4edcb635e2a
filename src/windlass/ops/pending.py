"""Pending records: what an upload, or a fork, leaves in the store before it relies on any blob, so that gc spares what it will refer to.

The order is what makes it safe: read the register that is going to refer to the blobs, write the pending record, read gc's
register, send and find blobs, write the register by compare-and-set on what was read, take the record away. gc does it the
other way round: it raises its epoch first and lists the pending records then, so at least one of both sees the other.
Whoever keeps what the register refers to must find it there again after each conflict; else it is sent anew.
"""

from __future__ import annotations

from _thread import allocate_lock

from windlass import effects as fx
from windlass.errors import Indeterminate, Lost, StoreError
from windlass.ops import registers
from windlass.protocol import keys
from windlass.protocol.blobs import epoch_of
from windlass.protocol.pending import Pending, State, Sweep
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from windlass.effects import Op
    from windlass.ops.agents import Me
    from windlass.ops.registers import Version, Write

    T = TypeVar("T")


ALIVE = 60.0
"""Seconds after which an upload that goes on says so in its record."""


class Beat:
    """When an upload last gave a sign of life, by the client's clock; shared by all that send for it."""

    def __init__(self, at: float) -> None:
        self._at, self._lock = at, allocate_lock()

    def is_due(self, now: float) -> bool:
        """Whether it is time, for the one who asks first."""
        with self._lock:
            due = not 0 <= now - self._at < ALIVE
            if due:
                self._at = now
            return due


class Upload(Record):
    """An upload under way. `epoch` is that of the blobs it creates; blobs of the epoch `trusted` and later stay for it to refer to."""

    id: str
    epoch: int
    trusted: int
    beside_gc: bool
    """A gc was running when it began."""
    beat: Beat

    @property
    def key(self) -> str:
        """Of its pending record."""
        return keys.pending(self.id)

    def trusts(self, name: str) -> bool:
        """Whether a blob that is there will stay for this upload to refer to, though nobody refers to it yet."""
        return epoch_of(name) >= self.trusted


def begin(me: Me, targets: Sequence[str], holds: Sequence[str] = ()) -> Op[Upload]:
    """Announce an upload that will change the registers `targets`, whose state was read before. Raises Indeterminate, StoreError.

    `holds`: trees that another register refers to now; read that register again afterwards to be sure of them.
    """
    ident = yield from fx.new_id()
    record = Pending(agent=me.agent, incarnation=me.incarnation, targets=tuple(targets), holds=tuple(holds))

    def decide(entry: Version[Pending] | None, write: Write) -> Pending:
        return entry.doc if entry is not None else record.but(at=write.at)

    made = yield from registers.update(keys.pending(ident), Pending, decide, known=None)
    assert made is not None
    found = yield from registers.fetch(keys.SWEEP, Sweep)
    sweep = found.doc if found else Sweep()
    return Upload(id=ident, epoch=sweep.epoch, trusted=sweep.trusted, beside_gc=sweep.sweeping, beat=Beat(made.doc.at))


def still(upload: Upload) -> Op[float]:
    """Make sure that gc did not give the upload up; the store's time when its record was written. Raises Lost.

    Only then write a register, on the condition of what was read of it before this.
    """
    found = yield from registers.fetch(upload.key, Pending)
    if found is None or found.doc.state is State.ABANDONED:
        raise given_up()
    return found.modified


def alive(upload: Upload) -> Op[None]:
    """Say that the upload goes on, where that was not said for a minute: gc gives up those that are silent. Raises Lost."""
    if not upload.beat.is_due((yield from fx.now())):
        return

    def decide(entry: Version[Pending] | None, write: Write) -> Pending:
        return _open(entry).but(at=write.at)

    yield from registers.update(upload.key, Pending, decide)


def given_up() -> Lost:
    """The error of an upload that gc took for dead."""
    return Lost("this upload took so long that a gc gave it up; nothing was published", "run it again: what was sent is found again")


def commit(upload: Upload) -> Op[None]:
    """Turn the record to done: what is `forming` under it counts from now on. Raises Lost where gc was faster, Indeterminate."""

    def decide(entry: Version[Pending] | None, write: Write) -> Pending:
        return _open(entry).but(state=State.DONE)

    yield from registers.update(upload.key, Pending, decide)


def abandon(ident: str) -> Op[bool]:
    """Give a fork up, so that nothing that is forming under it ever counts; False where it is done. Raises Indeterminate, StoreError."""

    def decide(entry: Version[Pending] | None, write: Write) -> Pending | None:
        if entry is None or entry.doc.state is not State.OPEN:
            return entry.doc if entry else None
        return entry.doc.but(state=State.ABANDONED)

    now = yield from registers.update(keys.pending(ident), Pending, decide)
    return now is None or now.doc.state is not State.DONE


def _open(entry: Version[Pending] | None) -> Pending:
    if entry is None or entry.doc.state is State.ABANDONED:
        raise given_up()
    return entry.doc


def under(upload: Upload, work: Op[T]) -> Op[T]:
    """Publish, and end the upload whatever comes of it: `work` writes the registers. Raises what `work` raises."""
    try:
        result = yield from work
    except Indeterminate:  # a write that may come late must be refused once gc has given the upload up: the record stays
        raise
    except Exception:  # of whoever reads the files, too
        yield from give_up(upload)
        raise
    yield from end(upload)
    return result


def sending(upload: Upload, work: Op[T]) -> Op[T]:
    """Send what is going to be published: an interrupt ends the upload, so that no gc waits for it. Raises what `work` raises."""
    try:
        return (yield from work)
    except KeyboardInterrupt:
        yield from give_up(upload)
        raise


def end(upload: Upload) -> Op[None]:
    """Take the record away after all is published, whatever hinders that: gc removes those that stay."""
    yield from _over(upload, State.DONE)


def give_up(upload: Upload) -> Op[None]:
    """Take the record away of an upload that published nothing and never will. Not where a write's outcome is unknown."""
    yield from _over(upload, State.ABANDONED)


def _over(upload: Upload, state: State) -> Op[None]:
    """Of an upload that began beside a gc the record stays: that gc may have read the register before it was written, and must find
    what the record holds.
    """

    def decide(entry: Version[Pending] | None, write: Write) -> Pending | None:
        if entry is None or entry.doc.state is not State.OPEN:
            return entry.doc if entry else None
        return entry.doc.but(state=state, fenced=state is State.ABANDONED)

    try:
        if upload.beside_gc:
            yield from registers.update(upload.key, Pending, decide)
        else:
            yield fx.Delete(key=upload.key)
    except (Lost, StoreError, Indeterminate):  # stale records are gc's business
        return
