"""Finding work: `next`, from the board where it can be, from a survey of every step where it must be."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, Fenced, Lost, NothingLeft, NothingReady, TimedOut, Unavailable, Unmet, WindlassError
from windlass.ops import registers, steps, waiting
from windlass.ops.agents import act, end
from windlass.ops.board import after_finish, documents, look, offer, put_on_board, read_steps, reoffer, replacement
from windlass.ops.survey import ready, signs, survey
from windlass.protocol import keys, transitions
from windlass.protocol.agents import MARGIN
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.board import Look
    from windlass.ops.registers import Version
    from windlass.ops.steps import Changed, Claimed
    from windlass.ops.survey import Brief, Survey
    from windlass.protocol.board import Ready
    from windlass.protocol.steps import Git

TIDY = 1.0
"""Seconds between writes of the board that only tidy it up."""


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


class _Wish(Record):
    """What `next` is asked for."""

    actor: Actor
    labels: Sequence[str]
    lease: float | None
    git: Git | None

    def wants(self, one: Ready | Brief) -> bool:
        return not self.labels or not set(self.labels).isdisjoint(one.labels)


class _Idle(Record):
    """Nothing was found: why, and which version of the board that was."""

    problem: WindlassError
    board: str | None


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
    wish = _Wish(actor=actor, labels=labels, lease=lease, git=git)
    pace = yield from waiting.begin()
    board: str | None = None
    while True:
        try:
            found = yield from _find(wish)
        except Unavailable:
            if not pace.waited or wait is None or pace.waited >= wait:
                raise
        else:
            if not isinstance(found, _Idle):
                return found
            if not isinstance(found.problem, NothingReady) or wait is None or pace.waited >= wait:
                raise found.problem
            board = found.board
        pace = yield from _pause_on(actor, board, pace, wait)


def _find(wish: _Wish) -> Op[Claimed | _Idle]:
    me = yield from act(wish.actor)
    seen = yield from look()
    won = yield from _try(wish, me, seen.board.ready, seen)
    if won is not None:
        return won
    found = yield from survey()
    free = [offer(step) for step in ready(found)]
    won = yield from _try(wish, me, free, None)
    taken = {won.step.name} if won else set()
    right = [one for one in free if one.name not in taken]
    wrong = {one.name for one in seen.board.ready} - {one.name for one in right}
    version = yield from put_on_board(right, wrong | taken, seen)
    won = won or (yield from _take_over(wish, me, found))
    return won or _Idle(problem=_why_none(wish, found), board=version)


def _pause_on(actor: Actor, board: str | None, pace: waiting.Pace, wait: float) -> Op[waiting.Pace]:
    """Poll the board alone, by conditional reads, until it changes or a full look is due again."""
    until = min(wait, max(pace.waited * 1.5, pace.waited + 5.0))
    most = waiting.MOST
    while pace.waited < until:
        pace = yield from waiting.pause(pace, until, most)
        try:
            most = (yield from act(actor)).due  # who waits lives, and keeps what it holds
            now = yield from fx.get(keys.BOARD, board)
        except (Unavailable, Damaged):  # asked again at the next poll
            continue
        if not isinstance(now, fx.Unchanged) and (now.version if now else None) != board:
            break
    return pace


def _try(wish: _Wish, me: Me, offers: Sequence[Ready], seen: Look | None) -> Op[Claimed | None]:
    """Try offers, best first, a few more at once after each disappointment.

    With the first claim tried goes a write that takes off the board what turned out stale, and the claimed step too.
    """
    left = {one.name: one for one in offers if wish.wants(one)}
    from_board = seen is not None
    gone: list[str] = []
    at_once = 1
    while left:
        chosen = yield from _choose(left, at_once, gone, hints=from_board)
        found = yield from read_steps(list(dict.fromkeys(name for one in chosen for name in (one.name, *one.needs))))
        for one in chosen:
            gone.append(one.name)
            entry = found[one.name]
            if entry is None or entry.doc.status is not Status.PENDING:
                continue
            unread = [need for need in entry.doc.needs if need not in found]
            if unread:
                found |= yield from read_steps(unread)
            needs = documents({need: found[need] for need in entry.doc.needs})
            if transitions.unmet(entry.doc, needs):
                continue
            beside = (yield from _tidying(seen, gone)) if seen else []
            seen = None
            won = yield from _claim(wish, me, entry, needs, beside)
            if won is not None:
                return won
        at_once = min(at_once * 4, 16)
    return None


def _choose(left: dict[str, Ready], count: int, gone: list[str], *, hints: bool) -> Op[list[Ready]]:
    """Take out up to `count` offers of the highest priority there is, at random.

    With `hints`, what this machine knows to be stale goes to `gone` unread. Not so for what was read just now: where a
    memory says otherwise, the memory is of another life of the project.
    """
    chosen: list[Ready] = []
    while left and not chosen:
        best = max(one.priority for one in left.values())
        pool = [one for one in left.values() if one.priority == best]
        while pool and len(chosen) < count:
            one = left.pop(pool.pop((yield from fx.pick(len(pool)))).name)
            known = (yield from registers.remembered(keys.step(one.name), Step)) if hints else None
            if known is not None and known.doc.seq > one.seq and known.doc.status is not Status.PENDING:
                gone.append(one.name)
            else:
                chosen.append(one)
    return chosen


def _tidying(seen: Look, gone: Sequence[str]) -> Op[list[fx.Put]]:
    if abs((yield from fx.now()) - seen.board.at) < TIDY:
        return []
    put = yield from replacement(seen, [], gone)
    return [put] if put else []


def _claim(wish: _Wish, me: Me, entry: Version[Step], needs: dict[str, Step | None], beside: Sequence[fx.Put] = ()) -> Op[Claimed | None]:
    try:
        won = yield from steps.claim_known(wish.actor, me, entry, needs, wish.lease, wish.git, beside)
        return None if won.again else won  # another shell of this agent was faster: the step is that one's work
    except Fenced:
        raise
    except (Lost, Unmet, Damaged, TimedOut):  # somebody was faster, or a need is not whole: another one
        return None


def _take_over(wish: _Wish, me: Me, found: Survey) -> Op[Claimed | None]:
    """Claim a step whose holder gives no sign of life any more, by the store's clock, or a former incarnation's of the caller's own."""
    others = {one.name: one for one in found.steps.values() if one.agent and wish.wants(one)}
    mine = [others.pop(one.name) for one in list(others.values()) if one.agent == me.agent]
    held = [one for one in mine if one.incarnation < me.incarnation]
    now = me.own_modified + max(0.0, (yield from fx.now()) - me.seen_at)
    silent = [one for one in others.values() if now - one.modified > min(one.lease, one.max_hold or one.lease) + MARGIN]
    if silent:
        alive = yield from signs()
        held += [one for one in silent if one.left(alive, now) < -MARGIN]
    for one in sorted(held, key=lambda one: (-one.priority, one.name)):
        entry = (yield from read_steps([one.name]))[one.name]
        won = (yield from _claim(wish, me, entry, {})) if entry is not None and entry.doc.claim is not None else None
        if won is not None:
            return won
    return None


