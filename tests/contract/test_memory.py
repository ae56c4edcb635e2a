"""A dictionary keeps the store contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.stores.memory import MemoryStore
from windlass.testing.contract import StoreContract

if TYPE_CHECKING:
    from windlass.stores.base import Store


class TestMemoryStore(StoreContract):
    coarse_clock = 0.0

    def make_store(self) -> Store:
        return MemoryStore()
