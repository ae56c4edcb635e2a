"""Logs: gapless, each entry once, found by reads; segments are copies that nobody depends on."""

from __future__ import annotations

import heapq
import json
import random
from typing import Any

import pytest
from tests.ops.interleave import explore
from tests.ops.world import WAYS, Agent, Between, Place, error_of, stop_before

from windlass import effects as fx
from windlass.errors import AccessDenied, FormatTooNew, Indeterminate, Moved, PutRefused, StoreFull, Unavailable
from windlass.ops import logs
from windlass.protocol import keys
from windlass.protocol.codec import MAX_DOCUMENT, decode, encode
from windlass.protocol.mail import SEGMENT, Message, Segment
from windlass.testing.faults import Fault

BOX = "designer"


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann")


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob")


def append(agent: Agent, text: str) -> int:
    return agent.do(logs.append(BOX, Message(text=text)))


def fill(place: Place, count: int, start: int = 0) -> None:
    """Entries n holding the text "n", written at once."""
    for n in range(start, start + count):
        place.write(keys.slot(BOX, n), encode(Message(text=str(n), write_id=f"w{n}")))


def texts(agent: Agent, start: int = 0, limit: int = 100_000) -> list[str]:
    return [mail.message.text for mail in agent.do(logs.read(BOX, start, limit))]


def believe(agent: Agent, tail: int) -> None:
    agent.hints.remember("tail:" + BOX, str(tail).encode())


def test_requests(place: Place, ann: Agent) -> None:
    assert ann.cost(logs.append(BOX, Message())) == {"put": 1}
    assert ann.cost(logs.append(BOX, Message())) == {"put": 1, "get": 1}
    assert ann.cost(logs.read(BOX, 2, 21)) == {"get": 1}
    fill(place, 5000, 2)
    believe(ann, 5002)
    assert ann.cost(logs.append(BOX, Message())) == {"put": 1, "get": 1}
    assert ann.cost(logs.read(BOX, 5003, 21)) == {"get": 1}, "an old project costs the same"


@pytest.mark.parametrize("length", [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000, 3000])
@pytest.mark.parametrize("believed", [0, 1, 30, 256, 999])
def test_appending_goes_to_the_tail(place: Place, ann: Agent, length: int, believed: int) -> None:
    fill(place, length)
    believe(ann, min(believed, length))
    assert ann.do(logs.tail(BOX, min(believed, length))) == length
    assert append(ann, "new") == length
    assert append(ann, "newer") == length + 1


def test_finding_the_tail_of_a_long_log_takes_few_rounds(place: Place, ann: Agent) -> None:
    fill(place, 20_000)
    assert ann.cost(logs.append(BOX, Message()))["get"] < 50


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_spoilt_answer_makes_no_second_entry(place: Place, ann: Agent, bob: Agent, faults: list[object], before: int) -> None:
    for n in range(before):
        append(ann, str(n))
    assert append(ann.spoil(*faults), "mine") == before
    ann.faulty.land_late()
    append(bob, "after")
    assert texts(bob) == [*map(str, range(before)), "mine", "after"]


@pytest.mark.parametrize("before", [0, 3])
def test_what_stays_unknown_is_said(ann: Agent, bob: Agent, before: int) -> None:
    for n in range(before):
        append(ann, str(n))
    assert error_of(Indeterminate, lambda: append(ann.spoil(Fault.DROP, forever=True), "x")).exit == 7
    assert len(texts(bob)) == before


def test_a_store_that_refuses_after_an_unclear_answer_leaves_it_unknown(ann: Agent) -> None:
    append(ann, "0")
    ann.spoil(Fault.DROP, AccessDenied("expired"))
    error_of(Indeterminate, lambda: append(ann, "1"))
    ann.heal().spoil(Fault.LOSE_ANSWER).spoil(None, AccessDenied("expired"), kind="get")
    error_of(Indeterminate, lambda: append(ann, "1"))


def test_a_write_that_surely_failed_keeps_its_error(ann: Agent, bob: Agent) -> None:
    append(ann, "0")
    error_of(StoreFull, lambda: append(ann.spoil(StoreFull("full")), "1"))
    assert texts(bob) == ["0"]


