"""A project moves whole: nothing is lost, nothing is accepted where it left, and a move that was cut off is finished by the next."""

from __future__ import annotations

import json
import shlex
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.world import Agent, Killed, Place, error_of

from windlass.digest import sha256_hex
from windlass.errors import ClaimLost, Lost, Moved, NotFound, WindlassError
from windlass.ops import (
    agents,
    artifacts,
    blobs,
    lineage,
    logs,
    mail,
    memory,
    moving,
    pending,
    plans,
    registers,
    status,
    steps,
    timeline,
    work,
)
from windlass.ops.survey import survey
from windlass.project.moving import transfer
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, MARGIN, Keeper
from windlass.protocol.artifacts import Artifact, parse_ref
from windlass.protocol.blobs import PART, Blob
from windlass.protocol.codec import decode, encode
from windlass.protocol.mail import SEGMENT, Message
from windlass.protocol.pending import Sweep
from windlass.protocol.plans import build
from windlass.protocol.project import Marker
from windlass.protocol.steps import Handoff, Status, Step
from windlass.protocol.trees import file_entry
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windlass import effects as fx
    from windlass.ops.artifacts import Uploaded
    from windlass.ops.moving import Moving
    from windlass.ops.pending import Upload
    from windlass.protocol.trees import Entry

OLD, NEW = "/old", "s3://new/place"
PLAN = {"steps": {"design": {"priority": 2}, "build": {"needs": ["design"]}, "test": {"needs": ["build"]}, "docs": {"priority": 1}}}


class Side:
    """The project in one store, as the mover has it open."""

    def __init__(self, place: Place, url: str, machine: str = "movers") -> None:
        self.url = url
        self.agent = place.agent("mover", machine=machine)

    def run(self, op: fx.Op[Any]) -> Any:
        return self.agent.do(op)


def told(agent: Agent, op: fx.Op[Any]) -> Moved:
    """What an agent is told that acts where the project is no more."""
    return error_of(Moved, partial(agent.do, op))


def done(agent: Agent, state: Status = Status.COMPLETE, note: str = "") -> Handoff:
    return Handoff(agent=agent.name, state=state, at=0.0, note=note)


def busy() -> Place:
    """A project in the middle of its plan: work done, in review and open, memory with a past, mail read and unread."""
    place = Place()
    ada, ben = place.agent("ada", machine="m"), place.agent("ben", machine="m")
    ada.do(plans.apply(ada.actor, build(PLAN)))
    ada.do(steps.claim(ada.actor, "design"))
    ada.do(work.after_change(ada.do(steps.finish(ada.actor, "design", done(ada, note="see api.py")))))
    ben.do(steps.claim(ben.actor, "docs"))
    ben.do(steps.finish(ben.actor, "docs", done(ben, Status.NEEDS_REVIEW)))
    for value in ("one", "two", {"three": 3}):
        ada.do(memory.set_(ada.actor, "design.contract", value))
    ada.do(memory.set_(ada.actor, "old", 1))
    ada.do(memory.delete(ada.actor, "old"))
    ada.do(memory.set_(ada.actor, "once", "only"))
    ada.do(mail.send(ada.actor, "ben", "first", needs_ack=True))
    ada.do(mail.send(ada.actor, "ben", "second", ident="k1"))
    ada.do(mail.send(ada.actor, keys.BROADCAST, "hello all"))
    ben.do(mail.seen(ben.actor, ben.do(mail.unread(ben.actor, 1))))
    ben.do(mail.ack(ben.actor, "ben:0"))
    for body in (b"one", b"two"):
        ada.do(publish(ada, "api", body))
    ada.do(pending.begin(ada.do(agents.act(ada.actor)), [keys.artifact("never")]))
    place.pass_(2 * FRESH)
    return place


def publish(agent: Agent, name: str, body: bytes, *, then: Callable[[], object] = lambda: None, step: str = "") -> fx.Op[Uploaded]:
    """Upload a small file; `then` happens before it is published."""

    def content(under: Upload) -> fx.Op[Entry]:
        digest = sha256_hex(body)
        name = yield from blobs.keep(under, digest, lambda: body)
        then()
        return file_entry(Blob(sha=digest, size=len(body), name=name))

    return artifacts.upload(agent.actor, name, content, step=step)


def copy_of(place: Place) -> Place:
    other = Place()
    other.now = place.now
    other.store._objects = dict(place.store._objects)
    return other


