"""Hammers on the bare objects of any store from several threads and judges the history: for a user's own bucket.

report = record_and_check(store, seconds=10)
print(report.text())
"""

from __future__ import annotations

import os
import time
from random import Random
from threading import Event, Lock, Thread

from windlass.effects import IfAbsent, IfMatch
from windlass.errors import PutRefused, WindlassError
from windlass.testing.histories import ALL, Recorder, body, content, judge_twice, merge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from windlass.stores.base import Store
    from windlass.testing.histories import Report

KEYS = 3
"""Objects in use at a time."""
TURN = 0.25
"""Seconds after which client processes go on to fresh objects: each object's history stays short, and many a create is raced for."""
EACH_TURN = 60
"""Operations after which client threads do."""
ROUNDS = 5
"""Attempts to remove what was made."""
ENOUGH = 40
"""Operations that must have been answered."""


def turns(began: float) -> Callable[[], int]:
    """Counts from that monotonic time on, in seconds, the same for all clients of a machine."""
    return lambda: int((time.monotonic() - began) / TURN)


class Hammer:
    """One client: a random mix of create, compare-and-set, get and list of the objects whose `turn` it is.

    `doubtful`: a refusal may hide a write that landed.
    """

    def __init__(
        self, store: Store, prefix: str, recorder: Recorder, random: Random, turn: Callable[[], int], *, doubtful: bool = False
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._recorder = recorder
        self._random = random
        self._turn = turn
        self._refused = None if doubtful else False
        self._known: dict[str, list[tuple[str, str]]] = {}
        """By key, the values that this client knows with their versions, oldest first."""
        self._writes = 0
        self.keys: set[str] = set()
        """Everything that was asked about."""

    def act(self) -> None:
        """One operation. Raises errors that are no store's."""
        key = f"{self._prefix}{self._turn():06}-{self._random.randrange(KEYS)}"
        self.keys.add(key)
        draw = self._random.random()
        known = self._known.get(key, [])
        if draw < 0.08:
            self.list()
        elif draw < 0.4:
            self.get(key)
        elif draw < 0.65 and known:
            self._replace(key, *known[-1])
        elif draw < 0.75 and known:
            self._replace(key, *self._random.choice(known))
        else:
            self._create(key)

    def get(self, key: str) -> None:
        """Read one object."""

        def act() -> dict[str, Any]:
            found = self._store.get(key)
            answer = {"value": content(found), "version": getattr(found, "version", None)}
            return answer if answer["version"] else {"value": None}

        self._note(key, self._recorder.ask(key, "get", None, act), None)

    def list(self, *, whole: bool = False) -> None:
        """List the objects of this turn and the two before, or all of them. Each counts by itself, so pages need not be of one moment."""
        turn = self._turn()
        after, upto = ("", self._prefix + "~") if whole else (f"{self._prefix}{max(0, turn - 2):06}", f"{self._prefix}{turn:06}~")

        def act() -> dict[str, Any]:
            return {"found": {entry.key: entry.version for entry in listed(self._store, self._prefix, after) if entry.key <= upto}}

        self._recorder.ask(ALL, "list", {"after": after, "upto": upto}, act)

    def _create(self, key: str) -> None:
        value = self._fresh()
        made = self._recorder.ask(key, "create", {"value": value}, lambda: self._put(key, value, IfAbsent()))
        self._note(key, made, value)

    def _replace(self, key: str, over: str, version: str) -> None:
        value = self._fresh()
        done = self._recorder.ask(key, "replace", {"value": value, "over": over}, lambda: self._put(key, value, IfMatch(version=version)))
        self._note(key, done, value)

    def _put(self, key: str, value: str, condition: IfAbsent | IfMatch) -> dict[str, Any]:
        try:
            return {"won": True, "version": self._store.put(key, body(value, self._random.choice((0, 10, 5000))), condition)}
        except PutRefused:
            return {"won": self._refused}

    def _fresh(self) -> str:
        self._writes += 1
        return f"{self._recorder.process}.{self._writes}"

    def _note(self, key: str, answer: dict[str, Any] | None, value: str | None) -> None:
        if answer is not None and answer.get("version"):
            self._known.setdefault(key, []).append((value or answer["value"], answer["version"]))


def listed(store: Store, prefix: str, after: str = "") -> Iterator[Any]:
    """Every entry under a prefix, behind that key."""
    more: str | None = after
    while more is not None:
        page = store.list(prefix, more)
        yield from page.entries
        more = page.more


def record_and_check(
    store: Store,
    seconds: float = 10.0,
    clients: int = 4,
    seed: int = 0,
    *,
    keep: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Create, replace, read and list objects from `clients` threads for `seconds`, then judge the answers: see `judge_twice`.

    All under a fresh prefix that is emptied at the end, whatever happens. `keep`: a file for the history. Raises StoreError
    where the store cannot be used at all.
    """
    prefix = f"windlass-histories-{os.urandom(8).hex()}/"
    lines: list[bytes] = []
    lock = Lock()

    def write(line: bytes) -> None:
        with lock:
            lines.append(line)

    def turn() -> int:
        return len(lines) // (2 * EACH_TURN)

    Recorder("begin", write).begin("object", store=store.url, seed=seed, clients=clients, seconds=seconds)
    over = Event()
    broken: list[BaseException] = []
    hammers = [Hammer(store, prefix, Recorder(f"c{n}", write), Random(f"{seed} {n}"), turn) for n in range(clients)]

    def run(hammer: Hammer) -> None:
        try:
            while not over.is_set():
                hammer.act()
        except BaseException as error:
            broken.append(error)
            over.set()

    threads = [Thread(target=run, args=(hammer,), daemon=True) for hammer in hammers]
    left = ""
    try:
        store.list(prefix)  # what is wrong with the whole store is said at once, and not counted as answers
        tell(f"{clients} clients for {seconds:g} s")
        for thread in threads:
            thread.start()
        over.wait(seconds)
        _ended(over, threads)
        if broken:
            raise broken[0]
        last = Hammer(store, prefix, Recorder("last", write), Random(seed), turn)
        last.list(whole=True)
        for key in sorted(set().union(*(hammer.keys for hammer in hammers))):
            last.get(key)
    finally:
        _ended(over, threads)
        if keep is not None:
            with open(keep, "wb") as file:
                file.writelines(lines)
        left = _emptied(store, prefix)
    tell("judging")
    report = judge_twice(merge(lines), enough={"": ENOUGH, "create": 1, "replace": 1, "get": 1, "list": 1})
    return report.but(notes=(left,)) if left else report


def _ended(over: Event, threads: list[Thread]) -> None:
    over.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join()


def _emptied(store: Store, prefix: str) -> str:
    """Delete everything under the prefix; what to say where that was not possible."""
    problem: object = "they keep coming"
    for _ in range(ROUNDS):
        try:
            entries = list(listed(store, prefix))
            if not entries:
                return ""
        except WindlassError as error:
            problem = error
            continue
        for entry in entries:
            try:
                store.delete(entry.key)
            except WindlassError as error:
                problem = error
    return f"objects may be left under {prefix}: {problem}"