def test_a_message_that_landed_is_never_reported_as_a_plain_failure(ann: Agent, bob: Agent) -> None:
    """The look at the slot before fails: the message is there all the same."""
    append(ann, "0")
    ann.spoil(Fault.UNAVAILABLE, kind="get", key=keys.slot(BOX, 0))
    assert append(ann, "1") == 1
    ann.spoil(Fault.UNAVAILABLE, kind="get", forever=True)
    error_of(Indeterminate, lambda: append(ann, "2"))
    assert texts(bob) == ["0", "1", "2"]


def test_an_unreadable_slot_is_asked_for_again(ann: Agent, bob: Agent) -> None:
    append(bob, "0")
    ann.spoil(Fault.LOSE_ANSWER).spoil(Fault.UNAVAILABLE, kind="get")
    assert append(ann, "1") == 1
    assert texts(bob) == ["0", "1"]


def test_senders_who_race_get_a_slot_each(ann: Agent, bob: Agent) -> None:
    append(ann, "0")
    append(bob, "1")
    Between(ann, lambda: (append(bob, "b1"), append(bob, "b2")), lands=False, answer=PutRefused)
    assert append(ann, "a") == 4
    Between(ann, lambda: (append(bob, "b3"), append(bob, "b4")))
    assert append(ann, "a2") == 5, "it had landed before the others wrote on"
    assert texts(bob) == ["0", "1", "b1", "b2", "a", "a2", "b3", "b4"]


@pytest.mark.parametrize("length", [0, 1, 3, 7, 40, 70])
@pytest.mark.parametrize("beyond", [1, 2, 3, 5, 30, 100, 300])
def test_a_hint_beyond_the_end_leaves_no_gap(place: Place, ann: Agent, bob: Agent, length: int, beyond: int) -> None:
    fill(place, length)
    believe(ann, length + beyond)
    slot = append(ann, "mine")
    assert slot == length + beyond
    entries = bob.do(logs.read(BOX, 0, 10_000))
    assert len(entries) == slot + 1
    assert entries[-1].message.text == "mine"
    assert [mail.message.void for mail in entries] == [False] * length + [True] * beyond + [False]
    assert append(bob, "next") == slot + 1


def test_a_gap_with_islands_in_it_is_filled(place: Place, ann: Agent, bob: Agent) -> None:
    """Several senders whose hints are from before a restore: no slot of theirs hides a hole before it."""
    fill(place, 3)
    for island in (4, 8, 9, 20):
        fill(place, 1, island)
    believe(ann, 30)
    append(ann, "mine")
    assert len(bob.do(logs.read(BOX, 0, 1000))) == 31
    assert [text for text in texts(bob) if text] == ["0", "1", "2", "4", "8", "9", "20", "mine"]


def test_others_may_write_into_a_gap_while_it_is_filled(place: Place, ann: Agent, bob: Agent) -> None:
    fill(place, 3)
    believe(ann, 10)
    believe(bob, 3)
    Between(ann, lambda: [append(bob, f"bob {n}") for n in range(4)], lands=True)
    append(ann, "mine")
    assert [text for text in texts(bob) if text] == ["0", "1", "2", "bob 0", "bob 1", "bob 2", "bob 3", "mine"]


def test_a_sender_killed_while_filling_a_gap_stops_readers_only_until_the_next_send() -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann, bob = place.agent("ann"), place.agent("bob")
        fill(place, 3)
        believe(ann, 6)
        ended = not stop_before(logs.append(BOX, Message(text="mine")), ann, at)
        append(ann, "again")
        for n in range(4):
            append(bob, f"bob {n}")
        assert {"again", "bob 3"} <= set(texts(bob))
        at += 1


def test_a_corrupt_hint_is_no_hint(place: Place, ann: Agent) -> None:
    fill(place, 4)
    for note in (b"", b"-1", b"x", b"99999999999", b"\xb2", "²".encode(), b"1.5"):
        ann.hints.remember("tail:" + BOX, note)
        assert ann.do(logs.hint(BOX)) == 0
    assert append(ann, "x") == 4


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 255, 256, 257, 600, 1100])
@pytest.mark.parametrize("start", [0, 1, 64, 255, 256, 300])
@pytest.mark.parametrize("limit", [1, 21, 256, 257, 100_000])
def test_reading_gives_each_entry_once_in_order(place: Place, ann: Agent, length: int, start: int, limit: int) -> None:
    fill(place, length)
    wanted = [str(n) for n in range(start, min(length, start + limit))]
    assert texts(ann, start, limit) == wanted
    assert texts(ann, start, limit) == wanted, "the same by the segments that the first reading left"


