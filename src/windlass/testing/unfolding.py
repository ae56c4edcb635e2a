"""One program of an exploration: the places it can be at, as a tree over the answers it got.

An operation is a generator, which cannot be copied; but it is a function of its answers. So a place in it is a node, its
children are the answers that are possible there, and a generator is run again from its operation's start only where a new
child is needed. Two ways to the start of the same operation, with the same memory and the same notes, are one node.
"""

from __future__ import annotations

import random
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from windlass import effects as fx
from windlass.errors import PutRefused, PutUnclear, Unavailable
from windlass.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from typing import TypeAlias

    Answer: TypeAlias = tuple[object, ...]
    Script: TypeAlias = Sequence[Callable[[tuple[Hashable, ...]], "fx.Op[Hashable] | None"]]

FEW = 3
"""A random choice among at most so many is tried each way; among more, as for the length of a pause, the first stands for all."""

CHOICES = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders)
DONE: Answer = ("done",)
NONE: Answer = ("none",)
SAME: Answer = ("same",)
REFUSED: Answer = ("refused",)
UNCLEAR: Answer = ("unclear",)
UNAVAILABLE: Answer = ("unavailable",)


class Program(Record):
    """What one process does: operations in turn; each is made from the notes of those before and returns its own.

    One that makes None is left out, and its note is None.

    `clock`: seconds that its clock is off. `hints`: what its machine remembers at the start; programs of one machine share it.
    `mortal`: whether it may crash; `restarts`: how often it then runs again the operation that was cut short.
    """

    name: str
    script: Script
    machine: str
    clock: float = 0.0
    hints: Mapping[str, bytes] = {}
    mortal: bool = True
    restarts: int = 0


class Bodies:
    """Each content once, by a small number. Its version is made of the content, as the local store's is."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.bodies: list[bytes] = []
        self.versions: list[str] = []

    def number(self, body: bytes) -> int:
        """The content's number."""
        known = self._numbers.get(body)
        if known is None:
            known = self._numbers[body] = len(self.bodies)
            self.bodies.append(bytes(body))
            self.versions.append(sha256(body).hexdigest()[:24])
        return known


class Origin(NamedTuple):
    """The start of an operation: its place in the script, what came before, how often it was restarted, what the machine remembers."""

    place: int
    notes: tuple[Hashable, ...]
    life: int
    hints: frozenset[tuple[str, bytes]]
    lives: tuple[int, ...] = ()
    """The `life` in which each note was made."""


class Node:
    """A place: before the requests `asks`, some of which may be answered in `got`; with none, the program is over (or `dead`)."""

    __slots__ = ("asks", "base", "before", "children", "dead", "gather", "got", "live", "origin", "token")

    def __init__(self, origin: Origin, token: int) -> None:
        self.origin = origin
        self.token = token
        self.asks: tuple[fx.Effect, ...] = ()
        self.gather = False
        """Answered by a list, errors included."""
        self.got: tuple[Answer | None, ...] = ()
        self.base = self
        """Where none of the requests was answered yet."""
        self.before: tuple[Node, tuple[Answer | None, ...], float] | None = None
        self.children: dict[object, tuple[Node, bool]] = {}
        self.live: _Run | None = None
        self.dead = False


class _Run:
    """A generator under way, with what its effects changed that leave no choice."""

    def __init__(self, op: fx.Op[Hashable], origin: Origin) -> None:
        self.op = op
        self.hints = dict(origin.hints)
        self.ids = 0
        self.timed = False
        self.note: Hashable = None
        self.called: list[tuple[int, object]] = []
        """What the local work in a gather came to, by place: no request, so no choice."""


