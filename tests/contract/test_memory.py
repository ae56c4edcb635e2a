"""A dictionary keeps the store contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.effects import Always, Object
from windlass.stores.memory import MemoryStore
from windlass.testing.contract import StoreContract

if TYPE_CHECKING:
    from windlass.stores.base import Store


class TestMemoryStore(StoreContract):
    coarse_clock = 0.0

    def make_store(self) -> Store:
        return MemoryStore()


def test_an_overwrite_tells_the_true_time_also_after_the_clock_was_set_right() -> None:
    times = [7200.0, 3600.0]
    store = MemoryStore(clock=lambda: times.pop(0))
    store.put("presence", b"1", Always())
    store.put("presence", b"2", Always())
    found = store.get("presence")
    assert isinstance(found, Object)
    assert found.modified == 3600.0