def _why_none(wish: _Wish, found: Survey) -> WindlassError:
    chosen = [one for one in found.steps.values() if wish.wants(one)]
    counts: dict[str, int] = {}
    for one in chosen:
        counts[one.status.value] = counts.get(one.status.value, 0) + 1
    if found.damaged:
        counts["damaged"] = len(found.damaged)
    listed = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "no steps"
    open_ = [one.name for one in chosen if one.status not in (Status.COMPLETE, Status.CANCELLED)]
    if not open_ and not found.damaged:
        return NothingLeft(f"nothing left to do: {listed}", "add work: windlass plan apply FILE", counts=counts)
    if not _can_go_on(found).isdisjoint(open_):
        return NothingReady(f"nothing is ready yet: {listed}", "wait: windlass next --wait 100", counts=counts)
    return Unmet(f"nothing can go on: {listed}", "see what is blocked or failed: windlass status", counts=counts)


def _can_go_on(found: Survey) -> set[str]:
    """The steps that can still complete without anybody stepping in: none of what they wait for is stuck, missing or in a circle."""
    waits: dict[str, set[str]] = {}
    followers: dict[str, list[str]] = {}
    for one in found.steps.values():
        if one.status in (Status.IN_PROGRESS, Status.NEEDS_REVIEW):
            waits[one.name] = set()
        elif one.status is Status.PENDING:
            waits[one.name] = {need for need in one.needs if need not in found.steps or found.steps[need].status is not Status.COMPLETE}
            for need in waits[one.name]:
                followers.setdefault(need, []).append(one.name)
    todo = [name for name, needs in waits.items() if not needs]
    out = set(todo)
    while todo:
        done = todo.pop()
        for name in followers.get(done, ()):
            waits[name].discard(done)
            if not waits[name] and name not in out:
                out.add(name)
                todo.append(name)
    return out
