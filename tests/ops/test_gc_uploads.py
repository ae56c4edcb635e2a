"""gc and uploads, forks and other runs beside it: whoever publishes finds all that it refers to, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ops import uploaders
from tests.ops.stored import (
    Halted,
    before_listing,
    before_publishing,
    found_sweep,
    name_of,
    put,
    put_file,
    put_tree,
    sweep,
    there,
    workspace,
)
from tests.ops.world import DAY, HOUR, Place, error_of, stop_before

from windlass import effects as fx
from windlass.digest import sha256_hex
from windlass.errors import AccessDenied, Damaged, Indeterminate, Lost, TimedOut, Unavailable
from windlass.ops import blobs, pending, registers, steps
from windlass.ops.agents import act
from windlass.ops.gc import KEPT, SILENT, gc
from windlass.ops.settling import settled
from windlass.protocol import keys
from windlass.protocol.codec import encode
from windlass.protocol.pending import Pending, State, Sweep
from windlass.protocol.steps import Step
from windlass.protocol.workspaces import Root, Workspace
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from tests.ops.world import Agent


@pytest.fixture
def place() -> Place:
    return Place()


def test_content_that_is_there_is_not_sent_again_while_no_gc_runs(place: Place) -> None:
    ann = place.agent("ann").warm()
    put(place, b"x")
    ann.do(uploaders.upload(ann.actor, "a", b"x"))
    place.pass_(2 * DAY)
    sweep(place)
    ann.do(uploaders.upload(ann.actor, "b", b"x"))
    assert there(place) == {name_of(b"x")}


def test_while_a_gc_runs_what_nobody_refers_to_is_sent_again(place: Place) -> None:
    ann = place.agent("ann").warm()
    put(place, b"kept")
    put(place, b"x")
    place.write(keys.SWEEP, encode(Sweep(epoch=4, sweeping=True, write_id="w", seq=4)))
    ann.do(uploaders.upload(ann.actor, "b", b"x"))
    ann.do(uploaders.push(ann.actor, "w", {"f": b"kept"}))
    tree = ann.do(settled("w"))
    assert tree is not None
    assert there(place) == {name_of(b"kept"), name_of(b"kept", 4), name_of(b"x"), name_of(b"x", 4), tree.doc.root.tree}
    assert len(place.keys("pending/")) == 2  # for the gc that runs: it may have read the registers before


def test_the_records_of_uploads_that_are_over_go(place: Place) -> None:
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", b"x"))
    assert place.keys("pending/") == []
    place.write(keys.SWEEP, encode(Sweep(epoch=4, sweeping=True, write_id="w", seq=4)))
    ann.do(uploaders.upload(ann.actor, "b", b"x"))
    sweep(place)
    assert place.keys("pending/") == []


def begun(place: Place, agent: Agent, key: str = "artifacts/a.json") -> pending.Upload:
    me = agent.do(act(agent.actor))
    return agent.do(pending.begin(me, [key]))


def test_a_young_upload_is_waited_for(place: Place) -> None:
    ann = place.agent("ann").warm()
    under = begun(place, ann)
    put(place, b"garbage")
    place.pass_(SILENT - 1)
    late = error_of(TimedOut, lambda: sweep(place, wait=60))
    assert "ann" in late.message
    assert there(place) == {name_of(b"garbage")}
    sweeper = place.agent("sweeper")
    sweeper.world._sleep = lambda seconds: ann.do(pending.end(under))
    place.pass_(HOUR / 2)
    sweeper.do(gc(sweeper.actor, grace=4 * HOUR))
    assert sweeper.do(gc(sweeper.actor, grace=HOUR)).deleted == 1


def test_an_upload_of_many_hours_says_that_it_goes_on_and_is_not_given_up(place: Place) -> None:
    ann = place.agent("ann").warm()
    under = begun(place, ann)
    for number in range(20):
        place.pass_(HOUR / 2)
        ann.do(blobs.keep(under, sha256_hex(b"%d" % number), lambda number=number: b"%d" % number))  # type: ignore[misc]
    error_of(TimedOut, lambda: sweep(place, wait=0))
    assert ann.do(pending.still(under)) > 0


def test_an_upload_says_so_once_a_minute_however_much_it_sends(place: Place) -> None:
    ann = place.agent("ann").warm()
    under = begun(place, ann)
    ann.counting.reset()
    for number in range(30):
        place.pass_(10)
        ann.do(blobs.keep(under, sha256_hex(b"%d" % number), lambda number=number: b"%d" % number))  # type: ignore[misc]
    assert len([one for one in ann.counting.requests if one.kind == "put" and one.key.startswith("pending/")]) == 5


def test_an_upload_that_is_silent_for_an_hour_is_given_up_and_told_so_when_it_goes_on(place: Place) -> None:
    ann = place.agent("ann").warm()
    under = begun(place, ann)
    place.pass_(SILENT)
    assert [one.agent for one in sweep(place, wait=0).abandoned] == ["ann"]
    error_of(Lost, lambda: ann.do(blobs.keep(under, sha256_hex(b"x"), lambda: b"x")))
    assert there(place) == set()


def test_after_a_run_that_waited_in_vain_what_is_there_is_trusted_again(place: Place) -> None:
    ann = place.agent("ann").warm()
    begun(place, ann)
    put(place, b"x")
    error_of(TimedOut, lambda: sweep(place, wait=0))
    ann.do(uploaders.upload(ann.actor, "b", b"x"))
    assert there(place) == {name_of(b"x")}


@pytest.mark.parametrize("before", ["nothing", "a version", "a deleted one"])
def test_a_stale_upload_is_given_up_and_its_late_publication_refused(place: Place, before: str) -> None:
    bob = place.agent("bob").warm()
    put(place, b"x")
    if before != "nothing":
        bob.do(uploaders.upload(bob.actor, "a", b"y"))
    if before == "a deleted one":
        bob.do(uploaders.delete(bob.actor, "a"))
    halted = before_publishing(place, "a", b"x")
    place.pass_(2 * DAY)
    swept = sweep(place)
    assert [one.agent for one in swept.abandoned] == ["ann"]
    assert name_of(b"x") not in there(place)
    error_of(Lost, halted.go_on)
    assert name_of(b"x") not in there(place)
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", b"x"))
    assert name_of(b"x", 1) in there(place)


def test_an_upload_given_up_by_a_gc_that_died_is_still_fenced_by_the_next(place: Place) -> None:
    """Its record says abandoned, but nobody has touched its register."""
    put(place, b"x")
    halted = before_publishing(place, "a", b"x")
    place.pass_(2 * DAY)
    request = 0
    killed = place.agent("killed").warm()
    while True:
        assert stop_before(gc(killed.actor), killed, request), "it abandons"
        found = registers.of(place.store.get(place.keys("pending/")[0]), Pending)  # type: ignore[arg-type]
        assert found is not None
        if found.doc.state is State.ABANDONED:
            break
        request += 1
    assert place.keys("artifacts/") == []
    place.pass_(2 * DAY)
    sweep(place)
    error_of(Lost, halted.go_on)


def test_an_upload_that_cannot_tell_whether_it_published_keeps_its_record(place: Place) -> None:
    """So that gc, once it gives it up, makes sure that a publication which comes late is refused."""
    ann = place.agent("ann").warm()
    ann.spoil(Fault.DROP, key="artifacts/", forever=True)
    error_of(Indeterminate, lambda: ann.do(uploaders.upload(ann.actor, "a", b"x")))
    assert len(place.keys("pending/")) == 1
    ann.heal().spoil(AccessDenied("no", ""), kind="put", key="artifacts/")
    error_of(AccessDenied, lambda: ann.do(uploaders.upload(ann.actor, "a", b"x")))
    assert len(place.keys("pending/")) == 1


def test_the_record_of_an_upload_given_up_stays_until_no_request_of_its_can_come(place: Place) -> None:
    begun(place, place.agent("ann").warm())
    place.pass_(2 * DAY)
    for _ in range(2):
        sweep(place)
        assert len(place.keys("pending/")) == 1
    place.pass_(KEPT + 1)
    sweep(place)
    assert place.keys("pending/") == []


@pytest.mark.parametrize("kind", ["steps", "workspaces"])
def test_the_register_that_a_dead_upload_was_to_change_is_changed_before(place: Place, kind: str) -> None:
    ann = place.agent("ann").warm()
    ann.do(steps.claim(ann.actor, "s"))
    key = keys.step("s") if kind == "steps" else keys.workspace("w")
    before = place.store.get(key)
    begun(place, ann, key)
    place.pass_(2 * DAY)
    sweep(place)
    after = place.store.get(key)
    assert isinstance(after, fx.Object)
    assert after != before
    if kind == "steps":
        step = registers.of(after, Step)
        assert step is not None
        assert step.doc.claim is not None
        assert step.doc.history[-1].event == "touch"
        ann.do(steps.release(ann.actor, "s"))
    else:
        found = registers.of(after, Workspace)
        assert found is not None
        assert found.doc.deleted


def test_a_record_that_names_no_register_stops_it(place: Place) -> None:
    begun(place, place.agent("ann").warm(), "elsewhere/x.json")
    put(place, b"garbage")
    place.pass_(2 * DAY)
    error_of(Damaged, lambda: sweep(place))
    assert there(place) == {name_of(b"garbage")}


def test_a_run_that_another_one_overtook_deletes_nothing(place: Place) -> None:
    put(place, b"garbage")
    place.pass_(2 * DAY)
    first = place.agent("first").warm()
    halted = before_listing(first, keys.BLOBS)
    place.write(keys.SWEEP, encode(Sweep(epoch=2, sweeping=True, write_id="other", seq=2)))
    error_of(Lost, halted.go_on)
    assert there(place) == {name_of(b"garbage")}
    assert found_sweep(place).sweeping


def test_a_run_that_misses_what_a_later_one_deleted_is_told_of_that_one_and_of_no_damage(place: Place) -> None:
    folder = put_tree(place, f=put_file(place, b"content"))
    workspace(place, "w", root=Root.of(folder))
    place.pass_(2 * DAY)
    slow, quick = place.agent("slow").warm(), place.agent("quick").warm()
    halted = Halted(slow, gc(slow.actor), lambda ask: isinstance(ask, fx.Get) and ask.key == keys.blob(folder.name))
    quick.do(uploaders.teardown(quick.actor, "w"))
    assert quick.do(gc(quick.actor)).deleted == 2
    error_of(Lost, halted.go_on)


def test_a_gc_that_died_while_it_deleted_costs_trust_in_older_blobs_and_no_more(place: Place) -> None:
    """It may stand still and go on at any time: so what nobody referred to before it is sent again."""
    for content in (b"one", b"two", b"x"):
        put(place, content)
    place.pass_(2 * DAY)
    killed = place.agent("killed").warm()
    request = 0
    while len(there(place)) == 3:
        place.store.delete(keys.SWEEP)
        assert stop_before(gc(killed.actor), killed, request)
        request += 1
    assert len(there(place)) == 2
    found_sweep(place)
    sweep(place, grace=30 * DAY)
    assert found_sweep(place).floor == 1
    left = next(content for content in (b"one", b"two", b"x") if name_of(content) in there(place))
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", left))
    assert name_of(left, 2) in there(place)
    ann.do(uploaders.upload(ann.actor, "b", left))
    assert name_of(left, 2) in there(place)
    assert len(there(place)) == 3


def test_a_deletion_without_an_answer_is_repeated_and_older_blobs_are_not_trusted(place: Place) -> None:
    put(place, b"x")
    place.pass_(2 * DAY)
    sweeper = place.agent("sweeper").warm()
    sweeper.spoil(Unavailable("no answer", ""), kind="delete", key="blobs/")
    assert sweeper.do(gc(sweeper.actor)).deleted == 1
    assert there(place) == set()
    assert found_sweep(place).floor == 1


def test_a_store_that_answers_no_deletion_ends_it_and_older_blobs_are_not_trusted(place: Place) -> None:
    put(place, b"x")
    place.pass_(2 * DAY)
    sweeper = place.agent("sweeper").warm()
    sweeper.spoil(Unavailable("no answer", ""), kind="delete", key="blobs/", forever=True)
    error_of(Unavailable, lambda: sweeper.do(gc(sweeper.actor)))
    assert (found_sweep(place).sweeping, found_sweep(place).floor) == (False, 1)


def test_who_may_not_delete_is_told_and_nothing_else_changes(place: Place) -> None:
    put(place, b"x")
    place.pass_(2 * DAY)
    sweeper = place.agent("sweeper").warm()
    sweeper.spoil(AccessDenied("no", ""), kind="delete", key="blobs/", forever=True)
    error_of(AccessDenied, lambda: sweeper.do(gc(sweeper.actor)))
    assert (found_sweep(place).sweeping, found_sweep(place).floor) == (False, 0)


def test_a_fork_that_was_cut_short_leaves_nothing_behind(place: Place) -> None:
    ann = place.agent("ann").warm()
    ann.do(uploaders.push(ann.actor, "w", {"f": b"x"}))
    request = 0
    while stop_before(uploaders.fork(ann.actor, "w", 2), ann, request):
        request += 1
        made = [name for name in ("w-1", "w-2") if keys.workspace(name) in place.keys("workspaces/")]
        counted = [name for name in made if counts(place, name)]
        place.pass_(2 * DAY)
        sweep(place)
        left = [name for name in ("w-1", "w-2") if counts(place, name)]
        assert left == counted
        assert left in ([], ["w-1", "w-2"])
        for name in made:
            found = registers.of(place.store.get(keys.workspace(name)), Workspace)  # type: ignore[arg-type]
            assert found is not None
            assert not found.doc.forming
        for name in ("w-1", "w-2"):
            place.store.delete(keys.workspace(name))
        ann.warm()
    assert request > 8


def counts(place: Place, name: str) -> bool:
    found = place.agent("looker").do(settled(name))
    return found is not None and not found.doc.deleted


def test_what_an_upload_holds_that_began_beside_it_is_kept(place: Place) -> None:
    """A gc reads the fork's registers, then pauses; the fork is made and its source torn down before it goes on."""
    ann = place.agent("ann").warm()
    ann.do(uploaders.push(ann.actor, "w", {"f": b"x"}))
    place.pass_(2 * DAY)
    sweeper = place.agent("sweeper").warm()
    halted = before_listing(sweeper, keys.WORKSPACES)
    seen = place.store.list(keys.WORKSPACES)
    ann.warm()
    ann.do(uploaders.fork(ann.actor, "w", 1, "a"))
    ann.do(uploaders.teardown(ann.actor, "w"))
    halted.effect = halted.op.send(seen)
    assert halted.go_on().deleted == 0
    root = ann.do(_root("a-1"))
    ann.do(blobs.fetch(root))


