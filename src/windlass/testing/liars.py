"""Stores that break one promise each, as real ones were found to do: what a doctor must refuse."""

from __future__ import annotations

from threading import Barrier, BrokenBarrierError, Lock

from windlass.effects import Always, IfAbsent, IfMatch, Page
from windlass.errors import AccessDenied, PutRefused, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Condition, Object, Unchanged
    from windlass.stores.base import Store


class Liar:
    """Passes everything on; each kind of liar changes one method."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.url = store.url
        self.capabilities = store.capabilities

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        return self.store.get(key, unless)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body, condition)

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self.store.list(prefix, after, limit)

    def folders(self, prefix: str) -> tuple[str, ...]:
        return self.store.folders(prefix)

    def close(self) -> None:
        self.store.close()


class IgnoresConditions(Liar):
    """Overwrites whatever the condition says."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body, Always())


class IgnoresIfMatch(Liar):
    """Creates exclusively, but replaces whatever is there."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body, Always() if isinstance(condition, IfMatch) else condition)


class Races(Liar):
    """Checks the condition, and only then writes: writers that come together all pass the check."""

    def __init__(self, store: Store, kind: type[Condition] = IfAbsent) -> None:
        super().__init__(store)
        self._kind = kind
        self._meet = Barrier(2)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        if not isinstance(condition, self._kind) or isinstance(condition, Always):
            return self.store.put(key, body, condition)
        found = self.store.get(key)
        now = getattr(found, "version", None)
        wanted = condition.version if isinstance(condition, IfMatch) else None
        try:
            self._meet.wait(0.02)
        except BrokenBarrierError:
            self._meet.reset()
        if now != wanted:
            raise PutRefused(key)
        return self.store.put(key, body, Always())


class RefusesIfMatch(Liar):
    """Refuses every replace, as a server does that wants its ETags in another form."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        if isinstance(condition, IfMatch):
            raise PutRefused(key)
        return self.store.put(key, body, condition)


class OffersNoConditions(Liar):
    """Says openly that it knows no conditional writes."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        if not isinstance(condition, Always):
            raise StoreError("the store offers no conditional writes", "choose another store")
        return self.store.put(key, body, condition)


class StaleReads(Liar):
    """A read gives what was there before the last write."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._before: dict[str, Object | None] = {}
        self._lock = Lock()

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        before = self.store.get(key)
        version = self.store.put(key, body, condition)
        with self._lock:
            self._before[key] = before  # type: ignore[assignment]  # never Unchanged: nothing was asked about
        return version

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        with self._lock:
            if key in self._before:
                return self._before.pop(key)
        return self.store.get(key, unless)


class StaleLists(Liar):
    """A listing does not show the last key that was created."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._last = ""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        self._last = key
        return self.store.put(key, body, condition)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        page = self.store.list(prefix, after, limit)
        return page.but(entries=tuple(entry for entry in page.entries if entry.key != self._last))


class UnsortedLists(Liar):
    """Lists in no order, as directory buckets do."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        page = self.store.list(prefix, after, limit)
        return page.but(entries=page.entries[::-1])


class IgnoresStartAfter(Liar):
    """Lists from the beginning, wherever it is asked to start."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self.store.list(prefix, "", limit)


class DeniesMissing(Liar):
    """Answers 403 for a key that is not there, as S3 does to those who may not list."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key, unless)
        if found is None:
            raise AccessDenied("the store refused access: HTTP 403 AccessDenied", "check the credentials")
        return found


class FrozenClock(Liar):
    """Gives every version of an object the time of the first."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key, unless)
        return found.but(modified=1.0) if found is not None and hasattr(found, "modified") else found
