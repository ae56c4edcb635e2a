"""Shared memory: every version is kept, no archived version is one that never was live, compare-and-set holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.ops.interleave import explore, outcome
from tests.ops.world import WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import AccessDenied, Damaged, Indeterminate, Moved, NotFound, UsageError, VersionMoved
from windlass.ops import memory
from windlass.protocol import keys
from windlass.testing.faults import Fault

KEY = "design.contract"


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def put(agent: Agent, value: Any, if_version: int | None = None) -> int:
    return agent.do(memory.set_(agent.actor, KEY, value, if_version)).version


def past(agent: Agent) -> list[tuple[int, Any, bool]]:
    return [(one.version, one.value, one.deleted) for one in agent.do(memory.history(KEY, 1000))]


def test_requests(ann: Agent) -> None:
    assert ann.cost(memory.set_(ann.actor, KEY, 1)) == {"get": 1, "put": 1}
    assert ann.cost(memory.set_(ann.actor, KEY, 2)) == {"get": 1, "put": 2}
    assert ann.cost(memory.get(KEY)) == {"get": 1}


def test_the_last_value_is_read_by_anyone(ann: Agent, bob: Agent) -> None:
    value: Any
    for value in ("text", 1, 0, False, True, None, 1.5, [], {}, {"a": [1, {"b": None}]}, "ü\u2028\U0001f600"):
        put(ann, value)
        found = bob.do(memory.get(KEY))
        assert (found.value, type(found.value), found.set_by, found.key) == (value, type(value), "ann", KEY)


def test_every_version_stays(ann: Agent, bob: Agent) -> None:
    for n in range(1, 8):
        assert put(ann if n % 2 else bob, f"v{n}") == n
    assert past(ann) == [(n, f"v{n}", False) for n in range(7, 0, -1)]
    assert [one.set_by for one in ann.do(memory.history(KEY))] == ["ann", "bob"] * 3 + ["ann"]
    assert [one.version for one in ann.do(memory.history(KEY, 3))] == [7, 6, 5]


def test_a_deleted_key_keeps_its_past_and_goes_on_counting(ann: Agent) -> None:
    put(ann, "one")
    ann.do(memory.delete(ann.actor, KEY))
    error_of(NotFound, lambda: ann.do(memory.get(KEY)))
    error_of(NotFound, lambda: ann.do(memory.delete(ann.actor, KEY)))
    assert put(ann, "three") == 3
    assert past(ann) == [(3, "three", False), (2, None, True), (1, "one", False)]


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("spoilt", ["memory/", "history/"])
def test_a_spoilt_answer_makes_no_second_version(ann: Agent, bob: Agent, faults: list[object], before: int, spoilt: str) -> None:
    for n in range(before):
        put(ann, n)
    assert put(ann.spoil(*faults, key=spoilt), "mine") == before + 1
    assert past(bob) == [(before + 1, "mine", False), *((n + 1, n, False) for n in range(before - 1, -1, -1))]


def test_a_write_that_landed_and_was_overwritten_was_won(place: Place, ann: Agent, bob: Agent) -> None:
    """The archive names who won version 2, though the live document knows nothing of it any more."""
    put(ann, 1)
    Between(ann, lambda: (put(bob, 3), put(bob, 4)), key="memory/")
    assert put(ann, 2) == 2
    assert past(bob) == [(4, 4, False), (3, 3, False), (2, 2, False), (1, 1, False)]


def test_an_archive_that_cannot_be_asked_leaves_it_unknown(ann: Agent, bob: Agent) -> None:
    put(ann, 1)
    Between(ann, lambda: (put(bob, 3), ann.spoil(AccessDenied("expired"), kind="get", key="history/")), key="memory/")
    error_of(Indeterminate, lambda: put(ann, 2))


def test_a_write_that_did_not_land_and_was_overtaken_was_lost(ann: Agent, bob: Agent) -> None:
    put(ann, 1)
    Between(ann, lambda: (put(bob, 2), put(bob, 3)), lands=False, key="memory/")
    assert put(ann, 4) == 4
    assert past(bob) == [(n, n, False) for n in (4, 3, 2, 1)]


def test_what_stays_unknown_is_said(ann: Agent, bob: Agent) -> None:
    put(ann, 1)
    ann.spoil(Fault.DROP, key="memory/", forever=True)
    assert error_of(Indeterminate, lambda: put(ann, 2)).exit == 7
    assert past(bob) == [(1, 1, False)]


def test_a_crash_anywhere_loses_no_version(place: Place) -> None:
    at, ended = 0, False
    while not ended:
        here = Place()
        ann, bob = here.agent("ann").warm(), here.agent("bob").warm()
        for n in (1, 2):
            put(ann, n)
        ended = not stop_before(memory.set_(ann.actor, KEY, "crashed"), ann, at)
        put(bob, "after")
        versions = past(bob)
        assert [version for version, _, _ in versions] == list(range(len(versions), 0, -1))
        values = [value for _, value, _ in versions]
        assert values in (["after", 2, 1], ["after", "crashed", 2, 1])
        at += 1
    assert at == 4, "the set was stopped before each of its three requests"


def test_no_archived_version_never_was_live(place: Place, ann: Agent, bob: Agent) -> None:
    """Both archive version 1 and race for version 2: the loser's value is nowhere."""
    put(ann, 1)
    Between(ann, lambda: put(bob, 2), lands=False, key="memory/")
    assert put(ann, 3) == 3
    assert past(bob) == [(3, 3, False), (2, 2, False), (1, 1, False)]
    for n in (1, 2):
        archived = place.body(keys.memory_version(KEY, n))
        assert b'"seq":%d' % n in archived


