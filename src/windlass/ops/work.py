"""Finding work: `next`, from the board where it can be, from a survey of every step where it must be."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, Fenced, Lost, NothingLeft, NothingReady, TimedOut, Unavailable, Unmet, WindlassError
from windlass.ops import steps, trails, waiting
from windlass.ops.agents import act, end
from windlass.ops.board import (
    LOW,
    after_finish,
    change,
    listing,
    look,
    look_again,
    offer,
    put_on_board,
    read_steps,
    refill,
    reoffer,
    replacement,
)  # fmt: skip
from windlass.ops.search import AT_ONCE, Search, Wish
from windlass.ops.survey import ready, signs, survey
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN
from windlass.protocol.board import SIZE, Over
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.board import Look
    from windlass.ops.registers import Version
    from windlass.ops.steps import Changed, Claimed
    from windlass.ops.survey import Survey
    from windlass.protocol.steps import Git
    from windlass.protocol.survey import Brief

TIDY = 1.0
"""Seconds at least between writes of the board that only tidy it up."""
GRACE = 1.0
"""Seconds at most that somebody who may wait leaves an empty board to others before it looks at every step."""
LOOK_AGAIN = 5.0
"""Seconds until somebody who waits looks at every step again, at first."""
LONGEST = 60.0
"""Seconds that it leaves that to others, at first; and half the time waited, where nobody does it, at most."""
LATEST = 180.0
"""Seconds that it leaves that to others, however long it waited, give or take a quarter."""
FEW = 31
"""Offers of a board that rots, at most, that somebody reads who may wait until it is tidied up."""
FILLS = 8
"""Times that `next` helps to fill the board before it looks at every step."""


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


class _Idle(Record):
    """Nothing was found: why, and the board then. `whole`: every step was looked at."""

    problem: WindlassError
    seen: Look
    whole: bool = True
    again: bool = False
    """The board offers more than was tried."""


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
    wish = Wish(actor=actor, labels=labels, lease=lease, git=git)
    pace = yield from waiting.begin()
    patience = yield from _patience(pace)
    board: str | None = None
    again = False
    while True:
        whole = wait is None or pace.waited >= min(wait, patience.most)
        turn = board if pace.waited >= patience.due else None
        try:
            found = yield from _find(wish, whole=whole, turn=turn)
        except Unavailable:
            if not pace.waited or wait is None or pace.waited >= wait:
                raise
            patience = yield from patience.put_off(pace)
        else:
            if not isinstance(found, _Idle):
                return found
            if not isinstance(found.problem, NothingReady) or wait is None or (found.whole and pace.waited >= wait):
                raise found.problem
            if found.whole:
                patience = yield from _patience(pace)
            elif (board is not None and found.seen.version != board) or turn:
                patience = yield from patience.put_off(pace)
            board, again = found.seen.version, found.again
        pace = yield from _pause_on(actor, None if again else board, pace, min(wait, patience.due))


class _Patience(Record):
    """When somebody who waits looks at every step: after `due` seconds if nobody else looks after the board, after `most` in any case."""

    due: float
    most: float

    def put_off(self, pace: waiting.Pace) -> Op[_Patience]:
        """The board was written just now."""
        share = (yield from fx.pick(1000)) / 1000
        due = pace.waited + LOOK_AGAIN * (0.5 + share)
        return self.but(due=min(due, self.most) if self.most > pace.waited else due)


def _patience(pace: waiting.Pace) -> Op[_Patience]:
    """Less and less often; the first time after a moment, since those who finish steps put others on the board."""
    share = (yield from fx.pick(1000)) / 1000
    spread = 0.75 + share / 2  # those who began together do not look together
    gap = min(max(pace.waited * 0.5, LOOK_AGAIN), LONGEST) * spread
    return _Patience(
        due=pace.waited + gap if pace.waited else GRACE * share, most=pace.waited + min(max(LONGEST, pace.waited), LATEST) * spread
    )


def _find(wish: Wish, *, whole: bool, turn: str | None) -> Op[Claimed | _Idle]:
    """Claim something from the board; else, with `whole`, from all steps; also where the board still has the version `turn`."""
    me = yield from act(wish.actor)
    won, seen, more = yield from _from_board(wish, me, whole=whole)
    if won is not None:
        return won
    over = seen.board.over
    if over is not None and not wish.labels and over.listing == (yield from listing()):
        return _Idle(problem=_nothing_left(over.counts), seen=seen)
    if not whole and seen.version is not None and not seen.sealed:
        mine = (yield from change(seen, [], [], looks=seen.board.looks + 1)) if turn == seen.version else None
        if mine is None:
            problem = NothingReady("nothing is ready yet", "wait: windlass next --wait 100")
            return _Idle(problem=problem, seen=seen, whole=False, again=more)
        seen = mine
    found = yield from survey()
    free = [offer(step, found.marks.get(step.name, "")) for step in ready(found)]
    won = yield from _try(Search(wish, me, free))
    taken = {won.step.name} if won else set()
    right = [one for one in free if one.name not in taken]
    wrong = {one.name for one in seen.board.ready} - {one.name for one in right}
    version = yield from put_on_board(right, wrong | taken, seen)
    won = won or (yield from _take_over(wish, me, found))
    if won is not None:
        return won
    problem_ = _why_none(wish, found)
    if isinstance(problem_, NothingLeft) and not wish.labels and (turn or len(found.steps) > FEW):
        yield from _note_over(wish)
    return _Idle(problem=problem_, seen=seen.but(version=version))


def _note_over(wish: Wish) -> Op[None]:
    """Tell the others that nothing is left, so that they need only list.

    What is listed before the steps are looked at is what they were, if they are the same afterwards.
    """
    digest = yield from listing()
    found = yield from survey()
    if isinstance(_why_none(wish, found), NothingLeft):
        yield from change((yield from look()), [], [], over=Over(listing=digest, counts=_counts(found.steps.values())))


def _pause_on(actor: Actor, board: str | None, pace: waiting.Pace, until: float) -> Op[waiting.Pace]:
    """Poll the board alone, by conditional reads, until it changes or `until` seconds were waited."""
    try:
        most = (yield from act(actor)).due  # also of the first pause
    except Unavailable:
        most = waiting.FIRST
    while not pace.waited >= until:  # also where it is not a number, which the pause refuses
        # a board that changes all the time keeps nobody busy who finds nothing on it
        pace = yield from waiting.pause(pace, until, most, until=(keys.BOARD,), least=waiting.FIRST)
        try:
            most = (yield from act(actor)).due  # who waits lives, and keeps what it holds
            now = yield from fx.get(keys.BOARD, board)
        except (Unavailable, Damaged):  # asked again at the next poll
            continue
        if not isinstance(now, fx.Unchanged) and (now.version if now else None) != board:
            break
    return pace


def _from_board(wish: Wish, me: Me, *, whole: bool) -> Op[tuple[Claimed | None, Look, bool]]:
    """Claim what the board offers and keep the board filled: the claim, the board as it was last seen, whether it offers more."""
    seen = yield from look()
    for _ in range(FILLS):
        trail = yield from trails.recall(wish.actor.agent, seen.board)
        search = Search(wish, me, seen.board.ready, seen, trail)
        search.due = yield from _tidy_due(seen)
        search.most = SIZE if whole or search.due else FEW
        won = yield from _try(search)
        seen = search.seen or seen
        yield from trails.remember(wish.actor.agent, trail)
        if seen.board.rest is None or len(seen.board.ready) - len(search.gone) - len(search.changed) > LOW:
            if won is None and search.gone and search.due:
                yield from change(seen, [], search.gone)
            return won, seen, search.offers > 0
        if won is not None:
            if search.due:
                yield from _fill(seen, search)
            return won, seen, False
        yield from fx.sleep((yield from fx.pick(300)) / 1000)  # somebody else may be at it
        again = yield from look_again(seen.version)
        if again is None:
            yield from refill(seen, search.gone, [one.name for one in search.changed])
            again = yield from look()
        seen = again
    return None, seen, False


def _fill(seen: Look, search: Search) -> Op[None]:
    """Fill the board for the others; whoever has its claim need not hear what comes of it."""
    try:
        yield from refill(seen, search.gone, [one.name for one in search.changed])
    except WindlassError:
        pass


def _try(search: Search) -> Op[Claimed | None]:
    """Try offers, best first, a few more at once after each disappointment; many where the board is to be tidied up.

    With the first claim tried goes a write that takes off the board what turned out stale, and the claimed step too.
    """
    seen = search.seen
    if seen is not None and seen.board.rest is not None and len(seen.board.ready) <= LOW:
        seen = None  # filled again afterwards
    at_once = 1
    while search.offers and search.most > 0:
        chosen = yield from search.choose(at_once)
        search.most -= max(1, len(chosen))
        found = (yield from search.read(chosen)) if chosen else {}
        stale = [one for one in chosen if (entry := found[one.name]) is None or entry.doc.status is not Status.PENDING]
        for one in [*stale, *(one for one in chosen if one not in stale)]:
            needs = yield from search.ready(one, found)
            entry = found[one.name]
            if needs is None or entry is None:
                continue
            made = (yield from replacement(seen, [], search.gone)) if seen is not None and search.due else None
            seen = None
            won = yield from _claim(search.wish, search.me, entry, needs, [made[0]] if made else [])
            if won is not None:
                if search.trail is not None:
                    search.trail.took(won.step)
                return won
            search.lost += 1
        if search.due and seen is not None and not search.reserved:  # of many who are due, one reads what is stale
            seen = yield from change(seen, [], search.gone, looks=seen.board.looks)
            search.reserved = search.due = seen is not None
            search.seen = seen or search.seen
        at_once = min(at_once * (16 if search.due else 2), AT_ONCE)
        if not search.sifted and (yield from search.sift()):
            at_once = 1
    return None


def _tidy_due(seen: Look) -> Op[bool]:
    """Whether the board was left alone for so long that it may be written only to tidy it up; never all at the same time."""
    now = yield from fx.now()
    return abs(now - seen.board.at) >= TIDY * (1 + 3 * (yield from fx.pick(1000)) / 1000)


def _claim(wish: Wish, me: Me, entry: Version[Step], needs: dict[str, Step | None], beside: Sequence[fx.Put] = ()) -> Op[Claimed | None]:
    try:
        won = yield from steps.claim_known(wish.actor, me, entry, needs, wish.lease, wish.git, beside)
        return None if won.again else won  # another shell of this agent was faster: the step is that one's work
    except Fenced:
        raise
    except (Lost, Unmet, Damaged, TimedOut):  # somebody was faster, or a need is not whole: another one
        return None


def _take_over(wish: Wish, me: Me, found: Survey) -> Op[Claimed | None]:
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


def _why_none(wish: Wish, found: Survey) -> WindlassError:
    chosen = [one for one in found.steps.values() if wish.wants(one)]
    counts = _counts(chosen)
    if found.damaged:
        counts["damaged"] = len(found.damaged)
    listed = _listed(counts)
    open_ = [one.name for one in chosen if one.status not in (Status.COMPLETE, Status.CANCELLED)]
    if not open_ and not found.damaged:
        return _nothing_left(counts)
    if not _can_go_on(found).isdisjoint(open_):
        return NothingReady(f"nothing is ready yet: {listed}", "wait: windlass next --wait 100", counts=counts)
    return Unmet(f"nothing can go on: {listed}", "see what is blocked or failed: windlass status", counts=counts)


def _counts(some: Iterable[Brief]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in some:
        counts[one.status.value] = counts.get(one.status.value, 0) + 1
    return counts


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "no steps"


def _nothing_left(counts: Mapping[str, int]) -> NothingLeft:
    return NothingLeft(f"nothing left to do: {_listed(counts)}", "add work: windlass plan apply FILE", counts=dict(counts))


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