def content(place: Place) -> dict[str, bytes]:
    return {entry.key: place.body(entry.key) for entry in place.store.list("", "", 1000).entries}


def check_arrived(before: dict[str, bytes], there: Place) -> None:
    """Everything that users see is there as it was, claims included; only epochs have grown."""
    after = content(there)
    for key, body in before.items():
        if key.startswith((keys.PRESENCE, "clock/", keys.PENDING, keys.BOARD, keys.SURVEY, keys.MARKER)):
            continue
        assert key in after, f"{key} was lost"
        if key.startswith(keys.ARTIFACTS):
            old, new = decode(Artifact, key, body), decode(Artifact, key, after[key])
            assert (new.current, new.moved_to) == (old.current, None)
            continue
        if key.startswith(keys.STEPS):
            was, now = decode(Step, key, body), decode(Step, key, after[key])
            assert now.moved_to is None
            assert (now.definition, now.status, now.handoff, now.worker) == (was.definition, was.status, was.handoff, was.worker)
            assert now.claim == was.claim
            assert now.history[: len(was.history)] == was.history
            assert now.epoch > was.epoch
        else:
            assert after[key] == body, f"{key} changed on the way"
    extra = after.keys() - before.keys() - {keys.MARKER}
    assert not extra, f"nobody wrote {extra}"
    marker = decode(Marker, keys.MARKER, after[keys.MARKER])
    assert (marker.arriving_from, marker.moved_to, marker.moving) == (None, None, False)
    assert marker.planned == decode(Marker, keys.MARKER, before[keys.MARKER]).planned


def check_left(place: Place, to: str = NEW) -> None:
    """The old store tells everybody where the project went, and takes nothing any more."""
    marker = decode(Marker, keys.MARKER, place.body(keys.MARKER))
    assert (marker.moved_to, marker.moving) == (to, False)
    ada = place.agent("ada", machine="elsewhere")
    for act in (
        steps.claim(ada.actor, "build"),
        steps.claim(ada.actor, "brand-new", create=True),
        memory.set_(ada.actor, "design.contract", "late"),
        publish(ada, "api", b"late"),
        publish(ada, "brand-new", b"late"),
        artifacts.delete(ada.actor, parse_ref("api")),
        artifacts.list_(),
        mail.send(ada.actor, "ben", "late"),
        mail.unread(ada.actor),
        work.next_(ada.actor),
    ):
        assert told(ada, act).to == to


def moved(place: Place, there: Place, *, force: bool = False, **machine: str) -> Moving:
    return transfer(Side(place, OLD, **machine), Side(there, NEW, **machine), "demo", "mover", force=force)


def test_caches_stay_behind() -> None:
    place, there = busy(), Place()
    for key in (keys.BOARD, keys.SURVEY):
        place.write(key, b"what is known here")
    moved(place, there)
    assert {keys.BOARD, keys.SURVEY}.isdisjoint(there.keys())


def test_a_project_arrives_whole_and_work_goes_on_there() -> None:
    place, there = busy(), Place()
    before = content(place)
    came = moved(place, there)
    assert came.objects == sum(not key.startswith((keys.PRESENCE, keys.PENDING, keys.BOARD, keys.MARKER)) for key in before)
    check_arrived(before, there)
    check_left(place)
    ben = there.agent("ben", machine="m")
    assert [one.message.text for one in ben.do(mail.unread(ben.actor)).mails] == ["second", "hello all"]
    assert ben.do(work.next_(ben.actor)).step.name == "build"
    assert ben.do(memory.set_(ben.actor, "design.contract", "next", 3)).version == 4
    assert [one.value for one in ben.do(memory.history("design.contract"))] == ["next", {"three": 3}, "two", "one"]
    ada = there.agent("ada", machine="m")
    assert ada.do(mail.send(ada.actor, "ben", "second", ident="k1")).again
    assert ada.do(mail.send(ada.actor, "ben", "third")).id == "ben:2"


def test_artifacts_arrive_with_their_past_and_go_on_counting() -> None:
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m")
    ada.do(steps.claim(ada.actor, "build"))
    ada.do(publish(ada, "app", b"built", step="build"))
    ada.do(registers.update(keys.SWEEP, Sweep, lambda *_: Sweep(epoch=3)))
    moved(place, there, force=True)
    ben = there.agent("ben", machine="m")
    assert [one.version for one in ben.do(artifacts.history(parse_ref("api")))] == [2, 1]
    found = ben.do(lineage.verify([parse_ref(ref) for ref in ("api", "api@1", "build/app")]))
    assert (found.artifacts, found.damaged) == (3, ())
    assert ben.do(publish(ben, "api", b"three")).ref.version == 3
    assert ben.do(artifacts.show(parse_ref("api"))).entry.name.endswith(".3"), "the epoch of gc goes along"
    assert there.keys(keys.PENDING) == []


