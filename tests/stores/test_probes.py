"""The doctor's probes pass honest stores, refuse those that break a promise, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from windlass.effects import Always, IfAbsent, IfMatch
from windlass.errors import AccessDenied, PutRefused, PutUnclear, StoreError, StoreMissing, StoreReadOnly
from windlass.stores.local import LocalStore
from windlass.stores.memory import MemoryStore
from windlass.stores.probes import EXCLUSIVE, Mark, Probed, matches, probe
from windlass.stores.registry import open_store
from windlass.testing import liars

if TYPE_CHECKING:
    from collections.abc import Callable
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
        "limits": "a race that goes wrong 1 time in 100 is found by 3 of 100 such examinations",
    }
    assert not store.list("").entries


class Lie(NamedTuple):
    """A store that lies, the checks that must fail, and what must be said; over S3 the same words unless others are given."""

    make: Callable[[Store], Store]
    checks: set[str]
    words: str
    over_s3: str | None = None


UNSORTED = "lists its keys out of order"
PAGED = "a listing page by page is not complete and sorted by key"
LIES = [
    Lie(
        liars.IgnoresConditions,
        {"create", "create_race", "stale_replace", "replace_race"},
        "a create of what is already there is let through",
    ),
    Lie(liars.IgnoresIfAbsent, {"create", "create_race"}, "a create of what is already there is let through"),
    Lie(liars.IgnoresIfMatch, {"stale_replace", "replace_race"}, "a replace that names an old version is let through"),
    Lie(liars.WritesNothing, {"create", "stale_replace"}, "a create of what is already there is answered with success, and writes nothing"),
    Lie(liars.ReplacesNothing, {"stale_replace"}, "a replace of what is not there is let through"),
    Lie(liars.Races, {"create_race"}, "writers won one race: claims would have several owners"),
    Lie(lambda store: liars.Races(store, IfMatch), {"replace_race"}, "writers won one race: claims would have several owners"),
    Lie(liars.RacesRarely, {"create_race", "replace_race"}, "writers won one race: claims would have several owners"),
    Lie(liars.RefusesIfMatch, {"replace", "replace_race"}, "refuses a write whose condition holds"),
    Lie(
        liars.OffersNoConditions,
        {"create", "create_race", "replace", "stale_replace", "replace_race"},
        "the store offers no conditional writes",
    ),
    Lie(liars.ReusesVersions, {"replace"}, "two contents of an object have one version"),
    Lie(liars.StaleReads, {"read_after_write", "read_after_overwrite"}, "a read right after a create does not see it"),
    Lie(liars.LosesWrites, {"kept"}, "what was written is not there any more, though the store said that it was"),
    Lie(liars.Forgets, {"kept"}, "what was written is not there any more, though the store said that it was"),
    Lie(liars.ChangesBodies, {"bodies"}, "what is read is not what was written, byte for byte"),
    Lie(liars.CutsBodies, {"bodies"}, "what is read is not what was written, byte for byte"),
    Lie(liars.FoldsCase, {"names"}, "names that differ in case are one object"),
    Lie(liars.SaysUnchanged, {"conditional_read"}, "a read that names an old version is told that nothing changed"),
    Lie(liars.DeniesMissing, {"missing_key"}, "a missing key is refused, not found missing"),
    Lie(liars.StaleLists, {"list_after_write"}, "a listing right after a create does not show it"),
    Lie(liars.StaleEntries, {"list_after_overwrite"}, "a listing right after an overwrite shows the object as it was"),
    Lie(liars.ShortLists, {"list_order"}, PAGED),
    Lie(liars.UnsortedLists, {"list_order"}, "a listing is not complete and sorted by key", UNSORTED),
    Lie(liars.SortsFolders, {"list_order"}, "a listing is not complete and sorted by key", UNSORTED),
    Lie(liars.SortsWithoutCase, {"list_order"}, "a listing is not complete and sorted by key", UNSORTED),
    Lie(
        liars.IgnoresStartAfter,
        {"start_after"},
        "a listing that starts after a key does not begin with the next one",
        PAGED,
    ),
    Lie(liars.StartsAtTheKey, {"start_after"}, "a listing that starts after a key does not begin with the next one", PAGED),
    Lie(liars.FrozenClock, {"times_advance"}, "the modification time does not move on"),
    Lie(liars.JumpingClock, {"times_advance"}, "a later write has an earlier time"),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: getattr(lie.make, "__name__", "races on replace").strip("<>"))
def test_a_store_that_lies_is_found_out_and_told_what_it_does(lie: Lie) -> None:
    honest = MemoryStore()
    found = probed(lie.make(honest), rounds=5)
    assert lie.checks <= broken(found)
    assert any(lie.words in one.text for one in found.findings if one.mark is Mark.NO)
    assert not honest.list("").entries, "what the probes wrote is gone"


def test_every_liar_is_tried() -> None:
    kinds = {kind for kind in vars(liars).values() if isinstance(kind, type) and issubclass(kind, liars.Liar)}
    assert kinds - {liars.Liar} == {lie.make for lie in LIES if isinstance(lie.make, type)}


def test_a_store_that_hardly_ever_races_passes_and_that_this_is_so_is_told() -> None:
    found = probed(liars.RacesRarely(MemoryStore(), chance=0.001), rounds=10)
    assert not broken(found)
    (limits,) = [one for one in found.findings if one.name == "limits"]
    assert (limits.mark, limits.text) == (Mark.NOTE, "a race that goes wrong 1 time in 100 is found by 10 of 100 such examinations")


def test_how_many_writers_won_is_told() -> None:
    texts = {one.name: one.text for one in probed(liars.IgnoresConditions(MemoryStore())).findings}
    assert texts["create_race"].startswith("8 of 8 writers won one race")


def test_no_probe_needs_what_windlass_does_not() -> None:
    class NoFoldersOfObjects(liars.Liar):
        """As servers on a file system: what is an object is no folder of others."""

        def put(self, key: str, body: bytes, condition: Condition) -> str:
            parts = key.split("/")
            above = ["/".join(parts[:n]) for n in range(1, len(parts))]
            if any(self.store.get(folder) for folder in above) or self.store.list(key + "/").entries:
                raise StoreError("the store refused the write: HTTP 400 XMinioParentIsObject", "")
            return self.store.put(key, body, condition)

    assert not broken(probed(NoFoldersOfObjects(MemoryStore())))


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
