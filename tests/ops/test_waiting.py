"""Waiting: soon at first, rarely later, one conditional read a poll, whatever the clocks do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.planned import a_step, finish, plant
from tests.ops.world import DAY, HOUR, Agent, Place, error_of

from windlass import effects as fx
from windlass.errors import NothingReady, TimedOut
from windlass.ops import steps, waiting, work
from windlass.ops.waiting import FIRST, MOST, SHARE, Pace
from windlass.protocol import keys

if TYPE_CHECKING:
    from windlass.effects import Op


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


def polling(seconds: float) -> Op[list[Pace]]:
    pace = yield from waiting.begin()
    paces = [pace]
    while pace.waited < seconds:
        pace = yield from waiting.pause(pace, seconds)
        paces.append(pace)
    return paces


def test_delays_grow_with_the_time_waited(ann: Agent) -> None:
    paces = ann.do(polling(2 * HOUR))
    for before, after in pairwise(paces):
        delay = after.waited - before.waited
        assert delay <= max(FIRST, SHARE * before.waited) + 1e-3
        assert delay <= MOST + 1e-3
    delays = [after.waited - before.waited for before, after in pairwise(paces[:-1])]
    assert delays[0] == pytest.approx(0.15, abs=1e-3)
    assert max(delays) == pytest.approx(60, abs=1e-3)
    assert paces[-1].waited == pytest.approx(2 * HOUR, abs=1e-3), "never beyond the limit"
    assert ann.slept == pytest.approx(2 * HOUR, abs=1e-3)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01])
def test_a_short_limit_is_kept(ann: Agent, seconds: float) -> None:
    ann.do(waiting.pause(Pace(waited=0.0, last=ann.place.now), seconds))
    assert ann.slept == max(0.0, seconds)


@pytest.mark.parametrize("jump", [DAY, -DAY, HOUR, -HOUR])
def test_a_clock_that_jumps_counts_as_the_sleep_alone(place: Place, ann: Agent, jump: float) -> None:
    pace = ann.do(waiting.pause(Pace(waited=100.0, last=place.now - jump), None))
    assert pace.waited == pytest.approx(105.0)
    assert pace.last == pytest.approx(place.now)


def test_a_sleep_that_ends_early_is_counted_as_it_was(place: Place, ann: Agent) -> None:
    ann.world._sleep = lambda seconds: place.pass_(seconds / 2)
    assert ann.do(waiting.pause(Pace(waited=100.0, last=place.now), None)).waited == pytest.approx(102.5)


def test_a_pause_of_at_least_so_long_can_be_cut_short_only_afterwards(ann: Agent) -> None:
    asked: list[fx.Sleep] = []
    ann.world.perform = lambda effect: asked.append(effect) if isinstance(effect, fx.Sleep) else ann.place.now  # type: ignore[method-assign]
    ann.do(waiting.pause(Pace(waited=100.0, last=ann.place.now), None, until=("a", "b/"), least=0.5))
    ann.do(waiting.pause(Pace(waited=0.0, last=ann.place.now), 0.1, until=("a",), least=0.5))
    assert asked == [
        fx.Sleep(seconds=0.5),
        fx.Sleep(seconds=4.5, until=("a", "b/")),
        fx.Sleep(seconds=0.1),
        fx.Sleep(seconds=0.0, until=("a",)),
    ]


def test_a_board_that_changes_all_the_time_keeps_nobody_busy_who_waits_for_work(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", agent="bob"), a_step("b", "a")])
    asked: list[fx.Sleep] = []
    perform = ann.world.perform

    def noting(effect: fx.Effect) -> Any:
        if isinstance(effect, fx.Sleep):
            asked.append(effect)
        return perform(effect)

    ann.world.perform = noting  # type: ignore[method-assign]
    error_of(NothingReady, lambda: ann.do(work.next_(ann.actor, wait=20.0)))
    assert [one for one in asked if one.until] == asked[1::2], "every other one may end early"
    assert not asked[0].until
    assert 0 < asked[0].seconds <= FIRST, "less only where it is time to look at every step"
    assert [one.seconds for one in asked[::2]].count(FIRST) > len(asked[::2]) // 2


def waits(agent: Agent, *names: str, **more: Any) -> Any:
    return agent.do(steps.wait_for(names, **more))


def test_an_idle_wait_is_one_conditional_read_a_poll_and_step(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", agent="bob"), a_step("b", agent="bob", needed_by=("a",)), a_step("done")])
    looked: list[tuple[float, fx.Effect]] = []
    perform = ann.world.perform

    def noting(effect: fx.Effect) -> Any:
        looked.append((place.now, effect))
        return perform(effect)

    ann.world.perform = noting  # type: ignore[method-assign]
    start = place.now
    ann.counting.reset()
    error_of(TimedOut, lambda: waits(ann, "a", "b", timeout=1800.0))
    gathers = [(at, effect) for at, effect in looked if isinstance(effect, fx.Gather)]
    for at, effect in gathers[1:]:
        assert [(one.key, one.unless is not None) for one in effect.effects] == [(keys.step("a"), True), (keys.step("b"), True)], at  # type: ignore[attr-defined]
    times = [at - start for at, _ in gathers]
    assert all(b - a <= max(0.15, 0.05 * a) + 1e-3 for a, b in pairwise(times))
    assert len(times) < 200
    requests = [one for one in ann.counting.requests if one.outcome != "unchanged"]
    assert len(requests) == 2, "the first look alone"
    assert {one.kind for one in ann.counting.requests} == {"get"}


def test_what_is_complete_is_asked_for_no_more(place: Place, ann: Agent) -> None:
    bob = place.agent("bob").warm()
    for name in ("a", "b"):
        bob.do(steps.claim(bob.actor, name))
    finish(bob, "a")
    ann.counting.reset()
    error_of(TimedOut, lambda: waits(ann, "a", "b", timeout=30.0))
    assert len([one for one in ann.counting.requests if one.key == keys.step("a")]) == 1