def test_long_logs_are_read_by_segments(place: Place, ann: Agent, bob: Agent) -> None:
    fill(place, 10 * SEGMENT + 7)
    texts(ann)
    assert len(place.keys("segments/")) == 10
    assert bob.cost(logs.read(BOX, 0, 1_000_000))["get"] < 100, "not 2,567"


def test_a_first_reading_asks_for_each_slot_once_and_leaves_the_copies_on_the_way(place: Place, ann: Agent) -> None:
    fill(place, 10 * SEGMENT + 7)
    gathers: list[list[str]] = []

    def reading() -> fx.Op[None]:
        op = logs.read(BOX, 0, 1_000_000)
        effect = next(op)
        try:
            while True:
                if isinstance(effect, fx.Gather):
                    gathers.append([type(one).__name__ for one in effect.effects])
                effect = op.send((yield effect))
        except StopIteration:
            pass

    cost = ann.cost(reading())
    assert cost["put"] == 10
    assert cost["get"] <= 10 * SEGMENT + 10 + 100
    asked = [request.key for request in ann.counting.requests if request.outcome == "found"]
    assert len(asked) == len(set(asked)) == 10 * SEGMENT + 7
    assert sum("Put" in one for one in gathers) == sum({"Put", "Get"} <= set(one) for one in gathers) + 1, "but for the last ones"
    assert len(gathers) < 20


def test_behind_the_segments_a_reader_of_everything_asks_for_what_is_there(place: Place, ann: Agent) -> None:
    fill(place, 10 * SEGMENT + 200)
    for _ in range(2):
        ann.counting.reset()
        assert len(ann.do(logs.read_whole(BOX, 1_000_000))) == 10 * SEGMENT + 200
    assert ann.counting.counts()["list"] == 1
    absent = [request for request in ann.counting.requests if request.outcome == "absent"]
    assert len(ann.counting.requests) - len(absent) == 10 + 1 + 200
    assert len(absent) < 25


@pytest.mark.parametrize("fault", [*Fault, AccessDenied("read only"), PutRefused("somebody else wrote it")], ids=str)
def test_whatever_becomes_of_a_copy_everything_is_read(place: Place, ann: Agent, bob: Agent, fault: object) -> None:
    fill(place, 6 * SEGMENT + 3)
    ann.spoil(None, fault, None, fault, key="segments/")
    everything = [str(n) for n in range(6 * SEGMENT + 3)]
    assert texts(ann) == everything
    ann.heal().faulty.land_late()
    assert texts(bob) == everything
    assert texts(ann) == everything


def test_a_long_reading_stops_at_a_gap_that_nobody_may_fill_and_leaves_no_copy_of_it(place: Place, ann: Agent, bob: Agent) -> None:
    fill(place, 3 * SEGMENT + 9)
    fill(place, 4 * SEGMENT, 3 * SEGMENT + 12)
    ann.spoil(AccessDenied("read only"), key="mail/", forever=True)
    assert len(texts(ann)) == 3 * SEGMENT + 9
    assert len(place.keys("segments/")) == 3
    assert [text for text in texts(bob) if text] == [str(n) for n in (*range(3 * SEGMENT + 9), *range(3 * SEGMENT + 12, 7 * SEGMENT + 12))]


def test_a_segment_is_a_pure_copy(place: Place, ann: Agent, bob: Agent) -> None:
    fill(place, SEGMENT + 1)
    place.write(keys.slot(BOX, 7), b'{"format":1,"kind":"message","write_id":"w7","seq":0,"text":"7","mood":"good","void":false}')
    texts(ann)
    copied = decode(Segment, "", place.body(keys.segment(BOX, 0)))
    assert copied.first == 0
    for n, slot in enumerate(copied.slots):
        assert slot == json.loads(place.body(keys.slot(BOX, n)))
    before = bob.do(logs.read(BOX, 0, 1000))
    place.store.delete(keys.segment(BOX, 0))
    assert bob.do(logs.read(BOX, 0, 1000)) == before, "losing it costs requests, nothing else"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"format":1,"kind":"segment"}',
        b'{"format":2,"kind":"segment"}',
        b'{"format":1,"kind":"message","text":"no segment"}',
        encode(Segment(first=SEGMENT, slots=({"format": 1, "kind": "message"},) * SEGMENT)),
        encode(Segment(first=0, slots=({"format": 1, "kind": "message"},) * (SEGMENT - 1))),
        encode(Segment(first=0, slots=({"format": 1, "kind": "torn"},) * SEGMENT)),
        encode(Segment(first=0, slots=({"format": 2, "kind": "message"},) * SEGMENT)),
        b"x" * (MAX_DOCUMENT + 1),
    ],
)
def test_a_corrupt_segment_is_ignored(place: Place, ann: Agent, body: bytes) -> None:
    fill(place, SEGMENT + 3)
    place.write(keys.segment(BOX, 0), body)
    assert texts(ann) == [str(n) for n in range(SEGMENT + 3)]


