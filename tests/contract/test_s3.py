"""S3 keeps the store contract: on ministack, or wherever WINDLASS_TEST_S3_URL points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windlass.stores.registry import open_store
from windlass.testing.contract import StoreContract

if TYPE_CHECKING:
    from windlass.stores.base import Store


class TestS3Store(StoreContract):
    url = ""

    @pytest.fixture(autouse=True)
    def place(self, s3_url: str) -> None:
        self.url = s3_url
        self.setup_method()

    def setup_method(self, _method: object = None) -> None:
        if self.url:  # pytest calls this before the fixtures
            super().setup_method()

    def teardown_method(self, _method: object = None) -> None:
        if self.url:
            super().teardown_method()

    def make_store(self) -> Store:
        return open_store(self.url)
