"""Ctrl-C: what was begun and not published is given up at once, so that nobody waits for it or sends again what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops import uploaders
from tests.ops.folders import create, push, uploads
from tests.ops.stored import found_sweep, put
from tests.ops.world import DAY, Place

from windlass.ops import forks, merging
from windlass.ops.gc import gc
from windlass.protocol import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ops.world import Agent

    from windlass import effects as fx


class Interrupting:
    """A store whose user presses Ctrl-C at the first request of a kind for a key that starts like this."""

    def __init__(self, agent: Agent, kind: str, key: str) -> None:
        self.inner, self.kind, self.key = agent.faulty, kind, key
        self.url, self.capabilities = self.inner.url, self.inner.capabilities
        agent.counting.store = self

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def asked(*args: Any) -> Any:
            if name == self.kind and args[0].startswith(self.key):
                self.kind = ""
                raise KeyboardInterrupt
            return call(*args)

        return asked


@pytest.fixture
def place() -> Place:
    return Place()


def interrupted(agent: Agent, op: fx.Op[Any], kind: str, key: str) -> None:
    """Run it until the user has had enough."""
    Interrupting(agent, kind, key)
    with pytest.raises(KeyboardInterrupt):
        agent.do(op)
    agent.counting.store = agent.faulty


@pytest.mark.parametrize("what", ["upload", "create", "push", "merge", "fork"])
def test_what_is_interrupted_before_it_is_published_leaves_no_record(place: Place, what: str) -> None:
    ann = place.agent("ann").warm()
    create(ann, "w", {"f": "1"})
    (made,) = ann.do(forks.fork(ann.actor, "w", 1))
    push(ann, "w-1", {"f": "2"}, made.root)
    push(ann, "w", {"f": "1", "g": "1"}, made.root)
    ways: dict[str, Callable[[], fx.Op[Any]]] = {
        "upload": lambda: uploaders.upload(ann.actor, "a", b"x"),
        "create": lambda: uploaders.push(ann.actor, "new", {"f": b"x"}),
        "push": lambda: uploaders.push(ann.actor, "w", {"f": b"x"}),
        "merge": lambda: merging.merge(ann.actor, "w-1", "w"),
        "fork": lambda: forks.fork(ann.actor, "w", 3, "new"),
    }
    op = ways[what]
    interrupted(ann, op(), "put", keys.WORKSPACES if what == "fork" else keys.BLOBS)
    assert uploads(place) == []
    ann.do(gc(ann.actor, wait=0))
    ann.do(op())


def test_an_upload_that_is_interrupted_while_it_publishes_keeps_its_record(place: Place) -> None:
    """The write may still land: a gc must find the record to refuse it."""
    ann = place.agent("ann").warm()
    interrupted(ann, uploaders.upload(ann.actor, "a", b"x"), "put", keys.ARTIFACTS)
    assert len(uploads(place)) == 1


@pytest.mark.parametrize(("kind", "key", "floor"), [("list", keys.PENDING, 0), ("delete", keys.BLOBS, 1)])
def test_a_gc_that_is_interrupted_says_that_it_is_over(place: Place, kind: str, key: str, floor: int) -> None:
    """What it may have deleted is not trusted; where it deleted nothing, all is as before."""
    ann = place.agent("ann").warm()
    put(place, b"x")
    place.pass_(2 * DAY)
    interrupted(ann, gc(ann.actor), kind, key)
    assert (found_sweep(place).sweeping, found_sweep(place).floor) == (False, floor)
