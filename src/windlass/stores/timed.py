"""A store that measures each request and notes each key written: what a doctor probes through."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from windlass.effects import Condition, Object, Page, Unchanged
    from windlass.stores.base import Store

    T = TypeVar("T")


class Timed:
    """Passes everything on; `written` has each key that was put, `medians` what requests took."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: set[str] = set()
        self._seconds: dict[str, list[float]] = {}

    def medians(self) -> dict[str, float]:
        """Seconds by kind of request."""
        return {kind: sorted(all_)[len(all_) // 2] for kind, all_ in sorted(self._seconds.items())}

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        return self._measured("get", lambda: self.store.get(key, unless))

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        self.written.add(key)
        return self._measured("put", lambda: self.store.put(key, body, condition))

    def delete(self, key: str) -> None:
        self._measured("delete", lambda: self.store.delete(key))

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        return self._measured("list", lambda: self.store.list(prefix, after, limit))

    def _measured(self, kind: str, call: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return call()
        finally:
            self._seconds.setdefault(kind, []).append(time.perf_counter() - start)
