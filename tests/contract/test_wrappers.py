"""Whatever is wrapped around a store keeps the store contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.effects import Always
from windlass.stores.memory import MemoryStore
from windlass.stores.wrappers import Counting, Prefix, Timeout
from windlass.testing.contract import StoreContract
from windlass.testing.faults import Faulty

if TYPE_CHECKING:
    from windlass.stores.base import Store


class TestPrefix(StoreContract):
    def make_store(self) -> Store:
        memory = MemoryStore()
        for neighbour in ("in", "in0", "inside", "in-", "zz"):
            memory.put(neighbour, b"not mine", Always())
        return Prefix(memory, "in/")


class TestCounting(StoreContract):
    def make_store(self) -> Store:
        return Counting(MemoryStore())


class TestTimeout(StoreContract):
    def make_store(self) -> Store:
        return Timeout(MemoryStore(), 30)


class TestFaultyWithoutFaults(StoreContract):
    def make_store(self) -> Store:
        return Faulty(MemoryStore(), lambda _kind, _key: None)