def test_compare_and_set(ann: Agent, bob: Agent) -> None:
    assert put(ann, "a", 0) == 1
    error = error_of(VersionMoved, lambda: put(bob, "b", 0))
    assert error.exit == 3
    assert error.details["version"] == 1
    assert put(bob, "b", 1) == 2
    error_of(VersionMoved, lambda: put(ann, "c", 1))
    error_of(VersionMoved, lambda: ann.do(memory.delete(ann.actor, KEY, 1)))
    ann.do(memory.delete(ann.actor, KEY, 2))
    assert put(ann, "again", 0) == 4, "a deleted key counts as not there"
    error_of(VersionMoved, lambda: put(bob, "b", 9))


def test_compare_and_set_holds_under_a_race(ann: Agent, bob: Agent) -> None:
    put(ann, 1)
    Between(ann, lambda: put(bob, "bob", 1), lands=False, key="memory/")
    error_of(VersionMoved, lambda: put(ann, "ann", 1))
    assert past(bob) == [(2, "bob", False), (1, 1, False)]


def test_compare_and_set_whose_answer_is_lost_is_won(ann: Agent, bob: Agent) -> None:
    put(ann, 1)
    Between(ann, lambda: put(bob, "bob"), key="memory/")
    assert put(ann, "ann", 1) == 2


def test_a_b_a_is_three_versions(ann: Agent, bob: Agent) -> None:
    for value in "aba":
        put(ann, value)
    error_of(VersionMoved, lambda: put(bob, "x", 1))
    assert [value for _, value, _ in past(ann)] == ["a", "b", "a"]


def test_what_cannot_be_kept_is_refused_before_a_request(ann: Agent) -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    for value in ("x" * (256 * 1024 + 1), "\ud800", math.nan, math.inf, deep, {"a": {1, 2}}, ["x" * (256 * 1024)]):
        assert ann.cost(memory.set_(ann.actor, KEY, value)) == {}
        error_of(UsageError, lambda value=value: ann.do(memory.set_(ann.actor, KEY, value)))  # type: ignore[misc]
    for key in ("", ".", "a..b", "a.", ".a", "a/b", "a b", "ä", "_a", "x" * 129, ".".join(["abc"] * 129)):
        assert ann.cost(memory.set_(ann.actor, key, 1)) == {}
        error_of(UsageError, lambda key=key: ann.do(memory.set_(ann.actor, key, 1)))  # type: ignore[misc]
    put(ann, deep[0])
    assert ann.do(memory.get(KEY)).value == deep[0], "a hundred deep is kept, whatever the Python"
    put(ann, "\0" * (256 * 1024))
    assert ann.do(memory.get(KEY)).value == "\0" * (256 * 1024)


