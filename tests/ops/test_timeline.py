"""The timeline: every change of every kind once, newest last, and in its exact order within one object."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.planned import a_step, finish, plant
from tests.ops.world import DAY, HOUR, Agent, Place, error_of, stop_before

from windlass.errors import AccessDenied, Unavailable
from windlass.ops import agents, mail, memory, plans, registers, steps
from windlass.ops.timeline import Event, View, follow, timeline
from windlass.protocol import keys
from windlass.protocol.codec import encode
from windlass.protocol.memory import Memory
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Status
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def log(agent: Agent, **more: Any) -> View:
    return agent.do(timeline(**more))


def ident(event: Event) -> tuple[str, str, int]:
    return event.kind, event.subject, event.seq


def said(view: View) -> list[tuple[str, str, str]]:
    return [(one.subject, one.event, one.by) for one in view.events]


def tick(place: Place, *acts: Callable[[], object]) -> None:
    for act in acts:
        act()
        place.pass_(1)


def everything(place: Place, ann: Agent, bob: Agent) -> list[tuple[str, str, str]]:
    """One of each kind of change, a second apart; as the timeline must tell them."""
    tick(
        place,
        lambda: ann.do(plans.apply(ann.actor, Plan(steps={"a": Definition(), "b": Definition(needs=("a",))}))),
        lambda: ann.do(plans.edit(ann.actor, "a", {"title": "A"})),
        lambda: ann.do(steps.claim(ann.actor, "a", lease=5.0)),
        lambda: bob.do(steps.claim(bob.actor, "a", force=True)),
        lambda: bob.do(steps.release(bob.actor, "a", note="lunch")),
        lambda: bob.do(memory.set_(bob.actor, "k.x", "one")),
        lambda: ann.do(memory.set_(ann.actor, "k.x", {"two": 2})),
        lambda: ann.do(memory.delete(ann.actor, "k.x")),
        lambda: ann.do(mail.send(ann.actor, "bob", "hello")),
        lambda: bob.do(mail.send(bob.actor, "_broadcast", "all")),
        lambda: ann.do(steps.claim(ann.actor, "a")),
        lambda: finish(ann, "a", Status.NEEDS_REVIEW, note="look"),
        lambda: bob.do(steps.approve(bob.actor, "a", "fine")),
        lambda: bob.do(steps.reopen(bob.actor, "a", "no")),
        lambda: bob.do(steps.cancel(bob.actor, "a", "never mind")),
        lambda: bob.do(steps.claim(bob.actor, "new")),
    )
    return [
        ("ann", "start", "ann"), ("bob", "start", "bob"), ("a", "define", "ann"), ("b", "define", "ann"), ("a", "edit", "ann"),
        ("a", "claim", "ann"), ("a", "takeover", "bob"), ("a", "release", "bob"), ("k.x", "set", "bob"), ("k.x", "set", "ann"),
        ("k.x", "delete", "ann"), ("bob:0", "send", "ann"), ("_broadcast:0", "send", "bob"), ("a", "claim", "ann"),
        ("a", "needs_review", "ann"), ("a", "approve", "bob"), ("a", "reopen", "bob"), ("a", "cancel", "bob"), ("new", "claim", "bob"),
    ]  # fmt: skip


def test_every_kind_of_change_once_newest_last(place: Place, ann: Agent, bob: Agent) -> None:
    place.pass_(1)
    told = everything(place, ann, bob)
    view = log(bob, limit=None)
    assert said(view) == told
    assert not view.more
    by_name = {(one.subject, one.event): one for one in view.events}
    assert by_name["a", "takeover"].text == "from ann"
    assert by_name["a", "release"].text == "lunch"
    assert by_name["bob:0", "send"].text == "hello"
    assert (by_name["a", "takeover"].epoch, by_name["new", "claim"].epoch) == (2, 1)
    assert said(log(bob)) == told
    for limit in range(1, len(told) + 2):
        view = log(bob, limit=limit)
        assert (said(view), view.more) == (told[-limit:], limit < len(told))


def test_since_is_by_the_recorded_times(place: Place, ann: Agent, bob: Agent) -> None:
    everything(place, ann, bob)
    every = log(ann, limit=None).events
    for since in (0.0, 1_800_000_003.0, 1_800_000_003.5, place.now - 1, place.now):
        assert log(ann, since=since).events == tuple(one for one in every if one.at >= since)
    assert said(log(ann, since=1_800_000_003.0, limit=2)) == [(one.subject, one.event, one.by) for one in every[-2:]]


def test_within_one_object_the_order_is_exact_whatever_the_clocks(place: Place) -> None:
    fast, slow = place.agent("fast", skew=HOUR).warm(), place.agent("slow", skew=-HOUR).warm()
    for n in range(6):
        who = (fast, slow)[n % 2]
        tick(
            place,
            lambda who=who: who.do(steps.claim(who.actor, "a", force=True)),  # type: ignore[misc]
            lambda who=who, n=n: who.do(memory.set_(who.actor, "k", n)),  # type: ignore[misc]
            lambda who=who, n=n: who.do(mail.send(who.actor, "box", str(n))),  # type: ignore[misc]
        )
    for limit in (None, 30, 5):
        view = log(fast, limit=limit)
        for kind in ("step", "memory", "message"):
            seqs = [one.seq for one in view.events if one.kind == kind]
            assert seqs == sorted(seqs)
    assert [one.text for one in log(fast, limit=None).events if one.kind == "message"] == ["0", "1", "2", "3", "4", "5"]


def test_at_one_moment_a_mailbox_is_in_the_order_of_its_slots(place: Place, ann: Agent) -> None:
    for n in range(12):
        ann.do(mail.send(ann.actor, "bob", str(n)))
    assert [one.text for one in log(ann, limit=None).events if one.kind == "message"] == [str(n) for n in range(12)]


def test_a_version_that_is_live_and_archived_is_told_once(place: Place, ann: Agent) -> None:
    ann.do(memory.set_(ann.actor, "k", 1))
    ann.do(memory.set_(ann.actor, "k", 2))
    at = 0
    while stop_before(memory.set_(ann.actor, "k", 3), ann, at):
        told = Counter(ident(one) for one in log(ann, limit=None).events)
        assert set(told.values()) == {1}, "killed between archive and overwrite"
        at += 1
    assert [one.seq for one in log(ann, limit=None).events if one.kind == "memory"] == [1, 2, 3]


def test_what_closes_gaps_and_moves_is_not_told(place: Place, ann: Agent) -> None:
    ann.hints.remember("tail:bob", b"5")
    ann.do(mail.send(ann.actor, "bob", "hello"))
    ann.do(memory.set_(ann.actor, "k", 1))
    frozen = Memory(key="k", value=1, set_by="ann", set_at=place.now, moved_to="s3://elsewhere", seq=2, write_id="m")
    live = ann.do(registers.fetch(keys.memory("k"), Memory))
    assert live is not None
    ann.do(memory.archive("k", live))
    place.write(keys.memory("k"), encode(frozen))
    events = log(ann, limit=None).events
    assert {(one.subject, one.seq) for one in events if one.kind != "agent"} == {("bob:5", 6), ("k", 1)}


def test_the_limit_bounds_the_reads(place: Place, ann: Agent) -> None:
    plant(place, (a_step(f"s{n:04}") for n in range(1200)))
    for n in range(50):
        ann.do(mail.send(ann.actor, "bob", str(n)))
        ann.do(memory.set_(ann.actor, f"k{n}", n))
        ann.do(memory.set_(ann.actor, f"k{n}", n))
    cost = ann.cost(timeline(limit=10))
    assert cost["get"] <= 5 * 10
    assert cost["list"] == 8 + 1
    place.pass_(3 * DAY)
    ann.do(memory.set_(ann.actor, "new", 1))
    assert ann.cost(timeline(since=place.now - HOUR, limit=None))["get"] <= 3, "what did not change since then is not read"
    assert len(log(ann, limit=None).events) == 1200 + 50 + 100 + 1 + 1


def test_damage_is_told_and_the_rest_goes_on(place: Place, ann: Agent, bob: Agent) -> None:
    told = len(everything(place, ann, bob))
    for key in (keys.step("torn"), keys.agent("eve"), keys.slot("bob", 1), keys.memory("z"), keys.memory_version("z", 1)):
        place.write(key, b"torn")
    place.write(keys.step("large"), b" " * (4 * 1024 * 1024 + 1))
    place.write(keys.step("newer"), b'{"format":2,"kind":"step"}')
    events = log(ann, limit=None).events
    damaged = [one for one in events if one.kind == "damage"]
    assert len(events) == told + 7
    assert {one.subject for one in damaged} >= {keys.step("torn"), keys.step("large"), keys.slot("bob", 1)}


@pytest.mark.parametrize(("fault", "error"), [(AccessDenied("expired"), AccessDenied), (Fault.UNAVAILABLE, Unavailable)])
@pytest.mark.parametrize("kind", ["get", "list"])
@pytest.mark.parametrize("at", ["steps/", "mail/", "memory/", "history/", "agents/"])
def test_a_read_that_fails_is_an_error_and_no_hole(
    place: Place, ann: Agent, bob: Agent, fault: object, error: type[Exception], kind: str, at: str
) -> None:
    everything(place, ann, bob)
    ann.spoil(fault, kind=kind, key=at)
    error_of(error, lambda: log(ann, limit=None))


# Following


class Follower:
    """Follows as the command line does."""

    def __init__(self, agent: Agent, **more: Any) -> None:
        self.agent = agent
        self.view = log(agent, **more)
        self.seen = {ident(one) for one in self.view.events}
        self.got: list[Event] = []

    def poll(self, timeout: float = 0.0) -> list[Event]:
        self.view = self.agent.do(follow(self.view, self.seen, timeout))
        self.seen |= {ident(one) for one in self.view.events}
        self.got += self.view.events
        return list(self.view.events)


@pytest.mark.parametrize("limit", [1, 20, None])
@pytest.mark.parametrize("every", [1, 3, 100])
def test_following_tells_each_change_once(place: Place, ann: Agent, bob: Agent, limit: int | None, every: int) -> None:
    everything(place, ann, bob)
    eve = Follower(place.agent("eve"), limit=limit)
    assert eve.poll() == []
    before = {ident(one) for one in log(ann, limit=None).events}
    dice = random.Random(every)
    for n in range(60):
        who = dice.choice((ann, bob))
        dice.choice(
            (
                lambda who=who, n=n: who.do(memory.set_(who.actor, f"k{n % 3}", n)),
                lambda who=who, n=n: who.do(mail.send(who.actor, "bob", str(n))),
                lambda who=who, n=n: who.do(steps.claim(who.actor, f"s{n % 4}", force=True, create=True)),
                lambda who=who: who.do(plans.add(who.actor, f"new{dice.randrange(10**6)}", Definition(needs=("b",)))),
            )
        )()
        place.pass_(dice.choice((0, 0.01, 5)))
        if n % every == 0:
            eve.poll()
    eve.poll()
    told = Counter(ident(one) for one in eve.got)
    assert set(told.values()) == {1}
    assert told.keys() == {ident(one) for one in log(ann, limit=None).events} - before
    assert eve.poll() == []


def test_an_old_object_that_changes_tells_its_new_events_alone(place: Place, ann: Agent) -> None:
    for n in range(30):
        ann.do(memory.set_(ann.actor, "k", n))
        ann.do(steps.claim(ann.actor, "a", force=True))
    for n in range(30):
        ann.do(mail.send(ann.actor, "bob", str(n)))
        place.pass_(100)
    eve = Follower(place.agent("eve"), limit=5)
    eve.poll()
    tick(place, lambda: ann.do(steps.release(ann.actor, "a")), lambda: ann.do(memory.set_(ann.actor, "k", "new")))
    assert [(one.subject, one.event) for one in eve.poll()] == [("a", "release"), ("k", "set")]


def test_what_happens_before_the_first_poll_is_told_too(place: Place, ann: Agent) -> None:
    ann.do(steps.claim(ann.actor, "a"))
    ann.do(memory.set_(ann.actor, "k", 1))
    for n in range(9):
        ann.do(mail.send(ann.actor, "bob", str(n)))
    place.pass_(10)
    eve = Follower(place.agent("eve"), limit=3)
    place.pass_(1)
    ann.do(steps.release(ann.actor, "a"))
    ann.do(memory.set_(ann.actor, "k", 2))
    ann.do(steps.claim(ann.actor, "new"))
    assert {(one.subject, one.event) for one in eve.poll()} == {("a", "release"), ("k", "set"), ("new", "claim")}


def test_following_waits(place: Place, ann: Agent) -> None:
    eve = Follower(place.agent("eve"))
    eve.poll()
    sleep, left = eve.agent._sleep, [2 * 20]  # a poll sleeps twice: what may end early comes second

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 0:
            ann.do(steps.claim(ann.actor, "a"))

    eve.agent.world._sleep = sleeping
    eve.agent.counting.reset()
    assert [one.event for one in eve.poll(timeout=600.0)] == ["claim"]
    assert eve.agent.slept < 10
    counts = eve.agent.counting.counts()
    assert counts["list"] == 21 * 6
    assert counts["get"] == 1
    start = place.now
    assert eve.poll(timeout=600.0) == []
    assert place.now - start == pytest.approx(600, abs=1)


def test_following_sits_out_a_store_that_is_away(place: Place, ann: Agent) -> None:
    eve = Follower(place.agent("eve"))
    eve.poll()
    sleep, left = eve.agent._sleep, [6]

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 3:
            ann.do(steps.claim(ann.actor, "a"))
            eve.agent.spoil(Fault.UNAVAILABLE, kind="list").spoil(Fault.UNAVAILABLE, kind="get")

    eve.agent.world._sleep = sleeping
    assert [one.event for one in eve.poll(timeout=60.0)] == ["claim"]


def test_damage_that_comes_while_following_is_told_once(place: Place, ann: Agent) -> None:
    ann.do(steps.claim(ann.actor, "a"))
    eve = Follower(place.agent("eve"))
    eve.poll()
    place.write(keys.step("a"), b"torn")
    assert [one.kind for one in eve.poll()] == ["damage"]
    assert eve.poll() == []


def test_a_new_life_of_an_agent_is_told(place: Place, ann: Agent) -> None:
    eve = Follower(place.agent("eve"))
    eve.poll()
    newer = place.agent("ann", machine="far")
    newer.do(agents.start_new(newer.actor))
    assert [(one.kind, one.seq) for one in eve.poll()] == [("agent", 2)]
