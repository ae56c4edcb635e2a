"""Agents: who may act. One number for each incarnation, presence at most once a minute, and only by acting."""

from __future__ import annotations

from typing import Any

import pytest
from tests.ops.interleave import explore, outcome
from tests.ops.world import DAY, HOUR, REFUSED, WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import AccessDenied, Fenced, FormatTooNew, Indeterminate, Moved, PutRefused, UsageError
from windlass.ops import agents
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, KEPT_STARTS, LEASE_BARE, LEASE_BEATING, MARGIN, Keeper, Presence
from windlass.protocol.codec import decode
from windlass.testing.faults import Fault


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann")


def acts(agent: Agent) -> int:
    """The incarnation under which the agent acts."""
    return agent.do(agents.act(agent.actor)).incarnation


def starts(agent: Agent, name: str = "ann") -> list[int]:
    found = agent.do(agents.look(agent.actor.but(agent=name)))
    return [start.number for start in found.doc.starts] if found else []


def test_requests(place: Place, ann: Agent) -> None:
    acts(ann)
    assert ann.cost(agents.act(ann.actor)) == {}
    place.pass_(FRESH - 1)
    assert ann.cost(agents.act(ann.actor)) == {}
    place.pass_(1)
    assert ann.cost(agents.act(ann.actor)) == {"get": 3, "put": 1}
    for _ in range(100):
        place.pass_(3)
        ann.do(agents.act(ann.actor))
    ann.counting.reset()
    for _ in range(600):
        place.pass_(1)
        ann.do(agents.act(ann.actor))
    assert ann.counting.counts()["put"] <= 10, "one a minute"


def test_the_first_act_makes_the_project_and_the_agent(place: Place, ann: Agent) -> None:
    assert acts(ann) == 1
    assert place.keys() == ["agents/ann.json", "presence/ann/00000001.json", "windlass.json"]
    sign = decode(Presence, "", place.body(keys.presence("ann", 1)))
    assert (sign.agent, sign.incarnation, sign.host) == ("ann", 1, "machine-ann")


def test_looking_leaves_no_sign_of_life(place: Place, ann: Agent) -> None:
    acts(ann)
    place.pass_(DAY)
    assert ann.cost(agents.look(ann.actor)) == {"get": 2}
    assert place.agent("eve").cost(agents.look(ann.actor.but(agent="eve"))) == {"get": 2}


def test_shells_on_one_machine_act_as_one(place: Place, ann: Agent) -> None:
    other = place.agent("ann")
    assert [acts(ann), acts(other), acts(ann)] == [1, 1, 1]


def test_shells_that_start_at_the_same_time_act_as_one(place: Place, ann: Agent) -> None:
    other = place.agent("ann")
    Between(ann, lambda: acts(other), key="agents/", lands=False, answer=PutRefused)
    assert [acts(ann), acts(other)] == [1, 1]


def test_a_python_program_and_bare_commands_act_as_one(place: Place, ann: Agent) -> None:
    program = place.agent("ann", keeper=Keeper.PYTHON)
    assert [acts(ann), acts(program)] == [1, 1]
    assert program.do(agents.act(program.actor)).lease == LEASE_BEATING
    assert ann.do(agents.act(ann.actor)).lease == LEASE_BARE


@pytest.mark.parametrize("skew", [0, HOUR, -HOUR])
def test_a_name_is_refused_while_it_is_active_on_another_machine(place: Place, ann: Agent, skew: float) -> None:
    acts(ann)
    far = place.agent("ann", machine="far", skew=skew)
    place.pass_(LEASE_BARE)
    error = error_of(Fenced, lambda: acts(far))
    assert error.exit == 3
    assert "machine-ann" in error.message
    assert "--new" in error.hint
    place.pass_(MARGIN + 1)
    assert acts(far) == 2
    place.pass_(FRESH)
    error_of(Fenced, lambda: acts(ann))


def test_a_race_for_a_dead_name_has_one_winner(place: Place, ann: Agent) -> None:
    acts(ann)
    place.pass_(DAY)
    near, far = place.agent("ann", machine="near"), place.agent("ann", machine="far")
    Between(near, lambda: acts(far), key="agents/", lands=False, answer=PutRefused)
    error_of(Fenced, lambda: acts(near))
    assert starts(ann) == [1, 2]