def test_listing_by_prefix(ann: Agent) -> None:
    for key in ("a", "a.b", "a.b.c", "ab", "b", "a-b"):
        ann.do(memory.set_(ann.actor, key, key))
    ann.do(memory.delete(ann.actor, "a.b.c"))

    def listed(prefix: str = "", **more: Any) -> list[str]:
        return [one.key for one in ann.do(memory.list_(prefix, **more))]

    assert listed() == ["a", "a-b", "a.b", "ab", "b"]
    assert listed("a.") == ["a.b"]
    assert listed("a") == ["a", "a-b", "a.b", "ab"]
    assert listed("a.", deleted=True) == ["a.b", "a.b.c"]
    assert len(listed(limit=2)) == 2
    error_of(UsageError, lambda: listed("../"))


def test_a_damaged_key_is_reported_and_the_rest_goes_on(place: Place, ann: Agent) -> None:
    for key in ("a", "b", "c"):
        ann.do(memory.set_(ann.actor, key, key))
    place.write("memory/b.json", b'{"format":1,"kind":"memory","seq":"two"}')
    place.write("memory/not a key.json"[:10] + "x.y.json", b"{}")
    found = ann.do(memory.list_())
    assert [(one.key, one.memory is None) for one in found] == [("a", False), ("b", True), ("c", False)]
    assert "memory/b.json" in found[1].why
    assert error_of(Damaged, lambda: ann.do(memory.get("b"))).key == "memory/b.json"
    error_of(Damaged, lambda: ann.do(memory.set_(ann.actor, "b", 1)))


def test_a_key_that_moved_takes_nothing(place: Place, ann: Agent) -> None:
    place.write(keys.memory(KEY), b'{"format":1,"kind":"memory","seq":1,"write_id":"w","value":1,"moved_to":"s3://other"}')
    assert error_of(Moved, lambda: put(ann, 2)).to == "s3://other"


def test_unknown_fields_survive(place: Place, ann: Agent) -> None:
    place.write(keys.memory(KEY), b'{"format":1,"kind":"memory","seq":1,"write_id":"w","value":1,"colour":"red"}')
    put(ann, 2)
    assert b'"colour":"red"' in place.body(keys.memory(KEY))
    assert b'"colour":"red"' in place.body(keys.memory_version(KEY, 1))


def test_a_hostile_number_does_not_stop_a_rewrite(place: Place, ann: Agent) -> None:
    place.write(keys.memory(KEY), b'{"format":1,"kind":"memory","seq":1,"write_id":"w","value":1e999}')
    error_of(Damaged, lambda: ann.do(memory.get(KEY)))


@pytest.mark.parametrize("if_version", [None, 1])
def test_two_writers_in_every_order(if_version: int | None) -> None:
    def begin() -> tuple[Place, list[tuple[Agent, Any]]]:
        place = Place()
        pair = [place.agent(name).warm() for name in ("ann", "bob")]
        put(pair[0], "first")
        return place, [(one, outcome(memory.set_(one.actor, KEY, one.name, if_version))) for one in pair]

    def end(place: Place, results: list[Any]) -> None:
        won = {one.version: one.value for one in results if not isinstance(one, VersionMoved)}
        assert len(won) == (2 if if_version is None else 1)
        assert past(place.agent("eve")) == [*((version, won[version], False) for version in sorted(won, reverse=True)), (1, "first", False)]

    assert explore(begin, end) > 10