@pytest.mark.parametrize("name", ["api", "brand-new"])
def test_an_upload_that_began_before_a_move_is_told_and_publishes_nothing(name: str) -> None:
    place, there = busy(), Place()
    eve = place.agent("eve", machine="far away")

    def leave() -> None:
        moved(place, there)
        place.pass_(FRESH)

    assert told(eve, publish(eve, name, b"late", then=leave)).to == NEW
    ben = there.agent("ben", machine="m")
    assert [str(one.ref.but(version=one.artifact.version)) for one in ben.do(artifacts.list_()) if one.artifact] == ["api@2"]
    assert place.keys(keys.artifact("brand-new")) == []


def test_a_move_holds_no_more_in_memory_than_a_few_large_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    place, there = Place(), Place()
    place.agent("ada").warm()
    place.pass_(2 * FRESH)
    for n in range(30):
        place.write(keys.blob(f"{n:064x}.0"), bytes(PART))
    held: list[int] = []
    write = moving.write_in

    def measured(objects: Any, arriving: Marker) -> Any:
        held.append(sum(len(body) for _, body in objects))
        return write(objects, arriving)

    monkeypatch.setattr(moving, "write_in", measured)
    assert moved(place, there).objects >= 30
    assert max(held) <= 32 * 1024 * 1024
    assert len(there.keys(keys.BLOBS)) == 30


def test_nothing_appears_twice_in_the_timeline_of_the_new_store() -> None:
    place, there = busy(), Place()
    moved(place, there)
    look = there.agent("ada")
    events = [(one.kind, one.subject, one.seq) for one in look.do(timeline.timeline(limit=None)).events]
    assert len(events) == len(set(events))


def test_moving_again_says_that_it_was_done() -> None:
    place, there = busy(), Place()
    moved(place, there)
    now = content(there)
    assert moved(place, there).objects == 0
    assert content(there) == now


class Kill:
    """Ends the mover before its n-th request, on whichever side."""

    def __init__(self, left: int, *sides: Side) -> None:
        self.left = left
        for side in sides:
            side.agent.counting.store = _Counted(side.agent.counting.store, self)


class _Counted:
    def __init__(self, store: Any, kill: Kill) -> None:
        self.inner, self.kill = store, kill
        self.url, self.capabilities = store.url, store.capabilities

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def counted(*args: Any) -> Any:
            if self.kill.left == 0:
                raise Killed
            self.kill.left -= 1
            return call(*args)

        return counted


def killed_at(request: int, place: Place, there: Place, *, force: bool = False) -> bool:
    """Whether the move got as far as that request, and ended there."""
    source, dest = Side(place, OLD), Side(there, NEW)
    Kill(request, source, dest)
    try:
        transfer(source, dest, "demo", "mover", force=force)
    except Killed:
        return True
    return False


def test_a_move_killed_between_any_two_requests_is_finished_by_the_next() -> None:
    whole = busy()
    before = content(whole)
    request = 0
    while True:
        place, there = copy_of(whole), Place()
        if not killed_at(request, place, there):
            break
        moved(place, there)
        check_arrived(before, there)
        check_left(place)
        request += 1
    assert request > 100


def test_a_move_killed_again_and_again_gets_there() -> None:
    place, there = busy(), Place()
    before = content(place)
    runs = 0
    while killed_at(25 + runs, place, there):
        runs += 1
    assert runs > 3
    check_arrived(before, there)
    check_left(place)


