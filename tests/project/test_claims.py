"""A claim holds for its block, is given back at the end, and never hides what went wrong."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import windlass
from windlass.errors import Fenced, Unavailable
from windlass.project.heartbeat import Heartbeat
from windlass.records import Status
from windlass.stores.wrappers import Counting

if TYPE_CHECKING:
    from collections.abc import Callable

Open = Any
PATIENCE = 20.0
"""Seconds after which something that must happen does not."""


def state(p: windlass.Project, name: str) -> tuple[Status, str]:
    step = p.steps.show(name).doc
    return step.status, step.history[-1].note


def until(happened: Callable[[], object]) -> None:
    """Wait for something that another thread brings about."""
    give_up = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.002)


def beating() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "windlass-presence"]


def test_a_completed_claim_stays_complete(p: windlass.Project) -> None:
    with p.steps.claim("design") as claim:
        assert (claim.name, claim.epoch, claim.open) == ("design", 1, True)
        claim.complete(note="API in api.py")
    assert state(p, "design") == (Status.COMPLETE, "API in api.py")
    assert not claim.open
    assert claim.complete(note="API in api.py").again


def test_a_block_that_ends_gives_the_claim_back(p: windlass.Project) -> None:
    with p.steps.claim("design"):
        assert state(p, "design")[0] is Status.IN_PROGRESS
    assert state(p, "design") == (Status.PENDING, "")


def test_an_exception_gives_it_back_with_a_note_and_goes_on(p: windlass.Project) -> None:
    with pytest.raises(ZeroDivisionError), p.steps.claim("design"):
        _ = 1 / 0
    assert state(p, "design") == (Status.PENDING, "left by ZeroDivisionError")
    with pytest.raises(KeyboardInterrupt), p.steps.claim("design"):
        raise KeyboardInterrupt
    assert state(p, "design") == (Status.PENDING, "left by KeyboardInterrupt")


def test_a_claim_that_was_released_in_the_block_is_not_released_again(p: windlass.Project) -> None:
    with p.steps.claim("design") as claim:
        claim.release("for others")
    assert state(p, "design") == (Status.PENDING, "for others")
    assert len(p.steps.show("design").doc.history) == 2


@pytest.mark.parametrize("finish", ["complete", "release", "blocked", "cancel"])
def test_a_step_finished_in_the_block_by_another_way_is_fine(p: windlass.Project, finish: str) -> None:
    with p.steps.claim("design"):
        if finish == "blocked":
            p.steps.complete("design", state="blocked")
        else:
            getattr(p.steps, finish)("design")
    assert state(p, "design")[0] is not Status.IN_PROGRESS


def test_a_claim_of_two_blocks_is_given_back_once(p: windlass.Project) -> None:
    with p.steps.claim("design") as outer:
        with p.steps.claim("design") as inner:
            assert inner.claimed.again
            assert inner.epoch == outer.epoch
        assert state(p, "design")[0] is Status.PENDING


def test_a_lost_claim_is_told_at_complete_and_nothing_is_kept(p: windlass.Project, open_as: Open) -> None:
    other = open_as("developer")
    with pytest.raises(windlass.ClaimLost, match="developer took it over"), p.steps.claim("design") as claim:
        other.steps.try_claim("design", force=True)
        claim.complete(note="late")
    assert other.steps.show("design").doc.handoff is None
    assert other.steps.complete("design").step.status is Status.COMPLETE


def test_a_lost_claim_is_told_at_the_end_of_the_block(p: windlass.Project, open_as: Open) -> None:
    with pytest.raises(windlass.ClaimLost, match="developer took it over"), p.steps.claim("design"):
        open_as("developer").steps.try_claim("design", force=True)
    with pytest.raises(windlass.ClaimLost, match="developer"), p.steps.claim("other"):
        stolen = open_as("developer")
        stolen.steps.try_claim("other", force=True)
        stolen.steps.complete("other")


def test_a_lost_claim_hides_no_error_of_the_block(p: windlass.Project, open_as: Open) -> None:
    with pytest.raises(ZeroDivisionError) as met, p.steps.claim("design"):
        open_as("developer").steps.try_claim("design", force=True)
        _ = 1 / 0
    assert any("developer took it over" in note for note in met.value.__notes__)


def test_a_store_that_fails_at_the_end_hides_no_error_of_the_block(p: windlass.Project) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("the store is down")

    world = p.session.world
    store = world.store
    with pytest.raises(ZeroDivisionError) as met, p.steps.claim("design"):
        world.store = Down()
        _ = 1 / 0
    world.store = store
    assert any("the store is down" in note for note in met.value.__notes__)


def test_a_claim_taken_again_by_the_same_agent_is_another_one(p: windlass.Project) -> None:
    claim = p.steps.claim("design")
    again = p.steps.claim("design", force=True)
    assert again.epoch == claim.epoch + 1
    with pytest.raises(windlass.ClaimLost, match="epoch 2, not 1"):
        claim.complete()
    again.complete()


def test_what_the_needs_left_is_at_hand(p: windlass.Project) -> None:
    p.plan.apply({"steps": {"design": {}, "build": {"needs": ["design"]}}})
    with p.steps.next() as claim:
        claim.complete(note="API in api.py")
    with p.steps.next() as claim:
        assert claim.name == "build"
        assert claim.handoffs["design"].note == "API in api.py"


def test_wrong_calls_are_refused_before_anything_is_written(p: windlass.Project) -> None:
    for call in (
        lambda: p.steps.add("a", needs="design"),
        lambda: p.steps.add("a", titel="x"),  # type: ignore[call-arg]
        lambda: p.steps.next(labels="backend"),
        lambda: p.steps.complete("a", state="done"),  # type: ignore[arg-type]
        lambda: p.steps.claim("a", lease=1),
        lambda: p.steps.claim("../a"),
    ):
        with pytest.raises(windlass.UsageError) as met:
            call()
        assert met.value.hint
    assert not p.steps.list().steps


def test_one_step_to_wait_for_needs_no_list(p: windlass.Project) -> None:
    p.steps.claim("design").complete()
    assert p.steps.wait_for("design").steps["design"] is not None


def test_presence_is_kept_fresh_from_the_first_claim_until_the_project_is_closed(open_as: Open) -> None:
    p = open_as("designer")
    p.memory.set("a", 1)
    assert not beating()
    p.session.world.store = counting = Counting(p.session.world.store)

    def signs() -> int:
        return sum(one.kind == "put" and one.key.startswith("presence/designer/") for one in tuple(counting.requests))

    claim = p.steps.claim("design")
    assert len(beating()) == 1
    p.steps.claim("build")
    assert len(beating()) == 1
    p.session.keep_fresh(0.04)
    until(lambda: signs() >= 3)
    claim.complete()
    p.close()
    assert not beating()
    assert p.steps.show("build").doc.status is Status.IN_PROGRESS


def test_a_short_lease_is_renewed_often_enough(p: windlass.Project) -> None:
    p.steps.claim("long", lease=7200)
    heartbeat = p.session._heartbeat
    assert heartbeat is not None
    assert heartbeat._every == 30.0
    p.steps.claim("short", lease=8)
    assert heartbeat._every == 2.0
    p.steps.claim("long-again", lease=7200)
    assert heartbeat._every == 2.0


def test_a_step_with_a_short_longest_hold_is_renewed_often_enough(p: windlass.Project) -> None:
    p.steps.add("quick", max_hold=10)
    p.steps.claim("quick")
    assert p.session._heartbeat is not None
    assert p.session._heartbeat._every == 2.5


def test_looking_and_mail_start_no_heartbeat(p: windlass.Project) -> None:
    p.mail.send("developer", "hello")
    p.status()
    p.steps.try_claim("design")
    assert not beating()


def test_a_heartbeat_goes_on_through_trouble_and_ends_where_it_is_fenced() -> None:
    script: list[Exception | None] = [None, Unavailable("down"), Unavailable("down"), None, Fenced("a newer one is acting")]
    beats: list[Exception | None] = []

    def beat() -> None:
        beats.append(script[len(beats)])
        if beats[-1] is not None:
            raise beats[-1]

    heart = Heartbeat(beat)
    heart.at_least_every(0.001)
    until(lambda: not heart._thread.is_alive())
    assert beats == script
    heart.end()


def test_a_heartbeat_that_is_asked_to_hurry_does_so_at_once() -> None:
    beat = threading.Event()
    heart = Heartbeat(beat.set)
    heart.at_least_every(3600.0)
    heart.at_least_every(0.001)
    assert beat.wait(PATIENCE)
    heart.end()
    assert not heart._thread.is_alive()
