"""Operations side by side: as each alone, in the round trips of the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.world import Agent, Place, error_of

from windlass import effects as fx
from windlass.errors import NotFound, PutRefused, Unavailable
from windlass.ops.together import together

if TYPE_CHECKING:
    from windlass.effects import Op


@pytest.fixture
def ann() -> Agent:
    place = Place()
    for n in range(4):
        place.write(f"k/{n}", b"%d" % n)
    return place.agent("ann")


def body(key: str) -> Op[bytes | None]:
    found = yield from fx.read(key)
    return found.body if found else None


def chain(*keys: str) -> Op[list[bytes | None]]:
    found: list[bytes | None] = []
    for key in keys:
        found += [(yield from body(key))]
    return found


def asked(op: Op[Any], agent: Agent) -> list[list[Any]]:
    """What each round trip of an operation asks for."""
    rounds: list[list[Any]] = []

    def noting(effects: tuple[fx.Effect, ...]) -> list[Any]:
        rounds.append([getattr(one, "key", "") or getattr(one, "prefix", "") for one in effects])
        return [agent.world._attempt(one) for one in effects]

    agent.world._gather = noting  # type: ignore[method-assign]
    try:
        agent.do(op)
    finally:
        del agent.world._gather
    return rounds


def several() -> Op[list[Any]]:
    listed = yield from fx.page("k/")
    found = yield from fx.gather_reads([entry.key for entry in listed.entries[:2]])
    return [one.body for one in found if one]


def thinking() -> Op[list[Any]]:
    """Asks for what is no request, before, between and after."""
    at = yield from fx.now()
    yield from fx.remember("x", b"kept")
    found = yield from body("k/3")
    return [found, (yield from fx.recall("x")), (yield from fx.now()) == at]


def test_each_gives_what_it_gives_alone(ann: Agent) -> None:
    nothing: list[Any] = ann.do(together())
    assert nothing == []
    found = ann.do(together(chain("k/0", "k/1", "missing"), several(), body("k/2"), thinking()))
    assert found == [[b"0", b"1", None], [b"0", b"1"], b"2", [b"3", b"kept", True]]


def test_it_takes_the_round_trips_of_the_longest(ann: Agent) -> None:
    rounds = asked(together(chain("k/0", "k/1", "k/2"), several(), body("k/3")), ann)
    assert rounds == [["k/0", "k/", "k/3"], ["k/1", "k/0", "k/1"], ["k/2"]]


def test_an_error_reaches_the_operation_that_asked(ann: Agent) -> None:
    def patient() -> Op[str]:
        try:
            yield from body("k/1")
        except Unavailable as error:
            return f"caught: {error}"
        return "no error"

    ann.spoil(Unavailable("away"), kind="get", key="k/1")
    assert ann.do(together(body("k/0"), patient())) == [b"0", "caught: away"]
    ann.spoil(Unavailable("away"), kind="get", key="k/1")
    with pytest.raises(Unavailable):
        ann.do(together(body("k/0"), body("k/1")))


def test_a_write_goes_out_alone_and_its_error_reaches_the_operation(ann: Agent) -> None:
    def writes() -> Op[str]:
        yield from body("k/1")
        try:
            return (yield from fx.put("k/2", b"mine", fx.IfAbsent()))
        except PutRefused:
            return "refused"

    assert ann.do(together(chain("k/0", "k/1", "k/2"), writes())) == [[b"0", b"1", b"2"], "refused"]


def test_the_first_error_ends_all(ann: Agent) -> None:
    ended = []

    def long() -> Op[None]:
        try:
            yield from chain("k/0", "k/1", "k/2")
        finally:
            ended.append("long")

    def fails() -> Op[None]:
        yield from body("k/3")
        raise NotFound("not here")

    kept = long()
    error_of(NotFound, lambda: ann.do(together(kept, fails())))
    assert ended == ["long"]
    assert ann.cost(together(long(), fails())) == {"get": 2}, "the first of each, and nothing after the error"