def test_until_all_is_there_nobody_works_at_the_destination_and_nobody_at_the_source() -> None:
    whole = busy()
    request, closed = 0, 0
    while True:
        place, there = copy_of(whole), Place()
        if not killed_at(request, place, there):
            break
        ben = there.agent("ben", machine="m")
        if there.keys():
            if decode(Marker, keys.MARKER, there.body(keys.MARKER)).arriving_from is not None:
                assert OLD in error_of(WindlassError, partial(ben.do, work.next_(ben.actor))).message
                closed += 1
            else:
                told(place.agent("ben", machine="m"), steps.claim(ben.actor, "build"))
        request += 2
    assert closed > 25


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.REFUSE_AFTER, Fault.DROP], ids=lambda fault: fault.value)
def test_a_lost_answer_to_any_one_write_changes_nothing(fault: Fault) -> None:
    whole = busy()
    before = content(whole)
    for side in range(2):
        number = 0
        while True:
            place, there = copy_of(whole), Place()
            sides = Side(place, OLD), Side(there, NEW)
            sides[side].agent.spoil(*[None] * number, fault)
            transfer(*sides, "demo", "mover", force=False)
            check_arrived(before, there)
            if sides[side].agent.script:
                break
            number += 1
        assert number > 10


def test_a_late_command_on_the_same_machine_is_told_at_once() -> None:
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m").warm()
    source, dest = Side(place, OLD), Side(there, NEW)
    source.agent.world.hints = source.agent.hints = ada.hints
    transfer(source, dest, "demo", "mover", force=False)
    assert source.agent.slept == 0
    for act in (steps.claim(ada.actor, "build"), memory.set_(ada.actor, "new.key", 1), mail.send(ada.actor, "zoe", "x")):
        told(ada, act)


def test_a_command_of_windlass_run_on_the_same_machine_is_told_at_once() -> None:
    place, there = busy(), Place()
    source, dest = Side(place, OLD), Side(there, NEW)
    ada = place.agent("ada", machine="m", keeper=Keeper.RUN)
    ada.world.hints = source.agent.hints
    me = ada.do(agents.start_new(ada.actor))
    child = place.agent("ada", machine="m", keeper=Keeper.RUN, incarnation=me.incarnation)
    child.world.hints = source.agent.hints
    child.warm()
    transfer(source, dest, "demo", "mover", force=False)
    assert source.agent.slept == 0
    error_of(Moved, lambda: child.do(steps.claim(child.actor, "brand-new", create=True)))
    assert keys.step("brand-new") not in content(place)


def while_waiting(source: Side, act: Callable[[float], object]) -> None:
    """Let somebody act at each pause of the mover; with the seconds waited so far."""
    inner = source.agent.world._sleep

    def sleep(seconds: float) -> None:
        inner(seconds)
        act(source.agent.slept)

    source.agent.world._sleep = sleep


@pytest.mark.parametrize("ago", [0.0, 30.0])
def test_what_an_agent_elsewhere_writes_before_it_can_notice_is_brought_along(ago: float) -> None:
    """It looked at the marker so many seconds before the move began, and looks at it once a minute."""
    place, there = busy(), Place()
    ada = place.agent("fay", machine="far").warm()
    place.pass_(ago)
    source, dest = Side(place, OLD), Side(there, NEW)
    wrote: list[float] = []

    def late(waited: float) -> None:
        if not wrote and waited > (FRESH - ago) / 2:
            ada.do(memory.set_(ada.actor, "late.key", "kept"))
            ada.do(mail.send(ada.actor, "zoe", "kept"))
            ada.do(steps.claim(ada.actor, "late-step", create=True))
            wrote.append(waited)

    while_waiting(source, late)
    transfer(source, dest, "demo", "mover", force=False)
    assert wrote
    assert FRESH <= ago + source.agent.slept <= FRESH + MARGIN + 3
    look = there.agent("fay", machine="far")
    assert look.do(memory.get("late.key")).value == "kept"
    assert look.do(mail.read("zoe:0")).message.text == "kept"
    assert look.do(steps.finish(look.actor, "late-step", done(look))).step.status is Status.COMPLETE
    error_of(Moved, lambda: ada.do(memory.set_(ada.actor, "later.key", 1)))


def test_a_killed_move_does_not_make_the_next_one_wait_for_agents_of_this_machine() -> None:
    whole = busy()
    for request in (10, 40, 120):
        place, there = copy_of(whole), Place()
        late = UnderWay(place, Side(place, OLD))
        for kill in (request, 10_000):
            source, dest = Side(place, OLD), Side(there, NEW)
            source.agent.world.hints = late.hints
            Kill(kill, source, dest)
            try:
                transfer(source, dest, "demo", "mover", force=True)
            except Killed:
                continue
            assert source.agent.slept == 0


