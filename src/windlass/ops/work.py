"""Finding work: the board, its repair, and `next`."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Lost, NothingLeft, NothingReady, Unmet, WindlassError
from windlass.ops import registers, steps, waiting
from windlass.ops.agents import act, end
from windlass.ops.survey import ready, survey
from windlass.protocol import keys, transitions
from windlass.protocol.agents import MARGIN
from windlass.protocol.board import SIZE, Board, Ready
from windlass.protocol.steps import Status, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.registers import Version
    from windlass.ops.steps import Changed, Claimed
    from windlass.ops.survey import Brief, Survey
    from windlass.protocol.steps import Git

TIDY = 1.0
"""Seconds between writes of the board that only tidy it up."""
UNFINISHED = (Status.PENDING, Status.IN_PROGRESS, Status.NEEDS_REVIEW)
"""States from which work can go on without somebody stepping in."""


def put_on_board(add: Iterable[Ready], remove: Iterable[str], *, known: Version[Board] | None = None) -> Op[None]:
    """Change the board, best effort: whoever finds it wrong repairs it, so no failure here is one of the caller's."""
    add, remove = list(add), list(remove)

    def decide(entry: Version[Board] | None, write: registers.Write) -> Board | None:
        board = entry.doc if entry else Board()
        changed = board.changed(add, remove, write.at)
        return entry.doc if entry and changed is board else None if entry is None and changed is board else changed

    def landed(write_id: str, seq: int, now: Board) -> Op[bool | None]:
        yield from ()
        return False  # deciding again is harmless

    try:
        yield from registers.update(keys.BOARD, Board, decide, known=known or registers.UNKNOWN, landed=landed)
    except WindlassError:
        return


def after_finish(step: Step) -> Op[None]:
    """Put on the board what a finished step made ready. Truth is not here, so this is best effort too."""
    if step.status is not Status.COMPLETE or not step.needed_by:
        return
    try:
        waiting_ = yield from steps.fetch_all(step.needed_by[:SIZE])
        needs = sorted({need for one in waiting_.values() if one for need in one.needs} - {step.name})
        met = yield from steps.fetch_all(needs)
        met[step.name] = step
        add = [
            offer(one)
            for one in waiting_.values()
            if one is not None and one.status is Status.PENDING and not transitions.unmet(one, {need: met[need] for need in one.needs})
        ]
    except WindlassError:
        return
    if add:
        yield from put_on_board(add, [step.name])


def offer(step: Step | Brief) -> Ready:
    """A step as the board holds it."""
    return Ready(name=step.name, priority=step.priority, labels=step.labels, needs=step.needs)


def reoffer(step: Step) -> Op[None]:
    """Put a declared step that became pending again on the board, if its needs are complete."""
    if step.status is not Status.PENDING or not any(line.event == "define" for line in step.history):
        return
    try:
        needs = yield from steps.fetch_all(step.needs)
    except WindlassError:
        return
    if not transitions.unmet(step, needs):
        yield from put_on_board([offer(step)], [])


def after_change(done: Changed) -> Op[None]:
    """What a change of a step means for the board."""
    if done.step.status is Status.COMPLETE:
        yield from after_finish(done.step)
    elif not done.again:
        yield from reoffer(done.step)


def leave(actor: Actor, incarnation: int, note: str) -> Op[tuple[str, ...]]:
    """Release what one incarnation still holds and mark it as over; the released steps. Raises StoreError."""
    found = yield from survey()
    released = []
    for one in found.steps.values():
        if one.agent == actor.agent and one.incarnation == incarnation:
            try:
                yield from after_change((yield from steps.release(actor, one.name, note=note)))
                released.append(one.name)
            except Lost:  # taken over meanwhile: it is the other's
                continue
    yield from end(actor, incarnation)
    return tuple(released)


def next_(
    actor: Actor,
    *,
    labels: Sequence[str] = (),
    lease: float | None = None,
    git: Git | None = None,
    wait: float | None = None,
) -> Op[Claimed]:
    """Claim the best ready step, at random among equals; with `wait`, up to that many seconds for one to become ready.

    Raises NothingLeft (all is finished), NothingReady (others must act first), Unmet (nothing can go on).
    """
    if lease is not None:
        steps.check_lease(lease)
    pace = yield from waiting.begin()
    while True:
        me = yield from act(actor)
        board = yield from _board()
        won = yield from _try(actor, me, board, board.doc.ready if board else (), labels, lease, git)
        if won is not None:
            return won
        found = yield from survey()
        free = [offer(step) for step in ready(found)]
        won = yield from _try(actor, me, board, free, labels, lease, git, repair=free)
        if won is None:
            won = yield from _take_over(actor, me, found, labels, lease, git)
        if won is not None:
            return won
        problem = _why_none(found, labels)
        if wait is None or pace.waited >= wait or not isinstance(problem, NothingReady):
            raise problem
        pace = yield from _pause_on(board, pace, wait)


