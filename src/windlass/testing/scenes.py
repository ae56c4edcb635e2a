"""What an exploration is about: programs on one store, and every way in which one state of them can turn into the next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from windlass import effects as fx
from windlass.record import Record
from windlass.testing.unfolding import DONE, NONE, REFUSED, SAME, UNAVAILABLE, UNCLEAR, Bodies, Node, Program, Unfolding

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping
    from typing import TypeAlias

    from windlass.testing.unfolding import Answer

    Objects: TypeAlias = dict[str, tuple[int, float]]

FAULTS = ("drop", "lose-answer", "refuse-after", "refuse", "late", "unavailable", "crash")
"""Each uses up one fault: a put never arrives; lands and its answer is lost; lands and is said to be refused (a proxy repeated it);
is refused though nothing stood in its way (409); gets no answer now and lands at any later time or never; a request fails for sure;
the process dies before it goes on. A deletion may be late too."""


class Landed(NamedTuple):
    """A put that changed an object: by which program (and operation, by number), what was there before, what is there now.

    `look(key)` reads any object as it is at that moment; `modified(key)` its time.
    """

    key: str
    before: bytes | None
    after: bytes
    by: str
    place: int
    late: bool
    look: Callable[[str], bytes | None]
    modified: Callable[[str], float | None]
    now: float


class Deleted(NamedTuple):
    """A deletion that took an object away: by which program; `look(key)` reads any object as it is after that."""

    key: str
    before: bytes
    by: str
    look: Callable[[str], bytes | None]


class End(NamedTuple):
    """A state in which no program goes on: the notes of each, after how many restarts each note was made, who is dead, the objects.

    Late writes may still come.
    """

    notes: Mapping[str, tuple[Hashable, ...]]
    lives: Mapping[str, tuple[int, ...]]
    dead: frozenset[str]
    objects: Mapping[str, bytes]


class Scene(Record):
    """What is explored. `begin`: objects and their times at the start, `now` the store's clock then.

    `jumps`: seconds by which the store's clock may jump ahead, one after the other, each at any moment or never.
    `landed`, `deleted` and `end` raise AssertionError where something must not be. `faults` are names of FAULTS.
    """

    programs: tuple[Program, ...]
    begin: Mapping[str, tuple[bytes, float]]
    now: float
    landed: Callable[[Landed], None]
    end: Callable[[End], None]
    jumps: tuple[float, ...] = ()
    faults: tuple[str, ...] = FAULTS
    deleted: Callable[[Deleted], None] = lambda _: None


class Violation(AssertionError):
    """Something that must not be, with the way to it: one line a transition."""

    def __init__(self, what: str, way: list[str]) -> None:
        self.what, self.way = what, way
        super().__init__("\n".join([what, "the way there:", *(f"{n:4} {line}" for n, line in enumerate(way, 1))]))


DELETION = -1
"""Stands for the body of a late deletion."""


class Late(NamedTuple):
    """A put, or a deletion, on its way: of which program, in which of its operations."""

    who: int
    place: int
    key: str
    body: int
    condition: fx.Condition


class State(NamedTuple):
    """Everything at one moment. `jumped`: how often the clock did; `faults` that are left; `mixed`: its hash."""

    objects: Objects
    nodes: tuple[Node, ...]
    late: tuple[Late, ...]
    jumped: int
    faults: int
    mixed: int


class Move(NamedTuple):
    """A transition: who (-1: the world), what (for people), the state behind it."""

    who: int
    what: tuple[object, ...]
    after: State
    timed: bool


class Moves:
    """The states of a scene and the transitions between them. `fired` counts faults by name."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.bodies = Bodies()
        machines = [program.machine for program in scene.programs]
        self.programs = [
            Unfolding(program, self.bodies, seed, shared=machines.count(program.machine) > 1) for seed, program in enumerate(scene.programs)
        ]
        self.times = [scene.now]
        for jump in scene.jumps:
            self.times.append(self.times[-1] + jump)
        self.fired: dict[str, int] = {}
        self._dice = random.Random("tokens")
        self._tokens: dict[object, int] = {}
        self._checked: set[object] = set()
        self._looked = False

    def _token(self, thing: object) -> int:
        token = self._tokens.get(thing)
        if token is None:
            token = self._tokens[thing] = self._dice.getrandbits(128)
        return token

    def start(self, faults: int) -> State:
        objects = {key: (self.bodies.number(body), modified) for key, (body, modified) in self.scene.begin.items()}
        for one in self.programs:
            if one.shared:
                for name, body in one.program.hints.items():
                    objects[f"hint:{one.program.machine}:{name}"] = (self.bodies.number(body), 0.0)
        nodes = tuple(one.begin(self.scene.now) for one in self.programs)
        mixed = self._token(("jumped", 0))
        for item in objects.items():
            mixed ^= self._token(item)
        for node in nodes:
            mixed ^= node.token
        return State(objects, nodes, (), 0, faults, mixed)

    def all(self, state: State) -> Iterator[Move]:
        for who, node in enumerate(state.nodes):
            for which, got in enumerate(node.got):
                if got is None:
                    yield from self.requests(state, who, which)
            if node.asks:
                yield from self.crashes(state, who)
        for n, (who, place, key, number, condition) in enumerate(state.late):
            rest = (*state.late[:n], *state.late[n + 1 :])
            after = state._replace(late=rest, mixed=state.mixed ^ self._late(state.late) ^ self._late(rest))
            if number == DELETION:
                after = self._delete(after, who, key)
            elif self._holds(state, key, condition):
                after = self._write(after, who, place, key, number, late=True)
            yield Move(-1, ("late write of", who, key, "lands" if after.objects is not state.objects else "is refused"), after, True)
        if state.jumped + 1 < len(self.times) and (state.late or any(node.asks for node in state.nodes)):
            mixed = state.mixed ^ self._token(("jumped", state.jumped)) ^ self._token(("jumped", state.jumped + 1))
            yield Move(-1, ("the clock jumps",), state._replace(jumped=state.jumped + 1, mixed=mixed), True)

    def key(self, who: int, ask: fx.Get | fx.Recall | fx.Remember) -> str:
        return ask.key if isinstance(ask, fx.Get) else f"hint:{self.scene.programs[who].machine}:{ask.name}"

    def requests(self, state: State, who: int, which: int) -> Iterator[Move]:
        node = state.nodes[who]
        ask = node.asks[which]
        match ask:
            case fx.Put():
                yield from self._puts(state, who, which, ask)
                return
            case fx.Pick():
                for value in range(ask.below):
                    yield self._answered(state, who, which, ("value", value), None)
                return
            case fx.Recall():
                found = state.objects.get(self.key(who, ask))
                yield self._answered(state, who, which, ("value", None if found is None else self.bodies.bodies[found[0]]), None)
                return
            case fx.Remember():
                key = self.key(who, ask)
                if ask.body is None:
                    after = self._remove(state, key)
                else:
                    after = self._set(state, key, self.bodies.number(ask.body), 0.0)
                yield self._answered(after, who, which, DONE, None)
                return
            case fx.Get():
                found = state.objects.get(ask.key)
                if found is None:
                    answer: Answer = NONE
                elif self.bodies.versions[found[0]] == ask.unless:
                    answer = SAME
                else:
                    answer = ("object", *found)
                yield self._answered(state, who, which, answer, None)
            case fx.List():
                inside = sorted(key for key in state.objects if key.startswith(ask.prefix) and key > ask.after)
                entries = tuple((key, *state.objects[key]) for key in inside[: ask.limit])
                more = inside[ask.limit - 1] if len(inside) > ask.limit else None
                yield self._answered(state, who, which, ("page", entries, more), None)
            case fx.Folders():
                inner = (key[len(ask.prefix) :] for key in state.objects if key.startswith(ask.prefix))
                names = tuple(sorted({name.partition("/")[0] for name in inner if "/" in name}))
                yield self._answered(state, who, which, ("value", names), None)
            case fx.Delete():
                after = self._delete(state, who, ask.key)
                yield self._answered(after, who, which, DONE, None)
                if state.faults and after is not state:
                    yield from self.crashes(after, who, "deletes, then dies")
                if state.faults and "lose-answer" in self.scene.faults and after is not state:
                    yield self._answered(after, who, which, UNAVAILABLE, "lose-answer")
                if state.faults and "late" in self.scene.faults:
                    kept = self._delayed(state, Late(who, node.origin.place, ask.key, DELETION, fx.Always()))
                    yield self._answered(kept, who, which, UNAVAILABLE, "late")
        if state.faults and "unavailable" in self.scene.faults:
            yield self._answered(state, who, which, UNAVAILABLE, "unavailable")

    def _puts(self, state: State, who: int, which: int, ask: fx.Put) -> Iterator[Move]:
        place = state.nodes[who].origin.place
        holds = self._holds(state, ask.key, ask.condition)
        number = self.bodies.number(ask.body)
        landed = self._write(state, who, place, ask.key, number) if holds else state
        yield self._answered(landed, who, which, ("written", number) if holds else REFUSED, None)
        if not state.faults:
            return
        wanted = self.scene.faults
        if holds:  # dead before it knew: at an operation's last write that is not the same as before the next request
            yield from self.crashes(landed, who, "lands, then dies")
        if "drop" in wanted:
            yield self._answered(state, who, which, UNCLEAR, "drop")
        if "unavailable" in wanted:
            yield self._answered(state, who, which, UNAVAILABLE, "unavailable")
        if not holds:
            return
        if "lose-answer" in wanted:
            yield self._answered(landed, who, which, UNCLEAR, "lose-answer")
        if "refuse-after" in wanted and not isinstance(ask.condition, fx.Always):
            yield self._answered(landed, who, which, REFUSED, "refuse-after")
        if "refuse" in wanted and not isinstance(ask.condition, fx.Always):
            yield self._answered(state, who, which, REFUSED, "refuse")
        if "late" in wanted:
            yield self._answered(self._delayed(state, Late(who, place, ask.key, number, ask.condition)), who, which, UNCLEAR, "late")

    def crashes(self, state: State, who: int, how: str = "dies") -> Iterator[Move]:
        """The program dies here, if it may."""
        if state.faults and "crash" in self.scene.faults and self.scene.programs[who].mortal:
            node = state.nodes[who]
            gone = self.programs[who].crash(node, self.times[state.jumped])
            after = state._replace(
                nodes=(*state.nodes[:who], gone, *state.nodes[who + 1 :]),
                faults=state.faults - 1,
                mixed=state.mixed ^ node.token ^ gone.token,
            )
            self.fired["crash"] = self.fired.get("crash", 0) + 1
            yield Move(who, (how,), after, True)

    def _answered(self, state: State, who: int, which: int, answer: Answer, fault: str | None) -> Move:
        node = state.nodes[who]
        child, timed = self.programs[who].answer(node, which, answer, self.times[state.jumped])
        if fault:
            self.fired[fault] = self.fired.get(fault, 0) + 1
        after = State(
            state.objects,
            (*state.nodes[:who], child, *state.nodes[who + 1 :]),
            state.late,
            state.jumped,
            state.faults - (fault is not None),
            state.mixed ^ node.token ^ child.token,
        )
        return Move(who, (node.asks[which], answer, fault), after, timed)

    def _holds(self, state: State, key: str, condition: fx.Condition) -> bool:
        found = state.objects.get(key)
        if isinstance(condition, fx.IfAbsent):
            return found is None
        return isinstance(condition, fx.Always) or (found is not None and self.bodies.versions[found[0]] == condition.version)

    def _delayed(self, state: State, request: Late) -> State:
        late = (*state.late, request)
        return state._replace(late=late, mixed=state.mixed ^ self._late(state.late) ^ self._late(late))

    def _late(self, late: tuple[Late, ...]) -> int:
        mixed = 0
        for entry in late:
            mixed += self._token(entry)  # a sum, so that the order does not count but the number does
        return mixed

    def _set(self, state: State, key: str, number: int, modified: float) -> State:
        before = state.objects.get(key)
        mixed = state.mixed ^ self._token((key, (number, modified)))
        if before is not None:
            mixed ^= self._token((key, before))
        return state._replace(objects={**state.objects, key: (number, modified)}, mixed=mixed)

    def _remove(self, state: State, key: str) -> State:
        before = state.objects.get(key)
        if before is None:
            return state
        objects = {other: value for other, value in state.objects.items() if other != key}
        return state._replace(objects=objects, mixed=state.mixed ^ self._token((key, before)))

    def _delete(self, state: State, who: int, key: str) -> State:
        after = self._remove(state, key)
        if after is state:
            return state

        def look(other: str) -> bytes | None:
            found = after.objects.get(other)
            return None if found is None else self.bodies.bodies[found[0]]

        name = self.scene.programs[who].name
        try:
            self.scene.deleted(Deleted(key, self.bodies.bodies[state.objects[key][0]], name, look))
        except AssertionError as wrong:
            raise Violation(str(wrong), [f"{name} deletes {key}"]) from wrong
        return after

    def _write(self, state: State, who: int, place: int, key: str, number: int, *, late: bool = False) -> State:
        after = self._set(state, key, number, self.times[state.jumped])
        before = state.objects.get(key)
        checked = (key, before, number, who, place, late, state.jumped)
        if checked not in self._checked:
            self._looked = False
            try:
                self.scene.landed(self._landing(state, who, place, key, number, late=late))
            except AssertionError as wrong:
                raise Violation(str(wrong), [f"{self.scene.programs[who].name} writes {key}: {self.bodies.bodies[number]!r}"]) from wrong
            if not self._looked:  # then it depends on nothing else
                self._checked.add(checked)
        return after

    def _landing(self, state: State, who: int, place: int, key: str, number: int, *, late: bool) -> Landed:
        def look(other: str) -> bytes | None:
            self._looked = True
            found = state.objects.get(other)
            return None if found is None else self.bodies.bodies[found[0]]

        def modified(other: str) -> float | None:
            self._looked = True
            found = state.objects.get(other)
            return None if found is None else found[1]

        before = state.objects.get(key)
        return Landed(
            key,
            None if before is None else self.bodies.bodies[before[0]],
            self.bodies.bodies[number],
            self.scene.programs[who].name,
            place,
            late,
            look,
            modified,
            self.times[state.jumped],
        )

    def told(self, move: Move) -> str:
        """One line for people."""
        name = self.scene.programs[move.who].name if move.who >= 0 else ""
        if len(move.what) != 3:
            return " ".join([name, *(self.scene.programs[part].name if isinstance(part, int) else str(part) for part in move.what)]).strip()
        ask, answer, fault = move.what
        where = getattr(ask, "key", getattr(ask, "prefix", getattr(ask, "name", "")))
        condition = f" {ask.condition!r}" if isinstance(ask, fx.Put) else ""
        said = str(answer[0]) if isinstance(answer, tuple) else ""
        return f"{name}: {type(ask).__name__.lower()} {where}{condition} → {said}" + (f" ({fault})" if fault else "")