def test_nobody_is_waited_for_who_has_been_silent_for_a_minute() -> None:
    place, there = busy(), Place()
    place.agent("fay", machine="far").warm()
    place.pass_(FRESH + MARGIN + 1)
    source = Side(place, OLD)
    transfer(source, Side(there, NEW), "demo", "mover", force=False)
    assert source.agent.slept == 0


class UnderWay:
    """A command on the mover's machine that looked at the marker before the move began, and acts when it is told to."""

    def __init__(self, place: Place, source: Side) -> None:
        self.agent = place.agent("ada", machine="m").warm()
        self.hints = source.agent.world.hints = source.agent.hints = self.agent.hints
        self.seen = json.loads(self.hints.recall("me:ada::commands") or b"")
        self.did: list[str] = []

    def do(self, what: str, *ops: fx.Op[Any]) -> None:
        """Act; `did` tells what was not refused."""
        self.hints.remember("me:ada::commands", json.dumps({**self.seen, "seen_at": self.agent.place.now}).encode())
        try:
            for op in ops:
                self.agent.do(op)
            self.did.append(what)
        except Moved:
            self.did.append("told")
        self.hints.remember("me:ada::commands", None)


def test_a_write_between_the_listing_and_the_last_freeze_is_brought_along() -> None:
    """Even a command that looked at the marker long ago and was stopped since loses nothing that it was told is kept."""
    whole = busy()
    request = others = kept = 0
    while True:
        place, there = copy_of(whole), Place()
        source, dest = Side(place, OLD), Side(there, NEW)
        late = UnderWay(place, source)
        ada = late.agent

        def act(number: int, late: UnderWay = late, ada: Agent = ada, at: int = request) -> None:
            if number == at:
                late.do("kept", steps.claim(ada.actor, "build"), memory.set_(ada.actor, "once", "late"))

        source.agent.counting.store = _Each(source.agent.counting.store, act)
        transfer(source, dest, "demo", "mover", force=True)
        if not late.did:
            break
        if late.did == ["kept"]:
            kept += 1
            look = there.agent("ada", machine="m")
            assert look.do(memory.get("once")).value == "late"
            assert look.do(steps.show("build")).doc.worker == "ada"
        else:
            others += 1
        request += 2
    assert others > 10
    assert kept > 4


@pytest.mark.parametrize("later", [4, 12, 25])
def test_a_step_that_comes_late_and_changes_later_arrives_as_it_was_last(later: int) -> None:
    whole = busy()
    request = both = 0
    while True:
        place, there = copy_of(whole), Place()
        source, dest = Side(place, OLD), Side(there, NEW)
        late = UnderWay(place, source)
        ada = late.agent

        def act(number: int, late: UnderWay = late, ada: Agent = ada, at: int = request) -> None:
            if number == at:
                late.do("claimed", steps.claim(ada.actor, "late-step", create=True))
            elif number == at + later:
                late.do("completed", steps.finish(ada.actor, "late-step", done(ada)))

        source.agent.counting.store = _Each(source.agent.counting.store, act)
        transfer(source, dest, "demo", "mover", force=True)
        if not there.keys(keys.step("late-step")):
            break  # from here on it comes when nothing is copied any more
        arrived = decode(Step, "", there.body(keys.step("late-step")))
        assert (arrived.status is Status.COMPLETE) == ("completed" in late.did)
        both += late.did == ["claimed", "completed"]
        request += 1
    assert both > 10


def test_how_far_somebody_has_read_meanwhile_is_brought_along() -> None:
    place, there = busy(), Place()
    ben = place.agent("ben", machine="m").warm()
    source, dest = Side(place, OLD), Side(there, NEW)
    inbox = ben.do(mail.unread(ben.actor))

    def read(_: int) -> None:
        if there.keys(keys.cursor("ben")):
            ben.do(mail.seen(ben.actor, inbox))

    source.agent.counting.store = _Each(source.agent.counting.store, read)
    transfer(source, dest, "demo", "mover", force=False)
    look = there.agent("ben", machine="m")
    assert not look.do(mail.unread(look.actor)).mails


def test_a_first_half_that_is_finished_when_the_project_has_moved_on_changes_nothing() -> None:
    place, there, third = busy(), Place(), Place()
    requests = 0
    while killed_at(requests, copy_of(place), Place()):
        requests += 1
    assert killed_at(requests - 1, place, there)
    assert decode(Marker, keys.MARKER, place.body(keys.MARKER)).moving
    transfer(Side(there, NEW), Side(third, "/third"), "demo", "mover", force=False)
    before = content(there), content(third)
    assert moved(place, there).objects == 0
    assert (content(there), content(third)) == before
    check_left(place)