def test_a_name_just_taken_is_active_before_its_first_sign_of_life(place: Place, ann: Agent) -> None:
    acts(ann)
    place.pass_(DAY)
    near, far = place.agent("ann", machine="near"), place.agent("ann", machine="far")
    assert stop_before(agents.act(far.actor), far, 7), "far has its number, and is about to write its presence"
    assert starts(ann) == [1, 2]
    error_of(Fenced, lambda: acts(near))


def test_a_new_start_fences_the_ones_before(place: Place, ann: Agent) -> None:
    acts(ann)
    far = place.agent("ann", machine="far")
    assert far.do(agents.start_new(far.actor)).incarnation == 2
    assert acts(far) == 2
    place.pass_(FRESH)
    error_of(Fenced, lambda: acts(ann))
    assert ann.do(agents.start_new(ann.actor)).incarnation == 3
    place.pass_(FRESH)
    error_of(Fenced, lambda: acts(far))


@pytest.mark.parametrize("given", [None, 1], ids=["bare", "below run"])
def test_who_was_fenced_is_fenced_at_once_again(place: Place, given: int | None) -> None:
    """What its last refresh left in this machine's memory lets nobody act for another minute."""
    ann = place.agent("ann")
    acts(ann)
    old = place.agent("ann", incarnation=given)
    acts(old)
    far = place.agent("ann", machine="far")
    far.do(agents.start_new(far.actor))
    place.pass_(FRESH)
    for _ in range(3):
        error_of(Fenced, lambda: acts(old))


def test_a_run_keeps_bare_commands_out_until_it_ends(place: Place, ann: Agent) -> None:
    assert acts(ann) == 1
    runner = place.agent("ann", keeper=Keeper.RUN)
    assert runner.do(agents.start_new(runner.actor)).incarnation == 2
    child = place.agent("ann", incarnation=2)
    assert acts(child) == 2
    place.pass_(FRESH)
    assert "run" in error_of(Fenced, lambda: acts(ann)).message
    ann.do(agents.end(runner.actor, 2))
    assert acts(ann) == 3, "after the run a bare command takes a new number"
    place.pass_(FRESH)
    error_of(Fenced, lambda: acts(child))


def test_a_run_that_was_killed_holds_the_name_for_its_lease(place: Place, ann: Agent) -> None:
    runner = place.agent("ann", keeper=Keeper.RUN)
    runner.do(agents.start_new(runner.actor))
    place.pass_(LEASE_BEATING)
    error_of(Fenced, lambda: acts(ann))
    place.pass_(MARGIN + 1)
    assert acts(ann) == 2


def test_a_child_of_a_replaced_run_is_fenced(place: Place, ann: Agent) -> None:
    runner = place.agent("ann", keeper=Keeper.RUN)
    runner.do(agents.start_new(runner.actor))
    runner.do(agents.start_new(runner.actor))
    error_of(Fenced, lambda: acts(place.agent("ann", incarnation=1)))
    assert acts(place.agent("ann", incarnation=2)) == 2
    error_of(Fenced, lambda: acts(place.agent("ann", incarnation=7)))


def test_ending_is_only_for_the_newest_and_may_be_repeated(place: Place, ann: Agent) -> None:
    acts(ann)
    ann.do(agents.start_new(ann.actor))
    ann.do(agents.end(ann.actor, 1))
    assert acts(ann) == 2
    for _ in range(2):
        ann.do(agents.end(ann.actor, 2))
    assert place.keys("presence/") == []
    assert acts(ann) == 3
    ann.do(agents.end(place.agent("nobody").actor, 1))
    assert starts(ann, "nobody") == []


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("where", ["agents/", "presence/", "windlass.json", "clock/"])
def test_a_spoilt_answer_hands_out_no_second_number(place: Place, ann: Agent, faults: list[object], where: str) -> None:
    if where in ("presence/", "clock/"):  # plain overwrites give up earlier: the next command writes them again
        faults = faults[:2]
    acts(place.agent("ann", machine="dead"))
    place.pass_(DAY)
    assert acts(ann.spoil(*faults, key=where)) == 2
    ann.heal().faulty.land_late()
    assert starts(ann) == [1, 2]
    place.pass_(FRESH)
    assert acts(ann) == 2


def test_a_number_that_landed_and_was_passed_is_ones_own(place: Place, ann: Agent) -> None:
    far = place.agent("ann", machine="far")
    Between(ann, lambda: far.do(agents.start_new(far.actor)), key="agents/")
    assert ann.do(agents.start_new(ann.actor)).incarnation == 1
    assert starts(ann) == [1, 2]
    place.pass_(FRESH)
    error_of(Fenced, lambda: acts(ann))


