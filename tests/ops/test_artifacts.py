"""Artifacts: every version stays as it was, a lost claim publishes nothing, nothing is published that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.planned import a_step, plant
from tests.ops.world import DAY, WAYS, Agent, Between, Place, error_of, stop_before

from windlass.errors import ClaimLost, Damaged, Fenced, Indeterminate, Lost, Moved, NotFound, UsageError, WindlassError
from windlass.ops import artifacts, blobs, lineage, registers, steps, timeline, trees
from windlass.protocol import keys
from windlass.protocol.artifacts import Artifact, Published, Ref, archived, parse_ref
from windlass.protocol.blobs import PART
from windlass.protocol.codec import decode, encode
from windlass.protocol.pending import Pending, State
from windlass.protocol.steps import Handoff, Status, Step
from windlass.protocol.transitions import Act, touched
from windlass.protocol.trees import Entry, file_entry
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.effects import Op
    from windlass.ops.artifacts import Uploaded
    from windlass.ops.pending import Upload


class Bytes:
    """A source in memory."""

    def __init__(self, body: bytes) -> None:
        self.body, self.size = body, len(body)

    def read(self, number: int) -> bytes:
        return self.body[number * PART : (number + 1) * PART]

    def close(self) -> None:
        pass


def file(body: str | bytes) -> Callable[[Upload], Op[Entry]]:
    raw = body.encode() if isinstance(body, str) else body

    def content(under: Upload) -> Op[Entry]:
        return file_entry((yield from blobs.upload(under, Bytes(raw), blobs.Progress("sending", len(raw)))))

    return content


def folder(**files: str) -> Callable[[Upload], Op[Entry]]:
    def content(under: Upload) -> Op[Entry]:
        entries = {}
        for name, body in files.items():
            entries[name] = yield from file(body)(under)
        root, _ = yield from trees.write(under, entries)
        return root

    return content


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def put(agent: Agent, body: str, name: str = "api", **more: Any) -> Uploaded:
    return agent.do(artifacts.upload(agent.actor, name, file(body), **more))


def text(agent: Agent, ref: str) -> str:
    return agent.do(blobs.read(agent.do(artifacts.show(parse_ref(ref))).entry.blob)).decode()


def past(agent: Agent, ref: str = "api") -> list[tuple[int, str]]:
    """Version and content, newest first; each is read the long way too."""
    found = agent.do(artifacts.history(parse_ref(ref), 1000))
    out = []
    for one in found:
        if one.deleted or one.version < found[0].first:
            out.append((one.version, "deleted" if one.deleted else "gone"))
        else:
            out.append((one.version, text(agent, f"{ref}@{one.version}")))
            assert agent.do(artifacts.show(parse_ref(f"{ref}@{one.version}"))) == one
    return out


def left_over(place: Place) -> list[str]:
    return place.keys("pending/")


# --- versions


def test_the_newest_version_is_read_by_anyone_and_the_others_stay(place: Place, ann: Agent, bob: Agent) -> None:
    for number, agent in enumerate((ann, bob, ann), 1):
        assert put(agent, f"v{number}").ref == Ref(step="", name="api", version=number)
    assert text(bob, "api") == "v3"
    assert past(bob) == [(3, "v3"), (2, "v2"), (1, "v1")]
    assert [one.agent for one in ann.do(artifacts.history(parse_ref("api")))] == ["ann", "bob", "ann"]
    assert [one.version for one in ann.do(artifacts.history(parse_ref("api"), 2))] == [3, 2]
    assert left_over(place) == []


def test_a_version_says_who_made_it_and_how(place: Place, ann: Agent) -> None:
    put(ann, "input", "schema")
    place.pass_(100)
    more: dict[str, Any] = {"media_type": "text/plain", "meta": {"k": [1]}, "inputs": ["schema"], "command": "make"}
    made = put(ann, "x", **more).artifact
    assert (made.agent, made.incarnation, made.media_type, made.meta, made.inputs, made.command) == (
        "ann", 1, "text/plain", {"k": [1]}, ("schema@1",), "make",
    )  # fmt: skip
    assert made.at == made.stored_at == place.now
    assert ann.do(artifacts.show(parse_ref("api"))) == made


def test_the_same_again_by_the_same_agent_is_no_new_version(ann: Agent, bob: Agent) -> None:
    put(ann, "x", meta={"k": 1})
    again = put(ann, "x", meta={"k": 1})
    assert (again.again, again.ref.version) == (True, 1)
    assert [put(ann, "x", meta={"k": 2}).ref.version, put(bob, "x", meta={"k": 2}).ref.version] == [2, 3]
    assert not put(ann, "y").again


def test_the_same_content_is_not_sent_again(ann: Agent, bob: Agent) -> None:
    put(ann, "x" * 100)
    bob.counting.reset()
    put(bob, "x" * 100, "other")
    assert [one.key for one in bob.counting.requests if one.kind == "put" and one.key.startswith("blobs/")] == []


def test_requests(ann: Agent) -> None:
    assert ann.cost(artifacts.upload(ann.actor, "api", file("x"))) == {"get": 3, "put": 3, "list": 1, "delete": 1}
    assert ann.cost(artifacts.upload(ann.actor, "api", file("y"))) == {"get": 3, "put": 4, "list": 1, "delete": 1}
    assert ann.cost(artifacts.show(parse_ref("api"))) == {"get": 1}
    assert ann.cost(artifacts.show(parse_ref("api@1"))) == {"get": 2}


def test_a_deleted_artifact_is_gone_with_its_past_and_goes_on_counting(ann: Agent, bob: Agent) -> None:
    put(ann, "one")
    put(ann, "two")
    gone = bob.do(artifacts.delete(bob.actor, parse_ref("api")))
    assert (gone.version, gone.deleted, gone.agent) == (3, True, "bob")
    for ref in ("api", "api@1", "api@2", "api@3", "api@4"):
        error_of(NotFound, lambda ref=ref: ann.do(artifacts.show(parse_ref(ref))))  # type: ignore[misc]
    error_of(NotFound, lambda: ann.do(artifacts.delete(ann.actor, parse_ref("api"))))
    assert ann.do(artifacts.list_()) == []
    assert put(ann, "four").ref.version == 4
    error_of(NotFound, lambda: ann.do(artifacts.show(parse_ref("api@2"))))
    assert past(bob) == [(4, "four"), (3, "deleted"), (2, "gone"), (1, "gone")]


def test_what_is_not_there_is_not_found(ann: Agent) -> None:
    put(ann, "x")
    ann.do(steps.claim(ann.actor, "s"))
    for ref in ("no", "no@1", "api@2", "s/api", "s/api@1"):
        error_of(NotFound, lambda ref=ref: ann.do(artifacts.show(parse_ref(ref))))  # type: ignore[misc]
    for op in (artifacts.show, artifacts.history):
        error_of(NotFound, lambda op=op: ann.do(op(parse_ref("nostep/api"))))  # type: ignore[misc]
    error_of(NotFound, lambda: put(ann, "x", inputs=["no@1"]))
    error_of(NotFound, lambda: put(ann, "x", step="nostep"))


@pytest.mark.parametrize(
    "ref", ["", "@1", "a@", "a@0", "a@x", "a@1@2", "a/b/c", "/a", "a/", "../a", "a b", "x" * 129, "a@123456789", "a@-1"]
)
def test_odd_references_are_refused(ref: str) -> None:
    error_of(UsageError, lambda: parse_ref(ref))


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "a/b"}, {"name": ""}, {"name": ".git"}, {"name": "_shared/x"}, {"meta": {"k": "x" * 17000}}, {"meta": {"k": {1, 2}}},
        {"meta": {"k": "\ud800"}}, {"inputs": ["a@0"]}, {"inputs": ["a@1"] * 1001}, {"command": "x" * 9000}, {"media_type": "x" * 300},
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_before_anything_is_sent(place: Place, ann: Agent, odd: dict[str, Any]) -> None:
    error_of(UsageError, lambda: put(ann, "x", **odd))
    assert place.keys("blobs/") == left_over(place) == place.keys("artifacts/") == []


# --- what spoils a write


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("spoilt", ["artifacts/", "versions/", "pending/", "blobs/"])
def test_a_spoilt_answer_makes_no_second_version(ann: Agent, bob: Agent, faults: list[object], before: int, spoilt: str) -> None:
    for n in range(before):
        put(ann, f"{n}")
    assert put(ann.spoil(*faults, key=spoilt), "mine").ref.version == before + 1
    assert past(bob) == [(before + 1, "mine"), *((n + 1, f"{n}") for n in range(before - 1, -1, -1))]


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_a_spoilt_answer_publishes_once_in_a_step(ann: Agent, bob: Agent, faults: list[object]) -> None:
    ann.do(steps.claim(ann.actor, "s"))
    assert put(ann.spoil(*faults, key="steps/"), "mine", step="s").ref.version == 1
    assert past(bob, "s/api") == [(1, "mine")]


def test_a_write_that_landed_and_was_overwritten_was_won(ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    Between(ann, lambda: (put(bob, "3"), put(bob, "4")), key="artifacts/")
    made = put(ann, "2")
    assert (made.ref.version, made.again) == (2, False)
    assert past(bob) == [(4, "4"), (3, "3"), (2, "2"), (1, "1")]


def touch(agent: Agent) -> None:
    """What gc does to the register of an upload that it gives up."""
    agent.do(registers.update(keys.artifact("api"), Artifact, lambda e, w: e.doc.but() if e else None))


def test_a_write_that_landed_and_was_touched_was_won(ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    Between(ann, lambda: touch(bob), key="artifacts/")
    assert (put(ann, "2").ref.version, past(bob)) == (2, [(2, "2"), (1, "1")])
    Between(ann, lambda: touch(bob), key="artifacts/")
    assert ann.do(artifacts.delete(ann.actor, parse_ref("api"))).version == 3


def test_two_at_once_make_two_versions(ann: Agent, bob: Agent) -> None:
    for name in ("new", "api"):
        if name == "api":
            put(ann, "1")
        Between(ann, lambda name=name: put(bob, "bob", name), lands=False, key="artifacts/")  # type: ignore[misc]
        put(ann, "ann", name)
        assert [one for _, one in past(bob, name)][:2] == ["ann", "bob"]


def test_what_stays_unknown_is_said_and_gc_still_learns_of_it(place: Place, ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    ann.spoil(Fault.DROP, key="artifacts/", forever=True)
    error_of(Indeterminate, lambda: put(ann, "2"))
    assert past(bob) == [(1, "1")]
    assert len(left_over(place)) == 1, "the write may land yet, so what it refers to must stay"


def test_an_upload_that_fails_publishes_nothing(place: Place, ann: Agent) -> None:
    def torn(under: Upload) -> Op[Entry]:
        yield from file("some of it")(under)
        raise WindlassError("the disk is gone", "mend it")

    for error in (WindlassError, OSError):

        def broken(under: Upload, error: type[Exception] = error) -> Op[Entry]:
            yield from file("some of it")(under)
            raise error("gone")

        error_of(error, lambda: ann.do(artifacts.upload(ann.actor, "api", broken)))
        assert left_over(place) == place.keys("artifacts/") == []


def test_a_crash_anywhere_publishes_whole_versions_or_none() -> None:
    at, ended = 0, False
    while not ended:
        here = Place()
        ann, bob = here.agent("ann").warm(), here.agent("bob").warm()
        for n in ("1", "2"):
            put(ann, n)
        ended = not stop_before(artifacts.upload(ann.actor, "api", file("crashed")), ann, at)
        put(bob, "after")
        versions = past(bob)
        assert [version for version, _ in versions] == list(range(len(versions), 0, -1))
        assert [one for _, one in versions] in (["after", "2", "1"], ["after", "crashed", "2", "1"])
        at += 1
    assert at > 8


def test_an_upload_that_gc_gave_up_is_refused(place: Place, ann: Agent, bob: Agent) -> None:
    put(ann, "1")

    def slow(under: Upload) -> Op[Entry]:
        sent = yield from file("2")(under)
        given_up = place.store.get(under.key)
        assert given_up is not None
        doc = decode(Pending, under.key, place.body(under.key))
        place.write(under.key, encode(doc.but(state=State.ABANDONED)))
        return sent

    error_of(Lost, lambda: ann.do(artifacts.upload(ann.actor, "api", slow)))
    assert past(bob) == [(1, "1")]


@pytest.mark.parametrize("step", ["", "s"])
def test_an_upload_that_gc_gives_up_at_the_last_moment_is_refused(place: Place, ann: Agent, bob: Agent, step: str) -> None:
    """Gc turns the record, then touches the register: the write is refused, the register read again, the record looked at again."""
    if step:
        ann.do(steps.claim(ann.actor, "s"))
    key = keys.step("s") if step else keys.artifact("api")

    def gc() -> None:
        (record,) = left_over(place)
        place.write(record, encode(decode(Pending, record, place.body(record)).but(state=State.ABANDONED)))
        if step:
            by = Act(agent="bob", incarnation=1, at=0.0, write_id="")
            bob.do(registers.update(key, Step, lambda e, w: touched(e.doc, by.but(write_id=w.id)) if e else None))
        else:
            bob.do(registers.update(key, Artifact, lambda e, w: e.doc.but() if e else Artifact(name="api")))

    Between(ann, gc, lands=False, key=key)
    error_of(Lost, lambda: put(ann, "late", step=step))
    assert [one.artifact for one in bob.do(artifacts.list_())] == []


def test_a_touched_register_keeps_its_versions(ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    touch(bob)
    assert put(ann, "2").ref.version == 2
    assert past(bob) == [(2, "2"), (1, "1")]


# --- steps


def test_a_steps_artifacts_lie_in_the_step(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "s"))
    for n in ("1", "2"):
        made = put(ann, n, step="s")
        assert (made.artifact.step, made.artifact.epoch, str(made.ref)) == ("s", 1, f"s/api@{n}")
    assert past(bob, "s/api") == [(2, "2"), (1, "1")]
    assert put(ann, "2", step="s").again
    put(ann, "shared")
    assert [str(one.ref) for one in bob.do(artifacts.list_())] == ["api", "s/api"]
    assert [str(one.ref) for one in bob.do(artifacts.list_("s"))] == ["s/api"]
    assert bob.cost(artifacts.list_("s")) == {"get": 1}
    assert [line.event for line in bob.do(steps.show("s")).doc.history] == ["claim", "publish", "publish"]
    assert bob.do(steps.show("s")).doc.status is Status.IN_PROGRESS


def test_a_list_of_all_reads_the_steps_that_have_some_and_no_others(place: Place, ann: Agent) -> None:
    plant(place, (a_step(f"s{n:04}") for n in range(300)))
    for name in ("s0007", "s0123"):
        ann.do(steps.claim(ann.actor, name))
        put(ann, "x", step=name)
    put(ann, "x")
    ann.do(artifacts.list_())
    cost = ann.cost(artifacts.list_())
    assert (cost["get"], cost["list"]) == (1 + 1 + 2, 2), "the marker, one artifact, two steps"
    assert [str(one.ref) for one in ann.do(artifacts.list_())] == ["api", "s0007/api", "s0123/api"]


def test_who_does_not_hold_the_step_publishes_nothing_in_it(place: Place, ann: Agent, bob: Agent) -> None:
    bob.do(steps.claim(bob.actor, "s"))
    requests = ann.cost(artifacts.upload(ann.actor, "api", file("x"), step="s"))
    assert requests == {"get": 1}, "nothing is sent"
    assert error_of(ClaimLost, lambda: put(ann, "x", step="s")).exit == 3
    error_of(ClaimLost, lambda: put(bob, "x", step="s", epoch=7))
    bob.do(steps.release(bob.actor, "s"))
    error_of(ClaimLost, lambda: put(bob, "x", step="s"))
    assert place.keys("blobs/") == left_over(place) == []


def test_a_claim_that_is_lost_while_it_uploads_publishes_nothing(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "1", step="s")

    def slow(under: Upload) -> Op[Entry]:
        sent = yield from file("2")(under)
        bob.do(steps.claim(bob.actor, "s", force=True))
        return sent

    lost = error_of(ClaimLost, lambda: ann.do(artifacts.upload(ann.actor, "api", slow, step="s")))
    assert (lost.exit, lost.details["holder"]) == (3, "bob")
    assert past(bob, "s/api") == [(1, "1")]
    assert left_over(place) == []
    assert put(bob, "3", step="s").ref.version == 2


def test_a_newer_incarnation_fences_an_upload(place: Place) -> None:
    from windlass.ops.agents import start_new

    old = place.agent("eve").warm()
    old.do(steps.claim(old.actor, "s"))
    new = place.agent("eve", machine="other")
    new.do(start_new(new.actor))
    new.do(steps.claim(new.actor, "s"))
    error_of(Fenced, lambda: put(old, "x", step="s"))
    assert new.do(artifacts.list_()) == []


def handoff(agent: Agent, **more: Any) -> Handoff:
    return Handoff(**{"agent": agent.name, "state": Status.COMPLETE, "at": 0.0, "note": "done", **more})


def draft(body: str, name: str = "api", **more: Any) -> artifacts.Draft:
    return artifacts.Draft(name=name, content=file(body), **more)


@pytest.mark.parametrize("state", [Status.COMPLETE, Status.BLOCKED, Status.NEEDS_REVIEW, Status.FAILED])
def test_a_step_is_finished_with_its_artifacts_in_one_write(place: Place, ann: Agent, bob: Agent, state: Status) -> None:
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "1", step="s")
    left = handoff(ann, state=state, to="bob")
    drafts = [draft("2"), draft("log", "log.txt")]
    done = ann.do(artifacts.finish(ann.actor, "s", left, drafts))
    assert (done.step.status, done.again) == (state, False)
    assert [line.event for line in done.step.history] == ["claim", "publish", state.value]
    assert done.step.history[-1].note == "[api@2, log.txt@1] done"
    assert done.step.handoff is not None
    assert done.step.handoff.note == "done"
    assert past(bob, "s/api") == [(2, "2"), (1, "1")]
    assert text(bob, "s/log.txt") == "log"
    again = ann.do(artifacts.finish(ann.actor, "s", left, drafts))
    assert again.again
    assert len(again.step.history) == 3
    assert len(place.keys("mail/bob/")) == 1
    error_of(ClaimLost, lambda: ann.do(artifacts.finish(ann.actor, "s", left, [draft("3")])))
    assert past(bob, "s/api") == [(2, "2"), (1, "1")]
    assert left_over(place) == []


def test_who_lost_the_step_finishes_it_with_nothing(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "s"))

    def slow(under: Upload) -> Op[Entry]:
        sent = yield from file("2")(under)
        bob.do(steps.claim(bob.actor, "s", force=True))
        return sent

    error_of(ClaimLost, lambda: ann.do(artifacts.finish(ann.actor, "s", handoff(ann), [artifacts.Draft(name="api", content=slow)])))
    assert bob.do(artifacts.list_("s")) == []
    assert bob.do(steps.show("s")).doc.status is Status.IN_PROGRESS
    forced = ann.do(artifacts.finish(ann.actor, "s", handoff(ann), [draft("forced")], force=True))
    assert (forced.step.status, forced.step.epoch) == (Status.COMPLETE, 3)
    assert bob.do(artifacts.show(parse_ref("s/api"))).epoch == 3


def test_who_does_not_hold_the_step_sends_no_results(place: Place, ann: Agent, bob: Agent) -> None:
    bob.do(steps.claim(bob.actor, "s"))
    assert ann.cost(artifacts.finish(ann.actor, "s", handoff(ann), [draft("x")])) == {"get": 1}
    for odd in ([draft("x"), draft("y")], [draft("x", "a/b")], [draft("x", meta={"k": "x" * 17000})]):
        error_of(UsageError, lambda odd=odd: bob.do(artifacts.finish(bob.actor, "s", handoff(bob), odd)))  # type: ignore[misc]
    error_of(UsageError, lambda: bob.do(artifacts.finish(bob.actor, "s", handoff(bob, note="x" * 70000), [draft("x")])))
    error_of(NotFound, lambda: bob.do(artifacts.finish(bob.actor, "s", handoff(bob), [draft("x", inputs=("no@1",))])))
    assert place.keys("blobs/") == left_over(place) == []


def test_a_completion_killed_anywhere_has_all_its_results_or_is_not_one() -> None:
    at, ended = 0, False
    while not ended:
        here = Place()
        ann, bob = here.agent("ann").warm(), here.agent("bob").warm()
        ann.do(steps.claim(ann.actor, "s"))
        op = artifacts.finish(ann.actor, "s", handoff(ann), [draft("1"), draft("2", "two")])
        ended = not stop_before(op, ann, at)
        step = bob.do(steps.show("s")).doc
        if step.status is Status.COMPLETE:
            assert [text(bob, "s/api"), text(bob, "s/two")] == ["1", "2"]
        else:
            assert step.artifacts == {}
        again = ann.do(artifacts.finish(ann.actor, "s", handoff(ann), [draft("1"), draft("2", "two")]))
        assert again.step.status is Status.COMPLETE
        assert len(again.step.history) == 2
        at += 1
    assert at > 8


def test_the_next_worker_is_shown_what_its_needs_published(ann: Agent, bob: Agent) -> None:
    from windlass.ops import plans
    from windlass.protocol.plans import build

    ann.do(plans.apply(ann.actor, build({"steps": {"a": {}, "b": {"needs": ["a"]}}})))
    ann.do(steps.claim(ann.actor, "a"))
    put(ann, "gone", "old", step="a")
    ann.do(artifacts.delete(ann.actor, parse_ref("a/old")))
    ann.do(artifacts.finish(ann.actor, "a", handoff(ann), [draft("1")]))
    claimed = bob.do(steps.claim(bob.actor, "b"))
    assert {need: [*found] for need, found in claimed.artifacts.items()} == {"a": ["api"]}


def test_a_steps_artifact_is_not_deleted_under_somebody_elses_hands(ann: Agent, bob: Agent) -> None:
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "1", step="s")
    assert error_of(ClaimLost, lambda: bob.do(artifacts.delete(bob.actor, parse_ref("s/api")))).exit == 3
    ann.do(steps.release(ann.actor, "s"))
    assert bob.do(artifacts.delete(bob.actor, parse_ref("s/api"))).version == 2
    assert past(ann, "s/api") == [(2, "deleted"), (1, "gone")]
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "3", step="s")
    ann.do(artifacts.delete(ann.actor, parse_ref("s/api")))
    error_of(UsageError, lambda: ann.do(artifacts.delete(ann.actor, parse_ref("s/api@3"))))


# --- hostile and damaged


NONSENSE: list[Any] = [None, [], {}, "x", ["f"], ["f", "00", 1], ["f", "a" * 64, -1], ["f", "a" * 64, True], ["f", "a" * 64, 5, "../x"],
                       ["d", "../../x", 1, 1], ["x", "A" * 64, 1], ["l", ""], ["f", "a" * 64, 1, "b" * 64 + ".0"], ["q", 1]]  # fmt: skip


@pytest.mark.parametrize("content", NONSENSE, ids=str)
def test_content_that_is_nonsense_is_damage_and_the_rest_goes_on(place: Place, ann: Agent, content: Any) -> None:
    import json

    put(ann, "good", "good")
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "x", step="s")
    put(ann, "y", "fine", step="s")
    bad = {"version": 1, "content": content}
    place.write(keys.artifact("bad"), json.dumps({"format": 1, "kind": "artifact", "write_id": "w", "seq": 1, "current": bad}).encode())
    step = json.loads(place.body(keys.step("s")))
    step["artifacts"]["api"] = bad
    place.write(keys.step("s"), json.dumps(step).encode())
    for ref in ("bad", "s/api"):
        error_of(Damaged, lambda ref=ref: ann.do(artifacts.show(parse_ref(ref))))  # type: ignore[misc]
    listed = {str(one.ref): one.artifact for one in ann.do(artifacts.list_())}
    assert [name for name, one in listed.items() if one is None] == ["bad", "s/api"]
    assert [name for name, one in listed.items() if one is not None] == ["good", "s/fine"]
    flaws = ann.do(lineage.verify([])).damaged
    assert sorted(flaw.ref for flaw in flaws) == ["bad", "s/api"]
    ann.do(steps.finish(ann.actor, "s", handoff(ann)))


def test_an_archived_version_that_is_another_one_is_damage(place: Place, ann: Agent) -> None:
    for n in "123":
        put(ann, n)
    place.write(keys.artifact_version("", "api", 1), place.body(keys.artifact_version("", "api", 2)))
    place.store.delete(keys.artifact_version("", "api", 2))
    for ref in ("api@1", "api@2"):
        error_of(Damaged, lambda ref=ref: ann.do(artifacts.show(parse_ref(ref))))  # type: ignore[misc]


def test_a_flipped_byte_is_found_and_named(place: Place, ann: Agent) -> None:
    put(ann, "x" * 1000, "one")
    put(ann, "z" * 10, "two")
    ann.do(artifacts.upload(ann.actor, "tree", folder(a="aaa", b="bbb")))
    well = ann.do(lineage.verify([]))
    assert (well.artifacts, well.damaged) == (3, ())
    blob = ann.do(artifacts.show(parse_ref("one"))).entry.name
    inner = ann.do(trees.walk(ann.do(artifacts.show(parse_ref("tree"))).entry.name))["b"].name
    for name in (blob, inner):
        body = bytearray(place.body(keys.blob(name)))
        body[1] ^= 1
        place.write(keys.blob(name), bytes(body))
    flaws = ann.do(lineage.verify([])).damaged
    assert sorted((flaw.ref, flaw.path, flaw.key) for flaw in flaws) == [
        ("one@1", "", keys.blob(blob)), ("tree@1", "b", keys.blob(inner)),
    ]  # fmt: skip
    place.store.delete(keys.blob(blob))
    assert "missing" in ann.do(lineage.verify([parse_ref("one")])).damaged[0].why
    assert ann.do(lineage.verify([parse_ref("two")])).damaged == ()


def test_a_file_that_does_not_lie_in_its_pack_is_found(place: Place, ann: Agent) -> None:
    from windlass.protocol.blobs import Blob

    put(ann, "abcdef", "pack")
    name = ann.do(artifacts.show(parse_ref("pack"))).entry.name

    def lying(under: Upload) -> Op[Entry]:
        yield from ()
        return file_entry(Blob(sha="a" * 64, size=3, name=name, offset=1))

    ann.do(artifacts.upload(ann.actor, "lie", lying))
    assert [(flaw.ref, flaw.key) for flaw in ann.do(lineage.verify([])).damaged] == [("lie@1", keys.blob(name))]


# --- where it comes from


def test_lineage_goes_back_and_forth(ann: Agent, bob: Agent) -> None:
    put(ann, "1", "schema")
    put(ann, "2", "schema")
    bob.do(steps.claim(bob.actor, "build"))
    put(bob, "x", "app", step="build", inputs=["schema@1"])
    put(bob, "y", "app", step="build", inputs=["schema"])
    put(ann, "r", "report", inputs=["build/app@1", "build/app"])
    found = ann.do(lineage.lineage(parse_ref("report")))
    edges = {("schema@1", "build/app@1"), ("schema@2", "build/app@2"), ("build/app@1", "report@1"), ("build/app@2", "report@1")}
    assert (found.of, set(found.edges), found.more) == ("report@1", edges, False)
    back = ann.do(lineage.lineage(parse_ref("schema@1")))
    assert set(back.edges) == {("schema@1", "build/app@1"), ("build/app@1", "report@1")}
    assert {name: one.agent for name, one in back.versions.items() if one is not None} == {
        "schema@1": "ann", "build/app@1": "bob", "report@1": "ann",
    }  # fmt: skip
    assert ann.do(lineage.lineage(parse_ref("schema@1"), forth=False)).edges == ()
    assert set(ann.do(lineage.lineage(parse_ref("build/app@2"))).edges) == {("schema@2", "build/app@2"), ("build/app@2", "report@1")}


def test_a_lineage_whose_inputs_are_gone_says_so(ann: Agent) -> None:
    put(ann, "1", "schema")
    put(ann, "x", "app", inputs=["schema"])
    ann.do(artifacts.delete(ann.actor, parse_ref("schema")))
    found = ann.do(lineage.lineage(parse_ref("app")))
    assert found.versions["schema@1"] is None
    assert found.edges == (("schema@1", "app@1"),)


def test_a_lineage_that_claims_a_circle_or_no_end_is_bounded(place: Place, ann: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    put(ann, "x", "app")
    one = ann.do(artifacts.show(parse_ref("app")))

    def claim(inputs: list[str]) -> None:
        forged = Artifact(name="app", current=one.but(inputs=tuple(inputs)), write_id="w", seq=1)
        place.write(keys.artifact("app"), encode(forged))

    claim(["app@1", "nonsense", "a/b/c@1", "\x1b[2J@1", "app"])
    found = ann.do(lineage.lineage(parse_ref("app")))
    assert found.versions["nonsense"] is found.versions["a/b/c@1"] is None
    claim([f"n{n}@1" for n in range(3000)])
    found = ann.do(lineage.lineage(parse_ref("app")))
    assert found.more
    assert len(found.versions) <= 1000
    for n in range(5):
        put(ann, str(n), f"user{n}", inputs=["app@1"])
    assert len([edge for edge in ann.do(lineage.lineage(parse_ref("app"))).edges if edge[0] == "app@1"]) == 5
    claim([])
    monkeypatch.setattr(lineage, "MOST", 3)
    found = ann.do(lineage.lineage(parse_ref("app")))
    assert (len(found.versions), found.more) == (3, True)


# --- the rest of the project


def test_the_timeline_tells_each_version_once(place: Place, ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    put(bob, "2")
    ann.do(steps.claim(ann.actor, "s"))
    put(ann, "x", step="s")
    ann.do(artifacts.finish(ann.actor, "s", handoff(ann), [draft("y", "log")]))
    bob.do(artifacts.delete(bob.actor, parse_ref("api")))
    ann.do(artifacts.delete(ann.actor, parse_ref("s/log")))
    told = [(one.kind, one.event, one.by, one.subject, one.text) for one in ann.do(timeline.timeline(limit=None)).events]
    assert [one for one in told if one[0] == "artifact"] == [
        ("artifact", "publish", "ann", "api", "api@1"),
        ("artifact", "publish", "bob", "api", "api@2"),
        ("artifact", "delete", "bob", "api", "api@3"),
    ]
    assert [one[1:] for one in told if one[0] == "step"] == [
        ("claim", "ann", "s", ""),
        ("publish", "ann", "s", "api@1"),
        ("complete", "ann", "s", "[log@1] done"),
        ("unpublish", "ann", "s", "log@2"),
    ]


def test_following_tells_of_artifacts(place: Place, ann: Agent, bob: Agent) -> None:
    put(ann, "1")
    view = ann.do(timeline.timeline())
    put(bob, "2")
    put(bob, "3")
    seen = {(one.kind, one.subject, one.seq) for one in view.events}
    view = ann.do(timeline.follow(view, seen, timeout=10))
    assert [(one.event, one.text) for one in view.events if one.kind == "artifact"] == [("publish", "api@2"), ("publish", "api@3")]
    touch(bob)
    place.pass_(DAY)
    seen |= {(one.kind, one.subject, one.seq) for one in view.events}
    assert ann.do(timeline.follow(view, seen, timeout=1)).events == ()


def test_a_frozen_artifact_says_where_the_project_went(place: Place, ann: Agent) -> None:
    put(ann, "1")
    ann.do(registers.update(keys.artifact("api"), Artifact, lambda e, w: e.doc.but(moved_to="/new") if e else None))
    ref = parse_ref("api")
    ops: list[Callable[[], object]] = [
        lambda: put(ann, "2"), lambda: ann.do(artifacts.show(ref)), lambda: ann.do(artifacts.delete(ann.actor, ref)),
        lambda: ann.do(artifacts.history(ref)), lambda: ann.do(artifacts.list_()),
    ]  # fmt: skip
    sent = place.keys("blobs/")
    for op in ops:
        assert error_of(Moved, op).to == "/new"
    assert place.keys("blobs/") == sent


def test_whoever_archives_a_version_writes_the_same_bytes(ann: Agent) -> None:
    made = put(ann, "1").artifact
    twice = [encode(archived("api", Published(**vars(made)))) for _ in range(2)]
    assert twice[0] == twice[1]
