"""The store protocol: what a place that keeps objects must offer. `windlass.testing.StoreContract` is its text in tests."""

from __future__ import annotations

from windlass.effects import Always, Entry, IfAbsent, IfMatch, Object, Page, Unchanged
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from windlass.effects import Condition
else:
    Protocol = object

__all__ = ["Always", "Capabilities", "Entry", "IfAbsent", "IfMatch", "Object", "Page", "Store", "Unchanged"]

MAX_OBJECT = 4 * 1024 * 1024
"""Bytes: a read of a larger object raises Damaged; no document of Windlass comes near it."""


class Capabilities(Record):
    """What a store offers beyond the contract."""

    conditional_read: bool = True
    distant: bool = True
    """A request takes milliseconds, so several are better sent at once; otherwise threads cost more than they save."""
    change_notice: str | None = None
    """A local directory that holds the objects as files, whose changes can be watched; or None."""

    def file(self, key: str) -> str:
        """Where an object lies below `change_notice`; for a prefix that ends in "/" its folder, with the slash."""
        from windlass.stores.names import file_name

        return f"{self.change_notice}/{file_name(key)}"

    def below(self, prefix: str) -> Capabilities:
        """Of a store inside the store, whose keys begin after `prefix`."""
        return self.but(change_notice=self.file(prefix)[:-1]) if self.change_notice and prefix else self


class Store(Protocol):
    """Objects by key, blocking, safe to call from several threads.

    Keys are ASCII letters, digits and `. _ - ~ /`, no empty segment, no segment of dots only or over 200 bytes, at most
    1,024 bytes in all; anything else raises UsageError.
    Every method raises AccessDenied, StoreMissing, StoreReadOnly, StoreFull, Unavailable or another StoreError.
    """

    url: str
    """How a user names this store; never holds a secret."""
    capabilities: Capabilities

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        """The object; Unchanged if its version equals `unless` (where supported); None if there is none. Damaged if over MAX_OBJECT."""
        ...

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        """Write, atomically and durably; the new version. One attempt: PutRefused when the condition fails, PutUnclear when the
        outcome is unknown, Indeterminate when it landed and may not last.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing happens where there is no such object."""
        ...

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """Entries whose key starts with `prefix` and is greater than `after`, sorted by key as bytes: `limit`, or a page of fewer."""
        ...

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names between `prefix` (empty or ending in "/") and the next "/", sorted, each once."""
        ...

    def close(self) -> None:
        """Give connections and threads back."""
        ...
