"""A directory keeps the store contract."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from windlass.stores.local import LocalStore
from windlass.testing.contract import StoreContract

if TYPE_CHECKING:
    from windlass.stores.base import Store


class TestLocalStore(StoreContract):
    coarse_clock = 0.0

    def make_store(self) -> Store:
        self.folder = tempfile.TemporaryDirectory()
        return LocalStore.create(f"{self.folder.name}/store")

    def teardown_method(self, _method: object = None) -> None:
        super().teardown_method()
        self.folder.cleanup()
