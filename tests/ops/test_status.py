"""Looking: status, agents, whoami and the survey under them. No more than a cache is written, little is read, the store's clock decides."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.planned import a_step, finish, plant, put, race, set_board, step, trips
from tests.ops.world import DAY, HOUR, REFUSED, Agent, Place, error_of

from windlass.drivers.hints import LARGEST, MemoryHints
from windlass.drivers.sync import World, run
from windlass.errors import AccessDenied, FormatTooNew, Moved, StoreFull, StoreReadOnly, Unavailable
from windlass.ops import agents, mail, memory, plans, steps
from windlass.ops.graph import graph
from windlass.ops.status import Overview, status, whoami
from windlass.ops.status import agents as everybody
from windlass.ops.survey import AT_ONCE, MANY, NEWS, SHARE, survey
from windlass.ops.timeline import timeline
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN, Keeper
from windlass.protocol.codec import decode, encode
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Status
from windlass.protocol.survey import Brief, Snapshot
from windlass.stores.base import MAX_OBJECT
from windlass.stores.local import LocalStore
from windlass.stores.wrappers import Counting
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    assert first == {"list": 3 + 2, "get": 2500 + 1 + 2 + 2 + 1, "put": 1}, (
        "every step, the snapshot, and register and presence of two agents"
    )
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
    assert len(place.body(keys.SURVEY)) < MAX_OBJECT
    fresh = place.agent("fresh")
    assert fresh.cost(status(None, "p")) == {"list": 3 + 10, "get": 1 + BOB + 1}
    assert trips(place.agent("other"), survey()) == 3, "the first page, the snapshot and the second page, the others"


def test_many_reads_go_out_together(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(AT_ONCE * 3)))
    assert trips(bob, survey()) == 1 + 1 + 3 + 1, "the listing, the snapshot, the steps, the snapshot anew"


def test_large_steps_are_read_a_few_at_a_time(place: Place, bob: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(place, (a_step(f"s{n}", description="x" * 1000) for n in range(10)))
    right = place.agent("other").do(survey())
    monkeypatch.setattr("windlass.ops.survey.AT_ONCE_BYTES", 3000)
    assert trips(bob, survey()) == 1 + 5
    assert bob.do(survey()) == right
    monkeypatch.setattr("windlass.ops.survey.AT_ONCE_BYTES", 10)
    assert trips(place.agent("third"), survey()) == 1 + 10, "one at least"


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


def test_a_slow_clock_is_put_right_by_a_step_that_changed(place: Place, ann: Agent) -> None:
    place.pass_(DAY)
    plant(place, [a_step("a")])
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
    b"", b"null", b"[]", b"{", b"\xff", b'{"shape":4}', b'{"shape":4,"page":0,"marks":[],"columns":[]}', b'{"shape":99,"page":0}',
    b"[" * 100_000, b'{"shape":4,"page":0,"marks":["v1"],"columns":null}', b'{"shape":4,"page":0,"marks":7}',
    b'{"shape":4,"marks":NaN}', b'{"shape":2,"steps":{"a":["v1"]}}',
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


def could_be_true(value: object, now: object, whole_numbers: bool) -> bool:
    """Whether a survey might write a value where it wrote `now`; `whole_numbers` in a list."""
    if isinstance(value, list) and isinstance(now, list):
        return all(type(one) is (int if whole_numbers else str) for one in value)
    if isinstance(value, dict) and isinstance(now, dict):
        return all(type(one) is int for one in value.values())
    return type(now) is type(value) or (isinstance(value, int) and isinstance(now, float | None))


def hostile(note: dict[str, Any], value: object) -> Iterator[dict[str, Any]]:
    """What a survey keeps with that value where it may not be, or with columns that are missing, too short, or no columns."""
    columns = note["columns"]
    for row in range(2):
        for name, column in {"marks": note["marks"], **columns}.items():
            if not could_be_true(value, column[row], name == "reopened"):
                changed = [*column[:row], value, *column[row + 1 :]]
                yield {**note, "marks": changed} if name == "marks" else {**note, "columns": {**columns, name: changed}}
    for name, column in columns.items():
        yield {**note, "columns": {**columns, name: value}}
        yield {**note, "columns": {**columns, name: column[:1]}}
        yield {**note, "columns": {field: one for field, one in columns.items() if field != name}}
    yield {**note, "columns": value}
    yield {**note, "marks": value}
    for name, bad in (("name", "../x"), ("needs", ["../x"]), ("agent", "_x"), ("built_on", {"": 1}), ("status", "lost"), ("seq", -1)):
        yield {**note, "columns": {**columns, name: [bad, *columns[name][1:]]}}
    for name in ("seq", "epoch", "incarnation", "priority"):
        yield {**note, "columns": {**columns, name: [2**53, *columns[name][1:]]}}


VALUES: list[Any] = [None, "x", 7, -1, 1e400, True, [], [None], {"x": "y"}, {"x": True}, ["x"], [[]]]


@pytest.mark.parametrize("value", VALUES)
def test_a_hostile_hint_is_read_field_by_field(place: Place, ann: Agent, value: Any) -> None:
    """Rows with the right version of the step, but values that no survey would write."""
    plant(place, [a_step("a"), a_step("b", "a", agent="ann")])
    right = look(ann)
    note = json.loads(ann.hints.recall("survey") or b"")
    for odd in hostile(note, value):
        ann.hints.remember("survey", json.dumps(odd).encode())
        assert look(ann).survey == right.survey
    for page in (-1, 0, 1, 10**9, value):
        ann.hints.remember("survey", json.dumps({**note, "page": page}).encode())
        assert look(ann).survey == right.survey
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


def test_the_pages_are_listed_at_once_where_they_were_split_before(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(2500)))
    first = trips(bob, survey())
    assert trips(bob, survey()) == 1 < first
    assert bob.cost(survey()) == {"list": 3}, "and it costs no more"
    plant(place, (a_step(f"s{n:05}x{m}") for n in (5, 1500, 2499) for m in range(3)))
    plant(place, (a_step(f"t{n:05}") for n in range(1200)))
    assert len(bob.do(survey()).steps) == 2500 + 9 + 1200, "what came between is found, however much it is"
    assert bob.cost(survey()) == {"list": 4}
    assert trips(bob, survey()) == 1
    for n in range(2400):
        place.store.delete(keys.step(f"s{n:05}"))
    assert bob.do(survey()).steps.keys() == place.agent("other").do(survey()).steps.keys()
    assert bob.cost(survey()) == {"list": 2}


@pytest.mark.parametrize(
    "names", [["s00002"] * 2001, ["../x", "s", "", "\ud800", "t"] * 500, [f"s{n:05}" for n in range(2001)][::-1], [], ["z"] * 1001]
)
def test_a_listing_split_anywhere_is_whole(place: Place, ann: Agent, names: list[str]) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(1500)))
    right = place.agent("other").do(survey())
    ann.do(survey())
    note = json.loads(ann.hints.recall("survey") or b"")
    columns = {field: [column[0]] * len(names) for field, column in note["columns"].items()}
    odd = {**note, "marks": ["v"] * len(names), "columns": {**columns, "name": names}}
    for page in (0, 1, 1000, 1001, 10**9):
        ann.hints.remember("survey", json.dumps({**odd, "page": page}).encode())
        assert ann.cost(survey())["list"] <= 2 + 2
        ann.hints.remember("survey", json.dumps({**odd, "page": page}).encode())
        assert ann.do(survey()) == right


def test_a_directory_is_scanned_once(tmp_path: Path) -> None:
    store = LocalStore.create(str(tmp_path))
    (tmp_path / "steps").mkdir()
    for n in range(1100):
        Path(store.capabilities.file(keys.step(f"s{n:04}"))).write_bytes(encode(a_step(f"s{n:04}")))
    counting, hints = Counting(store), MemoryHints()
    for gets in (1100, 0):
        counting.reset()
        assert len(run(survey(), World(counting, hints)).steps) == 1100
        assert counting.counts() == {"list": 1, **({"get": gets + 1, "put": 1} if gets else {})}
    counting.reset()
    assert len(run(survey(), World(counting, MemoryHints())).steps) == 1100
    assert counting.counts() == {"list": 1, "get": 1}, "another machine"


def test_claims_are_judged_by_the_time_at_which_the_signs_were_read(place: Place, ann: Agent) -> None:
    """A first look at many steps takes longer than a short lease, and holders go on giving signs meanwhile."""

    class Slow:
        def __init__(self, inner: Any) -> None:
            self.inner, self.url, self.capabilities = inner, inner.url, inner.capabilities

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def get(self, key: str, unless: str | None = None) -> Any:
            if key.startswith(keys.STEPS):
                place.pass_(1)
                ann.do(agents.act(ann.actor, renew=True))
            return self.inner.get(key, unless)

    plant(place, [a_step(f"s{n}") for n in range(30)])
    ann.do(steps.claim(ann.actor, "a", lease=5.0))
    viewer = place.agent("viewer")
    viewer.counting.store = Slow(viewer.faulty)
    assert [one.ran_out for one in look(viewer).agents] == [()]


def test_a_look_takes_few_round_trips(place: Place, ann: Agent, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(2500)))
    pages = 3
    assert trips(bob, status("bob", "p")) <= pages + 2 + 2500 // AT_ONCE + 2, "and the snapshot before and after"
    ann.do(steps.claim(ann.actor, "s00003"))
    place.pass_(61)
    ann.do(agents.act(ann.actor))
    assert trips(bob, status("bob", "p")) == 2, "the cursor, then the mail; and beside them all that changed"
    ann.do(mail.send(ann.actor, "_broadcast", "hello"))
    assert trips(bob, status("bob", "p")) == 4, "the cursor, the end of the broadcasts in two, then they"
    assert look(bob, "bob").unread == 1
    assert trips(bob, status(None, "p")) == 1, "nothing changed"


# The snapshot, for machines that have not looked yet

BOB = 2
"""Reads of what is said of an agent: its register and its presence."""
FRESH = {"list": 3, "get": BOB + 1 + 1}
"""A first look from a machine: the agent, the marker and the snapshot."""


@pytest.fixture
def team(place: Place, bob: Agent) -> list[Agent]:
    """A thousand steps at which Bob has looked, and agents on fresh machines."""
    plant(place, (a_step(f"s{n:05}", title=f"Part {n}", labels=("x",) * (n % 2), priority=n % 5 - 2) for n in range(1000)))
    plant(place, [a_step("s00007", "s00001", agent="bob")])
    look(bob)
    return [place.agent(f"fresh{n}") for n in range(9)]


def plain_look(place: Place) -> Overview:
    """What a machine sees that reads every step, as it may not read the snapshot."""
    return look(place.agent("plain").spoil(AccessDenied("no"), kind="get", key=keys.SURVEY, forever=True))


def test_a_fresh_machine_reads_what_another_one_left(place: Place, bob: Agent, team: list[Agent]) -> None:
    one, other, *_ = team
    assert one.cost(status(None, "p")) == FRESH
    assert look(one) == look(bob) == plain_look(place)
    assert one.cost(status(None, "p")) == {"list": 3, "get": 1}, "and remembers it"
    assert trips(other, status(None, "p")) == 2, "the listings, then the snapshot beside what is said of the agent"


def test_a_fresh_machine_reads_only_what_changed_since(place: Place, bob: Agent, team: list[Agent]) -> None:
    before = place.body(keys.SURVEY)
    place.pass_(1)
    for n in range(10):
        bob.do(steps.claim(bob.actor, f"s0010{n}"))
    place.store.delete(keys.step("s00500"))
    plant(place, [a_step("new"), a_step("a0"), a_step("s00003", status=Status.COMPLETE)])
    assert team[0].cost(status(None, "p")) == {"list": 4, "get": FRESH["get"] + 10 + 3}, "and a second page"
    assert look(team[1]) == plain_look(place)
    assert place.body(keys.SURVEY) == before, "so little is not worth a write"
    assert look(team[1]).survey.steps.keys() >= {"new", "a0"}
    assert "s00500" not in look(team[1]).survey.steps


def test_a_machine_that_knows_most_steps_asks_no_other(place: Place, team: list[Agent]) -> None:
    look(team[0])
    plant(place, (a_step(f"s{n:05}") for n in range(MANY - 1)))
    assert team[0].cost(survey()) == {"list": 1, "get": MANY - 1}
    plant(place, (a_step(f"t{n:05}") for n in range(MANY * SHARE)))
    look(team[0])
    plant(place, (a_step(f"s{n:05}") for n in range(MANY + 10)))
    assert team[0].cost(survey())["get"] == MANY + 10, "the snapshot is as large as all steps"


def test_who_read_much_writes_it_down_once(place: Place, bob: Agent, team: list[Agent]) -> None:
    plant(place, (a_step(f"s{n:05}", title="new") for n in range(NEWS)))
    assert team[0].cost(survey()) == {"list": 1, "get": NEWS + 1, "put": 1}
    assert team[1].cost(survey()) == {"list": 1, "get": 1}
    assert bob.cost(survey()) == {"list": 1, "get": 1}, "who looked before has the changes from there too"
    assert bob.cost(survey()) == {"list": 1}
    there = decode(Snapshot, keys.SURVEY, place.body(keys.SURVEY))
    assert there.seq == 2
    plant(place, (a_step(f"s{n:05}", title="newer") for n in range(NEWS - 1)))
    assert team[2].cost(survey()) == {"list": 1, "get": NEWS}
    bob.do(survey())
    plant(place, (a_step(f"s{n:05}", title="newest") for n in range(NEWS)))
    team[3].do(survey())
    kept = json.loads(place.body(keys.SURVEY))
    columns = {field: column[:NEWS] for field, column in kept["columns"].items()}
    place.write(keys.SURVEY, json.dumps({**kept, "marks": kept["marks"][:NEWS], "columns": columns}).encode())
    plant(place, (a_step(f"s{n:05}", title="last") for n in range(10)))
    assert bob.cost(survey()) == {"list": 1, "get": 1 + 10}, "who read little writes nothing, whatever the snapshot lacks"


@pytest.mark.parametrize(
    "how", ["from a backup", "of another project", "copied to another store", "torn", "of a newer format", "too large"]
)
def test_a_snapshot_of_anything_else_misleads_nobody(place: Place, bob: Agent, team: list[Agent], how: str) -> None:
    old = place.body(keys.SURVEY)
    place.pass_(100)
    match how:
        case "from a backup":
            plant(place, (a_step(f"s{n:05}", status=Status.COMPLETE) for n in range(1000)))
        case "of another project":
            there = Place()
            plant(there, (a_step(f"s{n:05}", agent="eve") for n in range(1000)))
            there.agent("eve").do(survey())
            place.write(keys.SURVEY, there.body(keys.SURVEY).replace(b'"v', b'"w'))
        case "copied to another store":  # where versions are of the content, and times are those of the copying
            for key in [*place.keys("steps/"), keys.step("s00999")]:
                found = place.store._objects[key]
                place.store._objects[key] = found.but(modified=place.now)
        case "torn":
            place.write(keys.SURVEY, old[: len(old) // 2])
        case "of a newer format":
            place.write(keys.SURVEY, old.replace(b'"format":1', b'"format":2'))
        case "too large":
            place.write(keys.SURVEY, old + b" " * MAX_OBJECT)
    found = place.store._objects[keys.SURVEY]
    writes = "put" in team[2].cost(survey())
    assert look(team[0]) == look(team[2]) == plain_look(place)
    if how == "copied to another store":
        assert look(team[0]).survey.steps["s00007"].modified == place.now
    elif how in ("of a newer format", "too large"):
        assert (place.store._objects[keys.SURVEY], writes) == (found, False), "not ours to replace"
    else:
        assert team[1].cost(status(None, "p")) == FRESH, "it was put right"


@pytest.mark.parametrize("value", VALUES)
def test_a_hostile_snapshot_is_read_field_by_field(place: Place, team: list[Agent], value: Any) -> None:
    there = json.loads(place.body(keys.SURVEY))
    # few rows are enough, and the looks are quick
    short = {"marks": there["marks"][6:9], "columns": {field: column[6:9] for field, column in there["columns"].items()}}
    for n in range(10, 1000):
        place.store.delete(keys.step(f"s{n:05}"))
    plant(place, (a_step(f"t{n:05}") for n in range(MANY)))
    right = plain_look(place).survey
    place.write(keys.SURVEY, json.dumps({**there, **short}).encode())
    assert place.agent("fresh").cost(survey())["get"] == 1 + 10 + MANY - 3, "three rows are believed"
    for odd in hostile({**there, **short}, value):
        place.write(keys.SURVEY, json.dumps(odd).encode())
        fresh = place.agent("fresh")
        assert fresh.do(survey()) == right
        assert fresh.counting.counts()["get"] == 1 + 10 + MANY, "none of it is"


WRONG: list[object] = [
    AccessDenied("no"), StoreReadOnly("no"), StoreFull("no"), Unavailable("no"), Fault.DROP, Fault.LOSE_ANSWER, Fault.REFUSE_AFTER, REFUSED,
]  # fmt: skip


@pytest.mark.parametrize("fault", WRONG, ids=lambda one: getattr(one, "name", type(one).__name__))
def test_a_snapshot_that_cannot_be_written_fails_no_look(place: Place, bob: Agent, fault: object) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(NEWS)))
    bob.spoil(fault, forever=True)
    bob.counting.reset()
    assert look(bob).survey == plain_look(place).survey
    assert bob.counting.counts() == {"list": 3, "get": NEWS + 1 + BOB + 1, "put": 1}, "one attempt"
    assert bob.cost(status(None, "p")) == {"list": 3, "get": 1}


@pytest.mark.parametrize("fault", [AccessDenied("no"), Unavailable("away")], ids=lambda fault: getattr(fault, "name", type(fault).__name__))
def test_a_snapshot_that_cannot_be_read_fails_no_look(place: Place, team: list[Agent], fault: Exception) -> None:
    before = place.body(keys.SURVEY)
    team[0].spoil(fault, kind="get", key=keys.SURVEY)
    assert look(team[0]) == look(team[1])
    assert place.body(keys.SURVEY) == before


def test_of_many_who_look_at_once_one_writes(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(300)))
    team = [place.agent(f"fresh{n}") for n in range(20)]
    delays = itertools.cycle([0.01, 0.013, 0.017])
    found = race(place, [(one, status(None, "p")) for one in team], lambda: next(delays))
    assert all(one.survey == found[0].survey for one in found)
    assert found[0].survey == plain_look(place).survey
    there = decode(Snapshot, keys.SURVEY, place.body(keys.SURVEY))
    assert (there.seq, len(there.marks)) == (1, 300)
    assert place.agent("later").cost(survey()) == {"list": 1, "get": 1}


def test_a_step_that_changes_between_the_listing_and_its_read_is_read_again(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n:05}") for n in range(300)))
    old = place.store._objects[keys.step("s00007")]

    class Busy:
        """Somebody claims a step just before it is read; then a backup of it is restored, as it was: with the version that it had."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.url, self.capabilities = inner, inner.url, inner.capabilities

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def get(self, key: str, unless: str | None = None) -> Any:
            if key == old.key:
                bob.do(steps.claim(bob.actor, "s00007"))
            return self.inner.get(key, unless)

    viewer = place.agent("viewer")
    viewer.counting.store = Busy(viewer.faulty)
    assert viewer.do(survey()).steps["s00007"].agent == "bob"
    place.store._objects[old.key] = old
    viewer.counting.store = viewer.faulty
    for one in (viewer, place.agent("fresh")):
        assert one.cost(survey())["get"] <= 2
        assert one.do(survey()).steps["s00007"].agent == ""