def test_messages_too_large_to_be_copied_are_read_one_by_one(place: Place, ann: Agent, bob: Agent) -> None:
    for n in range(SEGMENT):
        place.write(keys.slot(BOX, n), encode(Message(text="x" * 20_000, write_id=f"w{n}")))
    for agent in (ann, bob):
        assert len(texts(agent)) == SEGMENT
    assert place.keys("segments/") == []


def test_a_reader_who_may_not_write_still_reads(place: Place, ann: Agent) -> None:
    fill(place, SEGMENT)
    ann.spoil(AccessDenied("read only"), forever=True)
    assert len(texts(ann)) == SEGMENT


HOSTILE = [
    b"",
    b"\xff",
    b"null",
    b'{"format":1,"kind":"step"}',
    b'{"format":1,"kind":"message","text":5}',
    b"[" * 100_000,
    b"x" * (MAX_DOCUMENT + 1),
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: str(body[:20]))
def test_a_damaged_slot_is_reported_and_the_rest_goes_on(place: Place, ann: Agent, bob: Agent, body: bytes) -> None:
    fill(place, SEGMENT + 5)
    place.write(keys.slot(BOX, 3), body)
    place.write(keys.slot(BOX, SEGMENT + 4), body)
    entries = ann.do(logs.read(BOX, 0, 1000))
    assert [mail.slot for mail in entries if mail.damaged] == [3, SEGMENT + 4]
    assert keys.slot(BOX, 3) in entries[3].damaged
    assert [mail.message.text for mail in entries if not mail.damaged] == [str(n) for n in range(SEGMENT + 5) if n not in (3, SEGMENT + 4)]
    believe(bob, SEGMENT + 4)
    assert append(bob, "next") == SEGMENT + 5
    assert append(ann, "next") == SEGMENT + 6
    assert texts(ann, SEGMENT + 5) == ["next", "next"]


def test_a_newer_format_stops_reader_and_writer(place: Place, ann: Agent) -> None:
    fill(place, 2)
    place.write(keys.slot(BOX, 2), b'{"format":2,"kind":"message"}')
    believe(ann, 2)
    error_of(FormatTooNew, lambda: append(ann, "x"))
    error_of(FormatTooNew, lambda: texts(ann))


def test_an_unreachable_store_is_no_end_of_the_log(place: Place, ann: Agent) -> None:
    fill(place, 5)
    ann.spoil(Unavailable("down"), kind="get", key=keys.slot(BOX, 3))
    error_of(Unavailable, lambda: texts(ann))


@pytest.mark.parametrize("believed", [0, 2, 3, 4])
def test_a_log_that_moved_takes_nothing_and_says_where_to(place: Place, ann: Agent, believed: int) -> None:
    fill(place, 3)
    place.write(keys.slot(BOX, 3), encode(Message(moved_to="s3://elsewhere", write_id="end")))
    believe(ann, believed)
    assert error_of(Moved, lambda: append(ann, "x")).to == "s3://elsewhere"


@pytest.mark.parametrize("believed", [(0, 0), (2, 2), (3, 1), (4, 4), (5, 2)], ids=str)
def test_two_senders_in_every_order(believed: tuple[int, int]) -> None:
    """Whatever each believes of the tail, both messages are there once, and nothing is missing before them."""

    def begin() -> tuple[Place, list[tuple[Agent, Any]]]:
        place = Place()
        fill(place, 2)
        pair = [place.agent(name) for name in ("ann", "bob")]
        for one, tail in zip(pair, believed, strict=True):
            believe(one, tail)
        return place, [(one, logs.append(BOX, Message(text=one.name))) for one in pair]

    def end(place: Place, slots: list[int]) -> None:
        entries = place.agent("eve").do(logs.read(BOX, 0, 100))
        said = [mail.message.text for mail in entries]
        assert [text for text in said if text in ("ann", "bob")] == [("ann", "bob")[n] for n in sorted((0, 1), key=lambda n: slots[n])]
        assert [said[slot] for slot in slots] == ["ann", "bob"]
        assert said[:2] == ["0", "1"]

    assert explore(begin, end) > 1


