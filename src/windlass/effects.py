"""What an operation may ask of the world. Operations are generators that yield these; drivers carry them out.

A driver sends an effect's result back into the generator, or throws the error that it met. Keys are relative to the
project. Times are seconds; `modified` is the store's clock, never the client's.
"""

from __future__ import annotations

from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from typing import Any, TypeAlias, TypeVar

    T = TypeVar("T")
    Op: TypeAlias = Generator["Effect", Any, T]


class Object(Record):
    """One object as read: `version` is the store's opaque token for If-Match, `modified` the store's time."""

    key: str
    body: bytes
    version: str
    modified: float


class Unchanged(Record):
    """Answer to a conditional read: the object still has the version that the reader knows."""

    key: str


class Entry(Record):
    """One object as listed. `version` may be empty on stores that do not list versions."""

    key: str
    version: str
    size: int
    modified: float

    @property
    def mark(self) -> str:
        """What tells this state of the object from others: its version, else its time and size."""
        return self.version or f"{self.modified:.9f}/{self.size}"


class Page(Record):
    """Entries sorted by key; `more` is the key to list on after, or None at the end."""

    entries: tuple[Entry, ...]
    more: str | None


class IfAbsent(Record):
    """Put only if there is no such object."""


class IfMatch(Record):
    """Put only if the object still has this version."""

    version: str


class Always(Record):
    """Put whatever is there: only for objects with a single writer."""


if TYPE_CHECKING:
    Condition: TypeAlias = IfAbsent | IfMatch | Always


class Effect(Record):
    """The base of all effects."""


class Get(Effect):
    """Object | Unchanged (only with `unless`, a version) | None. Raises StoreError."""

    key: str
    unless: str | None = None


class Put(Effect):
    """The new version. Raises PutRefused, PutUnclear, StoreError where it surely did not land, Indeterminate where it may not last."""

    key: str
    body: bytes
    condition: Condition


class Delete(Effect):
    """None, also where there was no such object. Raises StoreError."""

    key: str


class List(Effect):
    """Page of at most `limit` entries, 1000 on many stores, whose key starts with `prefix` and is greater than `after`."""

    prefix: str
    after: str = ""
    limit: int = 1000


class Folders(Effect):
    """tuple[str, ...]: the names between `prefix` (empty, or ending in "/") and the next "/", sorted."""

    prefix: str


class Now(Effect):
    """float: the client's wall clock. Information and cache ages only; never a reason to take a claim."""


class Sleep(Effect):
    """None, after that many seconds; earlier where the driver is told that an object `until` changed, and whenever it likes.

    `until` has keys; one that ends in "/" stands for what lies directly below. Whoever sleeps reads again afterwards.
    """

    seconds: float
    until: tuple[str, ...] = ()


class NewId(Effect):
    """str: fresh and random, 20 characters of [a-z0-9]."""


class Pick(Effect):
    """int: random, 0 ≤ n < below."""

    below: int


class Recall(Effect):
    """bytes | None: what `Remember` kept on this machine under that name, or None. A hint, never the truth."""

    name: str


class Remember(Effect):
    """None. Best effort; `body` None forgets."""

    name: str
    body: bytes | None


class Tell(Effect):
    """None. Progress for people: what is going on, and how far (`total` 0 = unknown), in `unit`: "B" for bytes, else things."""

    what: str
    done: int = 0
    total: int = 0
    unit: str = ""


class Gather(Effect):
    """list: one result or Exception for each of the primitive effects, in order. Cancels none."""

    effects: tuple[Effect, ...]


class Call(Effect):
    """What `work` returns: local work that may block, such as reading a file or hashing. Raises what it raises, StopIteration as
    RuntimeError.

    It asks the world for nothing else, and may be done several times: an exploration goes back and does it again.
    """

    work: Callable[[], Any]


class Spread(Effect):
    """list of the results in order of the operations, run side by side, at most `at_once` of them at a time; or None where the
    driver leaves that to the caller.

    The first error ends it: no further operation is begun, those under way are awaited, then it is raised. `ops` is taken from
    only when there is room for one more, by one thread at a time, and must not block.
    """

    ops: Iterable[Op[Any]]
    at_once: int


def get(key: str, unless: str | None = None) -> Op[Object | Unchanged | None]:
    """Read one object."""
    found: Object | Unchanged | None = yield Get(key=key, unless=unless)
    return found


def read(key: str) -> Op[Object | None]:
    """Read one object whatever its version."""
    found: Object | None = yield Get(key=key)
    return found


def put(key: str, body: bytes, condition: Condition) -> Op[str]:
    """Write one object under a condition; only registers and logs may call this, they settle what is unclear."""
    version: str = yield Put(key=key, body=body, condition=condition)
    return version


def page(prefix: str, after: str = "", limit: int = 1000) -> Op[Page]:
    """One page of a listing."""
    found: Page = yield List(prefix=prefix, after=after, limit=limit)
    return found


def now() -> Op[float]:
    """The client's wall clock, seconds since 1970."""
    seconds: float = yield Now()
    return seconds


def sleep(seconds: float) -> Op[None]:
    """Wait."""
    yield Sleep(seconds=seconds)


def sleep_until(seconds: float, until: tuple[str, ...]) -> Op[None]:
    """Wait, but no longer than until one of the objects is seen to change."""
    yield Sleep(seconds=seconds, until=until)


def new_id() -> Op[str]:
    """A fresh random id."""
    fresh: str = yield NewId()
    return fresh


def pick(below: int) -> Op[int]:
    """A random number from 0 up to but not `below`."""
    chosen: int = yield Pick(below=below)
    return chosen


def recall(name: str) -> Op[bytes | None]:
    """What this machine remembers under a name."""
    body: bytes | None = yield Recall(name=name)
    return body


def remember(name: str, body: bytes | None) -> Op[None]:
    """Keep a hint on this machine."""
    yield Remember(name=name, body=body)


def tell(what: str, done: int = 0, total: int = 0) -> Op[None]:
    """Say how far long work is."""
    yield Tell(what=what, done=done, total=total)


def gather(effects: Sequence[Effect]) -> Op[list[Any]]:
    """Carry out several primitive effects at once; each result may be an Exception."""
    results: list[Any] = yield Gather(effects=tuple(effects))
    return results


def gather_reads(keys: Sequence[str]) -> Op[list[Object | None]]:
    """Read several objects at once. Raises the first error met."""
    results = yield from gather([Get(key=key) for key in keys])
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def call(work: Callable[[], T]) -> Op[T]:
    """Do local work that may block."""
    result: T = yield Call(work=work)
    return result


def spread(ops: Iterable[Op[T]], at_once: int = 8) -> Op[list[T]]:
    """Run operations side by side, their results in order. Raises the first error, once those under way are at their end."""
    results: list[T] | None = yield Spread(ops=ops, at_once=at_once)
    if results is None:
        results = []
        for op in ops:
            results.append((yield from op))
    return results