class Unfolding:
    """The nodes of one program; `shared`: its machine's memory is shared, so that looking it up is a choice too."""

    def __init__(self, program: Program, bodies: Bodies, seed: int, *, shared: bool = False) -> None:
        self.program = program
        self.bodies = bodies
        self.shared = shared
        self.nodes = 0
        self._dice = random.Random(seed)
        self._origins: dict[Origin, Node] = {}
        self._dead: dict[Origin, Node] = {}

    def begin(self, now: float) -> Node:
        """The first place."""
        return self._enter(0, (), (), 0, frozenset() if self.shared else frozenset(self.program.hints.items()), now)[0]

    def answer(self, node: Node, which: int, answer: Answer, now: float) -> tuple[Node, bool]:
        """The place behind an answer to one of a node's requests, and whether a clock was looked at on the way."""
        base = node.base
        got = (*node.got[:which], answer, *node.got[which + 1 :])
        if None in got:
            child = base.children.get(got)
            if child is None:
                child = base.children[got] = (self._node(base.origin), False)
                child[0].asks, child[0].gather, child[0].got, child[0].base = base.asks, base.gather, got, base
            return child
        child = base.children.get((got, None)) or base.children.get((got, now))
        if child is None:
            run = base.live or self._replay(base)
            base.live = None
            child = self._go(run, base, got, now)
            base.children[got, now if child[1] else None] = child
        return child

    def crash(self, node: Node, now: float) -> Node:
        """The place after the process died: at the start of the operation again, or nowhere."""
        origin = node.origin
        if origin.life < self.program.restarts:
            run = self._replay(node.base)
            node.base.live = run
            return self._enter(origin.place, origin.notes, origin.lives, origin.life + 1, frozenset(run.hints.items()), now)[0]
        origin = origin._replace(hints=frozenset())
        dead = self._dead.get(origin)
        if dead is None:
            dead = self._dead[origin] = self._node(origin)
            dead.dead = True
        return dead

    def _node(self, origin: Origin) -> Node:
        self.nodes += 1
        return Node(origin, self._dice.getrandbits(128))

    def _enter(
        self, index: int, notes: tuple[Hashable, ...], lives: tuple[int, ...], life: int, hints: frozenset[tuple[str, bytes]], now: float
    ) -> tuple[Node, bool]:
        """The first place of the next operation that is not left out, or the end."""
        script = self.program.script
        while index < len(script):
            origin = Origin(index, notes, life, hints, lives)
            start = self._origins.get(origin)
            if start is None:
                start = self._origins[origin] = self._node(origin)
            child = start.children.get(now)
            if child is None:
                op = script[index](notes)
                if op is None:
                    index, notes, lives = index + 1, (*notes, None), (*lives, life)
                    continue
                child = start.children[now] = self._go(_Run(op, origin), start, (), now)
            return child
        origin = Origin(index, notes, life, frozenset(), lives)
        end = self._origins.get(origin)
        if end is None:
            end = self._origins[origin] = self._node(origin)
        return end, False

    def _replay(self, node: Node) -> _Run:
        """A generator that stands at a node."""
        if node.live is not None:
            return node.live
        way = []
        at = node
        while at.before is not None:
            way.append((at, *at.before))
            at = at.before[0]
        op = self.program.script[node.origin.place](node.origin.notes)
        assert op is not None
        run = _Run(op, node.origin)
        for after, before, answers, now in reversed(way):
            asked = self._advance(run, before, answers, now)
            if asked is None or asked[0] != after.asks:
                raise AssertionError(f"{self.program.name}: an operation did something else with the same answers")
        return run

    def _go(self, run: _Run, before: Node, answers: tuple[Answer | None, ...], now: float) -> tuple[Node, bool]:
        run.timed = False
        asked = self._advance(run, before, answers, now)
        timed = run.timed
        if asked is None:
            origin = before.origin
            notes, lives = (*origin.notes, run.note), (*origin.lives, origin.life)
            child, late = self._enter(origin.place + 1, notes, lives, origin.life, frozenset(run.hints.items()), now)
            return child, timed or late
        child = self._node(before.origin)
        child.asks, child.gather = asked
        child.got = (None,) * len(child.asks)
        child.before = (before, answers, now)
        child.live = run
        return child, timed

    def _advance(self, run: _Run, at: Node, answers: tuple[Answer | None, ...], now: float) -> tuple[tuple[fx.Effect, ...], bool] | None:
        """Send the answers and carry out what leaves no choice; the next requests, or None at the operation's end."""
        value: Any = None
        if answers:
            results = [self._result(ask, answer) for ask, answer in zip(at.asks, answers, strict=True)]
            if at.gather:
                for place, result in run.called:
                    results.insert(place, result)
            value = results if at.gather else results[0]
        failed = isinstance(value, Exception)
        while True:
            try:
                effect = run.op.throw(value) if failed else run.op.send(value)
            except StopIteration as end:
                run.note = end.value
                return None
            failed = False
            if isinstance(effect, fx.Gather):
                run.called = [(place, _attempt(one)) for place, one in enumerate(effect.effects) if isinstance(one, fx.Call)]
                asks = tuple(one for one in effect.effects if not isinstance(one, fx.Call))
                if asks:
                    return asks, True
                value = [result for _, result in run.called]
            elif self._is_choice(effect):
                return (effect,), False
            else:
                try:
                    value = self._inline(run, effect, at.origin, now)
                except Exception as error:
                    value, failed = error, True

    def _is_choice(self, effect: fx.Effect) -> bool:
        if isinstance(effect, fx.Pick):
            return 1 < effect.below <= FEW
        return isinstance(effect, CHOICES) or (self.shared and isinstance(effect, fx.Recall | fx.Remember))

    def _inline(self, run: _Run, effect: fx.Effect, origin: Origin, now: float) -> object:
        match effect:
            case fx.Now():
                run.timed = True
                return now + self.program.clock
            case fx.NewId():
                run.ids += 1
                return f"{self.program.name}{origin.place}life{origin.life}n{run.ids}"
            case fx.Pick():
                return 0
            case fx.Recall():
                return run.hints.get(effect.name)
            case fx.Remember(body=None):
                run.hints.pop(effect.name, None)
            case fx.Remember():
                assert effect.body is not None
                run.hints[effect.name] = effect.body
            case fx.Call():
                return effect.work()
            case _:  # telling and pausing: time goes by only where the exploration lets it; what is spread is run in turn
                pass
        return None

    def _object(self, key: str, number: int, modified: float) -> fx.Object:
        return fx.Object(key=key, body=self.bodies.bodies[number], version=self.bodies.versions[number], modified=modified)

    def _result(self, ask: fx.Effect, answer: Answer | None) -> object:
        """What an operation gets for an answer."""
        match answer:
            case ("object", int(number), float(modified)):
                assert isinstance(ask, fx.Get)
                return self._object(ask.key, number, modified)
            case ("written", int(number)):
                return self.bodies.versions[number]
            case ("page", tuple(entries), str() | None as more):
                return fx.Page(
                    entries=tuple(
                        fx.Entry(key=key, version="", size=len(self.bodies.bodies[number]), modified=modified)
                        for key, number, modified in entries
                    ),
                    more=more,
                )
            case ("value", value):
                return value
            case ("same",):
                assert isinstance(ask, fx.Get)
                return fx.Unchanged(key=ask.key)
            case ("refused",):
                assert isinstance(ask, fx.Put)
                return PutRefused(ask.key)
            case ("unclear",):
                return PutUnclear("no answer")
            case ("unavailable",):
                return Unavailable("no usable answer", "try again")
            case _:
                return None


def _attempt(call: fx.Call) -> object:
    try:
        return call.work()
    except Exception as error:  # the operation decides what each error of a gather means
        return error
