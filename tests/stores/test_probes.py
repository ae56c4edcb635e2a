"""The doctor's probes pass honest stores, refuse those that break a promise, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windlass.effects import Always, IfAbsent, IfMatch
from windlass.errors import AccessDenied, PutRefused, PutUnclear, StoreMissing, StoreReadOnly
from windlass.stores.local import LocalStore
from windlass.stores.memory import MemoryStore
from windlass.stores.probes import EXCLUSIVE, Mark, Probed, matches, probe
from windlass.stores.registry import open_store
from windlass.testing import liars

if TYPE_CHECKING:
    from pathlib import Path

    from windlass.effects import Condition
    from windlass.stores.base import Store


def probed(store: Store, *, racers: int = 8, rounds: int = 2) -> Probed:
    return probe(store, "doctor/", racers=racers, rounds=rounds, patience=0.2)


def broken(found: Probed) -> set[str]:
    return {one.name for one in found.findings if one.mark is Mark.NO}


def test_memory_keeps_its_promises() -> None:
    store = MemoryStore()
    assert not broken(probed(store))
    assert not store.list("").entries


def test_a_directory_keeps_its_promises(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    found = probed(store, racers=16)
    assert not broken(found)
    assert found.clock_offset is not None
    assert abs(found.clock_offset) < 1
    assert set(found.latency) == {"delete", "get", "list", "put"}
    assert not store.list("").entries


def test_an_s3_server_keeps_its_promises(s3_url: str) -> None:
    store = open_store(s3_url)
    found = probe(store, "doctor/", racers=16, rounds=3)
    assert not broken(found)
    notes = {one.name: one.text for one in found.findings if one.mark is Mark.NOTE}
    assert notes == {
        "conditional_get": "conditional reads (not needed): honoured",
        "conditional_delete": "conditional deletes (not needed): honoured",
    }
    assert not store.list("").entries


@pytest.mark.parametrize(
    ("liar", "promises"),
    [
        (liars.IgnoresConditions, {"create", "create_race", "stale_replace", "replace_race"}),
        (liars.IgnoresIfMatch, {"stale_replace", "replace_race"}),
        (liars.Races, {"create_race"}),
        (lambda store: liars.Races(store, IfMatch), {"replace_race"}),
        (liars.RefusesIfMatch, {"replace", "replace_race"}),
        (liars.OffersNoConditions, {"create", "create_race", "replace", "stale_replace", "replace_race"}),
        (liars.StaleReads, {"read_after_write", "read_after_overwrite"}),
        (liars.StaleLists, {"list_after_write"}),
        (liars.UnsortedLists, {"list_order"}),
        (liars.IgnoresStartAfter, {"start_after"}),
        (liars.DeniesMissing, {"missing_key"}),
        (liars.FrozenClock, {"times_advance"}),
    ],
)
def test_a_store_that_lies_is_found_out(liar: type[liars.Liar], promises: set[str]) -> None:
    honest = MemoryStore()
    assert promises <= broken(probed(liar(honest), rounds=5))
    assert not honest.list("").entries, "what the probes wrote is gone"


def test_how_many_writers_won_is_told() -> None:
    texts = {one.name: one.text for one in probed(liars.IgnoresConditions(MemoryStore())).findings}
    assert texts["create_race"].startswith("8 of 8 writers won one race")


def test_what_does_not_touch_claims_is_told_apart() -> None:
    assert not broken(probed(liars.UnsortedLists(MemoryStore()))) & set(EXCLUSIVE)
    assert not broken(probed(liars.DeniesMissing(MemoryStore()))) & set(EXCLUSIVE)
    assert broken(probed(liars.Races(MemoryStore()), rounds=5)) & set(EXCLUSIVE)


class AnswersLosersWith500(liars.Liar):
    """As Ceph does under contention: one winner, no clear answer for the rest."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        try:
            return self.store.put(key, body, condition)
        except PutRefused:
            raise PutUnclear(f"{key}: HTTP 500") from None


class LosesTheWinnersAnswer(liars.Liar):
    """One writer wins each race, and never hears of it."""

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        version = self.store.put(key, body, condition)
        if "race" in key and not isinstance(condition, Always) and body != b"start":
            raise PutUnclear(f"{key}: connection dropped")
        return version


class OneWriteASecond(liars.Liar):
    """Refuses every second write of a key with 429, as some do that are asked too fast."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: dict[str, int] = {}

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.calls[key] % 2 == 0 and "race" not in key:
            raise PutUnclear(f"{key}: HTTP 429")
        return self.store.put(key, body, condition)


@pytest.mark.parametrize("kind", [AnswersLosersWith500, LosesTheWinnersAnswer, OneWriteASecond])
def test_unclear_answers_are_no_lies(kind: type[liars.Liar]) -> None:
    assert not broken(probed(kind(MemoryStore())))


class MayNotDelete(liars.Liar):
    """Takes everything but deletes."""

    def delete(self, key: str) -> None:
        raise AccessDenied("the store refused access: HTTP 403 AccessDenied", "")


def test_what_could_not_be_removed_is_named() -> None:
    last = probed(MayNotDelete(MemoryStore())).findings[-1]
    assert (last.name, last.mark) == ("delete", Mark.WARNING)
    assert "doctor/" in last.text


def test_an_interrupted_probe_leaves_nothing_behind() -> None:
    store = MemoryStore()

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "racing replaces":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(store, "doctor/", racers=4, rounds=2, tell=interrupt)
    assert not store.list("").entries


def test_nothing_but_the_prefix_is_touched() -> None:
    store = MemoryStore()
    store.put("demo/windlass.json", b"{}", IfAbsent())
    probed(store)
    assert [entry.key for entry in store.list("").entries] == ["demo/windlass.json"]


@pytest.mark.parametrize("error", [StoreMissing("there is no bucket", ""), StoreReadOnly("read-only", "")])
def test_a_store_that_takes_no_writes_at_all_is_an_error(error: Exception) -> None:
    class Closed(liars.Liar):
        def put(self, key: str, body: bytes, condition: Condition) -> str:
            raise error

    with pytest.raises(type(error)):
        probed(Closed(MemoryStore()))


def test_the_wrong_form_of_etag_shows() -> None:
    assert matches(MemoryStore(), "etag")
    assert not matches(liars.RefusesIfMatch(MemoryStore()), "etag")
