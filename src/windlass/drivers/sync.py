"""Runs operations blocking: for the command line and blocking Python programs."""

from __future__ import annotations

import time
from _thread import allocate_lock
from os import urandom

from windlass import effects as fx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from typing import Any, Protocol, TypeVar

    from windlass.stores.base import Store

    T = TypeVar("T")

    class Hints(Protocol):
        """What this machine remembers of a project; losing it costs requests."""

        def recall(self, name: str) -> bytes | None: ...
        def remember(self, name: str, body: bytes | None) -> None: ...


WORKERS = 32
"""Requests in flight at most during a gather."""
NEARBY = 16
"""Requests of a gather that are quicker in turn than on threads, where the store is this machine's own."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz012345"


def fresh_id() -> str:
    """100 random bits as 20 characters of [a-z0-5]."""
    return "".join(_ALPHABET[byte & 31] for byte in urandom(20))


class World:
    """Everything an effect can touch: a store, hints, clocks, randomness and somewhere to tell progress."""

    def __init__(
        self,
        store: Store,
        hints: Hints,
        tell: Callable[[fx.Tell], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.hints = hints
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self._lock = allocate_lock()
        self._pool: ThreadPoolExecutor | None = None

    def perform(self, effect: fx.Effect) -> Any:
        """Carry out one effect. Raises what it raises."""
        kind = type(effect)
        if kind is fx.Gather:
            return self._gather(effect.effects)  # type: ignore[attr-defined]
        return _PERFORM[kind](self, effect)

    def _gather(self, effects: tuple[fx.Effect, ...]) -> list[Any]:
        if len(effects) < (2 if self.store.capabilities.distant else NEARBY):
            return [self._attempt(effect) for effect in effects]
        return list(self.pool().map(self._attempt, effects))

    def pool(self) -> ThreadPoolExecutor:
        """The threads for requests in flight, started at the first call."""
        with self._lock:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="windlass")
            return self._pool

    def _attempt(self, effect: fx.Effect) -> Any:
        try:
            return self.perform(effect)
        except Exception as error:  # the operation decides what each error of a gather means
            return error

    def close(self) -> None:
        """End the threads and the store's connections."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self.store.close()


_PERFORM: dict[type, Callable[[World, Any], Any]] = {
    fx.Get: lambda w, e: w.store.get(e.key, e.unless),
    fx.Put: lambda w, e: w.store.put(e.key, e.body, e.condition),
    fx.Delete: lambda w, e: w.store.delete(e.key),
    fx.List: lambda w, e: w.store.list(e.prefix, e.after, e.limit),
    fx.Folders: lambda w, e: w.store.folders(e.prefix),
    fx.Now: lambda w, e: w._clock(),
    fx.Sleep: lambda w, e: w._sleep(e.seconds),
    fx.NewId: lambda w, e: fresh_id(),
    fx.Pick: lambda w, e: int.from_bytes(urandom(4), "big") % e.below,
    fx.Recall: lambda w, e: w.hints.recall(e.name),
    fx.Remember: lambda w, e: w.hints.remember(e.name, e.body),
    fx.Tell: lambda w, e: w._tell(e),
}


def run(op: fx.Op[T], world: World) -> T:
    """Drive an operation to its end, blocking. Raises what the operation raises."""
    try:
        effect = next(op)
        while True:
            try:
                result = world.perform(effect)
            except Exception as error:
                effect = op.throw(error)
            else:
                effect = op.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
