"""The agent register: numbers only grow, whatever it forgets; and which writes it can still account for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windlass.protocol.agents import FRESH, KEPT_STARTS, LEASE_BARE, LEASE_BEATING, LEASE_MIN, MARGIN, Agent, Keeper
from windlass.protocol.codec import decode, encode
from windlass.protocol.mail import Cursor


def started(count: int) -> Agent:
    agent = Agent(name="a")
    for n in range(count):
        agent = agent.started("m", "h", Keeper.COMMANDS, float(n), f"w{n}").but(write_id=f"w{n}", seq=n + 1)
    return agent


@given(st.integers(1, 3 * KEPT_STARTS))
def test_numbers_count_up_and_the_newest_counts(count: int) -> None:
    agent = started(count)
    assert agent.current is not None
    assert agent.current.number == count
    assert len(agent.starts) == min(count, KEPT_STARTS)
    assert decode(Agent, "k", encode(agent)) == agent


@given(st.integers(1, 3 * KEPT_STARTS), st.integers(0, 3 * KEPT_STARTS))
def test_a_write_is_found_denied_or_honestly_unknown(count: int, asked: int) -> None:
    agent = started(count)
    verdict = agent.wrote(f"w{asked}", asked + 1)
    if asked >= count:
        assert verdict is False, "later than the register is: not yet landed"
    elif asked >= count - KEPT_STARTS:
        assert verdict is True
    else:
        assert verdict is None, "too long ago to tell"
    assert agent.wrote("never", count) is False


def test_nobody_started_yet() -> None:
    assert Agent(name="a").current is None
    assert Agent(name="a").ended(1) == Agent(name="a")


def test_ending_marks_the_newest_only() -> None:
    agent = started(3)
    assert agent.ended(2) is agent
    over = agent.ended(3)
    assert over.current is not None
    assert over.current.ended
    assert over.ended(3) is over
    again = over.started("m", "h", Keeper.RUN, 9.0, "w9")
    assert again.current is not None
    assert (again.current.number, again.current.ended, again.current.keeper) == (4, False, Keeper.RUN)


def test_the_shortest_lease_can_be_judged_by_whole_seconds() -> None:
    assert LEASE_MIN >= 2 * MARGIN + 1
    assert MARGIN >= 2
    assert FRESH + MARGIN < LEASE_BEATING < LEASE_BARE


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_cursor_only_advances(direct: int, broadcast: int, to_direct: int, to_broadcast: int) -> None:
    cursor = Cursor(direct=direct, broadcast=broadcast)
    after = cursor.past(to_direct, to_broadcast)
    assert (after.direct, after.broadcast) == (max(direct, to_direct), max(broadcast, to_broadcast))
    assert (after is cursor) == (to_direct <= direct and to_broadcast <= broadcast)
