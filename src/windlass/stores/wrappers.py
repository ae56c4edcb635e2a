"""Stores around a store: under a prefix, counting requests, bounding how long a call may take."""

from __future__ import annotations

from _thread import allocate_lock

from windlass.effects import Object, Page, Unchanged
from windlass.errors import Damaged, PutRefused, PutUnclear, Unavailable
from windlass.record import Record
from windlass.stores.names import check_folder, check_key, check_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from windlass.effects import Condition
    from windlass.stores.base import Store

    T = TypeVar("T")


class Prefix:
    """A store inside a store: `prefix` (ending in "/") goes before every key on the way in and is taken off on the way out."""

    def __init__(self, store: Store, prefix: str) -> None:
        check_folder(prefix)
        self.store = store
        self.prefix = prefix
        self.url = store.url
        self.capabilities = store.capabilities.below(prefix)

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        check_key(key)
        try:
            found = self.store.get(self.prefix + key, unless)
        except Damaged as error:
            raise Damaged(key, error.why) from error
        return None if found is None else found.but(key=key)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        check_key(key)
        return self.store.put(self.prefix + key, body, condition)

    def delete(self, key: str) -> None:
        check_key(key)
        self.store.delete(self.prefix + key)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        check_prefix(prefix)
        page = self.store.list(self.prefix + prefix, self.prefix + after if after else "", limit)
        cut = len(self.prefix)
        return Page(entries=tuple(entry.but(key=entry.key[cut:]) for entry in page.entries), more=page.more and page.more[cut:])

    def folders(self, prefix: str) -> tuple[str, ...]:
        check_folder(prefix)
        return self.store.folders(self.prefix + prefix)

    def close(self) -> None:
        self.store.close()


class Request(Record):
    """One request as counted: its kind ("get", "put", "delete", "list", "folders"), its key or prefix and its outcome.

    Outcomes: "found", "unchanged", "absent", "done", "refused", "unclear", or an error's class name.
    """

    kind: str
    key: str
    outcome: str


class Counting:
    """Records every request in `requests`; `counts()` sums them up by kind."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.url = store.url
        self.capabilities = store.capabilities
        self.requests: list[Request] = []
        self._lock = allocate_lock()

    def counts(self) -> dict[str, int]:
        """How many requests of each kind there were."""
        counts: dict[str, int] = {}
        for request in tuple(self.requests):
            counts[request.kind] = counts.get(request.kind, 0) + 1
        return counts

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self.requests = []

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        return self._count("get", key, lambda: self.store.get(key, unless))

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self._count("put", key, lambda: self.store.put(key, body, condition))

    def delete(self, key: str) -> None:
        self._count("delete", key, lambda: self.store.delete(key))

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self._count("list", prefix, lambda: self.store.list(prefix, after, limit))

    def folders(self, prefix: str) -> tuple[str, ...]:
        return self._count("folders", prefix, lambda: self.store.folders(prefix))

    def close(self) -> None:
        self.store.close()

    def _count(self, kind: str, key: str, call: Callable[[], T]) -> T:
        outcome = "done"
        try:
            result = call()
            if kind == "get":
                outcome = "absent" if result is None else "unchanged" if isinstance(result, Unchanged) else "found"
            return result
        except PutRefused:
            outcome = "refused"
            raise
        except PutUnclear:
            outcome = "unclear"
            raise
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            with self._lock:
                self.requests.append(Request(kind=kind, key=key, outcome=outcome))


class Timeout:
    """Gives up on a call after `seconds`: a put is then unclear, anything else Unavailable. The call itself may go on."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.store = store
        self.seconds = seconds
        self.url = store.url
        self.capabilities = store.capabilities

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        return self._bounded(lambda: self.store.get(key, unless), self._unavailable)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self._bounded(lambda: self.store.put(key, body, condition), lambda: PutUnclear(f"{key}: no answer in {self.seconds} s"))

    def delete(self, key: str) -> None:
        self._bounded(lambda: self.store.delete(key), self._unavailable)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self._bounded(lambda: self.store.list(prefix, after, limit), self._unavailable)

    def folders(self, prefix: str) -> tuple[str, ...]:
        return self._bounded(lambda: self.store.folders(prefix), self._unavailable)

    def close(self) -> None:
        self.store.close()

    def _unavailable(self) -> Exception:
        return Unavailable(f"{self.url} gave no answer in {self.seconds} s", "try again")

    def _bounded(self, call: Callable[[], T], late: Callable[[], Exception]) -> T:
        return bounded(call, self.seconds, late)


def bounded(call: Callable[[], T], seconds: float, late: Callable[[], Exception]) -> T:
    """What a call returns or raises, or after so many seconds the error `late`; the call itself may go on."""
    from threading import Thread

    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    # a daemon, unlike a pool's thread, does not keep the process from ending when the store hangs
    thread = Thread(target=work, name="windlass-timeout", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise late()
    return results[0]
