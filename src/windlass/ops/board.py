"""The board in the store: a cache of ready steps, changed best effort by whoever makes a step ready or finds it wrong."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew, PutRefused, WindlassError
from windlass.ops import registers
from windlass.protocol import keys, transitions
from windlass.protocol.board import SIZE, Board, Ready
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windlass.effects import Op
    from windlass.ops.registers import Version
    from windlass.ops.survey import Brief

TRIES = 4
"""Times that a change of the board is tried; then it is left to whoever finds it wrong."""


class Look(Record):
    """The board as it was read. `sealed`: what is there is not for this Windlass to replace."""

    board: Board
    version: str | None
    sealed: bool = False


def look() -> Op[Look]:
    """Read the board. A damaged one counts as empty and is replaced, since it is only a cache. Raises StoreError."""
    try:
        found = yield from fx.read(keys.BOARD)
    except Damaged:  # no store reads it, so nobody knows its version
        return Look(board=Board(), version=None, sealed=True)
    if found is None:
        return Look(board=Board(), version=None)
    try:
        entry = registers.of(found, Board)
    except (Damaged, FormatTooNew) as error:
        return Look(board=Board(), version=found.version, sealed=isinstance(error, FormatTooNew))
    assert entry is not None
    return Look(board=entry.doc, version=entry.version)


def replacement(seen: Look, add: Sequence[Ready], remove: Sequence[str]) -> Op[fx.Put | None]:
    """The write that changes the board as it was seen; None where there is nothing to change."""
    changed = seen.board.changed(add, remove, (yield from fx.now()))
    if seen.sealed or changed is seen.board:
        return None
    fresh = changed.but(write_id=(yield from fx.new_id()), seq=seen.board.seq + 1)
    return registers.attempt(keys.BOARD, fresh, seen.version)


def put_on_board(add: Iterable[Ready], remove: Iterable[str], seen: Look | None = None) -> Op[str | None]:
    """Change the board; its version then, None where that is not known. No failure here is one of the caller's."""
    add, remove = list(add), list(remove)
    try:
        for again in range(TRIES):
            if again:
                yield from fx.sleep((yield from fx.pick(50 * again)) / 1000)
            seen = seen or (yield from look())
            put = yield from replacement(seen, add, remove)
            if put is None:
                return seen.version
            (answer,) = yield from fx.gather([put])
            if not isinstance(answer, Exception):
                return str(answer)
            if not isinstance(answer, PutRefused):
                break
            seen = None
    except WindlassError:
        pass  # best effort
    return None


def offer(step: Step | Brief) -> Ready:
    """A step as the board holds it."""
    return Ready(name=step.name, priority=step.priority, labels=step.labels, needs=step.needs, seq=step.seq)


def read_steps(names: Sequence[str]) -> Op[dict[str, Version[Step] | None]]:
    """Several steps at once; None for those that are missing or damaged, so that the rest goes on. Raises StoreError."""
    found: dict[str, Version[Step] | None] = {}
    for name, one in zip(names, (yield from fx.gather([fx.Get(key=keys.step(name)) for name in names])), strict=True):
        try:
            if isinstance(one, Exception):
                raise one
            entry = registers.of(one, Step)
            found[name] = entry.but(doc=entry.doc.but(name=name)) if entry else None
        except (Damaged, FormatTooNew):
            found[name] = None
    return found


def documents(found: dict[str, Version[Step] | None]) -> dict[str, Step | None]:
    """The steps alone."""
    return {name: entry.doc if entry else None for name, entry in found.items()}


def after_finish(step: Step) -> Op[None]:
    """Put on the board what a complete step made ready; best effort."""
    if not step.needed_by:
        return
    try:
        waiting = documents((yield from read_steps(step.needed_by[:SIZE])))
        pending = [one for one in waiting.values() if one is not None and one.status is Status.PENDING]
        needs = sorted({need for one in pending for need in one.needs} - {step.name})
        met = documents((yield from read_steps(needs))) | {step.name: step}
    except WindlassError:
        return
    ready = [one for one in pending if not transitions.unmet(one, {need: met.get(need) for need in one.needs})]
    if ready:
        yield from put_on_board([offer(one) for one in ready], [step.name])


def reoffer(step: Step) -> Op[None]:
    """Put a declared step that became pending again on the board, if its needs are complete; best effort."""
    if step.status is not Status.PENDING or not any(line.event == "define" for line in step.history):
        return
    try:
        needs = documents((yield from read_steps(step.needs)))
    except WindlassError:
        return
    if not transitions.unmet(step, needs):
        yield from put_on_board([offer(step)], [])
