"""Finding work: `next` costs the same at any size, claims only what is ready, and a board that is wrong does no harm."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.interleave import Process, outcome
from tests.ops.planned import a_step, board, finish, finishing, plant, put, race, set_board, step, trips
from tests.ops.world import DAY, HOUR, Agent, Between, Place, error_of, stop_before

from windlass import effects as fx
from windlass.errors import AccessDenied, Damaged, Fenced, NothingLeft, NothingReady, Unavailable, Unmet, UsageError
from windlass.ops import agents, plans, steps, trails, work
from windlass.ops.board import offer
from windlass.ops.work import next_
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN, Presence
from windlass.protocol.board import SIZE, Board, Ready
from windlass.protocol.codec import Fields, decode, encode
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Status, Step
from windlass.protocol.transitions import Held
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windlass.effects import Op
    from windlass.ops.steps import Claimed

DONE, GO = Status.COMPLETE, Status.PENDING


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def take(agent: Agent, **more: Any) -> str:
    return agent.do(next_(agent.actor, **more)).step.name


# What it costs


@pytest.mark.parametrize("size", [10, 1_000, 10_000])
def test_it_costs_the_same_at_any_size(size: int) -> None:
    place = Place()
    ready = [a_step(f"s{n:05}", "n1", "n2") for n in range(size)]
    plant(place, [a_step("n1", status=DONE), a_step("n2", status=DONE), *ready])
    set_board(place, *ready, at=place.now - 60)
    ann = place.agent("ann").warm()
    assert ann.cost(next_(ann.actor)) == {"get": 2 + 2, "put": 2}, "board, step and its needs; the claim and the board"
    place.pass_(5)
    assert trips(ann, next_(ann.actor)) == 3
    assert ann.cost(next_(ann.actor)) == {"get": 2 + 2, "put": 1}, "the board was tidied a moment ago"


def test_one_after_the_other_costs_the_same_though_the_board_is_tidied_once_a_second(place: Place, ann: Agent) -> None:
    ready = [a_step(f"s{n}", priority=n) for n in range(20)]
    plant(place, ready)
    set_board(place, *ready, at=place.now)
    for n in range(20):
        place.pass_(0.05)
        assert trips(ann, next_(ann.actor)) == 3
        assert step(place, f"s{19 - n}").worker == "ann", "the best is taken first"
        if n % 2:
            finish(ann, f"s{19 - n}")
    writes = [one for one in ann.counting.requests if one.kind == "put" and one.key == keys.BOARD]
    assert len(writes) <= 1


def test_waiting_polls_the_board_alone(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step("a", agent="bob"), *(a_step(f"b{n}", "a") for n in range(50))])
    put(place, keys.presence("bob", 1), Presence(agent="bob"))
    error_of(NothingReady, lambda: ann.do(next_(ann.actor)))
    ann.counting.reset()
    error_of(NothingReady, lambda: ann.do(next_(ann.actor, wait=50.0)))
    polls = [one for one in ann.counting.requests if one.key == keys.BOARD]
    full = [one for one in ann.counting.requests if one.key == keys.STEPS]
    assert 80 < len(polls) < 130
    assert len(full) <= 9, "the whole is looked at less and less often"
    assert len(ann.counting.requests) <= len(polls) + 2 * len(full), "and for one listing of presence then"
    assert ann.slept >= 49.9


def test_waiting_keeps_its_own_claims_alive(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step("a", agent="bob", lease=9 * HOUR), a_step("mine"), a_step("b", "a")])
    ann.do(steps.claim(ann.actor, "mine", lease=100))
    ann.counting.reset()
    error_of(NothingReady, lambda: ann.do(next_(ann.actor, wait=3000.0)))
    signs = [one for one in ann.counting.requests if one.kind == "put"]
    assert 3000 / 50 < len(signs) <= 3000 / 25 + 1, "a quarter of the lease"
    error_of(Held, lambda: bob.do(steps.claim(bob.actor, "mine")))


def test_waiting_ends_when_something_becomes_ready(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(plans.apply(ann.actor, Plan(steps={"a": Definition(), "b": Definition(needs=("a",))})))
    assert take(bob) == "a"
    later(ann, 30, lambda: finish(bob, "a"))
    start = place.now
    assert take(ann, wait=600.0) == "b"
    assert place.now - start < 10


def test_waiting_sits_out_a_store_that_is_away(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step("a", agent="bob"), a_step("b", "a", needed_by=())])
    later(ann, 3, lambda: ann.spoil(*[Fault.UNAVAILABLE] * 4, kind="get").spoil(*[Fault.UNAVAILABLE] * 2, kind="list"))
    error_of(NothingReady, lambda: ann.do(next_(ann.actor, wait=40.0)))
    ann.heal()
    later(ann, 3, lambda: ann.spoil(AccessDenied("expired"), kind="get"))
    error_of(AccessDenied, lambda: ann.do(next_(ann.actor, wait=40.0)))


def later(agent: Agent, polls: int, then: Callable[[], object]) -> None:
    """Something happens while the agent waits for the n-th time."""
    sleep, left = agent._sleep, [polls]

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 0:
            then()

    agent.world._sleep = sleeping


# What it chooses


def test_the_highest_priority_first_and_at_random_among_equals(place: Place) -> None:
    drawn: Counter[str] = Counter()
    for _ in range(300):
        place = Place()
        ready = [a_step("low", priority=-1), *(a_step(f"s{n}") for n in range(6))]
        plant(place, ready)
        set_board(place, *ready)
        drawn[take(place.agent("ann").warm())] += 1
    assert drawn.keys() == {f"s{n}" for n in range(6)}
    assert min(drawn.values()) > 20


@pytest.mark.parametrize("on_board", [True, False])
def test_labels(place: Place, ann: Agent, on_board: bool) -> None:
    ready = [a_step("a", labels=("x", "y")), a_step("b", labels=("z",)), a_step("c", priority=9)]
    plant(place, ready)
    if on_board:
        set_board(place, *ready)
    assert take(ann, labels=["y", "nothing"]) == "a"
    assert take(ann, labels=["z"]) == "b"
    assert error_of(NothingReady, lambda: take(ann, labels=["z"])).exit == 5, "somebody is at it"
    finish(ann, "b")
    assert error_of(NothingLeft, lambda: take(ann, labels=["z"])).exit == 4
    assert take(ann) == "c"


def test_needs_must_be_complete(place: Place, ann: Agent) -> None:
    states = [one for one in Status if one not in (DONE, Status.PENDING, Status.IN_PROGRESS)]
    plant(place, [a_step(one.value, status=one) for one in states])
    plant(place, [a_step("busy", agent="bob"), a_step("open", "busy"), a_step("damaged")])
    place.write(keys.step("damaged"), b"{")
    wrong = [a_step(f"w{n}", one.value, priority=9) for n, one in enumerate(states)]
    wrong += [a_step("w7", "busy"), a_step("w8", "open"), a_step("w9", "missing"), a_step("wa", "damaged"), a_step("wb", "wb")]
    plant(place, [*wrong, a_step("right")])
    set_board(place, *(one.but(needs=()) for one in wrong))
    assert take(ann) == "right"
    error_of(NothingReady, lambda: take(ann))


def test_a_claim_that_it_loses_leads_to_another(place: Place, ann: Agent, bob: Agent) -> None:
    both = [a_step("a", priority=1), a_step("b")]
    plant(place, both)
    set_board(place, *both)
    Between(ann, lambda: bob.do(steps.claim(bob.actor, "a")), key="steps/a", lands=False)
    assert take(ann) == "b"
    assert step(place, "a").worker == "bob"


def test_who_lost_a_race_for_the_best_leaves_the_rest_of_them_to_the_others(place: Place) -> None:
    drawn: Counter[str] = Counter()
    for _ in range(60):
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        ready = [a_step("best1", priority=9), a_step("best2", priority=9), *(a_step(f"s{n:02}") for n in range(40))]
        plant(place, ready)
        set_board(place, *ready)
        Between(ann, lambda bob=bob: [bob.do(steps.claim(bob.actor, f"best{n}")) for n in (1, 2)], key="steps/best", lands=False)  # type: ignore[misc]
        drawn[take(ann)] += 1
    assert len(drawn) > 15
    assert max(drawn) < "s32", "among the best 32 that are left"


def test_an_answer_that_is_lost_is_found(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a")])
    set_board(place, a_step("a"))
    assert take(ann.spoil(Fault.LOSE_ANSWER, key="steps/")) == "a"
    assert step(place, "a").epoch == 1


def test_it_says_what_the_work_is(place: Place, ann: Agent) -> None:
    plant(place, [a_step("n"), a_step("a", "n", title="Do it", description="so", acceptance="when")])
    ann.do(steps.claim(ann.actor, "n"))
    finish(ann, "n", note="the port is 7")
    claimed: Claimed = ann.do(next_(ann.actor, lease=77.0))
    assert (claimed.step.title, claimed.handoffs["n"].note) == ("Do it", "the port is 7")
    assert claimed.step.claim is not None
    assert (claimed.step.claim.lease, claimed.step.claim.needs) == (77.0, {"n": step(place, "n").seq})
    assert ann.cost(next_(ann.actor, lease=1.0)) == {}
    error_of(UsageError, lambda: take(ann, lease=1.0))


# A board that is wrong

WRONG: dict[str, Callable[[Place], object]] = {
    "missing": lambda place: None,
    "no JSON": lambda place: place.write(keys.BOARD, b"\x00garbage"),
    "another document": lambda place: place.write(keys.BOARD, encode(Step(name="x"))),
    "a field of the wrong type": lambda place: place.write(keys.BOARD, b'{"format":1,"kind":"board","ready":[7]}'),
    "a name that is none": lambda place: place.write(
        keys.BOARD, b'{"format":1,"kind":"board","ready":[{"name":"../../windlass","needs":["/"]}]}'
    ),
    "empty": set_board,
    "done steps": lambda place: set_board(place, a_step("done", priority=5), a_step("done2")),
    "unknown steps": lambda place: set_board(place, *(a_step(f"nowhere{n}") for n in range(30))),
    "held steps": lambda place: set_board(place, a_step("held", priority=3)),
    "damaged steps": lambda place: set_board(place, a_step("damaged", priority=3)),
    "unready steps": lambda place: set_board(place, a_step("unready", priority=3)),
    "lacks some": lambda place: set_board(place, a_step("r1")),
    "wrong needs": lambda place: set_board(place, a_step("r1", "held"), a_step("unready", "done"), a_step("r2")),
    "wrong priorities": lambda place: set_board(place, a_step("r1", priority=-9), a_step("r2", priority=2), a_step("r3", priority=1)),
    "from the future": lambda place: set_board(place, a_step("done"), at=place.now + DAY),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_board_never_yields_a_wrong_claim_and_is_put_right(place: Place, ann: Agent, bob: Agent, wrong: str) -> None:
    plant(place, [a_step("done", status=DONE), a_step("done2", status=DONE), a_step("held", agent="bob"), a_step("damaged")])
    plant(place, [a_step("unready", "held"), a_step("r1"), a_step("r2", "done"), a_step("r3", "done", "done2")])
    place.write(keys.step("damaged"), b"torn")
    WRONG[wrong](place)
    taken = []
    for _ in range(2):
        taken.append(take(ann))
        place.pass_(2)
    assert set(taken) < {"r1", "r2", "r3"}
    steps_ = [steps.release(ann.actor, name) for name in taken]
    for op in steps_:
        ann.do(work.after_change(ann.do(op)))
    assert sorted((take(ann), take(ann), take(ann))) == ["r1", "r2", "r3"]
    place.pass_(5)
    error_of(NothingReady, lambda: take(ann))
    assert board(place) == []


ROWS: list[object] = [
    [{"name": "a"}],
    [{"name": "a", "priority": -3, "labels": ["x", "é"], "needs": ["b", "c.d"], "seq": 7}],
    [{"name": "a"}, {"name": "b", "color": "red", "seq": 2}],
    [{"name": "a", "priority": None, "labels": None, "needs": None, "seq": None}],
    [{"name": "../a"}],
    [{"name": "a", "needs": ["b/c"]}],
    [{"name": "a."}],
    [{}],
    [{"name": 7}],
    [{"name": "a", "seq": True}],
    [{"name": "a", "seq": -1}],
    [{"name": "a", "priority": 2**60}],
    [{"name": "a", "priority": 1.5}],
    [{"name": "a", "needs": [7]}],
    [{"name": "a", "labels": "xy"}],
    [7],
    {},
    "x",
    None,
]


@pytest.mark.parametrize("rows", ROWS)
def test_a_board_is_read_in_one_way_whether_its_rows_are_plain_or_not(rows: object) -> None:
    try:
        slow: object = Fields({"ready": rows}).records("ready", Ready.load)
    except ValueError:
        slow = None
    try:
        fast: object = decode(Board, keys.BOARD, json.dumps({"format": 1, "kind": "board", "ready": rows}).encode()).ready
    except Damaged:
        fast = None
    assert fast == slow


def test_needs_that_the_board_does_not_know_are_read(place: Place, ann: Agent) -> None:
    plant(place, [a_step("done", status=DONE), a_step("open"), a_step("a", "done", priority=9)])
    plant(place, [a_step("b", "open", priority=8), a_step("c")])
    set_board(place, a_step("a", priority=9), a_step("b", priority=8), a_step("c"), at=place.now)
    assert [take(ann), take(ann)] == ["a", "c"]
    assert "list" not in ann.counting.counts()


def test_a_board_of_a_newer_format_is_left_alone(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", needed_by=("b",)), a_step("b", "a"), a_step("c")])
    newer = b'{"format":2,"kind":"board"}'
    place.write(keys.BOARD, newer)
    assert sorted((take(ann), take(ann))) == ["a", "c"]
    finish(ann, "a")
    assert take(ann) == "b"
    ann.counting.reset()
    error_of(NothingReady, lambda: take(ann, wait=20.0))
    assert place.body(keys.BOARD) == newer
    assert len([one for one in ann.counting.requests if one.kind == "list"]) < 14, "and nobody looks at everything in a loop"


def test_a_store_that_refuses_says_so_and_the_board_stays(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a")])
    set_board(place, a_step("a"))
    for key in (keys.BOARD, keys.step("a")):
        for fault, kind in ((AccessDenied("expired"), AccessDenied), (Fault.UNAVAILABLE, Unavailable)):
            ann.spoil(fault, kind="get", key=key)
            error_of(kind, lambda: take(ann))
    assert board(place) == ["a"]
    assert take(ann.spoil(*[Fault.DROP] * 9, key=keys.BOARD)) == "a"
    assert ann.slept < 1, "nobody waits for a cache"


def test_a_full_board_is_filled_again(place: Place, ann: Agent) -> None:
    ready = [a_step(f"s{n:04}") for n in range(SIZE + 40)]
    plant(place, ready)
    taken = {take(ann)}
    assert len(board(place)) == SIZE
    for _ in range(SIZE + 39):
        place.pass_(1.1)
        taken.add(take(ann))
    assert len(taken) == SIZE + 40
    error_of(NothingReady, lambda: take(ann))
    listed = [one for one in ann.counting.requests if one.key == keys.STEPS]
    assert len(listed) < 6


def test_what_changes_puts_steps_on_the_board(place: Place, ann: Agent, bob: Agent) -> None:
    plan = {"a": Definition(), "b": Definition(needs=("a",)), "c": Definition(needs=("a", "b"))}
    ann.do(plans.apply(ann.actor, Plan(steps=plan)))
    assert board(place) == ["a"]
    place.pass_(5)
    assert take(ann) == "a"
    assert board(place) == []
    ann.do(work.after_change(ann.do(steps.release(ann.actor, "a"))))
    assert board(place) == ["a"]
    take(ann)
    finish(ann, "a")
    assert board(place) == ["b"]
    place.pass_(5)
    take(ann)
    finish(ann, "b", Status.NEEDS_REVIEW)
    assert board(place) == []
    bob.do(work.after_change(bob.do(steps.approve(bob.actor, "b"))))
    assert board(place) == ["c"]
    ann.do(plans.add(ann.actor, "d", Definition(needs=("a",), priority=2)))
    assert board(place) == ["d", "c"], "a step whose needs are complete already is offered at once"
    assert board(place.agent("x").place) == ["d", "c"]


def test_one_damaged_follower_does_not_hide_the_others(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", needed_by=("b", "c", "d")), a_step("b", "a"), a_step("c", "a"), a_step("d", "a", "c")])
    place.write(keys.step("b"), b"torn")
    set_board(place, a_step("a"))
    take(ann)
    finish(ann, "a")
    assert board(place) == ["c"]


# More than the board holds


def flat(size: int) -> Plan:
    return Plan(steps={f"s{n:05}": Definition() for n in range(size)})


def pull(agent: Agent, most: int, *, seconds: float = 0.2) -> Iterator[str]:
    """Take and complete steps until none is left."""
    for _ in range(most):
        agent.place.pass_(seconds)
        try:
            name = take(agent, wait=50.0)
        except NothingLeft:
            return
        finish(agent, name)
        yield name


@pytest.mark.parametrize("size", [600, 1600])
def test_a_step_costs_the_same_where_many_more_are_ready_than_the_board_holds(size: int) -> None:
    place = Place()
    ann = place.agent("ann").warm()
    ann.do(plans.apply(ann.actor, flat(size)))
    ann.counting.reset()
    taken = list(pull(ann, size + 1))
    assert sorted(taken) == sorted(flat(size).steps)
    counts = Counter((one.kind, one.key.split("/")[0]) for one in ann.counting.requests)
    assert counts["get", "steps"] <= 3 * size + 20, "to be offered, to be claimed, to know that nothing is left"
    assert counts["get", "board.json"] < 1.1 * size
    assert counts["list", "steps"] < size / 256 + 3 * (1 + size / 1000) + 2
    assert counts["put", "board.json"] < 0.4 * size, "every second or two"


def test_where_more_is_ready_than_the_board_holds_it_says_where_the_rest_lies(place: Place, ann: Agent) -> None:
    steps_ = {f"s{n:05}": Definition(priority=int(n in (5, 590))) for n in range(600)}
    ann.do(plans.apply(ann.actor, Plan(steps=steps_)))
    kept = decode(Board, keys.BOARD, place.body(keys.BOARD))
    assert len(kept.ready) == SIZE
    assert kept.rest == "s00511", "the first that found no room: the best two and 510 others did"


def test_a_low_board_is_filled_by_one_page_and_not_by_a_look_at_everything(place: Place, ann: Agent) -> None:
    ready = [a_step(f"s{n:05}") for n in range(1500)]
    plant(place, ready)
    put(place, keys.BOARD, Board(rest="s00300", at=place.now - 60, seq=1, write_id="w"))
    assert ann.cost(next_(ann.actor)) == {"get": 3 + 256 + 1, "list": 1, "put": 3}, "the claim, the place to go on from and the board"
    kept = decode(Board, keys.BOARD, place.body(keys.BOARD))
    assert (len(kept.ready), kept.rest) == (256, "s00555.json")
    assert {one.name for one in kept.ready} == {f"s{n:05}" for n in range(300, 556)}


@pytest.mark.parametrize("after", [30, 1000, 20_000])
@pytest.mark.parametrize("what", ["a step that became ready and is on no board", "a step whose holder died"])
def test_who_waits_beside_a_busy_board_finds_in_minutes_what_nobody_put_there(place: Place, ann: Agent, after: int, what: str) -> None:
    others = [a_step(f"o{n}", labels=("a",)) for n in range(20)]
    held = a_step("held", agent="bob", lease=1e6 if "ready" in what else float(after), labels=("b",))
    plant(place, [*others, held, a_step("next", "held", labels=("b",))])
    set_board(place, *others, at=place.now)
    began, turns = place.now, 0

    def sleep(seconds: float) -> None:
        nonlocal turns
        end = place.now + seconds
        while place.now < end:  # work of another kind goes on and on
            place.pass_(min(2.0, end - place.now))
            turns += 1
            seen = decode(Board, keys.BOARD, place.body(keys.BOARD))
            put(
                place,
                keys.BOARD,
                seen.but(ready=Board().changed([offer(one) for one in others[turns % 2 :]], [], 0).ready, write_id=f"w{turns}"),
            )
            if "ready" in what and place.now - began >= after:
                put(place, keys.step("held"), a_step("held", status=DONE, labels=("b",)))

    ann.world._sleep = sleep
    assert take(ann, labels=["b"], wait=1e6) == ("next" if "ready" in what else "held")
    assert place.now - began - after < 300


def rotten(place: Place, planner: Agent, size: int, *, free: set[int]) -> None:
    """A board with so many offers of which others took all but a few, unseen by it."""
    planner.do(plans.apply(planner.actor, flat(size)))
    plant(place, [a_step(f"s{n:05}", status=DONE) for n in range(size) if n not in free])


def test_after_one_stale_offer_the_listing_tells_which_ones_are_not(place: Place, ann: Agent, bob: Agent) -> None:
    rotten(place, bob, 400, free={7, 350})
    asked = ann.cost(next_(ann.actor))
    assert asked == {"get": 1 + 1 + 1, "list": 1, "put": 1}, "the board, an offer, the listing, another offer, its claim"
    assert [step(place, f"s{n:05}").worker for n in (7, 350)].count("ann") == 1


def test_a_step_that_changed_and_is_still_to_be_had_is_found_though_the_listing_shows_another_version(place: Place, ann: Agent) -> None:
    rotten(place, ann, 400, free={7})
    plant(place, [a_step("s00007", priority=3)])
    assert take(ann) == "s00007"


def test_a_step_that_changed_is_offered_again_by_who_fills_the_board(
    place: Place, ann: Agent, bob: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotten(place, bob, 700, free={7, *range(512, 700)})
    plant(place, [a_step("s00007")])
    ann.do(trails.remember("ann", trails.Trail("s00100")))  # so that it is not by chance that she takes neither at first
    real, boards = place.store.put, []

    def noting(key: str, body: bytes, condition: fx.Condition) -> str:
        version = real(key, body, condition)
        if key == keys.BOARD:
            boards.append(board(place))
        return version

    monkeypatch.setattr(place.store, "put", noting)
    assert take(ann) == "s00512"
    filled = next(one for one in boards if "s00600" in one)
    assert "s00007" not in filled, "what did not change comes first"
    assert "s00007" in board(place)
    assert len(board(place)) > 100
    assert not {f"s{n:05}" for n in range(8, 500)} & set(board(place))


def test_of_many_who_find_the_board_rotten_one_tidies_it_up(place: Place, bob: Agent) -> None:
    rotten(place, bob, 500, free={*range(490, 500)})
    place.pass_(60)
    team = [place.agent(f"a{n}").warm() for n in range(8)]
    for one in team:
        one.counting.reset()
    dice = random.Random(3)
    taken = race(place, [(one, next_(one.actor)) for one in team], lambda: 0.02 + 0.02 * dice.random())
    assert len({claimed.step.name for claimed in taken}) == 8
    reads = sorted(one.counting.counts()["get"] for one in team)
    assert reads[-1] > 256, "one"
    assert reads[-2] < 50, "not another"


def test_a_listing_without_versions_is_asked_once(place: Place, ann: Agent, bob: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    rotten(place, bob, 400, free={7, 350})
    real = place.store.list

    def without(*asked: Any, **more: Any) -> fx.Page:
        page = real(*asked, **more)
        return page.but(entries=tuple(one.but(version="") for one in page.entries))

    monkeypatch.setattr(place.store, "list", without)
    assert take(ann) in ("s00007", "s00350")
    ann.counting.reset()
    assert take(ann) in ("s00007", "s00350")
    assert not ann.counting.counts().get("list")


def test_of_many_who_find_the_board_low_one_reads_on(place: Place) -> None:
    plant(place, [a_step(f"s{n:03}") for n in range(300)])
    put(place, keys.BOARD, Board(rest="", at=place.now - 60, seq=1, write_id="w"))
    dice, team = random.Random(3), [place.agent(f"a{n}").warm() for n in range(10)]
    for one in team:
        one.counting.reset()
    done = race(place, [(one, next_(one.actor, wait=60.0)) for one in team], lambda: dice.uniform(0.4, 0.5))
    assert len({claimed.step.name for claimed in done}) == 10
    reads = Counter(one.key for agent in team for one in agent.counting.requests if one.kind == "get" and one.key.startswith("steps/"))
    assert sum(reads.values()) < 300 + 10 * 5


@pytest.mark.parametrize("request_", range(0, 40, 1))
def test_who_is_killed_while_it_fills_the_board_hides_no_step(place: Place, ann: Agent, bob: Agent, request_: int) -> None:
    ready = [a_step(f"s{n:03}") for n in range(25)]
    plant(place, ready)
    put(place, keys.BOARD, Board(rest="", at=place.now - 60, seq=1, write_id="w"))
    stop_before(next_(ann.actor), ann, request_)
    held = [one.name for one in ready if step(place, one.name).status is not GO]
    left = [take(bob) for _ in range(25 - len(held))]
    assert sorted(left + held) == sorted(one.name for one in ready)


def test_a_claim_that_was_won_is_told_whatever_becomes_of_the_board(place: Place, ann: Agent) -> None:
    plant(place, [a_step(f"s{n}") for n in range(9)])
    put(place, keys.BOARD, Board(ready=(Ready(name="s1"),), rest="s2", at=place.now - 60, seq=1, write_id="w"))
    ann.spoil(AccessDenied("expired"), kind="list", forever=True)
    assert take(ann) == "s1"


def test_each_agent_goes_its_own_way_over_a_long_board(place: Place) -> None:
    ready = [a_step(f"s{n:03}") for n in range(400)]
    plant(place, ready)
    set_board(place, *ready, at=place.now)
    team = [place.agent("ann"), place.agent("bob")]
    ways: list[list[int]] = [[], []]
    for _ in range(20):
        for agent, way in zip(team, ways, strict=True):
            way.append(int(take(agent)[1:]))
    for way in ways:
        assert [(b - a) % 400 for a, b in pairwise(way)].count(1) >= 17, "one after the other, but where the other was before"


@pytest.mark.parametrize(
    "note", [b"", b"[]", b'{"last":7,"gone":[]}', b'{"last":"s1","gone":{"s1":"x","s2":true}}', b"{", b'{"gone":{"s1":1e99}}']
)
def test_an_odd_memory_of_the_way_is_none(place: Place, ann: Agent, note: bytes) -> None:
    ready = [a_step("s1"), a_step("s2")]
    plant(place, ready)
    set_board(place, *ready)
    ann.hints.remember("trail:ann", note)
    assert sorted((take(ann), take(ann))) == ["s1", "s2"]


# Where nothing is ready


def test_what_is_left_is_told_apart(place: Place, ann: Agent, bob: Agent) -> None:
    assert error_of(NothingLeft, lambda: take(ann)).exit == 4
    cases: list[tuple[list[Step], type[Exception]]] = [
        ([a_step("a", status=DONE), a_step("b", status=Status.CANCELLED)], NothingLeft),
        ([a_step("a", agent="bob")], NothingReady),
        ([a_step("a", agent="bob"), a_step("b", "a")], NothingReady),
        ([a_step("a", status=Status.NEEDS_REVIEW), a_step("b", "a")], NothingReady),
        ([a_step("a", status=Status.FAILED), a_step("b", "a")], Unmet),
        ([a_step("a", status=Status.BLOCKED)], Unmet),
        ([a_step("a", status=Status.CANCELLED), a_step("b", "a")], Unmet),
        ([a_step("a", "b"), a_step("b", "a")], Unmet),
        ([a_step("a", "missing")], Unmet),
        ([a_step("a", status=Status.FAILED), a_step("b", "a"), a_step("x", agent="bob")], NothingReady),
        ([a_step("a", "b"), a_step("b", "c"), a_step("c", agent="bob")], NothingReady),
        ([a_step("a", "b", "f"), a_step("b", agent="bob", labels=()), a_step("f", status=Status.FAILED)], NothingReady),
    ]
    for case, kind in cases:
        there = Place()
        plant(there, case)
        agent = there.agent("ann").warm()
        error: Any = error_of(kind, lambda agent=agent: take(agent))  # type: ignore[misc]
        assert error.exit == {NothingLeft: 4, NothingReady: 5, Unmet: 6}[type(error)], case
        assert sum(error.details["counts"].values()) == len(case)
        assert not [one for one in agent.counting.requests if one.kind == "put" and one.key.startswith("steps/")], "no write in vain"


def test_what_others_are_at_does_not_help_what_is_stuck(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", status=Status.FAILED, labels=("x",)), a_step("b", "a", labels=("x",)), a_step("c", agent="bob")])
    error_of(Unmet, lambda: take(ann, labels=["x"], wait=60.0))
    assert ann.slept == 0, "no waiting for what cannot come"


def over(place: Place, ann: Agent, count: int = 40) -> None:
    """A project that is finished, and somebody has seen it."""
    plant(place, [a_step(f"s{n:02}", status=DONE if n % 4 else Status.CANCELLED) for n in range(count)])
    error_of(NothingLeft, lambda: take(ann))


def test_that_nothing_is_left_is_known_from_a_listing(place: Place, ann: Agent, bob: Agent) -> None:
    over(place, ann)
    first = error_of(NothingLeft, lambda: take(ann))
    assert bob.cost(next_(bob.actor)) == {"get": 1, "list": 1}, "the board and the steps' versions, on a machine that never looked"
    assert error_of(NothingLeft, lambda: take(bob)).details == first.details == {"counts": {"complete": 30, "cancelled": 10}}


@pytest.mark.parametrize("how", ["reopened", "added"])
def test_a_step_that_came_since_is_found_though_the_board_says_nothing_is_left(place: Place, ann: Agent, bob: Agent, how: str) -> None:
    over(place, ann)
    if how == "added":
        plant(place, [a_step("new")])  # and its planner was killed before it wrote the board
    else:
        ann.do(steps.reopen(ann.actor, "s07"))
    assert take(bob) == {"added": "new", "reopened": "s07"}[how]


def test_a_step_reopened_while_somebody_looks_is_not_over(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step(f"s{n:02}", status=DONE) for n in range(40)])
    lists = [0]
    listing = place.store.list

    def slowly(prefix: str, after: str, limit: int) -> fx.Page:
        lists[0] += prefix == keys.STEPS
        found = listing(prefix, after, limit)
        if lists[0] == 2:
            lists[0] += 1
            bob.do(steps.reopen(bob.actor, "s07"))
        return found

    place.store.list = slowly  # type: ignore[method-assign,assignment]
    error_of(NothingLeft, lambda: take(ann))
    assert take(bob) == "s07"


def test_of_many_who_wait_one_looks_at_everything(place: Place, bob: Agent) -> None:
    plant(place, [a_step("a", agent="bob", lease=9 * HOUR), *(a_step(f"b{n}", "a") for n in range(50))])
    put(place, keys.presence("bob", 1), Presence(agent="bob"))
    set_board(place, a_step("a"))
    dice, team = random.Random(1), [place.agent(f"a{n}").warm() for n in range(20)]
    for one in team:
        one.counting.reset()
    race(place, [(one, outcome(next_(one.actor, wait=12.0))) for one in team], lambda: dice.uniform(0.01, 0.06))
    listed = [one for agent in team for one in agent.counting.requests if one.key == keys.STEPS]
    assert 20 < len(listed) < 20 + 8, "each at the end of its wait; before that one in a few seconds"


def test_a_damaged_step_is_not_nothing_left(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a", status=DONE), a_step("b")])
    place.write(keys.step("b"), b"torn")
    assert "damaged" in error_of(Unmet, lambda: take(ann)).message


# Taking over


def test_it_takes_over_what_a_dead_agent_held_and_not_before(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step("a"), a_step("b", "a")])
    bob.do(steps.claim(bob.actor, "a", lease=10.0))
    place.pass_(9)
    error_of(NothingReady, lambda: take(ann))
    place.pass_(1 + MARGIN + 0.1)
    claimed = ann.do(next_(ann.actor))
    assert (claimed.step.name, claimed.taken_from, claimed.step.epoch) == ("a", "bob", 2)


@pytest.mark.parametrize("skew", [HOUR, -HOUR])
def test_waiting_finds_a_dead_agents_step(place: Place, bob: Agent, skew: float) -> None:
    ann = place.agent("ann", skew=skew).warm()
    plant(place, [a_step("a")])
    bob.do(steps.claim(bob.actor, "a", lease=30.0))
    start = place.now
    assert take(ann, wait=200.0) == "a"
    assert 30 + MARGIN < place.now - start < 60


def test_a_live_holder_keeps_its_step_and_costs_a_listing(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step(f"a{n}") for n in range(30)])
    for n in range(30):
        bob.do(steps.claim(bob.actor, f"a{n}", lease=100.0))
    for _ in range(10):
        place.pass_(61)
        bob.do(agents.act(bob.actor))
        ann.do(agents.act(ann.actor))
        error_of(NothingReady, lambda: take(ann))
    assert ann.cost(next_(ann.actor)) == {"get": 1, "list": 2}, "the board, the steps, the signs of life"


def test_it_takes_over_its_own_former_incarnations_claims_at_once(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a")])
    ann.do(steps.claim(ann.actor, "a"))
    error_of(NothingReady, lambda: take(ann))
    newer = place.agent("ann", machine="far")
    newer.do(agents.start_new(newer.actor))
    claimed = newer.do(next_(newer.actor))
    assert (claimed.step.name, claimed.taken_from, claimed.step.epoch) == ("a", "ann", 2)


def test_what_one_holds_oneself_is_not_next(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a")])
    ann.do(steps.claim(ann.actor, "a", lease=10.0))
    place.pass_(30)
    error_of(NothingReady, lambda: take(ann))


def test_an_incarnation_that_was_replaced_is_told_so(place: Place, ann: Agent) -> None:
    both = [a_step("a", priority=1), a_step("b")]
    plant(place, both)
    set_board(place, *both)
    newer = place.agent("ann", machine="far")

    def replaced() -> None:
        newer.do(agents.start_new(newer.actor))
        newer.do(steps.claim(newer.actor, "a"))

    Between(ann, replaced, key="steps/a", lands=False)
    error_of(Fenced, lambda: take(ann))
    assert step(place, "b").status is GO, "and takes nothing else instead"


def test_a_dead_agents_step_with_a_damaged_need_is_passed_over(place: Place, ann: Agent) -> None:
    plant(place, [a_step("n", status=DONE), a_step("a", "n", agent="bob", lease=10.0, priority=5), a_step("b", agent="bob", lease=10.0)])
    place.write(keys.step("n"), b"torn")
    place.pass_(60)
    ann.do(agents.act(ann.actor))
    assert take(ann) == "b"


# Many at once


def sixty() -> Plan:
    names = [f"s{n:02}" for n in range(60)]
    needs = {name: tuple({names[(7 * n) % n], names[n // 2]} if n >= 20 else ()) for n, name in enumerate(names)}
    return Plan(steps={name: Definition(needs=needs[name], priority=n % 3) for n, name in enumerate(names)})


def working(place: Place, agent: Agent, claims: list[str], seconds: Callable[[], float]) -> Op[int]:
    """Pull work until there is none left; how many steps it did."""
    did = 0
    while True:
        try:
            claimed = yield from next_(agent.actor)
        except NothingReady:
            yield from fx.sleep(1.0)
            continue
        except NothingLeft:
            return did
        name = claimed.step.name
        claims.append(name)
        for need in claimed.step.needs:
            assert step(place, need).status is DONE, f"{name} before {need}"
        yield from fx.sleep(seconds())
        yield from finishing(agent, name)
        did += 1


def check_done(place: Place, claims: list[str]) -> None:
    assert sorted(claims) == sorted(sixty().steps), "every step once"
    for name in claims:
        one = step(place, name)
        assert (one.status, one.epoch) == (DONE, 1)


@pytest.mark.parametrize("seed", range(6))
def test_twenty_agents_pull_a_plan_to_its_end_in_any_order(seed: int) -> None:
    place, dice, claims = Place(), random.Random(seed), list[str]()
    team = [place.agent(f"a{n}").warm() for n in range(20)]
    team[0].do(plans.apply(team[0].actor, sixty()))
    processes = [Process(agent, working(place, agent, claims, lambda: 0.01)) for agent in team]
    while ready := [one for one in processes if not one.done]:
        dice.choice(ready).step()
    check_done(place, claims)
    assert sum(one.result for one in processes) == 60


@pytest.mark.parametrize("seed", range(3))
def test_twenty_agents_at_once(seed: int) -> None:
    place, dice, claims = Place(), random.Random(seed), list[str]()
    team = [place.agent(f"a{n}").warm() for n in range(20)]
    team[0].do(plans.apply(team[0].actor, sixty()))
    race(place, [(one, working(place, one, claims, lambda: dice.uniform(0.1, 3))) for one in team], lambda: dice.uniform(0.01, 0.06))
    check_done(place, claims)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 5.0])
def test_few_writes_are_in_vain_where_much_is_ready(seconds: float) -> None:
    place, dice, claims = Place(), random.Random(1), list[str]()
    team = [place.agent(f"a{n}").warm() for n in range(20)]
    team[0].do(plans.apply(team[0].actor, Plan(steps={f"s{n:04}": Definition() for n in range(240)})))
    for one in team:
        one.counting.reset()
    start = place.now
    race(
        place,
        [(one, working(place, one, claims, lambda: dice.uniform(0, 2 * seconds))) for one in team],
        lambda: dice.uniform(0.01, 0.06),
    )
    assert sorted(claims) == sorted(f"s{n:04}" for n in range(240))
    refused = [one for agent in team for one in agent.counting.requests if one.outcome == "refused"]
    assert len(refused) / len(claims) <= 0.5
    writes = [one for agent in team for one in agent.counting.requests if one.key == keys.BOARD and one.outcome == "done"]
    assert len(writes) <= 20 + place.now - start, "the board is tidied once a second at most"
    looks = [looked for agent in team for looked in before_first_listing(agent)]
    assert len(looks) / len(claims) <= (8 if seconds == 5 else 30), "what was claimed since the last tidying is met again, a few at once"


def before_first_listing(agent: Agent) -> list[str]:
    """The keys of the steps read while the board still had something to offer."""
    requests = agent.counting.requests
    end = next((i for i, one in enumerate(requests) if one.kind == "list"), len(requests))
    return [one.key for one in requests[:end] if one.kind == "get" and one.key.startswith(keys.STEPS)]


def test_a_board_survives_what_a_newer_minor_version_wrote(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a"), a_step("b", priority=1)])
    put(place, keys.BOARD, Board(ready=(Ready(name="b", priority=1), Ready(name="a", extra={"x": 1})), extra={"y": 2}))
    assert take(ann) == "b"
    assert board(place) == ["a"]
    assert b'"x":1' in place.body(keys.BOARD)
    assert b'"y":2' in place.body(keys.BOARD)
