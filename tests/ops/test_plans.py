"""Plans: applied as often as one likes, checked before anything is written, and never in the way of a claim."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.interleave import Process
from tests.ops.planned import a_step, board, finish, plant, step
from tests.ops.world import WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import ClaimLost, Damaged, Indeterminate, NotFound, Unmet, UsageError
from windlass.ops import graph, plans, registers, steps
from windlass.ops.plans import Applied
from windlass.protocol import keys
from windlass.protocol.plans import Plan, build, exported
from windlass.protocol.project import Marker
from windlass.protocol.steps import Definition, Status
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from windlass.effects import Op

D = Definition
PLAN = Plan(
    steps={
        "design": D(title="Design", priority=3),
        "build": D(needs=("design",), labels=("code",), description="as designed", acceptance="it runs", max_hold=3600.0),
        "docs": D(needs=("design",)),
        "ship": D(needs=("build", "docs", "old")),
    }
)


@pytest.fixture
def place() -> Place:
    place = Place()
    plant(place, [a_step("old", status=Status.COMPLETE), a_step("busy", agent="bob")])
    return place


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def applying(agent: Agent, plan: Plan | None = None, /, **more: Definition) -> Op[Applied]:
    return plans.apply(agent.actor, plan or Plan(steps=more))


def apply(agent: Agent, plan: Plan | None = None, /, **more: Definition) -> Applied:
    return agent.do(applying(agent, plan, **more))


def what(place: Place) -> dict[str, Any]:
    """Everything that a plan makes, without who wrote it when."""
    made = {name: step(place, name) for name in (*PLAN.steps, "old")}
    marker = registers.of(place.store.get(keys.MARKER), Marker)  # type: ignore[arg-type]
    assert marker is not None
    shown = {name: (one.definition, one.needed_by, one.status, [line.event for line in one.history]) for name, one in made.items()}
    return {"steps": shown, "planned": marker.doc.planned, "board": board(place)}


def test_applying_makes_the_steps_and_again_nothing(place: Place, ann: Agent, bob: Agent) -> None:
    assert apply(ann, PLAN) == Applied(added=("design", "build", "docs", "ship"))
    assert {name: step(place, name).definition for name in PLAN.steps} == PLAN.steps
    assert step(place, "design").needed_by == ("build", "docs")
    assert step(place, "old").needed_by == ("ship",), "a step outside the plan knows who waits for it too"
    assert what(place)["planned"]
    assert error_of(NotFound, lambda: ann.do(steps.claim(ann.actor, "desing"))).details["near"] == ["design"]
    before = {key: place.body(key) for key in [*place.keys()] if not key.startswith(("presence/", "agents/"))}
    assert apply(bob, PLAN) == Applied(unchanged=("design", "build", "docs", "ship"))
    bob.counting.reset()
    apply(bob, PLAN)
    assert "put" not in bob.counting.counts()
    assert {key: place.body(key) for key in before} == before


def test_a_changed_plan_changes_what_differs_and_no_claim(place: Place, ann: Agent, bob: Agent) -> None:
    apply(ann, PLAN)
    ann.do(steps.claim(ann.actor, "design"))
    claim = step(place, "design").claim
    changed = {**PLAN.steps, "design": D(title="Design it", priority=3), "new": D(needs=("design",))}
    assert apply(bob, Plan(steps=changed)) == Applied(added=("new",), changed=("design",), unchanged=("build", "docs", "ship"))
    now = step(place, "design")
    assert (now.title, now.claim, now.status, now.epoch) == ("Design it", claim, Status.IN_PROGRESS, 1)
    assert now.needed_by == ("build", "docs", "new")
    finish(ann, "design")
    assert apply(bob, Plan(steps={"design": D(title="Third", priority=3)})).changed == ("design",)
    assert step(place, "design").status is Status.COMPLETE
    assert apply(bob, late=D(needs=("design",))).added == ("late",)
    assert step(place, "design").title == "Third"
    assert step(place, "design").needed_by == ("build", "docs", "late", "new")


def test_steps_that_came_into_being_by_a_claim_can_be_declared_later(place: Place, ann: Agent, bob: Agent) -> None:
    bob.do(steps.claim(bob.actor, "build"))
    assert apply(ann, PLAN).changed == ("build",)
    assert step(place, "build").worker == "bob"
    assert step(place, "build").definition == PLAN.steps["build"]


REFUSED: dict[str, tuple[dict[str, Definition], str]] = {
    "itself": ({"a": D(needs=("a",))}, "a → a"),
    "two": ({"a": D(needs=("b",)), "b": D(needs=("a",))}, "a → b → a"),
    "far": ({"x": D(needs=("a",)), "a": D(needs=("b", "old")), "b": D(needs=("old", "c")), "c": D(needs=("a",))}, "a → b → c → a"),
    "by way of the store": ({"old2": D(needs=("end",))}, "old2 → end → mid → old2"),
    "by way of the store, from the side": ({"x": D(needs=("end",)), "mid": D(needs=("x",))}, "x → end → mid → x"),
    "unknown": ({"a": D(needs=("old", "nowhere"))}, "a needs nowhere"),
    "no name": ({"a b": D()}, "'a b' is no step name"),
    "no need": ({"a": D(needs=("b/c",))}, "'b/c' is no step name"),
    "no label": ({"a": D(labels=("b c",))}, "label"),
    "too large": ({"a": D(), "b": D(description="x" * 300_000)}, "300,000 bytes"),
    "not to be judged": ({"a": D(max_hold=1.0)}, "1 s"),
    "priority": ({"a": D(priority=10**9)}, "priority"),
    "no unicode": ({"a": D(title="\ud800")}, "Unicode"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_wrong_is_named_and_nothing_is_written(place: Place, ann: Agent, why: str) -> None:
    plant(place, [a_step("old2"), a_step("mid", "old2"), a_step("end", "mid")])
    plan, said = REFUSED[why]
    ann.counting.reset()
    error = error_of(UsageError, lambda: apply(ann, Plan(steps={**plan, "fine": D()})))
    assert said in error.message
    assert error.hint
    assert error.exit == 2
    assert "put" not in ann.counting.counts()


def test_a_damaged_need_is_named(place: Place, ann: Agent) -> None:
    place.write(keys.step("old"), b"torn")
    assert error_of(Damaged, lambda: apply(ann, PLAN)).key == keys.step("old")
    assert place.keys("steps/") == [keys.step("busy"), keys.step("old")]


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_spoilt_answers_make_each_step_once(place: Place, ann: Agent, faults: list[object]) -> None:
    ann.spoil(*faults, key="steps/d").spoil(*faults, key="steps/ship").spoil(*faults, key=keys.MARKER)
    assert apply(ann, PLAN).added == ("design", "build", "docs", "ship")
    ann.heal().faulty.land_late()
    assert apply(ann, PLAN) == Applied(unchanged=("design", "build", "docs", "ship"))
    assert all(len(step(place, name).history) == 1 for name in PLAN.steps)


def test_what_stays_unknown_is_said_and_can_be_repeated(place: Place, ann: Agent) -> None:
    ann.spoil(Fault.DROP, key="steps/build", forever=True)
    assert error_of(Indeterminate, lambda: apply(ann, PLAN)).exit == 7
    assert "build" in apply(ann.heal(), PLAN).added


def test_killed_before_any_request_and_run_again_it_ends_the_same(place: Place, ann: Agent) -> None:
    apply(ann, PLAN)
    right, at, ended = what(place), 0, False
    while not ended:
        place = Place()
        plant(place, [a_step("old", status=Status.COMPLETE)])
        ann = place.agent("ann").warm()
        ended = not stop_before(applying(ann, PLAN), ann, at)
        apply(ann, PLAN)
        assert what(place) == right
        at += 1
    assert at > 10


@pytest.mark.parametrize("seed", range(20))
def test_two_who_apply_the_same_plan_make_it_once(place: Place, ann: Agent, bob: Agent, seed: int) -> None:
    dice = random.Random(seed)
    both = [Process(ann, applying(ann, PLAN)), Process(bob, applying(bob, PLAN))]
    while ready := [one for one in both if not one.done]:
        dice.choice(ready).step()
    assert sorted(name for one in both for name in one.result.added) == sorted(PLAN.steps)
    assert not any(one.result.changed for one in both)
    assert all(step(place, name).definition == PLAN.steps[name] for name in PLAN.steps)
    assert step(place, "design").needed_by == ("build", "docs")


def test_a_circle_that_two_make_at_once_is_found(place: Place, ann: Agent, bob: Agent) -> None:
    """Each plan alone is fine; the two are checked before either is written."""
    made = 0
    for seed in range(12):
        place, dice = Place(), random.Random(seed)
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        plant(place, [a_step("a"), a_step("b")])
        both = [Process(ann, caught(applying(ann, a=D(needs=("b",))))), Process(bob, caught(applying(bob, b=D(needs=("a",)))))]
        while ready := [one for one in both if not one.done]:
            dice.choice(ready).step()
        circles = ann.do(graph.graph()).circles
        refused = [one.result for one in both if isinstance(one.result, UsageError)]
        assert len(circles) + len(refused) == 1
        if circles:
            made += 1
            assert circles == (("a", "b", "a"),)
            assert "a → b → a" in error_of(Unmet, lambda: ann.do(steps.wait_for(["a"], timeout=9.0))).message  # noqa: B023
            ann.do(plans.edit(ann.actor, "a", {"needs": ()}))
            assert ann.do(graph.graph()).circles == (), "and can be taken apart"
    assert made >= 3


def caught(op: Op[Any]) -> Op[Any]:
    try:
        return (yield from op)
    except UsageError as error:
        return error


def test_a_plan_costs_a_read_and_a_write_a_step(ann: Agent) -> None:
    big = Plan(steps={f"s{n:04}": D(needs=(f"s{n // 3:04}",) if n else ()) for n in range(1500)})
    cost = ann.cost(applying(ann, big))
    assert cost["put"] <= 1500 + 3
    assert cost["get"] <= 1500 + 3
    assert "list" not in cost
    again = ann.cost(applying(ann, big))
    assert again == {"get": 1500 + 2}, "and the marker and the board"


def test_many_who_wait_for_one_step_are_noted_at_once(place: Place, ann: Agent) -> None:
    plan = Plan(steps={f"s{n:03}": D(needs=("busy",)) for n in range(300)})
    ann.do(applying(ann, plan))
    assert len(step(place, "busy").needed_by) == 300
    assert [line.event for line in step(place, "busy").history] == ["define", "claim", "link"]


def test_adding_one_step(place: Place, ann: Agent, bob: Agent) -> None:
    made = ann.do(plans.add(ann.actor, "a", D(title="T", needs=("old",))))
    assert (made.again, made.step.definition, made.step.status) == (False, D(title="T", needs=("old",)), Status.PENDING)
    assert bob.do(plans.add(bob.actor, "a", D(title="T", needs=("old",)))).again
    error = error_of(ClaimLost, lambda: bob.do(plans.add(bob.actor, "a", D(title="U"))))
    assert "edit" in error.hint
    error_of(UsageError, lambda: ann.do(plans.add(ann.actor, "b", D(needs=("b",)))))
    error_of(UsageError, lambda: ann.do(plans.add(ann.actor, "a b", D())))
    assert "not planned" not in place.body(keys.MARKER).decode()
    assert ann.do(steps.claim(ann.actor, "unheard-of")).created, "one step is no plan yet"


def test_fields_of_the_wrong_type_never_reach_the_store(place: Place, ann: Agent) -> None:
    wrong: list[dict[str, Any]] = [
        {"priority": "high"},
        {"title": 7},
        {"needs": 3},
        {"labels": ("a", 1)},
        {"max_hold": True},
        {"priority": 1.5},
    ]
    for fields in wrong:
        error_of(UsageError, lambda fields=fields: ann.do(plans.add(ann.actor, "a", D(**fields))))  # type: ignore[misc]
        error_of(UsageError, lambda fields=fields: ann.do(plans.edit(ann.actor, "old", fields)))  # type: ignore[misc]
    assert place.keys("steps/a") == []
    made: Any = D(needs="old", labels=["x", "x"], max_hold=60)  # type: ignore[arg-type]
    assert ann.do(plans.add(ann.actor, "a", made)).step.definition == D(needs=("old",), labels=("x",), max_hold=60.0)


def test_editing_changes_those_fields_alone(place: Place, ann: Agent, bob: Agent) -> None:
    apply(ann, PLAN)
    done = ann.do(plans.edit(ann.actor, "build", {"title": "Build!", "needs": ("design", "old")}))
    assert done.step.definition == PLAN.steps["build"].but(title="Build!", needs=("design", "old"))
    assert ann.do(plans.edit(ann.actor, "build", {"title": "Build!"})).again
    assert step(place, "old").needed_by == ("build", "ship")
    assert error_of(UsageError, lambda: ann.do(plans.edit(ann.actor, "design", {"needs": ("ship",)}))).details["cycle"]
    error_of(NotFound, lambda: ann.do(plans.edit(ann.actor, "nowhere", {"title": "x"})))
    Between(ann, lambda: bob.do(plans.edit(bob.actor, "build", {"priority": 7})), key="steps/build", lands=False)
    ann.do(plans.edit(ann.actor, "build", {"title": "Again"}))
    assert (step(place, "build").title, step(place, "build").priority) == ("Again", 7), "what another changed meanwhile stays"


def test_an_export_is_the_plan_again(place: Place, ann: Agent, bob: Agent) -> None:
    apply(ann, PLAN)
    bob.do(steps.claim(bob.actor, "design"))
    data = exported(ann.do(plans.definitions()))
    assert data["steps"].keys() == {*PLAN.steps, "old", "busy"}
    assert apply(ann, build(data)) == Applied(unchanged=tuple(data["steps"]))
    there = Place().agent("new").warm()
    apply(there, build(data))
    assert {name: step(there.place, name).definition for name in PLAN.steps} == PLAN.steps
    place.write(keys.step("docs"), b"torn")
    assert "docs" not in exported(ann.do(plans.definitions()))["steps"], "what is damaged is left out, status names it"
