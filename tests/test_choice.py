"""`windlass.choice` stands in for `enum` in commands: what a program can see of a choice is the same."""

from __future__ import annotations

import copy
import enum
import importlib.util
import pickle
import sys
from typing import Any

import pytest

from windlass import choice
from windlass.protocol.agents import Keeper
from windlass.protocol.steps import Status


def light() -> Any:
    """`Choice` as commands have it, where nothing has imported `enum`."""
    assert choice.__spec__ is not None
    spec = importlib.util.spec_from_file_location("light_choice", choice.__spec__.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    real = sys.modules.pop("enum")
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["enum"] = real
    return module.Choice


def colours(base: Any) -> Any:
    """A class of three."""

    class Colour(base):  # type: ignore[misc]
        """Colours."""

        RED = "red"
        GREEN = "green"
        DARK_BLUE = "dark blue"

    Colour.__qualname__ = f"{'Real' if base is enum.Enum else 'Light'}Colour"
    return Colour


RealColour, LightColour = colours(enum.Enum), colours(light())


def test_the_stand_in_is_none() -> None:
    assert not issubclass(LightColour, enum.Enum)


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: [one.name for one in c],
        lambda c: [one.value for one in c],
        len,
        lambda c: c("red") is c.RED,
        lambda c: c(c.RED) is c.RED,
        lambda c: c["DARK_BLUE"] is c.DARK_BLUE,
        lambda c: list(c.__members__),
        lambda c: c.RED in c,
        lambda c: isinstance(c.RED, c),
        lambda c: c.RED == "red",
        lambda c: c.RED == c.RED,
        lambda c: c.RED == c.GREEN,
        lambda c: len({c.RED, c.RED, c.GREEN}),
        lambda c: repr(c.DARK_BLUE),
        lambda c: str(c.DARK_BLUE),
        lambda c: f"{c.DARK_BLUE}",
        lambda c: copy.copy(c.RED) is c.RED,
        lambda c: copy.deepcopy([c.RED])[0] is c.RED,
        lambda c: pickle.loads(pickle.dumps(c.RED)) is c.RED,
        lambda c: c("blue"),
        lambda c: c([]),
        lambda c: c["red"],
        lambda c: setattr(c, "RED", "pink"),
        lambda c: c.RED < c.GREEN,
    ],
)
def test_a_choice_is_seen_like_an_enum(ask: Any) -> None:
    def answer(kind: Any) -> str:
        try:
            return repr(ask(kind))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return type(error).__name__

    assert answer(LightColour) == answer(RealColour)


def test_a_choice_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        LightColour.RED.value = "pink"


def test_programs_that_use_enum_see_enums() -> None:
    assert issubclass(Status, enum.Enum)
    assert issubclass(Keeper, enum.Enum)
