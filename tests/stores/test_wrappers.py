"""Counting, bounding and hindering a store."""

from __future__ import annotations

from threading import Event

import pytest

from windlass.effects import Always, IfAbsent, IfMatch, Object
from windlass.errors import Damaged, PutRefused, PutUnclear, Unavailable
from windlass.stores.memory import MemoryStore
from windlass.stores.wrappers import Counting, Prefix, Timeout
from windlass.testing.faults import Fault, Faulty, scripted, seeded


def body(store: MemoryStore, key: str) -> bytes | None:
    found = store.get(key)
    return found.body if isinstance(found, Object) else None


def test_every_request_is_counted_with_its_outcome() -> None:
    store = Counting(MemoryStore())
    version = store.put("a", b"1", IfAbsent())
    store.get("a")
    store.get("a", unless=version)
    store.get("b")
    with pytest.raises(PutRefused):
        store.put("a", b"2", IfAbsent())
    store.list("x/")
    store.folders("")
    store.delete("a")
    assert [(one.kind, one.key, one.outcome) for one in store.requests] == [
        ("put", "a", "done"),
        ("get", "a", "found"),
        ("get", "a", "unchanged"),
        ("get", "b", "absent"),
        ("put", "a", "refused"),
        ("list", "x/", "done"),
        ("folders", "", "done"),
        ("delete", "a", "done"),
    ]
    assert store.counts() == {"put": 2, "get": 3, "list": 1, "folders": 1, "delete": 1}
    store.reset()
    assert store.counts() == {}


def test_a_prefix_shows_its_keys_without_itself_in_errors_too() -> None:
    memory = MemoryStore()
    store = Prefix(memory, "in/")
    store.put("a", b"x" * (5 * 1024 * 1024), Always())
    assert body(memory, "a") is None
    with pytest.raises(Damaged) as met:
        store.get("a")
    assert met.value.key == "a"


class Stuck(MemoryStore):
    """Answers only once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = Event()

    def get(self, key: str, unless: str | None = None) -> Object | None:
        self.go.wait(30)
        return None

    def put(self, key: str, body: bytes, condition: object) -> str:
        self.go.wait(30)
        return super().put(key, body, Always())


def test_a_call_that_takes_too_long_is_given_up() -> None:
    stuck = Stuck()
    store = Timeout(stuck, 0.02)
    with pytest.raises(PutUnclear):
        store.put("a", b"1", IfAbsent())
    with pytest.raises(Unavailable):
        store.get("a")
    stuck.go.set()
    store.close()


def test_a_timeout_hands_on_what_the_store_raises() -> None:
    store = Timeout(MemoryStore(), 30)
    with pytest.raises(PutRefused):
        store.put("a", b"1", IfMatch(version="x"))
    store.close()


@pytest.mark.parametrize(
    ("fault", "error", "landed"),
    [
        (Fault.DROP, PutUnclear, None),
        (Fault.LOSE_ANSWER, PutUnclear, b"1"),
        (Fault.REFUSE_AFTER, PutRefused, b"1"),
        (Fault.DELAY, PutUnclear, None),
        (Fault.UNAVAILABLE, Unavailable, None),
    ],
)
def test_each_fault_does_what_it_says(fault: Fault, error: type[Exception], landed: bytes | None) -> None:
    memory = MemoryStore()
    store = Faulty(memory, scripted(fault))
    with pytest.raises(error):
        store.put("a", b"1", IfAbsent())
    assert body(memory, "a") == landed
    assert store.fired[fault] == 1
    store.put("b", b"2", IfAbsent())
    assert sum(store.fired.values()) == 1


def test_a_late_put_still_obeys_its_condition() -> None:
    memory = MemoryStore()
    store = Faulty(memory, scripted(Fault.DELAY, Fault.DELAY))
    for key in ("a", "b"):
        with pytest.raises(PutUnclear):
            store.put(key, b"late", IfAbsent())
    memory.put("a", b"meanwhile", IfAbsent())
    assert store.land_late() == ["b"]
    assert (body(memory, "a"), body(memory, "b")) == (b"meanwhile", b"late")
    assert store.land_late() == []


def test_a_lost_answer_hides_a_refusal_too() -> None:
    memory = MemoryStore()
    memory.put("a", b"first", IfAbsent())
    with pytest.raises(PutUnclear):
        Faulty(memory, scripted(Fault.LOSE_ANSWER)).put("a", b"second", IfAbsent())
    assert body(memory, "a") == b"first"


def test_reads_meet_faults_as_unavailable() -> None:
    for kind in ("get", "list", "folders", "delete"):
        store = Faulty(MemoryStore(), scripted(Fault.UNAVAILABLE, kind=kind))
        calls = {"get": lambda s=store: s.get("a"), "list": lambda s=store: s.list(""), "folders": lambda s=store: s.folders("")}
        with pytest.raises(Unavailable):
            calls.get(kind, lambda s=store: s.delete("a"))()


def test_a_seed_repeats_its_faults() -> None:
    odds = {Fault.DROP: 0.2, Fault.LOSE_ANSWER: 0.2, Fault.UNAVAILABLE: 0.1}
    plans = [seeded(7, odds), seeded(7, odds), seeded(8, odds)]
    drawn = [[plan("put", "k") for _ in range(200)] for plan in plans]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) == {None, *odds}
    assert {seeded(7, odds)("get", "k") for _ in range(1)} <= {None, Fault.UNAVAILABLE}
