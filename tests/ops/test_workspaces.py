"""Workspaces: a head moves only from where its writer saw it, forks are made all or none, and nothing that was accepted is lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.folders import create, entries, files, push, sent, uploads
from tests.ops.world import WAYS, Agent, Between, Place, error_of

from windlass.errors import Damaged, Indeterminate, Lost, Moved, NotFound, UsageError
from windlass.ops import forks, merging, pending, trees, workspaces
from windlass.ops.registers import update
from windlass.ops.timeline import timeline
from windlass.protocol import keys
from windlass.protocol.codec import decode, encode
from windlass.protocol.pending import State
from windlass.protocol.workspaces import KEPT, MAX_CHECKPOINTS, NOTHING, Checkpoint, Root, Workspace, recorded
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windlass import effects as fx
    from windlass.effects import Op
    from windlass.ops.pending import Upload


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def test_a_workspace_begins_empty_or_with_files_or_as_another_is(ann: Agent, place: Place) -> None:
    assert ann.do(workspaces.create(ann.actor, "empty")).root == NOTHING
    made = create(ann, "w", {"a/f": "1"})
    assert (made.created_by, made.root.files, made.ttl) == ("ann", 1, None)
    copy = ann.do(workspaces.create(ann.actor, "copy", source="w", ttl=60))
    assert (copy.root, copy.origin, copy.ttl) == (made.root, "w", 60)
    assert files(ann, "copy") == {"a/f": "1"}
    assert [one.name for one in ann.do(workspaces.list_())] == ["copy", "empty", "w"]
    assert uploads(place) == []


def test_a_name_that_is_taken_is_refused(ann: Agent, bob: Agent) -> None:
    create(ann, "w", {"f": "1"})
    error = error_of(Lost, lambda: create(bob, "w", {"f": "2"}))
    assert "there is a workspace w already" in error.message
    assert "teardown" in error.hint
    assert files(ann, "w") == {"f": "1"}


@pytest.mark.parametrize(
    "call",
    [
        lambda a: workspaces.create(a, "../x"),
        lambda a: workspaces.create(a, "w", ttl=0),
        lambda a: workspaces.create(a, "w", ttl=float("nan")),
    ],
)
def test_what_cannot_be_is_refused_before_a_request(ann: Agent, call: Callable[..., Op[object]]) -> None:
    ann.counting.reset()
    error_of(UsageError, lambda: ann.do(call(ann.actor)))
    assert ann.counting.counts() == {}


def test_an_unknown_workspace_is_told_with_the_nearest_names(ann: Agent) -> None:
    create(ann, "webshop", {})
    create(ann, "webshed", {})
    ann.do(workspaces.teardown(ann.actor, "webshed"))
    error = error_of(NotFound, lambda: ann.do(workspaces.show("webshp")))
    assert error.hint == "did you mean webshop?"
    assert "workspace create" in error_of(NotFound, lambda: ann.do(workspaces.show("zzz"))).hint
    assert "it has" not in error_of(NotFound, lambda: ann.do(workspaces.tree_of("webshop@v1"))).hint
    ann.do(workspaces.checkpoint(ann.actor, "webshop", "v2"))
    assert error_of(NotFound, lambda: ann.do(workspaces.tree_of("webshop@v1"))).hint == "it has v2"


@pytest.mark.parametrize("text", ["", "@v1", "w@", "w@v1@v2", "../w", "w@../v"])
def test_what_names_no_place_is_refused(ann: Agent, text: str) -> None:
    error_of(UsageError, lambda: ann.do(workspaces.tree_of(text)))


def test_a_push_moves_the_head_from_its_base_and_from_nowhere_else(ann: Agent, bob: Agent, place: Place) -> None:
    base = create(ann, "w", {"f": "1"}).root
    assert push(ann, "w", {"f": "2"}, base).workspace.root.files == 1
    error = error_of(Lost, lambda: push(bob, "w", {"f": "3"}, base))
    assert "by ann (push)" in error.message
    assert "windlass workspace pull" in error.hint
    assert files(ann, "w") == {"f": "2"}
    push(bob, "w", {"f": "3"}, base, force=True)
    assert files(ann, "w") == {"f": "3"}
    error_of(Lost, lambda: bob.do(workspaces.push(bob.actor, "w", None, sent({}))))
    assert uploads(place) == []


def test_a_push_of_what_is_there_writes_nothing(ann: Agent) -> None:
    before = create(ann, "w", {"f": "1"})
    again = push(ann, "w", {"f": "1"})
    assert (again.again, again.workspace.seq) == (True, before.seq)


def between(agent: Agent, then: Callable[[], object]) -> Callable[..., Op[Root]]:
    """A build of {"f": "9"} during which something happens, once."""
    done: list[object] = []

    def build(upload: Upload, *_: object) -> Op[Root]:
        if not done:
            done.append(then())
        return (yield from sent({"f": "9"})(upload))

    return build


def test_a_push_that_meets_another_on_the_way_is_refused(ann: Agent, bob: Agent, place: Place) -> None:
    base = create(ann, "w", {"f": "1"}).root
    build = between(ann, lambda: push(bob, "w", {"f": "2"}))
    error_of(Lost, lambda: ann.do(workspaces.push(ann.actor, "w", base, build)))
    assert files(ann, "w") == {"f": "2"}
    assert uploads(place) == []


def test_a_push_goes_on_where_only_something_else_changed(ann: Agent, bob: Agent) -> None:
    base = create(ann, "w", {"f": "1"}).root
    build = between(ann, lambda: bob.do(workspaces.checkpoint(bob.actor, "w", "v1")))
    ann.do(workspaces.push(ann.actor, "w", base, build))
    assert (files(ann, "w"), files(ann, "w@v1")) == ({"f": "9"}, {"f": "1"})


def test_a_push_by_force_builds_anew_on_what_is_there(ann: Agent, bob: Agent) -> None:
    base = create(ann, "w", {"f": "1"}).root
    seen: list[Root] = []

    def build(upload: Upload, workspace: Workspace) -> Op[Root]:
        if not seen:
            push(bob, "w", {"f": "2"})
        seen.append(workspace.root)
        return (yield from sent({"f": "9"})(upload))

    ann.do(workspaces.push(ann.actor, "w", base, build, force=True))
    assert files(ann, "w") == {"f": "9"}
    assert len(seen) == 2
    assert seen[1] != base


def test_a_push_that_gc_gave_up_meanwhile_is_refused(ann: Agent, bob: Agent) -> None:
    """Abandoned, then touched: its write was prepared on a state that is no more, and it may not go on from the new one."""
    base = create(ann, "w", {"f": "1"}).root

    def gave_up() -> None:
        (key,) = bob.place.keys(keys.PENDING)
        bob.do(pending.abandon(keys.parse_pending(key) or ""))
        bob.do(update(keys.workspace("w"), Workspace, lambda e, w: recorded(e.doc, "touch", "bob", w.at, w.id) if e else None))

    error_of(Lost, lambda: ann.do(workspaces.push(ann.actor, "w", base, between(ann, gave_up))))
    assert files(ann, "w") == {"f": "1"}


def test_a_head_that_gc_took_after_it_was_replaced_is_told_as_moved_on_and_not_as_damaged(ann: Agent, bob: Agent, place: Place) -> None:
    base = create(ann, "w", {"f": "1"}).root

    def gone() -> None:
        push(bob, "w", {"f": "2"})
        place.store.delete(keys.blob(base.tree))

    def build(*_: object) -> Op[Root]:
        gone()
        yield from trees.walk(base.tree)
        raise AssertionError

    told = error_of(Lost, lambda: ann.do(workspaces.push(ann.actor, "w", base, build)))
    assert "by bob (push)" in told.message
    place.store.delete(keys.blob(ann.do(workspaces.tree_of("w")).tree))
    now = ann.do(workspaces.tree_of("w"))
    error_of(Damaged, lambda: ann.do(workspaces.push(ann.actor, "w", now, lambda *_: trees.walk(now.tree))))  # type: ignore[arg-type]


def test_a_failed_build_leaves_no_record(ann: Agent, place: Place) -> None:
    create(ann, "w", {})

    def build(*_: object) -> Op[Root]:
        yield from ()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        ann.do(workspaces.push(ann.actor, "w", None, build))
    assert uploads(place) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_spoilt_answer_neither_loses_a_push_nor_pushes_twice(ann: Agent, place: Place, way: str) -> None:
    create(ann, "w", {"f": "1"})
    ann.spoil(*WAYS[way], key="workspaces/")
    push(ann, "w", {"f": "2"})
    now = ann.heal().do(workspaces.show("w")).doc
    assert [change.event for change in now.history] == ["create", "push"]
    assert uploads(place) == []


def test_the_record_of_a_push_whose_outcome_is_unknown_stays(ann: Agent, place: Place) -> None:
    """Its write may land late: gc must find whom to wait for, and make that write fail."""
    base = create(ann, "w", {"f": "1"}).root
    ann.spoil(Fault.DELAY, key="workspaces/").spoil(*[Fault.DROP] * 20, key="workspaces/")
    error_of(Indeterminate, lambda: push(ann, "w", {"f": "2"}, base))
    assert uploads(place) == [State.OPEN]


def test_a_checkpoint_keeps_a_tree_and_costs_two_requests(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    assert ann.cost(workspaces.checkpoint(ann.actor, "w", "v1", "good")) == {"get": 1, "put": 1}
    push(ann, "w", {"f": "2"})
    assert (files(ann, "w@v1"), files(ann, "w")) == ({"f": "1"}, {"f": "2"})
    error_of(Lost, lambda: ann.do(workspaces.checkpoint(ann.actor, "w", "v1")))
    assert not ann.do(workspaces.checkpoint(ann.actor, "w", "v2")).again
    assert ann.do(workspaces.checkpoint(ann.actor, "w", "v2")).again
    kept = ann.do(workspaces.show("w")).doc.checkpoints["v1"]
    assert (kept.by, kept.note) == ("ann", "good")
    error_of(UsageError, lambda: ann.do(workspaces.checkpoint(ann.actor, "w", "a/b")))


def test_checkpoints_have_a_limit(ann: Agent, place: Place) -> None:
    doc = create(ann, "w", {"f": "1"})
    full = {f"c{number}": Checkpoint(root=NOTHING) for number in range(MAX_CHECKPOINTS)}
    place.write(keys.workspace("w"), encode(doc.but(checkpoints=full)))
    assert "limit" in error_of(UsageError, lambda: ann.do(workspaces.checkpoint(ann.actor, "w", "one"))).message


def test_a_restore_loses_no_work(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    ann.do(workspaces.checkpoint(ann.actor, "w", "v1"))
    push(ann, "w", {"f": "2"})
    assert not ann.do(workspaces.restore(ann.actor, "w", "v1")).again
    assert ann.do(workspaces.restore(ann.actor, "w", "v1")).again
    assert (files(ann, "w"), files(ann, "w@before-restore-1")) == ({"f": "1"}, {"f": "2"})
    ann.do(workspaces.restore(ann.actor, "w", "before-restore-1"))
    assert sorted(ann.do(workspaces.show("w")).doc.checkpoints) == ["before-restore-1", "v1"]
    push(ann, "w", {"f": "3"})
    ann.do(workspaces.restore(ann.actor, "w", "v1"))
    assert files(ann, "w@before-restore-2") == {"f": "3"}
    error_of(NotFound, lambda: ann.do(workspaces.restore(ann.actor, "w", "v9")))


def test_a_teardown_is_refused_where_it_would_lose_work(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    error = error_of(Lost, lambda: ann.do(workspaces.teardown(ann.actor, "w")))
    assert "--force" in error.hint
    (fork,) = ann.do(forks.fork(ann.actor, "w", 1))
    ann.do(workspaces.teardown(ann.actor, fork.name))
    ann.do(workspaces.teardown(ann.actor, "w", force=True))
    assert ann.do(workspaces.list_()) == []
    error_of(NotFound, lambda: ann.do(workspaces.show("w")))
    error_of(NotFound, lambda: ann.do(workspaces.teardown(ann.actor, "w")))


def test_a_torn_down_workspace_is_made_anew_and_goes_on_counting(ann: Agent) -> None:
    create(ann, "w", {"f": "1"}, ttl=5)
    ann.do(workspaces.checkpoint(ann.actor, "w", "v1"))
    before = ann.do(workspaces.teardown(ann.actor, "w", force=True))
    assert (before.root, before.checkpoints, before.roots) == (NOTHING, {}, ())
    again = create(ann, "w", {"f": "2"})
    assert again.seq == before.seq + 1 == again.born
    assert (again.checkpoints, again.ttl, again.deleted) == ({}, None, False)
    assert [change.event for change in again.history] == ["create", "checkpoint", "teardown", "create"]


def test_the_history_is_kept_within_bounds(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    for number in range(KEPT + 3):
        push(ann, "w", {"f": str(number % 2 + 2)})
    now = ann.do(workspaces.show("w")).doc
    assert len(now.history) == KEPT
    assert now.history[-1].seq == now.seq
    assert now.wrote(now.history[3].write_id, now.history[3].seq) is True
    assert now.wrote("other", now.history[3].seq) is False
    assert now.wrote("other", 2) is None


def test_what_ran_out_by_the_stores_clock_is_torn_down_and_nothing_else(place: Place, bob: Agent) -> None:
    ann = place.agent("ann", skew=86400.0).warm()
    create(ann, "short", {"f": "1"}, ttl=60)
    create(ann, "long", {"f": "1"}, ttl=3600)
    create(ann, "ever", {"f": "1"})
    assert ann.do(workspaces.expire(ann.actor)) == []
    place.pass_(50)
    push(bob, "short", {"f": "2"})
    place.pass_(50)
    assert ann.do(workspaces.expire(ann.actor)) == []
    place.pass_(50)
    assert files(ann, "short") == {"f": "2"}
    assert ann.do(workspaces.expire(ann.actor, dry_run=True)) == ["short"]
    assert ann.do(workspaces.expire(ann.actor)) == ["short"]
    assert [one.name for one in ann.do(workspaces.list_())] == ["ever", "long"]
    left = decode(Workspace, "", place.body(keys.workspace("short")))
    assert (left.history[-1].event, left.roots) == ("expire", ())


def test_a_workspace_that_is_changed_while_it_expires_is_spared(place: Place, ann: Agent, bob: Agent) -> None:
    create(ann, "w", {"f": "1"}, ttl=60)
    place.pass_(100)
    bob.warm()
    Between(ann, lambda: push(bob, "w", {"f": "2"}), key="workspaces/", lands=False)
    assert ann.do(workspaces.expire(ann.actor)) == []
    assert files(bob, "w") == {"f": "2"}


def test_a_workspace_that_moved_says_where_to(ann: Agent, place: Place) -> None:
    doc = create(ann, "w", {"f": "1"})
    place.write(keys.workspace("w"), encode(doc.but(moved_to="s3://elsewhere")))
    ops: list[Op[Any]] = [
        workspaces.show("w"),
        workspaces.push(ann.actor, "w", doc.root, sent({})),
        workspaces.checkpoint(ann.actor, "w", "v1"),
        workspaces.create(ann.actor, "w"),
        workspaces.list_(),
        workspaces.teardown(ann.actor, "w", force=True),
    ]
    for op in ops:
        assert error_of(Moved, partial(ann.do, op)).details["to"] == "s3://elsewhere"


def test_a_damaged_workspace_is_listed_with_what_is_wrong(ann: Agent, place: Place) -> None:
    create(ann, "w", {})
    place.write(keys.workspace("x"), b"{}")
    place.write("workspaces/no~name.json", b"{}")
    place.write(keys.workspace("y"), encode(Workspace(name="y")).replace(b'"name":"y"', b'"name":"y","forming":"../../x"'))
    listed = ann.do(workspaces.list_())
    assert [(one.name, one.workspace is None) for one in listed] == [("w", False), ("x", True), ("y", True)]
    assert "no format number" in listed[1].why


def test_the_timeline_tells_what_became_of_workspaces(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    ann.do(workspaces.checkpoint(ann.actor, "w", "v1"))
    ann.do(forks.fork(ann.actor, "w", 1))
    push(ann, "w-1", {"f": "2"})
    ann.do(merging.merge(ann.actor, "w-1", "w"))
    ann.do(workspaces.teardown(ann.actor, "w-1"))
    told = [(one.subject, one.event, one.text) for one in ann.do(timeline()).events if one.kind == "workspace"]
    assert sorted(told) == sorted(
        [
            ("w", "create", ""),
            ("w", "checkpoint", "v1"),
            ("w", "merge", "of w-1 into it"),
            ("w-1", "fork", "of w"),
            ("w-1", "push", ""),
            ("w-1", "teardown", ""),
        ]
    )


def test_a_push_that_changes_one_file_of_many_sends_one_way_down(ann: Agent) -> None:
    from windlass.ops import trees

    many = {f"d{number % 100}/f{number}": "1" for number in range(10_000)}
    known: dict[str, str] = {}

    def build(what: Mapping[str, str]) -> Callable[..., Op[Root]]:
        def op(upload: Upload, *_: object) -> Op[Root]:
            root, names = yield from trees.write(upload, entries(what), known)
            known.update(names)
            return Root.of(root)

        return op

    ann.do(workspaces.create(ann.actor, "w", build=build(many)))
    base = ann.do(workspaces.show("w")).doc.root
    op = workspaces.push(ann.actor, "w", base, build(many | {"d7/f7": "2"}))
    assert ann.cost(op) == {"get": 2, "put": 2 + 2, "delete": 1}  # the register and gc's; record, folder, root, register; record


def test_an_upload_is_announced_before_anything_is_relied_on(ann: Agent) -> None:
    """The register first, then the record, then gc's register: in any other order a gc could miss it."""
    base = create(ann, "w", {"f": "1"}).root
    order: list[tuple[str, str]] = []

    class Noting:
        def __getattr__(self, name: str) -> object:
            return getattr(ann.faulty, name)

        def get(self, key: str, unless: str | None = None) -> object:
            order.append(("get", key.partition("/")[0]))
            return ann.faulty.get(key, unless)

        def put(self, key: str, body: bytes, condition: fx.Condition) -> str:
            order.append(("put", key.partition("/")[0]))
            return ann.faulty.put(key, body, condition)

    ann.counting.store = Noting()  # type: ignore[assignment]
    ann.do(workspaces.push(ann.actor, "w", base, sent({"f": "2"})))
    assert order == [("get", "workspaces"), ("put", "pending"), ("get", "gc.json"), ("put", "blobs"), ("put", "workspaces")]


