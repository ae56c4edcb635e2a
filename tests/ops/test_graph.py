"""Steps by levels: each after all it needs, circles named, and what hangs on a circle set apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.ops.graph import Graph, arrange
from windlass.ops.survey import Survey
from windlass.protocol.steps import Status
from windlass.protocol.survey import Brief

if TYPE_CHECKING:
    from collections.abc import Mapping


def draw(needs: Mapping[str, tuple[str, ...]]) -> Graph:
    steps = {name: Brief(name=name, status=Status.PENDING, modified=0.0, seq=1, needs=above) for name, above in needs.items()}
    return arrange(Survey(steps=steps))


def levels(graph: Graph) -> list[list[str]]:
    return [[one.name for one in level] for level in graph.levels]


def test_a_step_stands_one_level_below_the_last_that_it_needs() -> None:
    graph = draw({"a": (), "b": ("a",), "c": ("a", "b"), "d": (), "e": ("d", "c")})
    assert levels(graph) == [["a", "d"], ["b"], ["c"], ["e"]]
    assert (graph.stuck, graph.circles, graph.missing) == ((), (), ())


def test_a_need_that_is_no_step_is_named() -> None:
    graph = draw({"a": ("gone",), "b": ("a", "gone")})
    assert levels(graph) == [["a"], ["b"]]
    assert graph.missing == ("gone",)


def test_circles_are_named_and_what_waits_for_one_is_stuck() -> None:
    graph = draw({"a": ("b",), "b": ("a",), "c": ("b",), "d": (), "x": ("y",), "y": ("z",), "z": ("x", "d"), "s": ("s",)})
    assert levels(graph) == [["d"]]
    assert [one.name for one in graph.stuck] == ["a", "b", "c", "s", "x", "y", "z"]
    assert sorted(sorted(set(circle)) for circle in graph.circles) == [["a", "b"], ["s"], ["x", "y", "z"]]
    assert all(circle[0] == circle[-1] for circle in graph.circles)


def test_a_long_chain_and_a_wide_level() -> None:
    chain = {f"s{n}": (f"s{n - 1}",) if n else () for n in range(5000)}
    assert len(draw(chain).levels) == 5000
    wide = {"root": (), **{f"s{n}": ("root",) for n in range(5000)}}
    assert [len(level) for level in draw(wide).levels] == [1, 5000]
