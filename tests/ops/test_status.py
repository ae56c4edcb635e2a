"""Looking: status, agents, whoami and the survey under them. Nothing is written, little is read, and the store's clock decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.planned import a_step, finish, plant, put, set_board, step, trips
from tests.ops.world import DAY, HOUR, Agent, Place, error_of

from windlass.drivers.hints import LARGEST
from windlass.errors import AccessDenied, FormatTooNew, Moved, Unavailable
from windlass.ops import agents, mail, memory, plans, steps
from windlass.ops.graph import graph
from windlass.ops.status import Overview, status, whoami
from windlass.ops.status import agents as everybody
from windlass.ops.survey import AT_ONCE, survey
from windlass.ops.timeline import timeline
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN, Keeper
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Status

if TYPE_CHECKING:
    from windlass.effects import Page
    from windlass.ops.status import Seen


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def look(agent: Agent, name: str | None = None) -> Overview:
    return agent.do(status(name, "p"))


def seen(agent: Agent, whom: str) -> Seen:
    return next(one for one in agent.do(everybody()) if one.agent == whom)


# What it costs

FIXED = {"list": 3, "get": 1}
"""Listings of steps, agents and presence; the marker."""


def test_a_look_reads_what_changed(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(2500)))
    ann.do(steps.claim(ann.actor, "s00003"))
    first = bob.cost(status(None, "p"))
    assert first == {"list": 3 + 2, "get": 2500 + 2 + 2 + 1}, "every step, and register and presence of two agents"
    assert bob.cost(status(None, "p")) == {"list": 3 + 2, "get": 1}
    place.pass_(1)
    for n in range(7):
        ann.do(steps.claim(ann.actor, f"s0100{n}"))
    assert bob.cost(status(None, "p")) == {"list": 3 + 2, "get": 7 + 1}
    assert bob.cost(status("bob", "p"))["get"] <= 1 + 3 + 7, "the cursor, the end of the broadcasts, and what is new"
    place.pass_(61)
    ann.do(agents.act(ann.actor))
    assert bob.cost(status(None, "p")) == {"list": 3 + 2, "get": 1 + 1}, "one agent gave a sign of life"


def test_a_look_at_ten_thousand_steps_is_remembered(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"a-rather-long-name-of-a-step-{n:05}", *(f"a-rather-long-name-of-a-step-{n // 2:05}",) * (n > 0),
                         title="A title of eighty characters, as people write them when they describe their work", labels=("backend",),
                         status=Status.COMPLETE if n % 2 else Status.PENDING) for n in range(10_000)))  # fmt: skip
    plant(place, (a_step(f"wordy{n}", title="é" * 120_000) for n in range(8)))
    assert len(look(bob).survey.steps) == 10_008
    assert bob.cost(status(None, "p")) == {"list": 3 + 10, "get": 1}
    assert len(bob.hints.recall("survey") or b"") < LARGEST // 2, "a hint larger than that is not kept"


def test_many_reads_go_out_together(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(AT_ONCE * 3)))
    assert trips(bob, survey()) == 1 + 3


def test_agents_long_gone_cost_nothing(place: Place, ann: Agent) -> None:
    for n in range(40):
        gone = place.agent(f"gone{n}", keeper=Keeper.RUN)
        me = gone.do(agents.start_new(gone.actor))
        gone.do(agents.end(gone.actor, me.incarnation))
    assert len(look(ann).agents) == 41
    assert ann.cost(status(None, "p")) == {"list": 3, "get": 1}
    assert not any(one.active for one in look(ann).agents if one.agent != "ann")


LOOKS: dict[str, Any] = {
    "status": lambda agent: status(agent.name, "p"),
    "status as nobody": lambda agent: status(None, "p"),
    "agents": lambda agent: everybody(),
    "whoami": lambda agent: whoami(agent.actor, "p"),
    "log": lambda agent: timeline(),
    "show": lambda agent: steps.show("a"),
    "list": lambda agent: survey(),
    "graph": lambda agent: graph(),
    "export": lambda agent: plans.definitions(),
    "memory": lambda agent: memory.list_(),
    "message": lambda agent: mail.read("bob:0"),
}


@pytest.mark.parametrize("what", LOOKS)
def test_looking_writes_nothing(place: Place, ann: Agent, bob: Agent, what: str) -> None:
    plant(place, [a_step("a"), a_step("b", "a"), a_step("c", agent="eve", lease=5.0)])
    ann.do(memory.set_(ann.actor, "k", 1))
    for n in range(300):
        ann.do(mail.send(ann.actor, "bob", f"hello {n}"))
    set_board(place, a_step("b"))
    for agent in (bob, place.agent("stranger"), place.agent("ann", machine="elsewhere")):
        place.pass_(2 * HOUR)
        before = {key: place.store.get(key) for key in [*place.keys()]}
        assert agent.cost(LOOKS[what](agent)).keys() <= {"get", "list", "folders"}
        assert {key: place.store.get(key) for key in [*place.keys()]} == before


# What it says


def test_everything_at_a_glance(place: Place, ann: Agent, bob: Agent) -> None:
    plan = {
        "a": Definition(title="A"),
        "b": Definition(needs=("a",), priority=2),
        "c": Definition(needs=("a",)),
        "d": Definition(needs=("b",)),
    }
    ann.do(plans.apply(ann.actor, Plan(steps=plan)))
    ann.do(steps.claim(ann.actor, "a"))
    finish(ann, "a")
    bob.do(steps.claim(bob.actor, "x"))
    ann.do(mail.send(ann.actor, "bob", "hello"))
    all_ = look(bob, "bob")
    assert all_.counts == {**dict.fromkeys((one.value for one in Status), 0), "complete": 1, "pending": 3, "in_progress": 1}
    assert [one.name for one in all_.ready] == ["b", "c"]
    assert (all_.project, all_.now, all_.unread, all_.moved_to, all_.stale) == ("p", place.now, 1, None, {})
    assert [(one.agent, one.active, one.holds) for one in all_.agents] == [("ann", True, ()), ("bob", True, ("x",))]
    me = bob.do(whoami(bob.actor, "p"))
    assert (me.agent, me.incarnation, me.host, me.ended, me.unread, me.ready) == ("bob", 1, "machine-bob", False, 1, 2)
    assert [one.name for one in me.holds] == ["x"]
    nobody = place.agent("new")
    me = nobody.do(whoami(nobody.actor, "p"))
    assert (me.incarnation, me.holds, me.age) == (None, (), None)


def test_work_built_on_a_need_that_was_reopened_is_told(place: Place, ann: Agent, bob: Agent) -> None:
    plan = {"a": Definition(), "b": Definition(needs=("a",)), "c": Definition(needs=("a", "b")), "d": Definition(needs=("c",))}
    ann.do(plans.apply(ann.actor, Plan(steps=plan)))
    for name in ("a", "b"):
        ann.do(steps.claim(ann.actor, name))
        finish(ann, name)
    ann.do(steps.claim(ann.actor, "c"))
    assert look(bob).stale == {}
    bob.do(steps.reopen(bob.actor, "a", "it does not work"))
    assert look(bob).stale == {"b": ("a",), "c": ("a",)}, "the finished and the one at work"
    bob.do(steps.claim(bob.actor, "a"))
    finish(bob, "a")
    assert look(bob).stale == {"b": ("a",), "c": ("a",)}, "doing the need again does not do what was built on it"
    finish(ann, "c")
    assert look(bob).stale == {"b": ("a",), "c": ("a",)}
    bob.do(steps.reopen(bob.actor, "b"))
    assert look(bob).stale == {"c": ("a", "b")}
    bob.do(steps.claim(bob.actor, "b"))
    finish(bob, "b")
    bob.do(steps.reopen(bob.actor, "c"))
    assert look(bob).stale == {}
    bob.do(steps.claim(bob.actor, "c"))
    finish(bob, "c")
    ann.do(plans.edit(ann.actor, "a", {"title": "renamed"}))
    assert look(bob).stale == {}, "an edit of a need undoes nothing"


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'{"format":1,"kind":"board"}', b'{"format":1,"kind":"step","needs":["../x"]}'])
def test_a_damaged_step_is_named_and_the_rest_goes_on(place: Place, ann: Agent, bad: bytes) -> None:
    plant(place, [a_step("a"), a_step("b", "c"), a_step("c")])
    look(ann)
    place.write(keys.step("c"), bad)
    for _ in range(2):
        all_ = look(ann)
        assert all_.survey.damaged.keys() == {keys.step("c")}
        assert keys.step("c") in all_.survey.damaged[keys.step("c")]
        assert [one.name for one in all_.ready] == ["a"]
        assert all_.counts["pending"] == 2
    plant(place, [a_step("c", status=Status.COMPLETE)])
    assert look(ann).survey.damaged == {}
    assert [one.name for one in look(ann).ready] == ["a", "b"]


def test_a_step_too_large_or_too_new_is_named_too(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a"), a_step("b"), a_step("c")])
    place.write(keys.step("a"), b" " * (4 * 1024 * 1024 + 1))
    place.write(keys.step("b"), b'{"format":2,"kind":"step"}')
    all_ = look(ann)
    assert all_.survey.damaged.keys() == {keys.step("a"), keys.step("b")}
    assert "pip install" in all_.survey.damaged[keys.step("b")]
    assert [one.name for one in all_.ready] == ["c"]
    place.write(keys.MARKER, b'{"format":2,"kind":"project"}')
    error_of(FormatTooNew, lambda: look(ann))


def test_damaged_agents_are_shown_as_far_as_they_can_be(place: Place, ann: Agent, bob: Agent) -> None:
    place.write(keys.agent("bob"), b"torn")
    place.write(keys.presence("ann", 1), b"torn")
    assert [(one.agent, one.incarnation, one.active) for one in ann.do(everybody())] == [("ann", 1, True), ("bob", 1, True)]


def test_odd_keys_are_no_steps(place: Place, ann: Agent) -> None:
    plant(place, [a_step("a")])
    for key in (
        "steps/a..json",
        "steps/b/c.json",
        "steps/_x.json",
        "steps/b.json.bak",
        "agents/a..json",
        "presence/ann/1.json",
        "presence/x.json",
    ):
        place.write(key, b"{}")
    assert look(ann).survey.steps.keys() == {"a"}
    assert look(ann).survey.damaged == {}


@pytest.mark.parametrize(("fault", "error"), [(AccessDenied("expired"), AccessDenied), (Unavailable("away"), Unavailable)])
@pytest.mark.parametrize("kind", ["get", "list"])
@pytest.mark.parametrize("at", ["steps/", "agents/", "presence/"])
def test_a_store_that_fails_is_not_an_empty_project(
    place: Place, bob: Agent, fault: Exception, error: type[Exception], kind: str, at: str
) -> None:
    plant(place, [a_step("a"), a_step("b")])
    fresh = place.agent("fresh").spoil(fault, kind=kind, key=at)
    error_of(error, lambda: look(fresh))
    assert look(fresh).counts["pending"] == 2


def test_a_project_that_moved_says_where(place: Place, ann: Agent) -> None:
    from windlass.protocol.project import Marker

    put(place, keys.MARKER, Marker(name="p", moved_to="s3://elsewhere"))
    assert look(ann).moved_to == "s3://elsewhere"
    assert ann.do(whoami(ann.actor, "p")).moved_to == "s3://elsewhere"
    place.pass_(61)
    error_of(Moved, lambda: ann.do(agents.act(ann.actor)))


# Whose clock


@pytest.mark.parametrize("viewer", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("holder", [0.0, HOUR, -HOUR])
def test_freshness_is_by_the_stores_clock(viewer: float, holder: float) -> None:
    place = Place()
    ann, bob = place.agent("ann", skew=holder).warm(), place.agent("bob", skew=viewer).warm()
    ann.do(steps.claim(ann.actor, "a", lease=100.0))
    for passed, over in ((50, False), (50 + MARGIN - 0.5, False), (1, True)):
        place.pass_(passed)
        one = seen(bob, "ann")
        assert one.age == pytest.approx(place.now - 1_800_000_000)
        assert (one.active, one.ran_out) == (True, ("a",) if over else ())
        assert look(bob, "bob").now == pytest.approx(place.now)
    me = ann.do(whoami(ann.actor, "p"))
    assert me.left["a"] == pytest.approx(100 - (place.now - 1_800_000_000))
    assert me.ran_out == ("a",)
    place.pass_(3 * HOUR)
    assert not seen(bob, "ann").active


@pytest.mark.parametrize("skew", [HOUR, -HOUR])
def test_who_only_looks_goes_by_what_others_on_the_machine_learned(place: Place, ann: Agent, skew: float) -> None:
    ann.do(steps.claim(ann.actor, "a", lease=600.0))
    worker = place.agent("worker", skew=skew, keeper=Keeper.RUN, incarnation=None)
    worker.do(agents.start_new(worker.actor))
    viewer = place.agent("viewer", skew=skew)
    viewer.world.hints = worker.hints  # one machine
    place.pass_(30)
    assert look(viewer).now == pytest.approx(place.now)
    assert seen(viewer, "ann").ran_out == ()


def test_a_slow_clock_is_put_right_by_what_it_sees(place: Place, ann: Agent) -> None:
    place.pass_(DAY)
    ann.do(agents.act(ann.actor))
    assert look(place.agent("viewer", skew=-HOUR)).now == place.now


def test_a_claim_is_a_sign_of_life_for_those_who_look_too(place: Place, ann: Agent, bob: Agent) -> None:
    place.pass_(50)
    ann.do(steps.claim(ann.actor, "a", lease=10.0))
    place.pass_(9)
    assert seen(bob, "ann").ran_out == ()


def test_a_longest_hold_runs_out_whatever_the_signs(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(plans.add(ann.actor, "a", Definition(max_hold=300.0)))
    ann.do(steps.claim(ann.actor, "a", lease=300.0))
    for _ in range(5):
        place.pass_(61)
        ann.do(agents.act(ann.actor))
    assert seen(bob, "ann").ran_out == ("a",)


def test_agents_by_their_newest_life(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "a"))
    assert (seen(bob, "ann").incarnation, seen(bob, "ann").keeper) == (1, Keeper.COMMANDS)
    python = place.agent("ann", keeper=Keeper.PYTHON)
    place.pass_(1)
    python.do(agents.act(python.actor, renew=True))
    assert seen(bob, "ann").keeper is Keeper.PYTHON, "another program keeps the same life"
    newer = place.agent("ann", machine="far", keeper=Keeper.RUN)
    me = newer.do(agents.start_new(newer.actor))
    one = seen(bob, "ann")
    assert (one.incarnation, one.keeper, one.host, one.holds) == (2, Keeper.RUN, "far", ("a",))
    newer.do(agents.end(newer.actor, me.incarnation))
    one = seen(bob, "ann")
    assert (one.incarnation, one.active, one.age, one.holds) == (2, False, None, ("a",))


# What is remembered is a hint

ODD: list[bytes] = [
    b"", b"null", b"[]", b"{", b"\xff", b'{"shape":2}', b'{"shape":2,"steps":[]}', b'{"shape":99,"steps":{}}', b"[" * 100_000,
    b'{"shape":2,"steps":{"a":null,"b":[],"c":["v1"]}}', b'{"shape":2,"steps":NaN}',
]  # fmt: skip


@pytest.mark.parametrize("note", ODD)
def test_an_odd_hint_is_no_hint(place: Place, ann: Agent, note: bytes) -> None:
    plant(place, [a_step("a"), a_step("b", "a")])
    right = look(place.agent("other"))
    for name in ("survey", "agents", "clock"):
        ann.hints.remember(name, note)
    assert look(ann).survey == right.survey
    assert look(ann).agents == right.agents
    assert ann.cost(status(None, "p")) == {"list": 3, "get": 1}, "and it was put right"


@pytest.mark.parametrize("value", [None, "x", 7, -1, 1e400, True, [], [None], {"x": "y"}, {"x": True}, ["x"], [[]]])
def test_a_hostile_hint_is_read_field_by_field(place: Place, ann: Agent, value: Any) -> None:
    """Rows with the right version of the step, but values that no survey would write."""
    plant(place, [a_step("a"), a_step("b", "a", agent="ann")])
    right = look(ann)
    note = json.loads(ann.hints.recall("survey") or b"")
    for name in ("a", "b"):
        for field in range(len(note["steps"][name])):
            row = list(note["steps"][name])
            if type(row[field]) is type(value) or (isinstance(value, int) and isinstance(row[field], float | None)):
                continue  # it could be true
            row[field] = value
            ann.hints.remember("survey", json.dumps({**note, "steps": {**note["steps"], name: row}}).encode())
            found = look(ann)
            assert found.survey == right.survey
    facts = json.loads(ann.hints.recall("agents") or b"")
    for field in range(len(facts["ann"])):
        ann.hints.remember("agents", json.dumps({"ann": [value if n == field else old for n, old in enumerate(facts["ann"])]}).encode())
        assert [one.agent for one in look(ann).agents] == ["ann"]
    for note in ({"own_modified": value, "seen_at": 0}, {"own_modified": 5.0, "seen_at": value}):
        ann.hints.remember("clock", json.dumps(note).encode())
        look(ann)


def test_a_stale_hint_is_put_right(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, [a_step("a"), a_step("b")])
    look(ann)
    old = ann.hints.recall("survey")
    bob.do(steps.claim(bob.actor, "a"))
    plant(place, [a_step("new")])
    place.store.delete(keys.step("b"))
    for _ in range(2):
        found = look(ann).survey.steps
        assert found.keys() == {"a", "new"}
        assert (found["a"].agent, found["a"].modified) == ("bob", place.now)
        ann.hints.remember("survey", old)


def test_stores_that_list_no_versions_are_read_again_only_where_something_changed(place: Place, ann: Agent, bob: Agent) -> None:
    class Bare:
        """Lists as a local directory does."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.url, self.capabilities = inner, inner.url, inner.capabilities

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
            page: Page = self.inner.list(prefix, after, limit)
            return page.but(entries=tuple(one.but(version="") for one in page.entries))

    plant(place, [a_step(f"s{n}") for n in range(50)])
    ann.counting.store = Bare(ann.faulty)
    look(ann)
    assert ann.cost(status(None, "p")) == {"list": 3, "get": 1}
    bob.do(steps.claim(bob.actor, "s7"))
    bob.do(steps.release(bob.actor, "s7"))
    assert ann.cost(status(None, "p")) == {"list": 3, "get": 2}
    assert ann.do(survey()).steps["s7"].seq == step(place, "s7").seq
