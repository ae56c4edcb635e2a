"""Plans and the board as documents: fields checked by name, circles found, the best 512 kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import Damaged, UsageError
from windlass.protocol.board import SIZE, Board, Ready
from windlass.protocol.codec import decode, encode
from windlass.protocol.plans import FIELDS, build, checked, exported, find_cycle
from windlass.protocol.steps import Definition

letters = st.sampled_from("abcdef")
graphs = st.dictionaries(letters, st.lists(letters, max_size=3), max_size=6)


def closes(needs: dict[str, list[str]]) -> bool:
    """Whether there is a circle, found the slow way: by taking away what needs nothing that is left."""
    left = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
    while free := [name for name, wanted in left.items() if not wanted]:
        for name in free:
            del left[name]
        for wanted in left.values():
            wanted.difference_update(free)
    return bool(left)


@given(graphs)
def test_a_circle_is_found_exactly_where_there_is_one(needs: dict[str, list[str]]) -> None:
    cycle = find_cycle(needs)
    assert bool(cycle) == closes(needs)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in needs[before] for before, after in pairwise(cycle))


def test_long_chains_are_no_problem() -> None:
    chain = {f"s{n}": [f"s{n + 1}"] for n in range(50_000)}
    assert find_cycle(chain) == ()
    assert len(find_cycle({**chain, "s50000": ["s0"]})) == 50_002


def test_every_field_of_a_definition_is_one_of_a_plan() -> None:
    assert set(FIELDS) == set(Definition.__fields__)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [{}, object(), True, float("nan"), [1], [["a"]], ["a b"], "a\nb c", 10**30, -(10**7)])
def test_a_field_is_right_or_refused_by_its_name(field: str, value: Any) -> None:
    try:
        definition = build({"steps": {"x": {field: value}}}).steps["x"]
    except UsageError:
        with pytest.raises(UsageError, match=rf"x: {field} is not|is no (step|label) name"):
            checked("x", Definition(**{field: value}))
    else:
        assert checked("x", definition) == definition
        assert build(exported({"x": definition})).steps == {"x": definition}


def test_the_board_keeps_the_best() -> None:
    board = Board().changed([Ready(name=f"s{n:04}", priority=n % 7) for n in range(2 * SIZE)], [], 1.0)
    assert len(board.ready) == SIZE
    assert [one.priority for one in board.ready] == sorted((one.priority for one in board.ready), reverse=True)
    assert min(one.priority for one in board.ready) == 3
    assert board.changed([], ["nowhere"], 2.0) is board, "nothing to write"
    assert board.changed([board.ready[5]], [], 2.0) is board
    less = board.changed([Ready(name="new", priority=99)], [board.ready[0].name], 2.0)
    assert (less.ready[0].name, len(less.ready), less.at) == ("new", SIZE, 2.0)
    assert decode(Board, "k", encode(less)) == less
    assert len(encode(less)) < 100_000


@pytest.mark.parametrize(
    "ready", ["7", '[{"name":""}]', '[{"name":"a/b"}]', '[{"name":"a","needs":[".."]}]', '[{"name":"a","seq":-1}]', "[{}]"]
)
def test_a_hostile_board_is_damaged(ready: str) -> None:
    with pytest.raises(Damaged):
        decode(Board, "k", f'{{"format":1,"kind":"board","ready":{ready}}}'.encode())
