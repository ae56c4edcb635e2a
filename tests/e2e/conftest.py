"""Worlds for end-to-end tests: on a local store, or on each kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.cli import Cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Commands on a local store."""
    return Cli(tmp_path)


@pytest.fixture(params=["local", "s3"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Cli:
    """Commands on each kind of store."""
    return Cli(tmp_path, request.getfixturevalue("s3_url") if request.param == "s3" else None)