class _Each:
    """Calls somebody before each request, with its number from 0."""

    def __init__(self, store: Any, then: Callable[[int], None]) -> None:
        self.inner, self.then, self.number = store, then, -1
        self.url, self.capabilities = store.url, store.capabilities

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def watched(*args: Any) -> Any:
            self.number += 1
            self.then(self.number)
            return call(*args)

        return watched


def test_live_claims_stop_a_move_before_anything_is_written() -> None:
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m")
    ada.do(steps.claim(ada.actor, "build"))
    before = content(place)
    refused = error_of(Lost, lambda: moved(place, there))
    assert (refused.exit, refused.details["steps"]) == (3, ["build"])
    assert "ada" in refused.message
    assert "--force" in refused.hint
    assert content(place) == before
    assert not there.keys()


def test_claims_that_ran_out_do_not_stop_a_move() -> None:
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m")
    ada.do(steps.claim(ada.actor, "build", lease=60.0))
    place.pass_(3600)
    moved(place, there)
    assert there.agent("ben").do(steps.show("build")).doc.claim is not None


def test_forced_claims_go_on_at_the_destination_and_nowhere_else() -> None:
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m")
    claim = ada.do(steps.claim(ada.actor, "build")).step
    place.pass_(2 * FRESH)
    moved(place, there, force=True)
    error_of(Moved, lambda: ada.do(steps.finish(ada.actor, "build", done(ada), epoch=claim.epoch)))
    arrived = decode(Step, "", there.body(keys.step("build")))
    assert arrived.claim == claim.claim
    assert arrived.epoch == claim.epoch + 1
    ben = there.agent("ben", machine="m")
    assert "ada" in error_of(ClaimLost, lambda: ben.do(steps.claim(ben.actor, "build"))).message
    mine = there.agent("ada", machine="m")
    assert mine.do(steps.finish(mine.actor, "build", done(mine), epoch=claim.epoch)).step.status is Status.COMPLETE


def test_another_project_at_the_destination_stops_a_move_before_anything_is_written() -> None:
    place, there = busy(), Place()
    other = there.agent("zoe")
    other.do(memory.set_(other.actor, "theirs", 1))
    before, theirs = content(place), content(there)
    refused = error_of(Lost, lambda: moved(place, there, force=True))
    assert "at the destination already" in refused.message
    assert (content(place), content(there)) == (before, theirs)


def test_a_copy_made_by_hand_is_another_project_as_soon_as_it_lives() -> None:
    place = busy()
    there = copy_of(place)
    before = content(place)
    error_of(Lost, lambda: moved(place, there))
    assert content(place) == before


def test_objects_in_the_way_stop_the_move_and_are_not_overwritten() -> None:
    place, there = busy(), Place()
    there.write(keys.step("build"), b"somebody else's")
    refused = error_of(Lost, lambda: moved(place, there))
    assert keys.step("build") in refused.message
    assert there.body(keys.step("build")) == b"somebody else's"
    there.store.delete(keys.step("build"))
    moved(place, there)
    assert there.agent("ada").do(steps.show("build")).doc.status is Status.PENDING


def test_where_there_is_no_project_there_is_nothing_to_move() -> None:
    error_of(NotFound, lambda: moved(Place(), Place()))


def test_a_project_that_left_is_not_moved_elsewhere_from_here() -> None:
    place, there = busy(), Place()
    moved(place, there)
    refused = error_of(Moved, lambda: transfer(Side(place, OLD), Side(Place(), "/third"), "demo", "mover", force=True))
    assert refused.to == NEW


def test_damaged_objects_go_along_as_they_are_and_stop_nothing() -> None:
    place, there = busy(), Place()
    for key in (keys.step("torn"), keys.memory("torn"), keys.slot("ben", 2), "steps/foreign.txt", "mail/~x/y"):
        place.write(key, b"{torn")
    came = moved(place, there)
    assert not came.left
    for key in (keys.step("torn"), keys.memory("torn"), keys.slot("ben", 2), "steps/foreign.txt", "mail/~x/y"):
        assert there.body(key) == b"{torn"
    assert there.agent("ada").do(memory.get("once")).value == "only"


