"""A store in this process's memory: for tests, demonstrations and `memory://`."""

from __future__ import annotations

import time
from bisect import bisect_right
from threading import Lock

from windlass.effects import Always, Entry, IfAbsent, Object, Page, Unchanged
from windlass.errors import Damaged, PutRefused
from windlass.stores.base import MAX_OBJECT, Capabilities
from windlass.stores.names import check_folder, check_key, check_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.effects import Condition


class MemoryStore:
    """Objects in a dictionary; versions count up, so that no two writes share one. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.time, url: str = "memory://") -> None:
        self.url = url
        self.capabilities = Capabilities(distant=False)
        self._clock = clock
        self._lock = Lock()
        self._objects: dict[str, Object] = {}
        self._writes = 0

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        """The object as it is now."""
        check_key(key)
        found = self._objects.get(key)
        if found is not None and found.version == unless:
            return Unchanged(key=key)
        if found is not None and len(found.body) > MAX_OBJECT:
            raise Damaged(key, f"{len(found.body)} bytes are more than any object of Windlass has")
        return found

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        """Write under one lock."""
        check_key(key)
        with self._lock:
            now = self._objects.get(key)
            if not isinstance(condition, Always):
                wanted = None if isinstance(condition, IfAbsent) else condition.version
                if (now.version if now else None) != wanted:
                    raise PutRefused(key)
            self._writes += 1
            version = f"v{self._writes}"
            self._objects[key] = Object(key=key, body=bytes(body), version=version, modified=self._clock())
            return version

    def delete(self, key: str) -> None:
        """Remove the object, if any."""
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """A page of a sorted snapshot, as S3 gives it."""
        check_prefix(prefix)
        limit = min(limit, 1000)
        keys = self._keys(prefix)
        start = bisect_right(keys, after)
        chosen = keys[start : start + limit]
        found = [one for one in map(self._objects.get, chosen) if one]
        entries = tuple(Entry(key=one.key, version=one.version, size=len(one.body), modified=one.modified) for one in found)
        return Page(entries=entries, more=chosen[-1] if start + limit < len(keys) else None)

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Derived from the keys."""
        check_folder(prefix)
        inner = (key[len(prefix) :] for key in self._keys(prefix))
        return tuple(sorted({name.partition("/")[0] for name in inner if "/" in name}))

    def close(self) -> None:
        """The objects stay: a store may be opened again."""

    def _keys(self, prefix: str) -> Sequence[str]:
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix))