def _root(name: str) -> fx.Op[str]:
    found = yield from registers.fetch(keys.workspace(name), Workspace)
    assert found is not None
    return found.doc.root.tree


def test_a_fork_begins_with_what_its_source_refers_to_when_its_record_is_there(place: Place) -> None:
    """What it saw before may be gone by then."""
    ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
    ann.do(uploaders.push(ann.actor, "w", {"f": b"x"}))
    place.pass_(2 * DAY)
    ann.warm()
    halted = Halted(ann, uploaders.fork(ann.actor, "w", 1), lambda ask: isinstance(ask, fx.Put) and ask.key.startswith("pending/"))
    bob.do(uploaders.push(bob.actor, "w", {"f": b"y"}))
    assert sweep(place).deleted == 2
    halted.go_on()
    ann.do(blobs.fetch(ann.do(_root("w-1"))))
    assert ann.do(_root("w-1")) == ann.do(_root("w"))


def test_something_that_was_held_in_vain_is_no_damage(place: Place) -> None:
    """An upload may hold a tree that is gone: it looks whether the other register still refers to it."""
    ann = place.agent("ann").warm()
    me = ann.do(act(ann.actor))
    ann.do(pending.begin(me, [keys.workspace("w")], [name_of(b"gone")]))
    place.write(keys.SWEEP, encode(Sweep(epoch=1, write_id="w", seq=1)))
    assert sweep(place, grace=0).deleted == 0