def test_what_a_dead_sender_left_beyond_the_end_is_read_after_the_next_send() -> None:
    """Its hint was from before a restore; it died anywhere, also before it filled the gap. The others know nothing."""
    for length, beyond in ((6, 3), (0, 3), (40, 30), (70, 100), (300, 5), (1100, 5)):
        at, ended = 0, False
        while not ended:
            place = Place()
            ann, bob, eve = place.agent("ann"), place.agent("bob"), place.agent("eve")
            fill(place, length)
            believe(ann, length + beyond)
            ended = not stop_before(logs.append(BOX, Message(text="mine")), ann, at)
            landed = ["mine"] if place.store.get(keys.slot(BOX, length + beyond)) else []
            append(bob, "bob")
            append(bob, "bob again")
            append(eve, "eve")
            said = [text for text in texts(place.agent("reader")) if text]
            assert sorted(said) == sorted([*map(str, range(length)), *landed, "bob", "bob again", "eve"]), (length, beyond, at)
            at += 1
        assert at > 3


@pytest.mark.parametrize("length", [1, 6, 600])
@pytest.mark.parametrize("gap", [1, 5, 100])
@pytest.mark.parametrize("island", [1, 50, 64, 255, 256, 257, 290])
def test_who_looks_for_the_end_closes_a_gap_before_an_island(place: Place, bob: Agent, length: int, gap: int, island: int) -> None:
    fill(place, length)
    fill(place, island, length + gap)
    believe(bob, max(0, length - 30))
    assert append(bob, "bob") == length + gap + island
    assert len(place.keys(keys.slots(BOX))) == length + gap + island + 1


def test_a_gap_is_filled_before_anything_else(place: Place, ann: Agent) -> None:
    fill(place, 3)
    believe(ann, 6)
    ann.spoil(Fault.LOSE_ANSWER, key=keys.slot(BOX, 6))
    assert append(ann, "mine") == 6
    assert [request.kind for request in ann.counting.requests] == ["put", "get", "list", "put", "put", "put", "get"]


def in_time(ops: list[tuple[Agent, fx.Op[Any]]], took: float, seed: int) -> float:
    """Run operations side by side on a clock: each request takes `took` seconds, more or less. How long all of them took."""
    dice = random.Random(seed)
    due = [(0.0, number, None) for number in range(len(ops))]
    now = 0.0
    while due:
        now, number, answer = heapq.heappop(due)
        agent, op = ops[number]
        try:
            effect = op.send(answer)
            while not isinstance(effect, (fx.Get, fx.Put, fx.List, fx.Gather, fx.Sleep)):
                effect = op.send(agent.world.perform(effect))
        except StopIteration:
            continue
        if isinstance(effect, fx.Sleep):
            heapq.heappush(due, (now + effect.seconds, number, None))
            continue
        heapq.heappush(due, (now + took * (0.5 + dice.random()), number, agent.world.perform(effect)))
    return now


@pytest.mark.parametrize("seed", range(3))
def test_many_senders_to_one_mailbox_waste_few_requests(place: Place, seed: int) -> None:
    """Without the pauses between attempts each of them would try for nearly every slot: 15 writes a message."""
    senders = [place.agent(f"a{n}") for n in range(40)]

    def send_all(agent: Agent) -> fx.Op[None]:
        for n in range(10):
            yield from logs.append(BOX, Message(text=f"{agent.name} {n}"))

    took = in_time([(one, send_all(one)) for one in senders], 0.01, seed)
    said = texts(place.agent("reader"))
    for one in senders:
        assert [text for text in said if text.startswith(f"{one.name} ")] == [f"{one.name} {n}" for n in range(10)]
    counts = [one.counting.counts() for one in senders]
    assert len(said) == 400
    assert sum(one["put"] for one in counts) < 3 * 400
    assert sum(one.get("list", 0) for one in counts) < 2 * 400
    assert took < 30