def test_steps_that_find_no_room_are_read_and_not_written_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(place, (a_step(f"s{n:05}", title="é" * 100) for n in range(1000)))
    monkeypatch.setattr("windlass.protocol.codec.MAX_DOCUMENT", 300_000)
    first = place.agent("first")
    assert first.cost(survey()) == {"list": 1, "get": 1000 + 1, "put": 1}
    there = decode(Snapshot, keys.SURVEY, place.body(keys.SURVEY))
    assert len(place.body(keys.SURVEY)) <= 300_000
    assert 200 < len(there.marks) < 1000 - NEWS
    fresh = place.agent("fresh")
    assert fresh.cost(survey()) == {"list": 1, "get": 1000 - len(there.marks) + 1}, "and no write: it would be the same"
    assert fresh.do(survey()) == first.do(survey())


def test_a_snapshot_says_what_it_must_in_the_order_of_keys(place: Place, bob: Agent) -> None:
    plant(place, (a_step(f"s{n}") for n in range(NEWS)))
    plant(place, [a_step("s1-x"), a_step("s1.x")])
    bob.do(survey())
    there = json.loads(place.body(keys.SURVEY))
    assert there["columns"]["name"] == [keys.parse_step(entry.key) for entry in place.store.list("steps/", "", 1000).entries]
    assert there["marks"] == [entry.version for entry in place.store.list("steps/", "", 1000).entries]
    assert there["columns"].keys() == set(Brief.__fields__) - {"modified"}
    assert {key: there[key] for key in ("format", "kind", "seq")} == {"format": 1, "kind": "survey", "seq": 1}


def test_columns_of_a_newer_version_are_no_harm(place: Place, team: list[Agent]) -> None:
    there = json.loads(place.body(keys.SURVEY))
    there["columns"]["mood"] = ["fine"] * len(there["marks"])
    place.write(keys.SURVEY, json.dumps({**there, "more": 1}).encode())
    assert team[0].cost(status(None, "p")) == FRESH
