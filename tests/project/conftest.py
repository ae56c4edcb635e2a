"""A home of the test's own, and projects opened there as a user opens them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import windlass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[..., windlass.Project]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and folder; nothing of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("WINDLASS_", "XDG_", "CLAUDE", "CODEX")):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def open_as(home: Path) -> Iterator[Open]:
    """Opens the project `demo` in one local store, as an agent; closed at the end."""
    opened: list[windlass.Project] = []

    def open_(agent: str, **more: object) -> windlass.Project:
        options: dict[str, object] = {"project": "demo", "create": True, **more}
        opened.append(windlass.open(str(home / "store"), agent=agent, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def p(open_as: Open) -> windlass.Project:
    """The project, as `designer`."""
    return open_as("designer")
