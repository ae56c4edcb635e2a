"""Stores that break one promise each, as real ones were found to do: what a doctor must refuse."""

from __future__ import annotations

from random import Random
from threading import Barrier, BrokenBarrierError, Lock

from windlass.effects import Always, IfAbsent, IfMatch, Object, Page, Unchanged
from windlass.errors import AccessDenied, PutRefused, Unsafe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.effects import Condition, Entry
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


class IgnoresIfAbsent(Liar):
    """Replaces only what was named, but creates over whatever is there."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body, Always() if isinstance(condition, IfAbsent) else condition)


class WritesNothing(Liar):
    """Answers a write whose condition fails with success, and leaves the object as it is."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        try:
            return self.store.put(key, body, condition)
        except PutRefused:
            return str(getattr(self.store.get(key), "version", "none"))


class ReplacesNothing(Liar):
    """Takes a replace of what is not there for a create."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        absent = isinstance(condition, IfMatch) and self.store.get(key) is None
        return self.store.put(key, body, IfAbsent() if absent else condition)


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


class RacesRarely(Liar):
    """Goes wrong as Races does, but only in a part of all races: `chance`, drawn for each race by a seed."""

    def __init__(self, store: Store, chance: float = 1.0, seed: int = 0) -> None:
        super().__init__(store)
        self._chance = chance
        self._seed = seed
        self._racing = Races(Races(store), IfMatch)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        race = f"{self._seed} {key} {condition.version if isinstance(condition, IfMatch) else ''}"
        return (self._racing if Random(race).random() < self._chance else self.store).put(key, body, condition)


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
            raise Unsafe("the store offers no conditional writes", "choose another store")
        return self.store.put(key, body, condition)


class ReusesVersions(Liar):
    """Gives contents of one length one version, as servers do whose version is made of size and time."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key)
        return found.but(version=str(len(found.body))) if isinstance(found, Object) else found

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        if isinstance(condition, IfMatch):
            found = self.store.get(key)
            if not isinstance(found, Object) or str(len(found.body)) != condition.version:
                raise PutRefused(key)
            condition = IfMatch(version=found.version)
        self.store.put(key, body, condition)
        return str(len(body))


class LosesWrites(Liar):
    """Answers every seventh write with success and forgets it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._writes = 0

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        self._writes += 1
        return "lost" if self._writes % 7 == 0 else self.store.put(key, body, condition)


class Forgets(Liar):
    """Keeps the twelve objects that were written last, as a cache does."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._keys: dict[str, None] = {}
        self._lock = Lock()

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        version = self.store.put(key, body, condition)
        with self._lock:
            self._keys.pop(key, None)
            self._keys[key] = None
            if len(self._keys) > 12:
                oldest = next(iter(self._keys))
                del self._keys[oldest]
                self.store.delete(oldest)
        return version


class ChangesBodies(Liar):
    """Ends each line as another system does."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body.replace(b"\n", b"\r\n"), condition)


class CutsBodies(Liar):
    """Keeps the first 64 KiB."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key, body[: 64 * 1024], condition)


class FoldsCase(Liar):
    """Takes names that differ in case for one, as some file systems below a server do."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key.lower(), unless)
        return found if found is None else found.but(key=key)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        return self.store.put(key.lower(), body, condition)

    def delete(self, key: str) -> None:
        self.store.delete(key.lower())


class SaysUnchanged(Liar):
    """Answers every conditional read of an object with "unchanged"."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key)
        return Unchanged(key=key) if unless is not None and found is not None else found


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


class StaleEntries(Liar):
    """A listing shows each object as it was when it was created."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._first: dict[str, Entry] = {}

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        version = self.store.put(key, body, condition)
        if key not in self._first:
            self._first[key] = next(entry for entry in self.store.list(key).entries if entry.key == key)
        return version

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        page = self.store.list(prefix, after, limit)
        return page.but(entries=tuple(self._first.get(entry.key, entry) for entry in page.entries))


class ShortLists(Liar):
    """Leaves out what does not fit on one page, and says that this was all."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self.store.list(prefix, after, limit).but(more=None)


class SortsFolders(Liar):
    """Sorts by one name of the path after the other, as walking through directories does."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return _sorted_by(self.store, lambda key: key.split("/"), prefix, after, limit)


class SortsWithoutCase(Liar):
    """Sorts as a dictionary does."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return _sorted_by(self.store, lambda key: [key.lower()], prefix, after, limit)


def _sorted_by(store: Store, order: Callable[[str], list[str]], prefix: str, after: str, limit: int) -> Page:
    every = sorted(store.list(prefix, "", 1000).entries, key=lambda entry: order(entry.key))
    entries = tuple(entry for entry in every if not after or order(entry.key) > order(after))
    return Page(entries=entries[:limit], more=entries[limit - 1].key if len(entries) > limit else None)


class UnsortedLists(Liar):
    """Lists in no order, as directory buckets do."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        page = self.store.list(prefix, after, limit)
        return page.but(entries=page.entries[::-1])


class IgnoresStartAfter(Liar):
    """Lists from the beginning, wherever it is asked to start."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self.store.list(prefix, "", limit)


class StartsAtTheKey(Liar):
    """A listing that is to start after a key begins with that key."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        page = self.store.list(prefix, after, limit)
        first = tuple(entry for entry in self.store.list(after).entries if entry.key == after) if after else ()
        return page.but(entries=(*first, *page.entries)[:limit])


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


class JumpingClock(Liar):
    """Two machines write by turns, and the clock of one is half a minute behind."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._writes = 0
        self._behind: dict[str, float] = {}

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        version = self.store.put(key, body, condition)
        self._writes += 1
        self._behind[key] = 30.0 * (self._writes % 2)
        return version

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self.store.get(key, unless)
        return found.but(modified=found.modified - self._behind.get(key, 0.0)) if isinstance(found, Object) else found
