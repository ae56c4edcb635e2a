"""Registers: every conditional write ends as won, lost or honestly unknown, whatever the network did to its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from tests.ops.world import REFUSED, WAYS, Agent, Between, Place, error_of

from windlass.errors import (
    AccessDenied,
    Damaged,
    FormatTooNew,
    Indeterminate,
    Lost,
    NotFound,
    PutRefused,
    StoreFull,
    Unavailable,
    UsageError,
)
from windlass.ops import registers
from windlass.ops.registers import UNKNOWN, Version, Write
from windlass.protocol.codec import MAX_DOCUMENT, Document, Fields, decode, encode
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from typing import Self

    from windlass import effects as fx

KEY = "agents/n.json"


class Tally(Document):
    """A register for tests: who added, in order, so that each write can be found in it."""

    KIND: ClassVar[str] = "tally"

    ids: tuple[str, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(ids=f.texts("ids"))

    def wrote(self, write_id: str, seq: int) -> bool | None:
        return write_id in self.ids


class Blank(Document):
    """A register that remembers nothing of earlier writes."""

    KIND: ClassVar[str] = "blank"

    n: int = 0

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(n=f.whole("n"))


def plus_one(entry: Version[Tally] | None, write: Write) -> Tally:
    return (entry.doc if entry else Tally()).but(ids=(*(entry.doc.ids if entry else ()), write.id))


def add(**more: object) -> fx.Op[Version[Tally] | None]:
    return registers.update(KEY, Tally, plus_one, **more)  # type: ignore[arg-type]


def count(place: Place) -> int:
    return len(decode(Tally, KEY, place.body(KEY)).ids)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann")


@pytest.fixture
def bob(place: Place) -> Agent:
    return place.agent("bob")


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_write_whose_answer_is_spoilt_counts_once(place: Place, ann: Agent, faults: list[object], before: int) -> None:
    for _ in range(before):
        ann.do(add())
    now = ann.spoil(*faults).do(add())
    assert now is not None
    assert len(now.doc.ids) == before + 1 == count(place)
    assert now.doc.seq == before + 1
    ann.do(add(known=now))
    assert count(place) == before + 2, "what came back can be built on"


@pytest.mark.parametrize("exists", [False, True])
def test_what_stays_unknown_is_said_to_be_unknown(place: Place, ann: Agent, exists: bool) -> None:
    if exists:
        ann.do(add())
    error = error_of(Indeterminate, lambda: ann.spoil(Fault.DROP, forever=True).do(add()))
    assert error.exit == 7
    assert "landed" in error.message
    assert error.hint
    assert ann.slept > 5, "it was tried for some seconds"


@pytest.mark.parametrize("exists", [False, True])
def test_a_delayed_write_counts_once_whenever_it_lands(place: Place, ann: Agent, exists: bool) -> None:
    if exists:
        ann.do(add())
    ann.spoil(Fault.DELAY).do(add())
    assert ann.faulty.land_late() == [], "sending the same bytes again settled it"
    assert count(place) == 1 + exists


def test_a_delayed_write_that_lands_between_two_looks_is_won(place: Place, ann: Agent) -> None:
    ann.do(add())
    ann.spoil(Fault.DELAY)
    sleep = ann.world._sleep
    ann.spoil(Fault.DROP)

    def lands_meanwhile(seconds: float) -> None:
        ann.faulty.land_late()
        sleep(seconds)

    ann.world._sleep = lands_meanwhile
    ann.do(add())
    assert count(place) == 2


def test_a_write_that_landed_and_was_built_on_is_won(place: Place, ann: Agent, bob: Agent) -> None:
    ann.do(add())
    Between(ann, lambda: bob.do(add()))
    now = ann.do(add())
    assert now is not None
    assert len(now.doc.ids) == 2, "what Ann wrote, as she wrote it"
    assert now.version == "", "and no version to build on, since it is not the newest"
    assert count(place) == 3


def test_two_writers_both_count(place: Place, ann: Agent, bob: Agent) -> None:
    stale = ann.do(add())
    bob.do(add())
    now = ann.do(add(known=stale))
    assert now is not None
    assert now.doc.seq == 3 == count(place)


def test_a_write_is_never_sent_again_without_its_condition(place: Place, ann: Agent, bob: Agent) -> None:
    """It was dropped on the way; before it is sent again somebody else writes."""
    ann.do(add())
    ann.spoil(Fault.DROP)
    sleep = ann.world._sleep

    def writes_meanwhile(seconds: float) -> None:
        ann.world._sleep = sleep
        bob.do(add())
        sleep(seconds)

    ann.world._sleep = writes_meanwhile
    ann.do(add())
    assert count(place) == 3


def test_a_register_that_cannot_tell_says_so(place: Place, ann: Agent, bob: Agent) -> None:
    """A document without history, changed twice since our unclear write: neither won nor lost can be claimed."""

    def bump(entry: Version[Blank] | None, write: Write) -> Blank:
        return Blank(n=entry.doc.n + 1 if entry else 1)

    ann.do(registers.update(KEY, Blank, bump))
    Between(ann, lambda: [bob.do(registers.update(KEY, Blank, bump)) for _ in range(2)], answer=PutRefused)
    error_of(Indeterminate, lambda: ann.do(registers.update(KEY, Blank, bump)))


def test_reading_back_needs_a_usable_answer(place: Place, ann: Agent) -> None:
    ann.do(add())
    ann.spoil(Fault.LOSE_ANSWER).spoil(None, Fault.UNAVAILABLE, Fault.UNAVAILABLE, kind="get")
    ann.do(add())
    assert count(place) == 2
    ann.spoil(Fault.LOSE_ANSWER).spoil(None, kind="get").spoil(Fault.UNAVAILABLE, kind="get", forever=True)
    error_of(Indeterminate, lambda: ann.do(add()))
    assert count(place) == 3


def test_an_unclear_write_whose_read_back_is_refused_is_unknown(place: Place, ann: Agent) -> None:
    """Credentials that expire between the write and the look must not look like "nothing happened"."""
    entry = ann.do(add())
    ann.spoil(Fault.LOSE_ANSWER).spoil(AccessDenied("expired", "log in"), kind="get")
    error_of(Indeterminate, lambda: ann.do(add(known=entry)))


def test_an_unclear_write_that_became_unreadable_is_unknown(place: Place, ann: Agent) -> None:
    Between(ann, lambda: place.write(KEY, b"torn"))
    assert KEY in error_of(Indeterminate, lambda: ann.do(add())).message
    error_of(Damaged, lambda: ann.do(add(known=None)))


def test_an_unclear_write_whose_resend_is_refused_is_unknown(ann: Agent) -> None:
    ann.spoil(Fault.DROP, AccessDenied("expired", "log in"))
    error_of(Indeterminate, lambda: ann.do(add()))


def test_a_write_that_surely_did_not_land_keeps_its_error(place: Place, ann: Agent) -> None:
    error_of(StoreFull, lambda: ann.spoil(StoreFull("full", "make room")).do(add()))
    assert place.keys() == []


def test_a_damaged_register_is_never_overwritten(place: Place, ann: Agent) -> None:
    for body in (b"", b"{", b"[]", b'{"format":1}', b'{"format":1,"kind":"tally","seq":-1}', b"\xff\xfe"):
        place.write(KEY, body)
        assert error_of(Damaged, lambda: ann.do(add())).key == KEY
        assert place.body(KEY) == body


def test_a_newer_format_is_never_overwritten(place: Place, ann: Agent) -> None:
    place.write(KEY, b'{"format":2,"kind":"tally"}')
    error_of(FormatTooNew, lambda: ann.do(add()))
    assert place.body(KEY) == b'{"format":2,"kind":"tally"}'


def test_a_document_too_large_to_be_read_again_is_not_written(place: Place, ann: Agent) -> None:
    def grow(entry: Version[Tally] | None, write: Write) -> Tally:
        return Tally(ids=(write.id, "x" * MAX_DOCUMENT))

    error_of(UsageError, lambda: ann.do(registers.update(KEY, Tally, grow)))
    assert place.keys() == []


def test_leaving_it_as_it_is_writes_nothing(place: Place, ann: Agent) -> None:
    now = ann.do(add())
    assert ann.cost(registers.update(KEY, Tally, lambda entry, write: entry.doc if entry else None)) == {"get": 1}
    assert ann.do(registers.update(KEY, Tally, lambda entry, write: entry.doc if entry else None)) == Version(
        doc=decode(Tally, KEY, place.body(KEY)), version=now.version if now else "", modified=place.now
    )
    assert ann.do(registers.update("agents/other.json", Tally, lambda entry, write: None)) is None


def test_a_guess_or_a_memory_is_never_the_reason_of_a_refusal(place: Place, ann: Agent, bob: Agent) -> None:
    def needs_two(entry: Version[Tally] | None, write: Write) -> Tally:
        if entry is None or len(entry.doc.ids) < 2:
            raise NotFound("fewer than two")
        return plus_one(entry, write)

    ann.do(registers.keep(KEY, ann.do(add())))
    bob.do(add())
    old = ann.do(registers.remembered(KEY, Tally))
    assert old is not None
    assert len(old.doc.ids) == 1
    for known in (old, None, UNKNOWN):
        ann.do(registers.update(KEY, Tally, needs_two, known=known))
    assert count(place) == 5


def test_odd_memories_are_no_memories(ann: Agent) -> None:
    for note in (b"", b"\n", b"v1", b"v1\n", b"v1\n{", b"\xff\n{}", b'v1\n{"format":9,"kind":"tally"}', b"v1\n" + encode(Blank())):
        ann.hints.remember("doc:" + KEY, note)
        assert ann.do(registers.remembered(KEY, Tally)) is None


def test_a_write_that_was_overtaken_is_not_remembered(ann: Agent) -> None:
    now = ann.do(add())
    assert now is not None
    ann.do(registers.keep(KEY, now))
    ann.do(registers.keep(KEY, now.but(version="")))
    assert ann.do(registers.remembered(KEY, Tally)) is None


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_creating_finds_what_is_there(place: Place, ann: Agent, bob: Agent, faults: list[object]) -> None:
    first = ann.spoil(*faults).do(registers.create(KEY, Blank(n=1), Blank))
    assert first.doc.n == 1
    assert bob.do(registers.create(KEY, Blank(n=2), Blank)).doc == first.doc


def test_creating_finds_what_has_been_changed_since(ann: Agent, bob: Agent) -> None:
    ann.do(registers.create(KEY, Blank(n=1), Blank))
    for _ in range(3):
        ann.do(registers.update(KEY, Blank, lambda entry, write: Blank(n=9)))
    assert bob.do(registers.create(KEY, Blank(n=2), Blank)).doc.n == 9


@pytest.mark.parametrize("faults", WAYS.values(), ids=WAYS)
def test_creating_many_says_which_were_made(place: Place, ann: Agent, bob: Agent, faults: list[object]) -> None:
    bob.do(registers.create("agents/5.json", Blank(n=99), Blank))
    many = [(f"agents/{n}.json", Blank(n=n, write_id=f"id{n}", seq=1)) for n in range(70)]
    made = ann.spoil(*faults).do(registers.create_all(many, Blank))
    assert [version is not None for version in made] == [n != 5 for n in range(70)]
    versions = [place.store.get(key).version for key, _ in many]  # type: ignore[union-attr]
    assert all(said in ("", there) for said, there in zip(made, versions, strict=True) if said is not None)
    assert sum(said == there for said, there in zip(made, versions, strict=True)) >= 60, "unless its answer was unclear"
    assert decode(Blank, "agents/5.json", place.body("agents/5.json")).n == 99


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.LOSE_ANSWER, Fault.REFUSE_AFTER, REFUSED])
def test_overwriting_survives_one_unclear_answer(place: Place, ann: Agent, fault: object) -> None:
    ann.spoil(fault).do(registers.overwrite(KEY, Blank(n=3)))
    assert decode(Blank, KEY, place.body(KEY)).n == 3


def test_overwriting_gives_up_in_the_end(ann: Agent) -> None:
    error_of(Unavailable, lambda: ann.spoil(Fault.DROP, forever=True).do(registers.overwrite(KEY, Blank(n=3))))


def test_fields_of_a_newer_minor_version_survive_a_change(place: Place, ann: Agent) -> None:
    place.write(KEY, b'{"format":1,"kind":"tally","write_id":"w","seq":4,"ids":["w"],"mood":{"deep":[1,null]}}')
    ann.do(add())
    assert b'"mood":{"deep":[1,null]}' in place.body(KEY)
    assert b'"seq":5' in place.body(KEY)


def test_endless_contention_ends(ann: Agent, bob: Agent) -> None:
    ann.do(add())

    def always_late(entry: Version[Tally] | None, write: Write) -> Tally:
        bob.do(add())
        return plus_one(entry, write)

    error_of(Lost, lambda: ann.do(registers.update(KEY, Tally, always_late)))
