"""A linearizability checker: could these operations of concurrent processes each have taken effect at one moment between call and return?

The search is Wing and Gong's with Lowe's memory of what was visited: (operations done, state). `windlass.testing.models` has the
models of our own objects, `windlass.testing.histories` records and reads histories. To check recorded files again:

    python -m windlass.testing.linearizable FILE_OR_FOLDER…
"""

from __future__ import annotations

import sys
from enum import Enum

from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

STEPS = 2_000_000
"""Steps of a model that one search may take, a few seconds; then it is undecided, which is a failure and no pass."""
EXPLAINED = 3
"""Violations of a history that are explained."""
SHOWN = 12
"""Operations shown before the one that does not fit."""


class Operation(Record):
    """One call. Times are in any unit that all processes share.

    `returned` None: nobody knows, it may take effect at any time after its call, or never. `answer` None with a return: it
    returned, but did not say what it did. What surely had no effect and told nothing is no operation: leave it out.
    """

    process: str
    key: str
    do: str
    args: Any = None
    answer: Any = None
    called: int
    returned: int | None = None

    @property
    def known(self) -> bool:
        """Whether it returned, so that it must have its place."""
        return self.returned is not None


class Misfit(Enum):
    """What a model's step gives for an operation that cannot have answered so in that state."""

    MISFIT = "misfit"


MISFIT = Misfit.MISFIT


def _never(_one: Operation) -> bool:
    return False


def _as_they_are(operations: Sequence[Operation]) -> Sequence[Operation]:
    return operations


class Model(Record):
    """A sequential object. States are hashable; `step` is the next one, or MISFIT, and must take an answer of None.

    `looks`: whether an operation, with the answer that it gave, changes no state that it fits; that makes the search short.
    `prepare` may add what follows for certain from the history as a whole (of one key), to narrow the search.
    """

    name: str
    start: Any
    step: Callable[[Any, Operation], Any]
    looks: Callable[[Operation], bool] = _never
    prepare: Callable[[Sequence[Operation]], Sequence[Operation]] = _as_they_are


class Verdict(Enum):
    """What a check found."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "not linearizable"
    UNDECIDED = "undecided"


class Finding(Record):
    """The verdict on one key's history, with the number of its operations, of those with unknown outcome, and of steps taken."""

    key: str
    verdict: Verdict
    operations: int
    unknown: int
    steps: int
    why: str = ""


def check(model: Model, operations: Sequence[Operation], most: int = STEPS, *, explain: bool = True) -> Finding:
    """The verdict on one object's history. `most`: steps until it gives up, undecided. To explain a violation takes more searches."""
    ready = model.prepare(operations)
    search = _Search(model, ready)
    verdict = search.run(most)
    why = ""
    if verdict is Verdict.VIOLATION and explain:
        why = _explain(model, ready, most)
    elif verdict is Verdict.UNDECIDED:
        why = f"gave up after {search.steps} steps: no verdict, which is a failure"
    key = operations[0].key if operations else ""
    unknown = sum(not one.known for one in operations)
    return Finding(key=key, verdict=verdict, operations=len(operations), unknown=unknown, steps=search.steps, why=why)


def check_each(model: Model, operations: Iterable[Operation], most: int = STEPS) -> list[Finding]:
    """As `check`, for each key by itself: many objects are linearizable together if and only if each is. Explains some violations."""
    parts: dict[str, list[Operation]] = {}
    for one in operations:
        parts.setdefault(one.key, []).append(one)
    findings: list[Finding] = []
    for _, part in sorted(parts.items()):
        findings.append(check(model, part, most, explain=sum(bool(one.why) for one in findings) < EXPLAINED))
    return findings


class _Search:
    """One depth-first search for an order. Calls and returns lie in a linked list; whatever is placed is taken out of it.

    Operations without a return lie in a list of their own and are tried last: they need no place at all.
    """

    def __init__(self, model: Model, operations: Sequence[Operation]) -> None:
        self.model = model
        self.operations = operations
        self.steps = 0
        self.order: list[int] = []
        """The operations placed, when the search ended."""
        self.needing: dict[Any, None] = {}
        """States in which everything had its place but the operation that returned last."""
        events = sorted(_events(operations))
        count = len(events)
        self._index = [index for _, _, index in events]
        self._is_call = [not kind for _, kind, _ in events]
        self._certain = [operations[index].known for index in self._index]
        self._looks = [self._certain[at] and model.looks(operations[index]) for at, index in enumerate(self._index)]
        place = {index: at for at, index in enumerate(self._index) if not self._is_call[at]}
        self._return = [place.get(index, count) for index in self._index]
        self._next, self._back, self._heads = _link(self._certain, count)
        self._needed = sum(one.known for one in operations)

    def run(self, most: int) -> Verdict:
        """Search until an order is found, none is left, or `most` steps were taken."""
        step, operations, end = self.model.step, self.operations, len(self._index)
        state, done, needed = self.model.start, 0, self._needed
        seen: set[tuple[int, Any]] = set()
        stack: list[tuple[int, Any, bool]] = []
        bound, at = self._first_return()
        while needed:
            if at < end and at < bound:
                index = self._index[at]
                self.steps += 1
                if self.steps > most:
                    return Verdict.UNDECIDED
                now = step(state, operations[index])
                certain, looks = self._certain[at], self._looks[at]
                if now is MISFIT:
                    if needed == 1 and certain and len(self.needing) < 4:
                        self.needing.setdefault(state)
                elif certain or now != state:  # what is optional and changes nothing needs no place
                    mark = done | (1 << index)
                    if (mark, now) not in seen:
                        seen.add((mark, now))
                        stack.append((at, state, looks))
                        self._take_out(at)
                        state, done = now, mark
                        needed -= certain
                        bound, at = self._first_return()
                        continue
                    if looks:  # a look may as well come now, so that nothing else is worth trying here
                        at = end
                        continue
                at = self._following(at, bound)
                continue
            only = True
            while only:
                if not stack:
                    return Verdict.VIOLATION
                at, state, only = stack.pop()
                self._put_back(at)
                done ^= 1 << self._index[at]
                needed += self._certain[at]
            bound, _ = self._first_return()
            at = self._following(at, bound)
        self.order = [self._index[at] for at, _, _ in stack]
        return Verdict.LINEARIZABLE

    def _first_return(self) -> tuple[int, int]:
        """The first return of what has no place yet: whatever was called before it may come next; and the first of those calls."""
        at = self._next[self._heads[0]]
        first, end = at, len(self._index)
        while at < end and self._is_call[at]:
            at = self._next[at]
        return at, first

    def _following(self, at: int, bound: int) -> int:
        """The next call to try: certain ones first, then the others."""
        ahead = self._next[at]
        if self._certain[at] and ahead >= bound:
            return self._next[self._heads[1]]
        return ahead

    def _take_out(self, at: int) -> None:
        both = (at, self._return[at]) if self._certain[at] else (at,)
        for one in both:
            before, after = self._back[one], self._next[one]
            self._next[before] = after
            self._back[after] = before

    def _put_back(self, at: int) -> None:
        both = (self._return[at], at) if self._certain[at] else (at,)
        for one in both:
            self._next[self._back[one]] = one
            self._back[self._next[one]] = one


