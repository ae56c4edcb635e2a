"""Explores everything that can happen to a few programs that share a store: every order of their requests, lost requests, lost
answers, late writes, crashes, jumps of the store's clock. The programs are the operations that ship.

Of a state a 128-bit hash is remembered; one met again with no more faults left than before is not gone into again. No way
is endless, since each transition answers a request, uses up a fault or moves the clock.

Unless told otherwise, orders that nobody can tell apart are tried once: a read whose object no other program, late write or
jump of the clock can still change is carried out at once, alone. Such a set of transitions is persistent (P. Godefroid,
Partial-Order Methods, 1996), and neither what a program gets to see nor the order of the writes to an object depends on when
it runs. What others may still write is learned, not declared: each pending write outside of what is known of its operation
is added, and the exploration starts again, so that it ends only with a set that covers all.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from windlass import effects as fx
from windlass.record import Record
from windlass.testing.scenes import FAULTS, Deleted, End, Landed, Move, Moves, Scene, State, Violation
from windlass.testing.unfolding import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FAULTS", "Bounds", "Deleted", "End", "Explored", "Landed", "Program", "Scene", "TooMany", "Violation", "explore", "wander"]

WALKS = 300
"""Random ways gone first, so that few passes are in vain."""


class Bounds(Record):
    """How far: faults on one way at most, states at most (more of them is an error, not an end)."""

    faults: int = 0
    states: int = 5_000_000
    reduce: bool = True


class Explored(Record):
    """What was gone through: states, transitions, different ends, faulty transitions by name, the longest way, passes."""

    states: int
    transitions: int
    ends: int
    faults: Mapping[str, int]
    longest: int
    passes: int


class TooMany(AssertionError):
    """More states than the bound: nothing was shown."""


class _Learned(Exception):
    """Somebody writes what nobody was known to write."""


class _Footprint:
    """What an operation of a program was seen to write: keys that it creates, and keys that it changes or deletes."""

    def __init__(self) -> None:
        self.creates: set[str] = set()
        self.changes: set[str] = set()

    def learn(self, ask: fx.Effect) -> bool:
        """Whether that was new."""
        match ask:
            case fx.Put(condition=fx.IfAbsent()):
                where, key = self.creates, ask.key
            case fx.Put() | fx.Delete():
                where, key = self.changes, ask.key
            case fx.Remember():
                where, key = self.changes, f"hint:{ask.name}"
            case _:
                return False
        if key in where:
            return False
        where.add(key)
        return True

    def writes(self, key: str, *, there: bool) -> bool:
        """Whether it may still change what a read of the key finds."""
        return key in self.changes or (not there and key in self.creates)


def explore(scene: Scene, bounds: Bounds, *, walks: int = WALKS) -> Explored:
    """Go through everything within the bounds; `walks`: random ways gone first. Raises Violation, TooMany."""
    search = _Search(scene, bounds)
    if bounds.reduce:
        search.wander(walks, 0)
    passes = 1
    while not search.whole_pass():
        passes += 1
    return search.explored(passes)


def wander(scene: Scene, faults: int, walks: int, seed: int) -> int:
    """Go some random ways, for worlds too large to go through; how many transitions those were. Raises Violation."""
    return _Search(scene, Bounds(faults=faults, reduce=False)).wander(walks, seed)


class _Search:
    def __init__(self, scene: Scene, bounds: Bounds) -> None:
        self.scene = scene
        self.bounds = bounds
        self.world = Moves(scene)
        self.footprints = [[_Footprint() for _ in program.script] for program in scene.programs]
        self.learned: set[int] = set()
        self._reset()

    def _reset(self) -> None:
        self.seen: dict[int, int] = {}
        self.transitions = self.longest = 0
        self.ends: set[object] = set()
        self.world.fired.clear()

    def explored(self, passes: int) -> Explored:
        """The figures of the last pass."""
        return Explored(
            states=len(self.seen),
            transitions=self.transitions,
            ends=len(self.ends),
            faults=dict(sorted(self.world.fired.items())),
            longest=self.longest,
            passes=passes,
        )

    def wander(self, walks: int, seed: int) -> int:
        """Random ways; what the programs write is learned from them."""
        dice = random.Random(seed)
        steps = 0
        for _ in range(walks):
            state = self.world.start(self.bounds.faults)
            way: list[Move] = []
            try:
                while True:
                    self._learn(state)
                    if not any(node.asks for node in state.nodes):
                        self._check_end(state)
                    moves = list(self.world.all(state))
                    if not moves:
                        break
                    way.append(dice.choice(moves))
                    state = way[-1].after
            except Violation as found:
                raise Violation(found.what, [self.world.told(move) for move in way] + found.way) from None
            steps += len(way)
        return steps

    def _learn(self, state: State) -> bool:
        new = False
        for node, footprints in zip(state.nodes, self.footprints, strict=True):
            if node.token not in self.learned:
                self.learned.add(node.token)
                for ask in node.asks:
                    new = footprints[node.origin.place].learn(ask) or new
        return new

    def whole_pass(self) -> bool:
        """Depth first through everything; False where something was learned, so that it must be done again."""
        self._reset()
        start = self.world.start(self.bounds.faults)
        self.seen[start.mixed] = start.faults
        way: list[tuple[Move | None, Iterator[Move]]] = []
        try:
            way.append((None, self._moves(start)))
            while way:
                move = next(way[-1][1], None)
                if move is None:
                    way.pop()
                    continue
                self.transitions += 1
                after = move.after
                if self.seen.get(after.mixed, -1) >= after.faults:
                    continue
                self.seen[after.mixed] = after.faults
                if len(self.seen) > self.bounds.states:
                    raise TooMany(f"more than {self.bounds.states} states")
                way.append((move, iter(())))
                way[-1] = (move, self._moves(after))
                self.longest = max(self.longest, len(way) - 1)
        except Violation as found:
            raise Violation(found.what, [self.world.told(move) for move, _ in way if move] + found.way) from None
        except _Learned:
            return False
        return True

    def _moves(self, state: State) -> Iterator[Move]:
        if not any(node.asks for node in state.nodes):
            self._check_end(state)
        if self.bounds.reduce:
            if self._learn(state):
                raise _Learned
            alone = self._alone(state)
            if alone is not None:
                return iter(alone)
        return self.world.all(state)

    def _alone(self, state: State) -> list[Move] | None:
        """The transitions of one program's read that nothing else can still influence, if there is one."""
        jumps = state.jumped + 1 < len(self.world.times)
        for who, node in enumerate(state.nodes):
            for which, got in enumerate(node.got):
                if got is None and self._may_go_first(state, who, which, jumps=jumps) and self._is_settled(state, who, which):
                    moves = [*self.world.requests(state, who, which), *self.world.crashes(state, who)]
                    if not (jumps and any(move.timed for move in moves)):
                        return moves
        return None

    def _may_go_first(self, state: State, who: int, which: int, *, jumps: bool) -> bool:
        """Whether it does not matter when a request is answered, as far as the rest of its own gather goes.

        The last answer is where a program looks at its clock and ends; and it cannot die between a write of the same gather
        and its end any more once that write is the last one open.
        """
        node = state.nodes[who]
        others = [ask for n, ask in enumerate(node.asks) if n != which and node.got[n] is None]
        if not others:
            return True
        dies = state.faults and "crash" in self.scene.faults and self.scene.programs[who].mortal
        return not jumps and not (dies and any(isinstance(ask, fx.Put | fx.Delete | fx.Remember) for ask in others))

    def _is_settled(self, state: State, who: int, which: int) -> bool:
        """Whether a request is a read, and what it finds cannot change any more before it is carried out."""
        ask = state.nodes[who].asks[which]
        match ask:
            case fx.Pick():
                return True
            case fx.Get() | fx.Recall():
                key = self.world.key(who, ask)
                there = key in state.objects
                if any(late.key == key and not (there and isinstance(late.condition, fx.IfAbsent)) for late in state.late):
                    return False
                written = ask.key if isinstance(ask, fx.Get) else f"hint:{ask.name}"
                return not any(one.writes(written, there=there) for one in self._others(state, who, which))
            case fx.List() | fx.Folders():
                if any(late.key.startswith(ask.prefix) for late in state.late):
                    return False
                others = self._others(state, who, which)
                return not any(key.startswith(ask.prefix) for one in others for key in (*one.creates, *one.changes))
            case _:
                return False

    def _others(self, state: State, who: int, which: int) -> Iterator[_Footprint]:
        """What may still be written meanwhile: by other programs, and by the other requests of the same gather.

        Programs on different machines do not share what they remember; to count that in is only careful.
        """
        for other, node in enumerate(state.nodes):
            if other != who and node.asks:
                yield from self.footprints[other][node.origin.place :]
        node = state.nodes[who]
        if len(node.asks) > 1:
            own = _Footprint()
            for n, ask in enumerate(node.asks):
                if n != which and node.got[n] is None:
                    own.learn(ask)
            yield own

    def _check_end(self, state: State) -> None:
        place = (frozenset((key, value[0]) for key, value in state.objects.items()), tuple(node.token for node in state.nodes))
        if place in self.ends:
            return
        self.ends.add(place)
        names = [program.name for program in self.scene.programs]
        end = End(
            {name: node.origin.notes for name, node in zip(names, state.nodes, strict=True)},
            {name: node.origin.lives for name, node in zip(names, state.nodes, strict=True)},
            frozenset(name for name, node in zip(names, state.nodes, strict=True) if node.dead),
            {key: self.world.bodies.bodies[number] for key, (number, _) in state.objects.items()},
        )
        try:
            self.scene.end(end)
        except AssertionError as wrong:
            raise Violation(str(wrong), [f"the end: {dict(end.notes)}"]) from wrong