@pytest.mark.parametrize("looks", [1, 2])
def test_the_newest_cost_no_more_in_a_long_log(place: Place, looks: int) -> None:
    costs = []
    for length in (300, 20_000):
        place = Place()
        reader = place.agent("reader")
        fill(place, length)
        for look in range(looks):
            reader.counting.reset()
            found = reader.do(logs.newest(BOX, 0, 20))
            assert [mail.message.text for mail in found] == [str(n) for n in range(length - 20, length)], look
        costs.append(reader.counting.counts())
    assert costs[1]["list"] == costs[0]["list"] == 2
    assert costs[1]["get"] <= costs[0]["get"] + (40 if looks == 1 else 0), "a machine that knows nothing of the log gallops"


@pytest.mark.parametrize("read_to", [0, 5, 299, 300])
@pytest.mark.parametrize("believed", [0, 150, 300, 400])
@pytest.mark.parametrize("gap", [1, 70])
@pytest.mark.parametrize("island", [1, 300])
def test_the_newest_are_found_behind_a_gap_and_it_is_filled(
    place: Place, bob: Agent, read_to: int, believed: int, gap: int, island: int
) -> None:
    """Where one has read to just before it, however wrong the hint: what readers wait for comes through."""
    fill(place, 300)
    fill(place, island, 300 + gap)
    believe(bob, believed)
    if read_to == 0:
        bob.do(logs.newest(BOX, 299, 20))
    found = bob.do(logs.newest(BOX, read_to, 5))
    assert found[-1].message.text == str(299 + gap + island)
    if read_to != 5:
        assert len(place.keys(keys.slots(BOX))) == 300 + gap + island


def test_finding_the_end_with_a_hint_that_is_a_little_old_is_one_list(place: Place, ann: Agent) -> None:
    fill(place, 500)
    believe(ann, 450)
    assert ann.cost(logs.append(BOX, Message())) == {"put": 2, "get": 3, "list": 1}


@pytest.mark.parametrize("gap", [1, 40, 100, 300])
@pytest.mark.parametrize("behind", [1, 5, 300, 1100])
def test_a_reader_of_everything_fills_a_gap(place: Place, bob: Agent, gap: int, behind: int) -> None:
    fill(place, 6)
    fill(place, behind, 6 + gap)
    said = [mail.message.text for mail in bob.do(logs.read_whole(BOX, 100_000)) if not mail.message.void]
    assert said == [*map(str, range(6)), *map(str, range(6 + gap, 6 + gap + behind))]


def test_a_reader_fills_a_gap_that_it_sees(place: Place, bob: Agent) -> None:
    fill(place, 6)
    fill(place, 4, 8)
    assert [text for text in texts(bob, 5, 21) if text] == ["5", "8", "9", "10", "11"]
    fill(place, 256, 200)
    said = [text for text in texts(bob) if text]
    assert said[10:] == [str(n) for n in range(200, 456)], "also a wide one, inside a segment"


def test_a_reader_who_may_not_write_reads_up_to_the_gap(place: Place, ann: Agent) -> None:
    fill(place, 6)
    fill(place, 300, 10)
    ann.spoil(AccessDenied("read only"), forever=True)
    assert texts(ann) == [str(n) for n in range(6)]
    assert [mail.slot for mail in ann.do(logs.read_whole(BOX, 1000))] == list(range(6))


@pytest.mark.parametrize("looks", [(False, True), (True, True)], ids=str)
def test_a_message_sent_twice_at_once_is_there_once_in_every_order(looks: tuple[bool, bool]) -> None:
    """While somebody else sends too; each may find any slot taken under its hands."""

    def others(place: Place) -> fx.Op[None]:
        yield from fx.read("nothing")
        fill(place, 1, len(place.keys(keys.slots(BOX))))

    def begin() -> tuple[Place, list[tuple[Agent, Any]]]:
        place = Place()
        fill(place, 2)
        ann, bob, eve = (place.agent(name) for name in ("ann", "bob", "eve"))
        same = Message(text="once", write_id="the one")
        twice = [(one, logs.append_once(BOX, same, 2, look=look)) for one, look in zip((ann, bob), looks, strict=True)]
        return place, [*twice, (eve, others(place))]

    def finish(place: Place, results: list[Any]) -> None:
        said = texts(place.agent("reader"))
        assert len(said) == 4
        assert said.count("once") == 1
        assert {slot for slot, _ in results[:2]} == {said.index("once")}

    assert explore(begin, finish) > 1000
