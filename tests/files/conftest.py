"""Somebody else who acts at the worst moment: between two steps of the code under test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Action = Callable[[], None]
    JustBefore = Callable[[str, str, Action], None]

_waiting: list[tuple[str, str, Callable[[], None]]] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _waiting or event != _waiting[0][0]:
        return
    texts = [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in arguments]
    if any(_waiting[0][1] in text for text in texts):
        _waiting.pop(0)[2]()


@pytest.fixture
def just_before() -> Iterator[JustBefore]:
    """Does something once, right before the system is asked for an event of Python's audit (as "open") with this text in an argument."""
    if not _hooked:
        sys.addaudithook(_hook)  # stays for good, and does nothing while nobody waits
        _hooked.append(True)

    def wait(event: str, name: str, action: Action) -> None:
        _waiting.append((event, name, action))

    yield wait
    left = list(_waiting)
    _waiting.clear()
    assert not left, "what was to come in between never did"