def _pause_on(board: Version[Board] | None, pace: waiting.Pace, wait: float) -> Op[waiting.Pace]:
    """Poll the board alone, by conditional reads, until it changes or a full look is due again."""
    until = min(wait, max(pace.waited * 1.5, pace.waited + 5.0))
    while pace.waited < until:
        pace = yield from waiting.pause(pace, until)
        try:
            now = yield from fx.get(keys.BOARD, board.version if board else None)
        except WindlassError:  # asked again at the next poll
            continue
        if not isinstance(now, fx.Unchanged) and (now is None) != (board is None):
            break
        if isinstance(now, fx.Object) and board is not None and now.version != board.version:
            break
    return pace


def _board() -> Op[Version[Board] | None]:
    try:
        return (yield from registers.fetch(keys.BOARD, Board))
    except WindlassError:  # damaged or newer: a cache, so it is as good as absent
        return None


def _try(
    actor: Actor,
    me: Me,
    board: Version[Board] | None,
    offers: Sequence[Ready],
    labels: Sequence[str],
    lease: float | None,
    git: Git | None,
    repair: Sequence[Ready] | None = None,
) -> Op[Claimed | None]:
    """Try offers, best first, a few more at once after each disappointment; tidy the board of what turned out stale."""
    left = [one for one in offers if not labels or set(labels) & set(one.labels)]
    gone: list[str] = []
    won: Claimed | None = None
    at_once = 1
    while left and won is None:
        chosen = yield from _choose(left, at_once)
        names = [one.name for one in chosen]
        wanted = list(dict.fromkeys([*names, *(need for one in chosen for need in one.needs)]))
        found = yield from fx.gather([fx.Get(key=keys.step(name)) for name in wanted])
        seen: dict[str, Version[Step] | None] = {}
        for name, one in zip(wanted, found, strict=True):
            try:
                seen[name] = None if isinstance(one, Exception) else registers.of(one, Step)
            except WindlassError:  # damaged: reported by status, the rest goes on
                seen[name] = None
        for name in names:
            left = [one for one in left if one.name != name]
            won = yield from _claim_if_ready(actor, me, name, seen, lease, git)
            gone.append(name)
            if won is not None:
                break
        at_once = min(at_once * 4, 16)
    if repair is not None:
        yield from put_on_board([one for one in repair if one.name not in gone], gone, known=board)
    elif gone and board is not None and abs((yield from fx.now()) - board.doc.at) >= TIDY:
        yield from put_on_board([], gone, known=board)
    return won


def _choose(offers: Sequence[Ready], count: int) -> Op[list[Ready]]:
    """Up to `count` offers of the highest priority there is, at random."""
    best = max(one.priority for one in offers)
    pool = [one for one in offers if one.priority == best]
    chosen: list[Ready] = []
    while pool and len(chosen) < count:
        chosen.append(pool.pop((yield from fx.pick(len(pool)))))
    return chosen


def _claim_if_ready(
    actor: Actor, me: Me, name: str, seen: Mapping[str, Version[Step] | None], lease: float | None, git: Git | None
) -> Op[Claimed | None]:
    entry = seen.get(name)
    if entry is None or entry.doc.status is not Status.PENDING:
        return None
    needs = {need: (one.doc if (one := seen.get(need)) else None) for need in entry.doc.needs}
    if transitions.unmet(entry.doc, needs):
        return None
    try:
        return (yield from steps.claim_known(actor, me, entry, needs, lease, git))
    except (Lost, Unmet):  # somebody was faster: another one
        return None


def _take_over(actor: Actor, me: Me, found: Survey, labels: Sequence[str], lease: float | None, git: Git | None) -> Op[Claimed | None]:
    """Claim a step whose holder gives no sign of life any more, by the store's clock."""
    held = [one for one in found.steps.values() if one.agent and (not labels or set(labels) & set(one.labels))]
    now = me.own_modified + max(0.0, (yield from fx.now()) - me.seen_at)
    for one in sorted(held, key=lambda one: (-one.priority, one.name)):
        mine = one.agent == me.agent and one.incarnation < me.incarnation
        if not mine and now - one.modified <= min(one.lease, one.max_hold or one.lease) + MARGIN:
            continue
        try:
            return (yield from steps.claim(actor, one.name, lease=lease, git=git))
        except (Lost, Unmet):
            continue
    return None


def _why_none(found: Survey, labels: Sequence[str]) -> WindlassError:
    chosen = [one for one in found.steps.values() if not labels or set(labels) & set(one.labels)]
    counts: dict[str, int] = {}
    for one in chosen:
        counts[one.status.value] = counts.get(one.status.value, 0) + 1
    listed = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "no steps"
    open_ = [one for one in chosen if one.status in UNFINISHED]
    if not open_ and all(one.status in (Status.COMPLETE, Status.CANCELLED) for one in chosen):
        return NothingLeft(f"nothing left to do: {listed}", "add work: windlass plan apply FILE", counts=counts)
    held = [one for one in found.steps.values() if one.status in (Status.IN_PROGRESS, Status.NEEDS_REVIEW)]
    if held or ready(found):
        return NothingReady(f"nothing is ready yet: {listed}", "wait: windlass next --wait 100", counts=counts)
    return Unmet(f"nothing can go on: {listed}", "see what is blocked or failed: windlass status", counts=counts)
