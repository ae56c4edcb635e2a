"""Forks: all of them or none, whatever happens on the way, and what does not count is not there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.folders import create, files, push, uploads
from tests.ops.world import WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import AccessDenied, Lost, Moved, NotFound, UsageError
from windlass.ops import forks, moving, workspaces
from windlass.ops.registers import update
from windlass.ops.timeline import timeline
from windlass.protocol import keys
from windlass.protocol.codec import decode, encode
from windlass.protocol.pending import Pending, State
from windlass.protocol.workspaces import NOTHING, Workspace

if TYPE_CHECKING:
    from windlass.effects import Op


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def names(agent: Agent) -> list[str]:
    return [one.name for one in agent.do(workspaces.list_())]


def test_forks_begin_as_their_base_and_go_their_own_ways(ann: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    made = ann.do(forks.fork(ann.actor, "base", 3))
    assert [one.name for one in made] == ["base-1", "base-2", "base-3"]
    push(ann, "base-2", {"f": "2"})
    assert [files(ann, name)["f"] for name in ("base", "base-1", "base-2", "base-3")] == ["1", "1", "2", "1"]
    assert all(one.origin == "base" and not one.forming for one in made)
    assert uploads(place) == []
    assert not any(decode(Workspace, key, place.body(key)).forming for key in place.keys(keys.WORKSPACES))
    assert [one.name for one in ann.do(forks.fork(ann.actor, "base", 2, "try"))] == ["try-1", "try-2"]


def test_a_checkpoint_can_be_forked(ann: Agent) -> None:
    create(ann, "base", {"f": "1"})
    ann.do(workspaces.checkpoint(ann.actor, "base", "v1"))
    push(ann, "base", {"f": "2"})
    (one,) = ann.do(forks.fork(ann.actor, "base@v1", 1))
    assert (one.name, files(ann, "base-1")) == ("base-1", {"f": "1"})


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_a_number_of_forks_that_cannot_be_is_refused(ann: Agent, n: int) -> None:
    error_of(UsageError, lambda: ann.do(forks.fork(ann.actor, "base", n)))


def test_one_name_in_the_way_and_there_are_no_forks(ann: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    create(ann, "base-2", {"f": "2"})
    error = error_of(Lost, lambda: ann.do(forks.fork(ann.actor, "base", 3)))
    assert "base-2" in error.message
    assert names(ann) == ["base", "base-2"]
    assert files(ann, "base-2") == {"f": "2"}
    assert uploads(place) == []


def test_forks_can_be_made_again_after_their_teardown(ann: Agent) -> None:
    create(ann, "base", {"f": "1"})
    for number in (2, 3, 4):
        made = ann.do(forks.fork(ann.actor, "base", 3))
        assert len(made) == 3
        push(ann, "base", {"f": str(number)})
        for one in made:
            ann.do(workspaces.teardown(ann.actor, one.name, force=True))
    assert ann.do(forks.fork(ann.actor, "base", 1))[0].root == ann.do(workspaces.show("base")).doc.root


def test_a_fork_killed_at_any_request_leaves_all_or_nothing(place: Place) -> None:
    ended = False
    request = 0
    while not ended:
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        create(ann, "base", {"f": "1"})
        create(ann, "base-2", {"f": "1"})
        ann.do(workspaces.teardown(ann.actor, "base-2", force=True))
        ended = not stop_before(forks.fork(ann.actor, "base", 3), ann, request)
        assert names(bob) in (["base"], ["base", "base-1", "base-2", "base-3"]), request
        forked = len(names(bob)) == 4
        if forked:
            push(bob, "base-3", {"f": "3"})
            assert len(names(ann)) == 4
        else:
            place.pass_(100)
            bob.warm()
            assert len(bob.do(forks.fork(bob.actor, "base", 3))) == 3
        request += 1
    assert request > 10


@pytest.mark.parametrize("request_", range(12))
def test_a_fork_that_meets_an_error_says_so_and_leaves_nothing(place: Place, request_: int) -> None:
    ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
    create(ann, "base", {"f": "1"})
    for kind in ("put", "get", "list"):
        ann.spoil(*[None] * request_, AccessDenied("no", "yes"), kind=kind)
    try:
        ann.do(forks.fork(ann.actor, "base", 3, f"p{request_}"))
    except AccessDenied:
        assert names(bob) == ["base"]
    else:
        assert len(names(bob)) == 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", ["workspaces/", "pending/"])
def test_a_spoilt_answer_neither_loses_a_fork_nor_splits_it(ann: Agent, bob: Agent, place: Place, way: str, key: str) -> None:
    create(ann, "base", {"f": "1"})
    ann.spoil(*WAYS[way], key=key)
    ann.do(forks.fork(ann.actor, "base", 2))
    assert names(bob) == ["base", "base-1", "base-2"]
    assert uploads(place) == []


def forming(place: Place, agent: Agent) -> None:
    """A fork of base into one, whose maker stopped right before it counts."""
    request = 0
    while not place.keys("workspaces/base-1"):
        assert stop_before(forks.fork(agent.actor, "base", 1), agent, request)
        for key in place.keys(keys.PENDING) if not place.keys("workspaces/base-1") else []:
            place.store.delete(key)
        request += 1


def test_what_a_fork_is_still_making_is_not_there_and_not_free(ann: Agent, bob: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    forming(place, ann)
    error_of(NotFound, lambda: bob.do(workspaces.show("base-1")))
    ops: list[Op[Any]] = [workspaces.create(bob.actor, "base-1"), forks.fork(bob.actor, "base", 2)]
    for op in ops:
        error = error_of(Lost, partial(bob.do, op))
        assert "ann is just making" in error.message
    place.pass_(100)
    bob.warm()
    assert bob.do(workspaces.create(bob.actor, "base-1")).root == NOTHING
    assert uploads(place) == [State.ABANDONED]


def test_a_fork_that_is_done_counts_before_anybody_tidied_up(ann: Agent, bob: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    forming(place, ann)
    (key,) = place.keys(keys.PENDING)
    bob.do(update(key, Pending, lambda e, _: e.doc.but(state=State.DONE) if e else None))
    assert names(bob) == ["base", "base-1"]
    error_of(Lost, lambda: bob.do(workspaces.create(bob.actor, "base-1")))
    push(bob, "base-1", {"f": "2"})
    assert decode(Workspace, "", place.body("workspaces/base-1.json")).forming == ""


def test_one_who_looks_while_a_fork_is_tidied_up_sees_it(ann: Agent, bob: Agent, place: Place) -> None:
    """The register was read as forming, and the record it names is gone: it must be read again."""
    create(ann, "base", {"f": "1"})
    forming(place, ann)
    (key,) = place.keys(keys.PENDING)

    class Tidied:
        """Finishes the fork right before its record is read."""

        def __getattr__(self, name: str) -> object:
            return getattr(bob.faulty, name)

        def get(self, wanted: str, unless: str | None = None) -> object:
            if wanted == key and place.keys(key):
                doc = decode(Workspace, "", place.body("workspaces/base-1.json"))
                place.write("workspaces/base-1.json", encode(doc.but(forming="", write_id="tidied")))
                place.store.delete(key)
            return bob.faulty.get(wanted, unless)

    bob.counting.store = Tidied()  # type: ignore[assignment]
    assert bob.do(workspaces.show("base-1")).doc.root.files == 1


def test_a_fork_of_what_is_torn_down_meanwhile_is_refused(ann: Agent, bob: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    Between(ann, lambda: bob.do(workspaces.teardown(bob.actor, "base", force=True)), key="pending/")
    error_of(NotFound, lambda: ann.do(forks.fork(ann.actor, "base", 2)))
    assert names(bob) == []


def test_a_fork_of_what_moves_on_meanwhile_begins_with_what_is_there(ann: Agent, bob: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    Between(ann, lambda: push(bob, "base", {"f": "2"}), key="pending/")
    ann.do(forks.fork(ann.actor, "base", 2))
    assert files(ann, "base-2") == {"f": "2"}
    assert uploads(place) == []


def test_a_move_takes_along_the_forks_that_are_done_and_gives_up_the_others(ann: Agent, bob: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    forming(place, ann)
    (key,) = place.keys(keys.PENDING)
    bob.do(update(key, Pending, lambda e, _: e.doc.but(state=State.DONE) if e else None))
    bob.do(forks.fork(bob.actor, "base", 1, "tidy"))
    moved = place.keys(keys.WORKSPACES)
    half = decode(Workspace, "", place.body("workspaces/base-1.json"))
    bob.do(update("pending/open.json", Pending, lambda e, _: e.doc if e else Pending(agent="cat")))
    place.write("workspaces/half-1.json", encode(half.but(name="half-1", forming="open")))
    bob.do(moving.freeze("bob", "s3://elsewhere"))
    docs = {name: decode(Workspace, name, place.body(name)) for name in place.keys(keys.WORKSPACES)}
    assert all(doc.moved_to == "s3://elsewhere" for doc in docs.values())
    assert all(not docs[name].forming for name in moved)
    assert docs["workspaces/half-1.json"].forming == "open"
    assert set(uploads(place)) == {State.DONE, State.ABANDONED}
    error_of(Moved, lambda: ann.do(forks.fork(ann.actor, "base", 1, "more")))


def test_the_timeline_does_not_tell_of_a_fork_that_came_to_nothing(ann: Agent, place: Place) -> None:
    create(ann, "base", {"f": "1"})
    forming(place, ann)
    assert [one.subject for one in ann.do(timeline()).events if one.kind == "workspace"] == ["base"]


def test_checkpoints_and_forks_cost_the_same_for_any_number_of_files(ann: Agent) -> None:
    create(ann, "few", {f"f{number}": "1" for number in range(10)})
    ann.do(workspaces.create(ann.actor, "one", source="few"))
    assert ann.cost(forks.fork(ann.actor, "one", 5)) == {"get": 4, "list": 1, "put": 2 + 2 * 5, "delete": 1}
    create(ann, "many", {f"d{number % 100}/f{number}": "1" for number in range(100_000)})
    for call in (
        lambda name: workspaces.checkpoint(ann.actor, name, "v1"),
        lambda name: forks.fork(ann.actor, name, 5),
        lambda name: forks.fork(ann.actor, f"{name}@v1", 5, f"{name}-v1"),
        lambda name: workspaces.create(ann.actor, f"{name}-copy", source=name),
        lambda name: workspaces.restore(ann.actor, name, "v1"),
    ):
        assert ann.cost(call("few")) == ann.cost(call("many")) != {}