def _events(operations: Sequence[Operation]) -> Iterable[tuple[int, int, int]]:
    """(time, 0 for a call and 1 for a return, operation): at the same time a call comes first, so that the two are concurrent."""
    for index, one in enumerate(operations):
        yield one.called, 0, index
        if one.returned is not None:
            yield one.returned, 1, index


def _link(certain: Sequence[bool], count: int) -> tuple[list[int], list[int], tuple[int, int]]:
    """Two linked lists over the events, one of the certain operations and one of the others: next, back, and their heads.

    `count` ends the first and `count + 1` the second; both are beyond every event.
    """
    heads = (count + 2, count + 3)
    forward, back = [0] * (count + 4), [0] * (count + 4)
    for which, head in enumerate(heads):
        last = head
        for at in (at for at in range(count) if certain[at] is (which == 0)):
            forward[last], back[at], last = at, last, at
        forward[last], back[count + which] = count + which, last
    return forward, back, heads


def _explain(model: Model, operations: Sequence[Operation], most: int) -> str:
    """The first return at which the history went wrong, with an order of everything before it."""
    ends = sorted(one.returned for one in operations if one.returned is not None)
    low, high = 0, len(ends)  # the first `low` returns fit, the first `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        verdict = _Search(model, _until(operations, ends[middle - 1])).run(most)
        if verdict is Verdict.UNDECIDED:
            break
        low, high = (low, middle) if verdict is Verdict.VIOLATION else (middle, high)
    wrong = _until(operations, ends[high - 1])
    failing = _Search(model, wrong)
    failing.run(most)
    right = _until(operations, ends[low - 1] if low else -1)
    fitting = _Search(model, right)
    fitting.run(most)
    return "\n".join(_lines(model, right, fitting.order, [one for one in wrong if one.returned == ends[high - 1]], failing.needing))


def _lines(
    model: Model, right: Sequence[Operation], order: Sequence[int], culprits: Sequence[Operation], states: Iterable[Any]
) -> list[str]:
    since = min(one.called for one in right) if right else 0
    lines = [f"one order of the {len(order)} operations that fit" + (f", the last {SHOWN}:" if len(order) > SHOWN else ":")]
    state = model.start
    for number, index in enumerate(order):
        state = model.step(state, right[index])
        if number >= len(order) - SHOWN:
            lines.append(f"  {told(right[index], since)}  → {_short(state)}")
    lines += [f"does not fit: {told(one, since)}" for one in culprits]
    lines += [f"  tried in the state {_short(one)}" for one in states]
    placed = set(order)
    flight = [
        one for index, one in enumerate(right) if not one.known and index not in placed and all(one.called != c.called for c in culprits)
    ]
    if flight:
        lines.append("not ended by then, or never, and of no help:")
        lines += [f"  {told(one, since)}" for one in flight[-SHOWN:]]
    return lines


def told(one: Operation, since: int = 0) -> str:
    """An operation in a line; times are counted from `since`, in ms where they are ns."""
    end = "?" if one.returned is None else _time(one.returned - since)
    asked = "" if one.args is None else f" {_short(one.args)}"
    said = "" if one.answer is None else f" = {_short(one.answer)}"
    return f"[{_time(one.called - since)} … {end}] {one.process}: {one.do}{asked}{said}"


def _time(value: int) -> str:
    return f"{value / 1e6:.3f} ms" if value > 100_000 else str(value)


def _short(value: object) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else text[:140] + " … " + text[-140:]


def _until(operations: Sequence[Operation], end: int) -> list[Operation]:
    """What was known of the history at that time: the later returns are not in sight yet."""
    return [
        one if one.returned is None or one.returned <= end else one.but(returned=None, answer=None)
        for one in operations
        if one.called <= end
    ]


def main(arguments: Sequence[str]) -> int:
    """Check recorded histories again; 0 where all are linearizable, 1 where one is not, or undecided, 2 without one."""
    from windlass.testing import histories

    if not arguments:
        sys.stdout.write("usage: python -m windlass.testing.linearizable FILE_OR_FOLDER…\n")
        return 2
    fine = True
    for path in arguments:
        history = histories.load(path)
        report = histories.judge(history)
        sys.stdout.write(report.text() + "\n")
        fine = fine and report.fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