def test_an_object_that_no_store_reads_is_left_and_named() -> None:
    place, there = busy(), Place()
    place.write("steps/huge.json", b"x" * (9 * 1024 * 1024))
    assert moved(place, there).left == ("steps/huge.json",)
    assert "steps/huge.json" not in content(there)


def test_a_mailbox_with_a_gap_arrives_without_one() -> None:
    """As a sender leaves it that had a hint from before a restore and died before it filled the gap."""
    place, there = busy(), Place()
    place.write(keys.slot("ben", 10), encode(Message(sender="zoe", text="an island", at=place.now)))
    moved(place, there)
    check_left(place)
    ben = there.agent("ben", machine="m")
    assert [one.message.text for one in ben.do(mail.unread(ben.actor)).mails] == ["second", "hello all", "an island"]
    assert ben.do(mail.send(ben.actor, "ben", "next")).id == "ben:11"


def test_a_value_whose_archived_copy_is_gone_still_arrives() -> None:
    place, there = busy(), Place()
    source, dest = Side(place, OLD), Side(there, NEW)

    def vanish(_: int) -> None:
        place.store.delete(keys.memory_version("once", 1))

    source.agent.counting.store = _Each(source.agent.counting.store, vanish)
    transfer(source, dest, "demo", "mover", force=False)
    assert there.agent("ada").do(memory.get("once")).value == "only"


def back_and_forth() -> tuple[Place, Place]:
    """A project that moved away, was worked on there, and left something unsent and something sent."""
    place, there = busy(), Place()
    there.now = place.now
    moved(place, there)
    ada = there.agent("ada", machine="m")
    ada.do(steps.claim(ada.actor, "build"))
    ada.do(steps.finish(ada.actor, "build", done(ada, note="built there")))
    ada.do(memory.set_(ada.actor, "design.contract", "newer"))
    ada.do(mail.send(ada.actor, "ben", "from there"))
    ada.do(agents.start_new(ada.actor))
    for one in (place, there):
        one.pass_(2 * FRESH)
    return place, there


def test_a_project_can_move_back() -> None:
    place, there = back_and_forth()
    before = content(there)
    assert transfer(Side(there, NEW), Side(place, OLD), "demo", "mover", force=False).objects > 0
    now = content(place)
    for key, body in before.items():
        if key.startswith((keys.MAIL, keys.AGENTS, "cursors/", "acks/", "history/", keys.MEMORY)):
            assert now[key] == body, key
    check_left(there, OLD)
    ben = place.agent("ben", machine="m")
    assert [one.message.text for one in ben.do(mail.unread(ben.actor)).mails] == ["second", "hello all", "from there"]
    assert ben.do(mail.send(ben.actor, "ada", "to a mailbox that was empty")).id.startswith("ada:")
    ben.do(mail.send(ben.actor, keys.BROADCAST, "to one where nothing was sent since"))
    ada = place.agent("ada", machine="m")
    assert [one.message.text for one in ada.do(mail.unread(ada.actor)).mails][-2:] == [
        "to a mailbox that was empty",
        "to one where nothing was sent since",
    ]
    step = ben.do(steps.show("build")).doc
    assert (step.status, step.handoff.note if step.handoff else "") == (Status.COMPLETE, "built there")
    assert ben.do(work.next_(ben.actor)).step.name == "test"
    assert ben.do(memory.set_(ben.actor, "design.contract", "newest", 4)).version == 5


def test_a_move_back_killed_between_any_two_requests_is_finished_by_the_next() -> None:
    first, second = back_and_forth()
    wanted = None
    request = 0
    while True:
        place, there = copy_of(first), copy_of(second)
        source, dest = Side(there, NEW), Side(place, OLD)
        Kill(request, source, dest)
        try:
            transfer(source, dest, "demo", "mover", force=False)
            break
        except Killed:
            pass
        transfer(Side(there, NEW), Side(place, OLD), "demo", "mover", force=False)
        ben = place.agent("ben", machine="m")
        found = (
            [one.message.text for one in ben.do(mail.unread(ben.actor)).mails],
            ben.do(memory.get("design.contract")).value,
            {name: one.status for name, one in ben.do(survey()).steps.items()},
            [one.agent for one in ben.do(status.agents())],
        )
        wanted = wanted or found
        assert found == wanted
        ben.do(mail.send(ben.actor, "ada", "works"))
        request += 3
    assert request > 100


