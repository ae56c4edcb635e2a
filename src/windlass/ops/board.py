"""The board in the store: a cache of ready steps, changed best effort by whoever makes a step ready or finds it wrong."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_hex
from windlass.errors import Damaged, FormatTooNew, PutRefused, WindlassError
from windlass.ops import registers
from windlass.protocol import keys, transitions
from windlass.protocol.board import SIZE, Board, Ready
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.registers import Version
    from windlass.protocol.survey import Brief

TRIES = 6
"""Times that a change of the board is tried; then it is left to whoever finds it wrong."""
PAGE = 256
"""Steps that are looked at when the board runs low and more are ready than found room on it."""
MARK = 8
"""Characters of a version that the board holds."""
LOW = 128
"""Steps on the board, at most, when it runs low."""


class Look(Record):
    """The board as it was read. `sealed`: what is there is not for this Windlass to replace."""

    board: Board
    version: str | None
    sealed: bool = False


def look() -> Op[Look]:
    """Read the board. A damaged one counts as empty and is replaced, since it is only a cache. Raises StoreError."""
    found = yield from look_again(None)
    assert found is not None
    return found


def look_again(known: str | None) -> Op[Look | None]:
    """The board as it is now; None where it still has the `known` version. Raises StoreError."""
    try:
        found = yield from fx.get(keys.BOARD, known)
    except Damaged:  # no store reads it, so nobody knows its version
        return Look(board=Board(), version=None, sealed=True)
    if isinstance(found, fx.Unchanged):
        return None
    if found is None:
        return Look(board=Board(), version=None)
    try:
        entry = registers.of(found, Board)
    except (Damaged, FormatTooNew) as error:
        return Look(board=Board(), version=found.version, sealed=isinstance(error, FormatTooNew))
    assert entry is not None
    return Look(board=entry.doc, version=entry.version)


def replacement(seen: Look, add: Iterable[Ready], remove: Iterable[str], **fields: object) -> Op[tuple[fx.Put, Look] | None]:
    """The write that changes the board as it was seen, and these fields of it, and the board then; None where nothing changes."""
    at = yield from fx.now()
    changed = seen.board.changed(add, remove, at)
    if fields:
        changed = changed.but(at=at, **fields)
    if seen.sealed or changed is seen.board:
        return None
    fresh = changed.but(write_id=(yield from fx.new_id()), seq=seen.board.seq + 1)
    return registers.attempt(keys.BOARD, fresh, seen.version), Look(board=fresh, version=None)


def change(seen: Look, add: Iterable[Ready], remove: Iterable[str], **fields: object) -> Op[Look | None]:
    """Change the board if it still is as it was seen, in one attempt; the board then, None where that failed."""
    try:
        made = yield from replacement(seen, add, remove, **fields)
    except WindlassError:  # too large
        return None
    if made is None:
        return seen
    put, then = made
    (answer,) = yield from fx.gather([put])
    return None if isinstance(answer, Exception) else then.but(version=str(answer))


def put_on_board(add: Iterable[Ready], remove: Iterable[str], seen: Look | None = None) -> Op[str | None]:
    """Change the board; its version then, None where that is not known. No failure here is one of the caller's."""
    add, remove = list(add), list(remove)
    try:
        for again in range(TRIES):
            if again:
                yield from fx.sleep((yield from fx.pick(50 << again)) / 1000)
            seen = seen or (yield from look())
            made = yield from replacement(seen, add, remove)
            if made is None:
                return seen.version
            (answer,) = yield from fx.gather([made[0]])
            if not isinstance(answer, Exception):
                return str(answer)
            if not isinstance(answer, PutRefused):
                break
            seen = None
    except WindlassError:
        pass  # best effort
    return None


def offer(step: Step | Brief, version: str = "") -> Ready:
    """A step as the board holds it; `version`: of its object, where that is known."""
    return Ready(name=step.name, priority=step.priority, labels=step.labels, needs=step.needs, seq=step.seq, mark=mark(version))


def mark(version: str) -> str:
    """As much of a version as tells it from others. Where two look alike, a step is read in vain."""
    return version[-MARK:]


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


def refill(seen: Look, remove: Sequence[str], doubtful: Sequence[str]) -> Op[None]:
    """Look at the next steps that found no room on the board, and at those that changed since they did, and put the ready ones
    there, unless somebody else wrote the board meanwhile.

    They are taken off the rest before they are read, so that of many who find the board low one reads them. Where that
    one is killed meanwhile, they are found again by whoever looks at everything. Raises StoreError.
    """
    assert seen.board.rest is not None
    page = yield from fx.page(keys.STEPS, keys.STEPS + seen.board.rest, PAGE)
    then: Look | None = yield from change(seen, [], [*remove, *doubtful], rest=page.more and page.more[len(keys.STEPS) :])
    if then is None or then is seen:
        return
    shown = {one.name for one in seen.board.ready}
    names = [name for entry in page.entries if (name := keys.parse_step(entry.key)) and name not in shown]
    for some in filter(None, (names, doubtful)):  # these later: few of them can still be had, and others wait
        found = yield from read_steps(some)
        yield from put_on_board((yield from _offers(found, documents(found))), [], then)
        then = None


def _offers(read: Mapping[str, Version[Step] | None], found: Mapping[str, Step | None]) -> Op[list[Ready]]:
    """Those that are ready of some steps just `read`; their needs are read where they are not `found` yet. Raises StoreError."""
    pending = [one for one in found.values() if one is not None and one.status is Status.PENDING]
    needs = sorted({need for one in pending for need in one.needs} - found.keys())
    met = documents((yield from read_steps(needs))) | dict(found)
    ready = [one for one in pending if not transitions.unmet(one, {need: met.get(need) for need in one.needs})]
    return [offer(one, entry.version if (entry := read.get(one.name)) else "") for one in ready]


def listing() -> Op[str]:
    """A digest of the names and versions of all steps, by LIST alone: equal ones mean that no step changed. Raises StoreError."""
    rows: list[str] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.STEPS, after)
        rows += [f"{one.key} {one.mark}" for one in page.entries]
        after = page.more
    return sha256_hex("\n".join(rows).encode())


def after_finish(step: Step) -> Op[None]:
    """Put on the board what a complete step made ready; best effort."""
    if not step.needed_by:
        return
    try:
        found = yield from read_steps(step.needed_by[:SIZE])
        ready = yield from _offers(found, documents(found) | {step.name: step})
    except WindlassError:
        return
    if ready:
        yield from put_on_board(ready, [step.name])


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
