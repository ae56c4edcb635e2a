"""`windlass.jsons` reads and writes what `json` reads and writes, also where the private part of the standard library is not as it was."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass import jsons

if TYPE_CHECKING:
    from types import ModuleType


def without_c() -> ModuleType:
    """The module as it is where `_json` is missing."""
    assert jsons.__spec__ is not None
    spec = importlib.util.spec_from_file_location("jsons_without_c", jsons.__spec__.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("_json")
    sys.modules["_json"] = None  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["_json"]
        else:
            sys.modules["_json"] = before
    return module


BOTH: list[Any] = [jsons, without_c()]
both = pytest.mark.parametrize("module", BOTH, ids=["with C", "without C"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


def test_the_two_are_two() -> None:
    assert jsons.make_encoder is not None, "this Python's own C code is not used: every command loads `json` and `re`"
    assert BOTH[1].make_encoder is None


@both
@given(value=VALUES, ensure_ascii=st.booleans())
def test_writing_is_that_of_json(module: Any, value: object, ensure_ascii: bool) -> None:
    assert module.dumps(value, ensure_ascii=ensure_ascii) == json.dumps(value, ensure_ascii=ensure_ascii)
    assert module.dumps(value, compact=True) == json.dumps(value, separators=(",", ":"))


@both
@given(value=VALUES)
def test_infinite_numbers_are_refused_where_json_refuses_them(module: Any, value: object) -> None:
    assert outcome(lambda: module.dumps(value, allow_nan=False)) == outcome(lambda: json.dumps(value, allow_nan=False))


@both
@given(text=VALUES.map(json.dumps) | st.text(alphabet='[]{}",:\\ \n\t\r\x0b\xa0\ufeff01-+.eEtrufalsnN\u0661') | st.text())
def test_reading_is_that_of_json(module: Any, text: str) -> None:
    assert outcome(lambda: module.loads(text)) == outcome(lambda: json.loads(text))


@both
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[1] x",
        "[1]\x0b",
        "\ufeff1",
        "NaN",
        "[Infinity, -Infinity]",
        '{"a": 1, "a": 2}',
        '"\n"',
        "[1,]",
        " [ 1 ]\n",
        "1 2",
        "[" * 100_000,
    ],
)
def test_the_odd_cases_too(module: Any, text: str) -> None:
    assert outcome(lambda: module.loads(text)) == outcome(lambda: json.loads(text))


@both
def test_numbers_are_read_as_the_caller_wants(module: Any) -> None:
    read = module.reader(lambda digits: ("float", digits), lambda name: ("constant", name))
    assert read('{"a": [1.50, 2, NaN]}') == {"a": [("float", "1.50"), 2, ("constant", "NaN")]}


@both
def test_what_is_no_json_is_refused(module: Any) -> None:
    circle: list[object] = []
    circle.append(circle)
    for bad in (object(), {1, 2}, b"x", circle, {(1,): 2}):
        assert outcome(lambda bad=bad: module.dumps(bad)) == outcome(lambda bad=bad: json.dumps(bad))


def outcome(call: Any) -> str:
    """The value, as text since nan differs from itself, or the kind of error."""
    try:
        return repr(call())
    except ValueError:
        return "ValueError"
    except (TypeError, RecursionError) as error:
        return type(error).__name__
