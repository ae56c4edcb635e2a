"""Mail: seen once by a reader that survives its own output, at least once otherwise, never skipped."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.ops.world import HOUR, WAYS, Agent, Between, Place, error_of, stop_before

from windlass import effects as fx
from windlass.errors import Damaged, Indeterminate, Lost, Moved, NotFound, PutRefused, TimedOut, Unavailable, UsageError
from windlass.ops import logs, mail, steps
from windlass.ops.agents import act
from windlass.protocol import keys
from windlass.protocol.codec import MAX_DOCUMENT, decode, encode
from windlass.protocol.mail import Message, Sent
from windlass.protocol.steps import Handoff, Status
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.effects import Op

ALL = keys.BROADCAST
NO_FAULTS: list[list[object]] = [[], []]


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob").warm()


def send(agent: Agent, to: str, text: str, **more: object) -> str:
    return agent.do(mail.send(agent.actor, to, text, **more)).id  # type: ignore[arg-type]


def peek(agent: Agent, limit: int = 20) -> mail.Inbox:
    return agent.do(mail.unread(agent.actor, limit))


def new(agent: Agent, limit: int = 20) -> list[str]:
    """What the agent is shown as new, and marked as seen."""
    inbox = peek(agent, limit)
    agent.do(mail.seen(agent.actor, inbox))
    return [one.message.text for one in inbox.mails]


def test_requests(ann: Agent, bob: Agent) -> None:
    send(ann, "bob", "warm")
    assert ann.cost(mail.send(ann.actor, "bob", "x")) == {"put": 1, "get": 1}
    new(bob)
    assert bob.cost(mail.unread(bob.actor)) == {"get": 2, "list": 2}, "a look for gaps, every ten minutes"
    assert bob.cost(mail.unread(bob.actor)) == {"get": 2}
    bob.hints.remember("cursor:bob", None)
    assert bob.cost(mail.unread(bob.actor)) == {"get": 3}
    assert bob.cost(mail.unread(bob.actor)) == {"get": 2}
    for seconds in (59.0, 1.0, -1.0):
        bob.place.pass_(seconds)
        bob.do(act(bob.actor))
        assert bob.cost(mail.unread(bob.actor)) == {"get": 2 if seconds == 59.0 else 3}, "once a minute, or when the clock went back"
    send(ann, "bob", "y")
    assert bob.cost(mail.unread(bob.actor)) == {"get": 2 + 1 + 2}, "the cursor anew, and two behind the new one"
    inbox = peek(bob)
    assert bob.cost(mail.seen(bob.actor, inbox)) == {"put": 1}
    assert bob.cost(mail.seen(bob.actor, inbox)) == {}


def test_an_old_project_costs_the_same(place: Place, ann: Agent, bob: Agent) -> None:
    new(bob)
    for box in ("bob", ALL):
        for n in range(3000):
            place.write(keys.slot(box, n), encode(Message(text=str(n), sender="ann", write_id=f"w{n}")))
    while new(bob, 1000):
        pass
    assert bob.cost(mail.unread(bob.actor)) == {"get": 2}
    ann.hints.remember("tail:bob", None)
    cost = ann.cost(mail.send(ann.actor, "bob", "warm", ident="k"))
    assert (cost["put"], cost["list"]) == (3, 2)
    assert cost["get"] < 100, "not 3,000"
    assert ann.cost(mail.send(ann.actor, "bob", "x")) == {"put": 1, "get": 1}
    assert bob.cost(mail.unread(bob.actor))["get"] < 2 + 1 + 21 + 65


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 21, 300])
def test_what_is_new_is_read_once_and_little_beyond_it(place: Place, ann: Agent, bob: Agent, count: int) -> None:
    new(bob)
    for n in range(count):
        place.write(keys.slot("bob", n), encode(Message(text=str(n), sender="ann", write_id=f"w{n}")))
    place.write(keys.slot(ALL, 0), encode(Message(text="all", sender="ann", write_id="a")))
    bob.counting.reset()
    assert len(peek(bob).mails) == min(20, count + 1)
    found = [request.key for request in bob.counting.requests if request.key.startswith("mail/") and request.outcome == "found"]
    assert len(found) == len(set(found)) == min(21, count) + 1
    assert bob.counting.counts()["get"] <= 4 * (count + 1)


def test_another_shell_that_reads_meanwhile_leaves_what_it_did_not_show(place: Place, ann: Agent, bob: Agent) -> None:
    """It moves the cursor between the first look and the second one: the first looked at other slots."""
    other = place.agent("bob", machine=bob.actor.machine)
    assert new(bob) == new(other) == []
    for n in range(3):
        send(ann, "bob", str(n))
        place.pass_(1)
        send(ann, ALL, f"all {n}")
        place.pass_(1)
    op = mail.unread(bob.actor)
    effect = next(op)
    read = 0
    while True:
        if isinstance(effect, fx.Get) and effect.key == keys.cursor("bob"):
            read += 1
            assert new(other, 2) == ["0", "all 0"]
        try:
            effect = op.send(bob.world.perform(effect))
        except StopIteration as end:
            inbox = end.value
            break
    assert read == 1
    assert [one.message.text for one in inbox.mails] == ["1", "all 1", "2", "all 2"]
    bob.do(mail.seen(bob.actor, inbox))
    assert new(other) == new(bob) == []


@pytest.mark.parametrize("body", [b"", b"x" * (MAX_DOCUMENT + 1)], ids=["empty", "too large to be read"])
def test_an_unreadable_message_is_reported_and_the_reader_gets_past_it(place: Place, ann: Agent, bob: Agent, body: bytes) -> None:
    new(bob)
    for box in ("bob", ALL):
        place.write(keys.slot(box, 0), body)
    send(ann, "bob", "behind it")
    inbox = peek(bob)
    assert [bool(one.damaged) for one in inbox.mails].count(True) == 2
    assert [one.message.text for one in inbox.mails if not one.damaged] == ["behind it"]
    bob.do(mail.seen(bob.actor, inbox))
    assert new(bob) == []


def test_a_message_is_shown_once(ann: Agent, bob: Agent) -> None:
    send(ann, "bob", "one")
    send(ann, "bob", "two")
    assert new(bob) == ["one", "two"]
    assert new(bob) == []
    send(ann, "bob", "three")
    assert [one.message.text for one in peek(bob).mails] == ["three"]
    assert new(bob) == ["three"], "not shown, not passed: the cursor moves after the output only"


def test_a_direct_message_is_for_its_recipient_alone(ann: Agent, bob: Agent) -> None:
    send(ann, "bob", "for bob")
    send(ann, ALL, "for all")
    assert new(bob) == ["for bob", "for all"]
    assert new(ann) == [], "one's own broadcasts are not shown"


def test_a_newcomer_gets_its_own_mail_and_the_last_twenty_broadcasts(place: Place, ann: Agent) -> None:
    for n in range(33):
        send(ann, ALL, f"b{n}")
    for n in range(3):
        assert ann.do(mail.send(ann.actor, "eve", f"d{n}")).stranger
    eve = place.agent("eve").warm()
    assert sorted(new(eve, 100)) == sorted([f"b{n}" for n in range(13, 33)] + ["d0", "d1", "d2"])
    assert not ann.do(mail.send(ann.actor, "eve", "x")).stranger
    young = Place().agent("young").warm()
    assert new(young) == []
    assert place.keys("cursors/") == ["cursors/eve.json"]


def test_limits_pass_nothing_that_was_not_shown(ann: Agent, bob: Agent) -> None:
    for n in range(50):
        send(ann, "bob" if n % 3 else ALL, str(n))
        ann.place.pass_(1)
    seen, rounds = [], 0
    while True:
        inbox = peek(bob, 7)
        bob.do(mail.seen(bob.actor, inbox))
        seen += [int(one.message.text) for one in inbox.mails]
        rounds += 1
        assert inbox.more == (len(seen) < 50)
        if not inbox.more:
            break
    assert seen == list(range(50))
    assert rounds == 8


@pytest.mark.parametrize("own", [19, 20, 21, 22, 42, 60])
def test_ones_own_broadcasts_hide_nothing(ann: Agent, bob: Agent, own: int) -> None:
    new(ann)
    for n in range(own):
        send(ann, ALL, str(n))
    send(bob, ALL, "behind many of Ann's own")
    assert new(ann) == ["behind many of Ann's own"]


@pytest.mark.parametrize("seed", range(12))
def test_no_reader_skips_or_repeats_with_many_senders_and_wrong_clocks(seed: int) -> None:
    dice = random.Random(seed)
    place = Place()
    team = [place.agent(f"a{n}", skew=skew) for n, skew in enumerate((0.0, HOUR, -HOUR, 7.5))]
    seen: dict[str, list[str]] = {one.name: [] for one in team}
    sent: dict[str, list[str]] = {one.name: [] for one in team}
    for one in team:
        assert new(one) == []
    for n in range(250):
        one = dice.choice(team)
        place.pass_(dice.random() * 100)
        if dice.random() < 0.5:
            seen[one.name] += new(one, dice.choice((1, 3, 20)))
            continue
        to = dice.choice([ALL, *(other.name for other in team)])
        text = f"{to}|{one.name}/{n}"
        faults: list[object] = dice.choice([*NO_FAULTS, *WAYS.values()])
        one.spoil(*faults, key="mail/")
        send(one, to, text)
        one.heal().faulty.land_late()
        for other in team:
            if other.name == to or (to == ALL and other is not one):
                sent[other.name].append(text)
    for one in team:
        while more := new(one):
            seen[one.name] += more
        for box in (ALL, one.name):
            wanted = [text for text in sent[one.name] if text.startswith(f"{box}|")]
            assert [text for text in seen[one.name] if text.startswith(f"{box}|")] == wanted, "each once, in the mailbox's order"


def test_each_senders_messages_in_one_mailbox_stay_in_order(place: Place, ann: Agent) -> None:
    eve = place.agent("eve", skew=-HOUR).warm()
    new(ann)
    bob = place.agent("bob", skew=HOUR).warm()
    for n in range(10):
        send(bob if n % 2 else eve, "ann", str(n))
    assert new(ann) == [str(n) for n in range(10)], "the order is the mailbox's, whatever the clocks say"


def test_two_shells_of_one_reader_never_move_the_cursor_back(place: Place, ann: Agent, bob: Agent) -> None:
    other = place.agent("bob", machine=bob.actor.machine)
    new(bob)
    new(other)
    for n in range(4):
        send(ann, "bob", str(n))
    first, second = peek(bob), peek(other, 2)
    bob.do(mail.seen(bob.actor, first))
    other.do(mail.seen(other.actor, second))
    assert new(bob) == []
    assert new(other) == []


def test_a_cursor_goes_on_in_each_mailbox_by_itself(place: Place, ann: Agent, bob: Agent) -> None:
    """One shell has shown the direct message, the other the broadcast."""
    other = place.agent("bob", machine=bob.actor.machine)
    early = place.agent("early", skew=-HOUR).warm()
    new(bob)
    send(ann, ALL, "for all")
    second = peek(other)
    send(early, "bob", "direct")
    first = peek(bob, 1)
    assert [[one.message.text for one in inbox] for inbox in (first, second)] == [["direct"], ["for all"]]
    bob.do(mail.seen(bob.actor, first))
    other.do(mail.seen(other.actor, second))
    assert new(bob) == []


def test_what_another_shell_has_shown_is_not_shown_again(place: Place, ann: Agent, bob: Agent) -> None:
    other = place.agent("bob", machine=bob.actor.machine)
    assert new(bob) == new(other) == []
    send(ann, "bob", "once")
    assert new(other) == ["once"]
    assert new(bob) == [], "though this shell remembers an older cursor"


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_the_cursor_settles_whatever_happens_to_its_write(ann: Agent, bob: Agent, faults: list[object]) -> None:
    send(ann, "bob", "1")
    assert new(bob.spoil(*faults, key="cursors/")) == ["1"]
    send(ann, "bob", "2")
    assert new(bob.spoil(*faults, key="cursors/")) == ["2"]
    assert new(bob) == []


def test_a_reader_killed_at_any_request_skips_nothing() -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        for n in range(3):
            send(ann, "bob", str(n))

        def read_all(bob: Agent = bob) -> Op[None]:
            inbox = yield from mail.unread(bob.actor)
            yield from mail.seen(bob.actor, inbox)

        ended = not stop_before(read_all(), bob, at)
        send(ann, "bob", "3")
        assert new(bob) in (["0", "1", "2", "3"], ["3"])
        at += 1
    assert at > 4


def test_a_hint_from_before_a_restore_costs_no_reader_a_message(place: Place, ann: Agent, bob: Agent) -> None:
    for n in range(5):
        send(ann, "bob", str(n))
    new(bob)
    for n in range(3, 5):
        place.store.delete(keys.slot("bob", n))
    send(ann, "bob", "after the restore")
    eve = place.agent("eve").warm()
    send(eve, "bob", "from somebody without a hint")
    assert new(bob) == ["after the restore", "from somebody without a hint"]
    entries = eve.do(logs.read("bob", 0, 100))
    assert [one.message.void for one in entries] == [False, False, False, True, True, False, False]


def test_the_newest_are_found_though_the_cursor_is_beyond_the_end(place: Place, ann: Agent, bob: Agent) -> None:
    for n in range(5):
        send(ann, "bob", str(n))
    new(bob)
    for n in range(2, 5):
        place.store.delete(keys.slot("bob", n))
    assert [one.message.text for one in bob.do(mail.recent(bob.actor, 2)).mails] == ["0", "1"]


def test_what_landed_behind_the_end_under_an_id_was_not_sent(place: Place, ann: Agent, bob: Agent) -> None:
    """The mailbox ends while the message is under way; a repeat is refused too."""
    send(ann, "bob", "before")
    end = encode(Message(moved_to="s3://elsewhere", write_id="end"))
    Between(ann, lambda: place.write(keys.slot("bob", 1), end), key="mail/", lands=False, answer=PutRefused)
    for agent in (ann, place.agent("ann", machine=ann.actor.machine)):
        for _ in range(2):
            error_of(Moved, lambda agent=agent: send(agent, "bob", "late", ident="k"))  # type: ignore[misc]


def test_sending_under_an_id_again_sends_nothing(place: Place, ann: Agent, bob: Agent) -> None:
    first = ann.do(mail.send(ann.actor, "bob", "hello", ident="greeting"))
    place.pass_(HOUR)
    for agent in (ann, place.agent("ann", machine=ann.actor.machine)):
        again = agent.do(mail.send(agent.actor, "bob", "hello", ident="greeting"))
        assert (again.id, again.again, first.again) == (first.id, True, False)
    assert new(bob) == ["hello"]
    error = error_of(Lost, lambda: ann.do(mail.send(ann.actor, "bob", "something else", ident="greeting")))
    assert error.exit == 3
    assert send(bob, "ann", "hello", ident="greeting") == "ann:0", "each sender has ids of its own"


def test_a_repetition_that_finds_its_message_says_so(place: Place, ann: Agent, bob: Agent) -> None:
    """The first was killed when the message was there and its slot not noted yet."""
    first = ann.do(mail.send(ann.actor, "bob", "hello", ident="k"))
    key = keys.sent("ann", "k")
    place.write(key, encode(decode(Sent, key, place.body(key)).but(slot=None)))
    again = ann.do(mail.send(ann.actor, "bob", "hello", ident="k"))
    assert (again.id, again.again) == (first.id, True)
    assert new(bob) == ["hello"]


@pytest.mark.parametrize("length", [0, 2, 300])
def test_a_send_under_an_id_killed_anywhere_is_sent_once_by_repeating_it(length: int) -> None:
    at, ended = 0, False
    while not ended:
        place = Place()
        ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
        new(bob)
        for n in range(length):
            place.write(keys.slot("bob", n), encode(Message(text="old", write_id=f"w{n}")))
        ended = not stop_before(mail.send(ann.actor, "bob", "once", ident="k"), ann, at)
        send(place.agent("eve").warm(), "bob", "between")
        ann.do(mail.send(ann.actor, "bob", "once", ident="k"))
        ann.do(mail.send(ann.actor, "bob", "once", ident="k"))
        assert [text for text in new(bob, 1000) if text != "old"] in (["once", "between"], ["between", "once"])
        at += 1
    assert at >= 4


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("where", ["sent/", "mail/"])
def test_a_send_under_an_id_survives_spoilt_answers(ann: Agent, bob: Agent, faults: list[object], where: str) -> None:
    send(ann, "bob", "0")
    ann.spoil(*faults, key=where)
    ident = send(ann, "bob", "1", ident="k")
    ann.heal().faulty.land_late()
    assert send(ann, "bob", "1", ident="k") == ident == "bob:1"
    assert new(bob) == ["0", "1"]


def test_a_send_under_an_id_is_sent_though_its_place_could_not_be_noted(ann: Agent, bob: Agent) -> None:
    away = Unavailable("away", "try again")
    ann.spoil(None, away, key="sent/")
    sent = ann.do(mail.send(ann.actor, "bob", "hello", ident="x"))
    assert (sent.id, sent.again) == ("bob:0", False)
    assert ann.do(mail.send(ann.actor, "bob", "hello", ident="x")).again
    assert len(bob.do(mail.all_(bob.actor))) == 1


def test_an_unknown_send_can_be_repeated_under_its_id(ann: Agent, bob: Agent) -> None:
    ann.spoil(Fault.DROP, key="mail/", forever=True)
    error_of(Indeterminate, lambda: send(ann, "bob", "x", ident="k"))
    ann.heal()
    send(ann, "bob", "x", ident="k")
    assert new(bob) == ["x"]


def test_waiting_returns_when_something_comes(place: Place, ann: Agent, bob: Agent) -> None:
    new(bob)
    sleep, left = bob.world._sleep, [3]

    def then_send(seconds: float) -> None:
        sleep(seconds)
        left[0] -= 1
        if left[0] == 0:
            send(ann, "bob", "at last")

    bob.world._sleep = then_send
    assert [one.message.text for one in bob.do(mail.wait_unread(bob.actor, 60)).mails] == ["at last"]


def test_waiting_ends_in_time_and_costs_two_reads_a_poll(place: Place, ann: Agent, bob: Agent) -> None:
    new(bob)
    start = place.now
    assert error_of(TimedOut, lambda: bob.do(mail.wait_unread(bob.actor, 30))).exit == 5
    assert 30 <= place.now - start < 31
    new(ann)
    for n in range(70):
        send(ann, ALL, str(n))
    error_of(TimedOut, lambda: ann.do(mail.wait_unread(ann.actor, 5)))
    polls = list(ann.counting.requests[-20:])
    assert {request.outcome for request in polls} == {"absent"}, "one's own broadcasts were passed once and for all"


def test_a_damaged_slot_is_reported_and_the_rest_goes_on(place: Place, ann: Agent, bob: Agent) -> None:
    for n in range(3):
        send(ann, "bob", str(n))
    place.write(keys.slot("bob", 1), b"garbage")
    inbox = peek(bob)
    assert [(one.message.text, bool(one.damaged)) for one in inbox.mails] == [("0", False), ("", True), ("2", False)]
    bob.do(mail.seen(bob.actor, inbox))
    assert new(bob) == []
    error_of(Damaged, lambda: bob.do(mail.read("bob:1")))
    assert [one.message.text for one in bob.do(mail.recent(bob.actor)).mails] == ["0", "", "2"]


def test_a_mailbox_that_moved_takes_nothing_and_is_still_read(place: Place, ann: Agent, bob: Agent) -> None:
    send(ann, "bob", "before")
    place.write(keys.slot("bob", 1), encode(Message(moved_to="s3://elsewhere", write_id="end")))
    assert error_of(Moved, lambda: send(ann, "bob", "after")).to == "s3://elsewhere"
    assert error_of(Moved, lambda: send(ann, "bob", "after", ident="k")).to == "s3://elsewhere"
    assert new(bob) == ["before"]
    assert error_of(Moved, lambda: new(bob)).to == "s3://elsewhere"


def test_no_cursor_passes_the_end_of_a_log(place: Place, ann: Agent, bob: Agent) -> None:
    """The project lives elsewhere then, and there another message has that slot."""
    new(bob)
    for n in range(25):
        send(bob, ALL, f"Bob's own {n}")
    send(ann, "bob", "before")
    ends = ((keys.slot("bob", 1), 1), (keys.slot(ALL, 25), 2))
    for key, _ in ends:
        place.write(key, encode(Message(moved_to="s3://elsewhere", write_id="end")))
    place.write(keys.slot("bob", 2), encode(Message(text="refused to its sender", write_id="late")))
    assert new(bob) == ["before"]
    for op in (mail.unread(bob.actor), mail.wait_unread(bob.actor, 1.0)):
        assert error_of(Moved, lambda op=op: bob.do(op)).to == "s3://elsewhere"  # type: ignore[misc]
    assert [one.message.text for one in bob.do(mail.all_(bob.actor)).mails] == ["before"]
    for key, _ in ends:
        place.write(key, encode(Message(text="after the move", sender="ann", write_id="after")))
    assert new(bob) == ["after the move", "refused to its sender", "after the move"]


def test_an_end_hides_nothing_of_the_other_mailbox(place: Place, ann: Agent, bob: Agent) -> None:
    new(bob)
    place.write(keys.slot("bob", 0), encode(Message(moved_to="s3://elsewhere", write_id="end")))
    for n in range(30):
        send(bob, ALL, f"Bob's own {n}")
    send(ann, ALL, "last")
    assert new(bob) == ["last"]
    error_of(Moved, lambda: new(bob))


def test_everything_and_the_newest_leave_the_cursor_alone(ann: Agent, bob: Agent) -> None:
    for n in range(30):
        send(ann, "bob", str(n))
        ann.place.pass_(1)
    assert [one.message.text for one in bob.do(mail.recent(bob.actor, 5)).mails] == [str(n) for n in range(25, 30)]
    assert [one.message.text for one in bob.do(mail.all_(bob.actor)).mails] == [str(n) for n in range(30)]
    assert len(new(bob, 100)) == 30
    assert [one.message.text for one in bob.do(mail.recent(bob.actor, 5)).mails] == [str(n) for n in range(25, 30)]
    assert bob.do(mail.recent(bob.actor, 5)).more


def test_threads_and_single_messages(ann: Agent, bob: Agent) -> None:
    first = send(ann, "bob", "question")
    reply = send(bob, "ann", "answer", reply_to=first)
    last = send(ann, "bob", "thanks", reply_to=reply)
    assert {ann.do(mail.read(ident)).message.thread for ident in (reply, last)} == {first}
    assert error_of(NotFound, lambda: ann.do(mail.read("bob:99"))).exit == 4
    for ident in ("bob", "bob:", ":1", "bob:-1", "bob:x", "../x:1", "bob:²"):
        error_of(UsageError, lambda ident=ident: ann.do(mail.read(ident)))  # type: ignore[misc]


@pytest.mark.parametrize("faults", [[], *WAYS.values()], ids=["all is well", *WAYS])
def test_acks_and_receipts(place: Place, ann: Agent, bob: Agent, faults: list[object]) -> None:
    eve = place.agent("eve").warm()
    new(bob), new(eve)
    direct, every = send(ann, "bob", "d", needs_ack=True), send(ann, ALL, "b")

    def states(ident: str) -> dict[str, str]:
        return {one.agent: one.state for one in ann.do(mail.receipts(ident))}

    assert (states(direct), states(every)) == ({"bob": "sent"}, {"bob": "sent", "eve": "sent"})
    new(bob)
    assert (states(direct), states(every)) == ({"bob": "delivered"}, {"bob": "delivered", "eve": "sent"})
    assert bob.spoil(*faults, key="acks/").do(mail.ack(bob.actor, direct))
    assert not bob.do(mail.ack(bob.actor, direct))
    assert eve.do(mail.ack(eve.actor, every))
    assert (states(direct), states(every)) == ({"bob": "acked"}, {"bob": "delivered", "eve": "acked"})
    error_of(UsageError, lambda: eve.do(mail.ack(eve.actor, direct)))
    error_of(NotFound, lambda: bob.do(mail.ack(bob.actor, "bob:50")))


def test_what_closes_a_gap_or_ends_a_mailbox_is_no_message(place: Place, ann: Agent, bob: Agent) -> None:
    send(ann, "bob", "hello")
    place.write(keys.slot("bob", 1), encode(Message(void=True, write_id="v")))
    place.write(keys.slot("bob", 2), encode(Message(moved_to="s3://elsewhere", write_id="end")))
    for ident, kind in (("bob:1", NotFound), ("bob:2", Moved)):
        for op in (mail.read(ident), mail.ack(bob.actor, ident), mail.send(bob.actor, "ann", "?", reply_to=ident)):
            error_of(kind, lambda op=op: bob.do(op))  # type: ignore[misc]


def test_what_cannot_be_sent_is_refused_before_a_request(ann: Agent) -> None:
    for to, text in (("", "x"), ("../b", "x"), ("_other", "x"), ("b c", "x"), ("bob", "x" * (256 * 1024 + 1)), ("bob", "\udc80")):
        assert ann.cost(mail.send(ann.actor, to, text)) == {}
        error_of(UsageError, lambda to=to, text=text: send(ann, to, text))  # type: ignore[misc]
    assert ann.cost(mail.send(ann.actor, "bob", "x", ident="a/b")) == {}


def test_counting_what_is_new_moves_nothing(ann: Agent, bob: Agent) -> None:
    for n in range(3):
        send(ann, "bob", str(n))
    send(ann, ALL, "all")
    assert bob.do(mail.count_unread("bob")) == 4
    assert len(new(bob)) == 4
    assert bob.do(mail.count_unread("bob")) == 0


def test_a_project_made_again_hides_no_mail_behind_an_old_cursor(place: Place, ann: Agent, bob: Agent) -> None:
    for n in range(5):
        send(ann, "bob", f"old {n}")
    assert len(new(bob)) == 5
    for key in place.keys(""):
        place.store.delete(key)
    eve = place.agent("eve").warm()
    for n in range(3):
        send(eve, "bob", f"new {n}")
    place.pass_(60)
    assert new(bob) == ["new 0", "new 1", "new 2"]


def test_a_wait_looks_at_the_cursor_once_a_minute(place: Place, ann: Agent, bob: Agent) -> None:
    """Another shell of the same agent, on another machine, may have been sent back by a restore."""
    send(ann, "bob", "old")
    new(bob)
    for key in (keys.slot("bob", 0), keys.cursor("bob")):
        place.store.delete(key)
    ann.hints.remember("tail:bob", None)
    send(ann, "bob", "new")
    assert [one.message.text for one in bob.do(mail.wait_unread(bob.actor, 100)).mails] == ["new"]
    new(bob)
    start = len(bob.counting.requests)
    error_of(TimedOut, lambda: bob.do(mail.wait_unread(bob.actor, 600)))
    looks = [request.key for request in bob.counting.requests[start:]].count(keys.cursor("bob"))
    assert 7 <= looks <= 10


@pytest.mark.parametrize("believed", [0, 2, 4, 6])
def test_a_send_under_an_id_twice_at_once_is_sent_once(place: Place, ann: Agent, bob: Agent, believed: int) -> None:
    """The first is slow: the second overtakes it before it wrote, and somebody else sends as well."""
    twin = place.agent("ann", machine=ann.actor.machine)
    eve = place.agent("eve").warm()
    for n in range(4):
        send(eve, "bob", str(n))
    for one in (ann, twin):
        one.hints.remember("tail:bob", str(believed).encode())

    def overtake() -> None:
        send(twin, "bob", "once", ident="k")
        for _ in range(20):
            send(eve, "bob", "other")

    Between(ann, overtake, key="mail/", lands=False, answer=PutRefused)
    slot = send(ann, "bob", "once", ident="k")
    said = new(bob, 100)
    assert said.count("once") == 1
    assert said.count("other") == 20
    assert ann.do(mail.read(slot)).message.text == "once"


def test_a_repeated_handoff_tells_another_recipient_too(place: Place, ann: Agent, bob: Agent) -> None:
    eve = place.agent("eve").warm()
    ann.do(steps.claim(ann.actor, "s"))
    for to in ("bob", "eve", "bob", "eve", ALL, ALL):
        ann.do(steps.finish(ann.actor, "s", Handoff(agent="", state=Status.COMPLETE, at=0.0, note="n", to=to)))
    assert len(ann.do(mail.all_(ann.actor)).mails) == 0
    for one in (bob, eve):
        assert [found.mailbox for found in one.do(mail.all_(one.actor)).mails] in ([one.name, ALL], [ALL, one.name])


@pytest.mark.parametrize("gap", [1, 100])
@pytest.mark.parametrize("box", ["bob", ALL])
@pytest.mark.parametrize("wait", [False, True])
def test_who_reads_only_what_is_new_finds_what_lies_behind_a_gap_in_ten_minutes(
    place: Place, ann: Agent, bob: Agent, gap: int, box: str, wait: bool
) -> None:
    for n in range(6):
        send(ann, box, str(n))
    while new(bob):
        pass
    place.write(keys.slot(box, 6 + gap), encode(Message(text="acknowledged", sender="eve", write_id="w")))
    assert new(bob) == []
    if wait:
        assert [one.message.text for one in bob.do(mail.wait_unread(bob.actor, 700.0)).mails] == ["acknowledged"]
    else:
        place.pass_(600)
        assert new(bob) == ["acknowledged"]


@pytest.mark.parametrize("gap", [3, 100])
@pytest.mark.parametrize("look", [mail.recent, mail.all_])
def test_looking_at_the_mailbox_fills_a_gap_in_it(
    place: Place, ann: Agent, bob: Agent, gap: int, look: Callable[..., Op[mail.Inbox]]
) -> None:
    for n in range(6):
        send(ann, "bob", str(n))
    while new(bob):
        pass
    place.write(keys.slot("bob", 6 + gap), encode(Message(text="from a dead sender", write_id="w")))
    assert new(bob) == []
    assert bob.do(look(bob.actor, 1000)).mails[-1].message.text == "from a dead sender"
    assert new(bob) == ["from a dead sender"]
