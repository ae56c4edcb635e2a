"""gc among other runs, beside busy uploads and on a store in trouble: it comes to an end, and what it leaves unclear is not trusted."""

from __future__ import annotations

import pytest
from tests.ops import uploaders
from tests.ops.stored import before_publishing, found_sweep, put, there
from tests.ops.world import DAY, Between, Place, error_of

from windlass.errors import PutRefused, Unavailable
from windlass.ops import gc as gcs
from windlass.ops.gc import gc
from windlass.protocol import keys


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.mark.parametrize("lands", [True, False])
def test_runs_that_begin_at_the_same_time_come_to_an_end(place: Place, lands: bool) -> None:
    """Who lost to others cannot see in the register whether its own write was among those that were replaced; it need not know."""
    ann, bob = place.agent("ann").warm(), place.agent("bob").warm()

    def others() -> None:
        for _ in range(2):
            bob.do(gc(bob.actor))

    Between(ann, others, key=keys.SWEEP, lands=lands, answer=PutRefused)
    ann.do(gc(ann.actor))
    assert not found_sweep(place).sweeping


@pytest.mark.parametrize("lands", [True, False])
def test_a_busy_artifact_does_not_stop_it(place: Place, lands: bool) -> None:
    before_publishing(place, "a", b"of a dead upload")
    place.pass_(2 * DAY)
    sweeper, bob = place.agent("sweeper").warm(), place.agent("bob").warm()

    def others() -> None:
        for content in (b"1", b"2", b"3"):
            bob.do(uploaders.upload(bob.actor, "a", content))

    Between(sweeper, others, key=keys.artifact("a"), lands=lands, answer=PutRefused)
    assert len(sweeper.do(gc(sweeper.actor)).abandoned) == 1


def test_a_deletion_without_an_answer_is_not_forgotten_where_the_rest_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place, b"x")
    put(place, b"y")
    place.pass_(2 * DAY)
    monkeypatch.setattr(gcs, "PAGE", 1)
    sweeper = place.agent("sweeper").warm()
    sweeper.spoil(Unavailable("no answer", ""), kind="delete", key="blobs/")
    sweeper.spoil(None, Unavailable("no answer", ""), kind="list", key="blobs/")
    error_of(Unavailable, lambda: sweeper.do(gc(sweeper.actor)))
    assert len(there(place)) == 1
    assert (found_sweep(place).sweeping, found_sweep(place).floor) == (False, 1)