def test_a_teardown_is_refused_where_those_who_had_the_same_were_torn_down_before(ann: Agent) -> None:
    create(ann, "w", {"f": "1"})
    (fork,) = ann.do(forks.fork(ann.actor, "w", 1))
    push(ann, fork.name, {"f": "2"}, fork.root)
    ann.do(merging.merge(ann.actor, fork.name, "w"))
    ann.do(workspaces.teardown(ann.actor, fork.name))
    error_of(Lost, lambda: ann.do(workspaces.teardown(ann.actor, "w")))
    create(ann, fork.name, {"another": "of that name"})
    error_of(Lost, lambda: ann.do(workspaces.teardown(ann.actor, "w")))
    assert files(ann, "w") == {"f": "2"}


def test_a_fork_that_nothing_was_changed_in_goes_though_its_base_went_on(ann: Agent) -> None:
    base = create(ann, "w", {"f": "1"}).root
    (fork,) = ann.do(forks.fork(ann.actor, "w", 1))
    push(ann, "w", {"f": "2"}, base)
    ann.do(workspaces.teardown(ann.actor, fork.name))
    error_of(NotFound, lambda: ann.do(workspaces.show(fork.name)))


def test_a_long_note_is_refused_before_it_fills_the_register(ann: Agent) -> None:
    base = create(ann, "w", {"f": "1"}).root
    before = ann.do(workspaces.show("w")).version
    error_of(UsageError, lambda: ann.do(workspaces.push(ann.actor, "w", base, sent({"f": "2"}), note="x" * 3000)))
    error_of(UsageError, lambda: ann.do(workspaces.checkpoint(ann.actor, "w", "v1", "x" * 3000)))
    assert ann.do(workspaces.show("w")).version == before