def test_what_stays_unknown_is_said(ann: Agent) -> None:
    ann.spoil(Fault.DROP, key="agents/", forever=True)
    assert error_of(Indeterminate, lambda: acts(ann)).exit == 7


def test_a_first_act_killed_anywhere_can_be_repeated() -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann = place.agent("ann")
        ended = not stop_before(agents.act(ann.actor), ann, at)
        assert acts(place.agent("ann")) == 1
        assert starts(ann) == [1]
        at += 1
    assert at > 4


def test_numbers_go_on_when_the_register_forgets(place: Place, ann: Agent) -> None:
    for _ in range(KEPT_STARTS + 10):
        ann.do(agents.start_new(ann.actor))
    assert starts(ann) == list(range(11, KEPT_STARTS + 11))
    assert place.keys("presence/") == [keys.presence("ann", KEPT_STARTS + 10)], "the ones before left nothing behind"


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"{}", b'{"incarnation":1e999,"planned":0,"seen_at":0,"own_modified":0}',
                                  b'{"incarnation":"x","planned":0,"seen_at":0,"own_modified":0}', b"\xff"])  # fmt: skip
def test_an_odd_memory_is_no_memory(ann: Agent, note: bytes) -> None:
    acts(ann)
    for name in list(ann.hints._kept):
        ann.hints.remember(name, note)
    assert acts(ann) == 1
    assert starts(ann) == [1]


def test_a_clock_that_jumps_back_makes_presence_fresh_again(place: Place, ann: Agent) -> None:
    acts(ann)
    ann.skew = -DAY
    assert ann.cost(agents.act(ann.actor)) == {"get": 3, "put": 1}


def test_a_project_that_moved_is_left_alone(place: Place, ann: Agent) -> None:
    place.write(keys.MARKER, b'{"format":1,"kind":"project","seq":2,"write_id":"w","moved_to":"s3://elsewhere"}')
    for op in (agents.act, agents.start_new, agents.look):
        assert error_of(Moved, lambda op=op: ann.do(op(ann.actor))).to == "s3://elsewhere"  # type: ignore[misc]
    assert place.keys() == ["windlass.json"]


def test_a_project_of_a_newer_format_is_left_alone(place: Place, ann: Agent) -> None:
    place.write(keys.MARKER, b'{"format":2,"kind":"project"}')
    for op in (agents.act, agents.start_new, agents.look):
        error_of(FormatTooNew, lambda op=op: ann.do(op(ann.actor)))  # type: ignore[misc]
    assert place.keys() == ["windlass.json"]


def test_opening_a_project_that_others_have_changed_finds_it(place: Place, ann: Agent) -> None:
    place.write(keys.MARKER, b'{"format":1,"kind":"project","seq":5,"write_id":"w","planned":true,"name":"p"}')
    assert ann.do(agents.open_project(ann.actor)).doc.planned


def test_a_refused_store_is_never_an_absent_agent(place: Place, ann: Agent) -> None:
    ann.spoil(AccessDenied("expired"), kind="get")
    error_of(AccessDenied, lambda: acts(ann))
    assert place.keys() == []


def test_a_bad_name_sends_nothing(ann: Agent) -> None:
    for name in ("", "a b", "../x", "_broadcast", "x" * 129):
        assert ann.cost(agents.act(ann.actor.but(agent=name))) == {}
        error_of(UsageError, lambda name=name: ann.do(agents.act(ann.actor.but(agent=name))))  # type: ignore[misc]


def test_presence_survives_two_bad_answers(place: Place, ann: Agent) -> None:
    assert acts(ann.spoil(REFUSED, Fault.DROP, key="presence/")) == 1


@pytest.mark.parametrize("machines", [("one", "one"), ("one", "two")], ids=["one machine", "two machines"])
def test_two_first_commands_in_every_order(machines: tuple[str, str]) -> None:
    """On one machine both act under one number; of two machines at most one acts."""

    def begin() -> tuple[Place, list[tuple[Agent, Any]]]:
        place = Place()
        place.agent("eve").warm()
        pair = [place.agent("ann", machine=machine) for machine in machines]
        return place, [(one, outcome(agents.act(one.actor))) for one in pair]

    def end(place: Place, results: list[Any]) -> None:
        assert starts(place.agent("eve")) == [1]
        acting = [one.incarnation for one in results if not isinstance(one, Fenced)]
        assert acting == ([1, 1] if machines[0] == machines[1] else [1])

    assert explore(begin, end) > 50