def test_a_segment_never_keeps_the_end_of_a_mailbox() -> None:
    """It would hide, after a way back, the message that took the end's place."""
    place, there = busy(), Place()
    ada = place.agent("ada", machine="m")
    for number in range(SEGMENT - 3):
        ada.do(mail.send(ada.actor, "ben", f"{number}"))
    place.pass_(2 * FRESH)
    moved(place, there)
    late = place.agent("ben", machine="m")
    assert len(late.do(logs.read("ben", 0, SEGMENT))) == SEGMENT
    ben = there.agent("ben", machine="m")
    ben.do(mail.send(ben.actor, "ben", "the 256th"))
    there.pass_(2 * FRESH)
    transfer(Side(there, NEW), Side(place, OLD), "demo", "mover", force=False)
    assert late.do(logs.read("ben", 0, SEGMENT))[-1].message.text == "the 256th"


def test_and_away_again() -> None:
    place, there = back_and_forth()
    transfer(Side(there, NEW), Side(place, OLD), "demo", "mover", force=False)
    ada = place.agent("ada", machine="m")
    ada.do(memory.set_(ada.actor, "third", "time"))
    place.pass_(2 * FRESH)
    before = content(place)
    moved(place, there)
    check_left(place)
    look = there.agent("ada", machine="m")
    assert look.do(memory.get("third")).value == "time"
    assert {key for key in before if key.startswith("steps/")} == set(there.keys("steps/"))


def test_a_slow_second_run_does_not_touch_a_project_that_is_open() -> None:
    """Two people run the same move; one is done, and work goes on, while the other still copies."""
    whole = busy()
    request = met = refused = 0
    while True:
        place, there = copy_of(whole), Place()
        source, dest = Side(place, OLD), Side(there, NEW)
        raced: list[dict[str, bytes]] = []
        numbers = count()

        def fast(
            _: int,
            place: Place = place,
            there: Place = there,
            raced: list[dict[str, bytes]] = raced,
            numbers: Iterator[int] = numbers,
            at: int = request,
        ) -> None:
            if next(numbers) == at:
                moved(place, there)
                ada = there.agent("ada", machine="m")
                ada.do(steps.claim(ada.actor, "build"))
                ada.do(memory.set_(ada.actor, "once", "newer"))
                ada.do(mail.seen(ada.actor, ada.do(mail.unread(ada.actor))))
                ada.do(agents.start_new(ada.actor))
                raced.append(content(there))

        for side in (source, dest):
            side.agent.counting.store = _Each(side.agent.counting.store, fast)
        try:
            transfer(source, dest, "demo", "mover", force=False)
        except Lost:  # it saw the source before the other began, and the destination after it was done
            refused += 1
        if not raced:
            break
        assert content(there) == raced[0]
        met += 1
        request += 3
    assert met > 30
    assert refused < 10


def test_a_slow_run_of_an_older_move_opens_nothing_and_writes_nothing() -> None:
    """The project went on from there and is on its way back: what the older run waits for is not what is missing now."""
    place, there, third = busy(), Place(), Place()
    moved(place, there)
    older = decode(Marker, keys.MARKER, there.body(keys.MARKER)).but(arriving_from=OLD)
    transfer(Side(there, NEW), Side(third, "/third"), "demo", "mover", force=False)
    ben = third.agent("ben", machine="m")
    leaving = ben.do(moving.may_leave(NEW, force=False))
    slow = there.agent("mover", machine="m")
    slow.do(moving.prepare("demo", "/third", leaving))
    before = content(there)
    slow.do(moving.open_up(older, planned=True))
    key = keys.cursor("ben")
    assert slow.do(moving.write_in([(key, b"older")], older.but(moves=("one", "two")))) == [key]
    assert content(there) == before
    assert decode(Marker, keys.MARKER, there.body(keys.MARKER)).arriving_from == "/third"


def test_a_marker_with_a_hostile_address_is_told_without_its_tricks() -> None:
    hostile = "s3://x/y\x1b]0;owned\x07\nwindlass: all is well; $(rm -rf ~)'\u202e"
    place = busy()
    marker = json.loads(place.body(keys.MARKER))
    place.write(keys.MARKER, json.dumps({**marker, "moved_to": hostile}).encode())
    ada = place.agent("ada", machine="m")
    found = told(ada, steps.claim(ada.actor, "build"))
    for text in (found.message, found.hint):
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char == "\u202e" for char in text)
    words = shlex.split(found.hint.partition("run: ")[2])
    assert words[:3] == ["windlass", "init", "--store"]
    assert len(words) == 4
