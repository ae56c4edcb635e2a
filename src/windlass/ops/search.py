"""One search through offers of the board: which to try next, and which are left to others."""

from __future__ import annotations

from windlass import effects as fx
from windlass.ops import registers
from windlass.ops.board import PAGE, documents, mark, read_steps
from windlass.protocol import keys, transitions
from windlass.protocol.board import SIZE
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.board import Look
    from windlass.ops.registers import Version
    from windlass.ops.trails import Trail
    from windlass.protocol.board import Ready
    from windlass.protocol.steps import Git
    from windlass.protocol.survey import Brief

MANY = 64
"""Equal offers from which on an agent goes its own way over the board."""
RIVALS = 16
"""Of twice as many offers, best first, one is taken at random after a lost race; of more after another."""
AT_ONCE = 64
"""Offers read at once, at most."""
PAGES = 3
"""Of the listing, looked through at most for an offer that did not change."""
SIFT = 16
"""Offers left after a disappointment from which on a page of the listing is worth its price."""


class Wish(Record):
    """What `next` is asked for."""

    actor: Actor
    labels: Sequence[str]
    lease: float | None
    git: Git | None

    def wants(self, one: Ready | Brief) -> bool:
        return not self.labels or not set(self.labels).isdisjoint(one.labels)


class Search:
    """One search through offers. `seen`: the board that they are from, None where they were read just now.

    `gone` are those that are none any more, or not yet.
    """

    def __init__(self, wish: Wish, me: Me, offers: Sequence[Ready], seen: Look | None = None, trail: Trail | None = None) -> None:
        self.wish, self.me, self.seen, self.trail = wish, me, seen, trail
        self.gone: list[str] = []
        self.due = False
        """Whether the board is to be tidied up on this occasion."""
        self.reserved = False
        """Whether the board says so, and nobody else does it."""
        self.lost = 0
        """Races."""
        self.most = SIZE
        """Offers that are read at most."""
        self.left: dict[str, Ready] = {}
        self.sifted = False
        self.behind: dict[str, Ready] = {}
        """Offers that are tried last, since nothing newer is known of them."""
        self.changed: list[Ready] = []
        """Offers whose steps changed since: few can still be had, so only one agent at a time reads them."""
        for one in offers:
            if trail is not None and trail.knows_gone(one):
                self.gone.append(one.name)
            elif wish.wants(one):
                self.left[one.name] = one

    def choose(self, count: int) -> Op[list[Ready]]:
        """Take out up to `count` offers of the highest priority there is: the one behind the last one taken, else at random.

        What this machine knows to be stale goes to `gone` unread. Not so for what was read just now: where a memory says
        otherwise, the memory is of another life of the project.
        """
        chosen: list[Ready] = []
        if not self.left:
            self.left, self.behind = self.behind, {}
        left = self.left
        while left and not chosen:
            best = max(one.priority for one in left.values())
            pool = [one for one in left.values() if one.priority == best]
            if self.lost:  # as many rivals are after the best: they will have them
                pool = list(left.values())[: max(len(pool), RIVALS << min(self.lost, 5))]
            at = self.trail.behind(pool) if self.trail is not None and count == 1 and len(pool) >= MANY else None
            while pool and len(chosen) < count:
                one = left.pop(pool.pop((yield from fx.pick(len(pool))) if at is None else at).name)
                at = None
                known = (yield from registers.remembered(keys.step(one.name), Step)) if self.seen is not None else None
                if known is not None and known.doc.seq > one.seq and known.doc.status is not Status.PENDING:
                    self.gone.append(one.name)
                else:
                    chosen.append(one)
        if self.reserved:
            chosen += self.changed[:PAGE]
            del self.changed[:PAGE]
        return chosen

    @property
    def offers(self) -> int:
        """How many are left for this agent."""
        return len(self.left) + len(self.behind) + (len(self.changed) if self.reserved else 0)

    def sift(self) -> Op[bool]:
        """Leave what the listing shows to have changed to whoever tidies the board up, and put what was not listed behind the
        rest; whether the listing tells.
        """
        self.sifted = True
        where = {keys.step(one.name): one for one in self.left.values() if one.mark}
        if self.trail is None or self.trail.blind or len(where) < SIFT:
            return False
        self.behind, self.left = self.left, {}
        after = min(where)[:-1]
        for _ in range(PAGES):
            page = yield from fx.page(keys.STEPS, after)
            versions = {entry.key: mark(entry.version) for entry in page.entries}
            if versions and not any(versions.values()):
                self.trail.blind = True
                break
            for key in [key for key in where if page.more is None or key <= page.more]:
                one = where.pop(key)
                del self.behind[one.name]
                if versions.get(key) == one.mark:
                    self.left[one.name] = one
                else:
                    self.changed.append(one)
            after = min(where, default="")[:-1]
            if self.left or not after:
                break
        return not self.trail.blind

    def read(self, chosen: Sequence[Ready]) -> Op[dict[str, Version[Step] | None]]:
        """Read the chosen; one alone together with its needs, of several only those are read that are tried."""
        with_needs = chosen[0].needs if len(chosen) == 1 else ()
        return (yield from read_steps([*(one.name for one in chosen), *with_needs]))

    def ready(self, one: Ready, found: dict[str, Version[Step] | None]) -> Op[dict[str, Step | None] | None]:
        """The needs of an offer that was read and is ready; None, and it is gone, where it is not."""
        self.gone.append(one.name)
        entry = found[one.name]
        if entry is None:
            return None
        if entry.doc.status is not Status.PENDING:
            if self.trail is not None:
                self.trail.gone[one.name] = entry.doc.seq
            return None
        unread = [need for need in entry.doc.needs if need not in found]
        if unread:
            found |= yield from read_steps(unread)
        needs = documents({need: found[need] for need in entry.doc.needs})
        return None if transitions.unmet(entry.doc, needs) else needs
