"""Runs operations blocking: for the command line and blocking Python programs."""

from __future__ import annotations

import time
from _thread import allocate_lock, get_ident, start_new_thread
from os import urandom

from windlass import effects as fx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from typing import Any, Protocol, TypeVar

    from windlass.drivers.notice import Notice
    from windlass.drivers.spread import Effort
    from windlass.stores.base import Store

    T = TypeVar("T")

    class Hints(Protocol):
        """What this machine remembers of a project; losing it costs requests."""

        def recall(self, name: str) -> bytes | None: ...
        def remember(self, name: str, body: bytes | None) -> None: ...


WORKERS = 32
"""Requests in flight at most during a gather."""

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
        self.notices: dict[int, Notice] = {}
        """Of the waits under way, by thread."""
        self.efforts: dict[int, Effort] = {}
        """The spread whose operation a thread runs."""

    def perform(self, effect: fx.Effect) -> Any:
        """Carry out one effect. Raises what it raises."""
        if self.efforts and (effort := self.efforts.get(get_ident())) is not None:
            effort.check()
        kind = type(effect)
        if kind is fx.Gather:
            return self._gather(effect.effects)  # type: ignore[attr-defined]
        return _PERFORM[kind](self, effect)

    def _gather(self, effects: tuple[fx.Effect, ...]) -> list[Any]:
        if len(effects) < 2 or not self.store.capabilities.distant:
            return [self._attempt(effect) for effect in effects]
        results: list[Any] = [None] * len(effects)
        left = list(enumerate(effects))[::-1]
        failed: list[BaseException] = []

        def work() -> None:
            while left:
                try:
                    at, effect = left.pop()
                except IndexError:  # another thread was faster
                    return
                try:
                    results[at] = self._attempt(effect)
                except BaseException as error:  # an interrupt, a library's panic: no answer, so nobody may take it for one
                    failed.append(error)
                    left.clear()
                    raise

        # threads that fetch work, no pool: a future for each effect costs a third more, and importing it a command 12 ms
        at_once(work, min(len(effects), WORKERS), left.clear)
        if failed:
            raise failed[0]
        return results

    def _spread(self, effect: fx.Spread) -> list[Any] | None:
        from windlass.drivers.spread import spread  # most commands move no files

        return spread(effect, self)

    def pool(self) -> ThreadPoolExecutor:
        """The threads of an event loop's requests in flight, started at the first call."""
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

    def notice(self) -> Notice | None:
        """What tells of changes to objects, for the caller to close; None where nothing does."""
        if self.store.capabilities.change_notice is None or self._sleep is not time.sleep:
            return None
        from windlass.drivers.notice import Notice

        return Notice(self.store.capabilities.file)

    def pause(self, effect: fx.Sleep) -> None:
        """Sleep; until an object changes where that is asked for and can be told."""
        thread = get_ident()
        notice = self.notices.get(thread)
        if notice is None and effect.until:
            notice = self.notice()
            if notice is not None:
                self.notices[thread] = notice
        if notice is None or not effect.until:
            self._sleep(effect.seconds)
        else:
            notice.pause(effect.until, effect.seconds)

    def awake(self) -> None:
        """End the thread's wait."""
        notice = self.notices.pop(get_ident(), None)
        if notice is not None:
            notice.close()

    def close(self) -> None:
        """End the threads and the store's connections."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self.store.close()


def at_once(work: Callable[[], None], threads: int, stop: Callable[[], None]) -> None:
    """Run `work` on that many threads, or as many as there can be; this one is among them and waits for the others.

    What `work` raises here, or an interrupt, is raised after `stop` once the others are back; another interrupt at once.
    """
    others: list[LockType] = []
    back: set[LockType] = set()

    def one(ended: LockType) -> None:
        try:
            work()
        except BaseException:  # noqa: S110  # `work` has told of it
            pass
        finally:
            back.add(ended)
            ended.release()

    def wait() -> None:
        for ended in others:
            if ended not in back:  # an interrupt may come just after one was waited for
                ended.acquire()

    try:
        for _ in range(threads - 1):
            ended = allocate_lock()
            ended.acquire()
            try:
                start_new_thread(one, (ended,))
            except RuntimeError:  # no more threads: those that are there fetch all work
                break
            others.append(ended)
        work()
        wait()
    except BaseException:
        stop()
        wait()
        raise


def called(effect: fx.Call) -> Any:
    """What the work returns."""
    try:
        return effect.work()
    except StopIteration as error:  # neither a generator nor a future can be given one
        raise RuntimeError("the work raised StopIteration") from error


_PERFORM: dict[type, Callable[[World, Any], Any]] = {
    fx.Get: lambda w, e: w.store.get(e.key, e.unless),
    fx.Put: lambda w, e: w.store.put(e.key, e.body, e.condition),
    fx.Delete: lambda w, e: w.store.delete(e.key),
    fx.List: lambda w, e: w.store.list(e.prefix, e.after, e.limit),
    fx.Folders: lambda w, e: w.store.folders(e.prefix),
    fx.Now: lambda w, e: w._clock(),
    fx.Sleep: World.pause,
    fx.NewId: lambda w, e: fresh_id(),
    fx.Pick: lambda w, e: int.from_bytes(urandom(4), "big") % e.below,
    fx.Recall: lambda w, e: w.hints.recall(e.name),
    fx.Remember: lambda w, e: w.hints.remember(e.name, e.body),
    fx.Tell: lambda w, e: w._tell(e),
    fx.Call: lambda w, e: called(e),
    fx.Spread: lambda w, e: w._spread(e),
}


def run(op: fx.Op[T], world: World) -> T:
    """Drive an operation to its end, blocking. Raises what the operation raises."""
    try:
        effect = next(op)
        while True:
            try:
                result = world.perform(effect)
            except (Exception, KeyboardInterrupt) as error:  # an operation may clean up before an interrupt goes on; another one ends that
                effect = op.throw(error)
            else:
                effect = op.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        if world.notices:
            world.awake()
