"""Does a store keep its promises? Races it and says so, on objects under a prefix that is removed again."""

from __future__ import annotations

import time
from enum import Enum
from threading import Barrier, Thread

from windlass.effects import Always, IfAbsent, IfMatch, Object
from windlass.errors import AccessDenied, PutRefused, PutUnclear, StoreError, Unsafe, WindlassError
from windlass.record import Record
from windlass.stores.timed import Timed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from windlass.effects import Condition, Entry
    from windlass.stores.base import Store

ROUNDING = 1.0
"""Seconds by which a later write may seem earlier, where a store gives whole seconds."""
BODY = bytes(range(256)) * 1200
"""300 KiB, as long as the longest message, of every byte that there is."""
COARSE = 2.5
"""Seconds after which even a store that gives whole seconds shows a later time."""
EXCLUSIVE = ("create", "create_race", "replace", "stale_replace", "replace_race", "read_after_write", "read_after_overwrite", "kept")
"""The findings on which exclusive claims rest."""


class Mark(Enum):
    """How a check came out: NO makes a store unfit; WARNING and NOTE do not."""

    YES = "yes"
    NO = "no"
    WARNING = "warning"
    NOTE = "note"


class Finding(Record):
    """One check: its stable name, how it came out, and a line for people."""

    name: str
    mark: Mark
    text: str


class Probed(Record):
    """What the probes found. `latency` is the median in seconds of each kind of request, of those sent one at a time."""

    findings: tuple[Finding, ...]
    latency: Mapping[str, float]
    clock_offset: float | None
    """Seconds that this machine's clock is ahead of the store's; None where it could not be told."""


class Broken(Exception):  # never leaves this module
    """A promise was not kept; the text says which."""


def matches(store: Store, key: str) -> bool:
    """Whether a replace that names the right version is let through; the object stays. Raises StoreError."""
    try:
        version = store.put(key, b"1", Always())
        store.put(key, b"2", IfMatch(version=version))
    except (PutRefused, PutUnclear, Unsafe):
        return False
    return True


def probe(
    store: Store,
    prefix: str,
    *,
    racers: int = 32,
    rounds: int = 10,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
    patience: float = COARSE,
) -> Probed:
    """Run every probe under `prefix` (ending in "/") and remove what they wrote, also when they fail.

    `patience`: seconds in which a modification time must move on. Raises StoreError where the store takes no writes at all.
    """
    timed = Timed(store)
    prober = _Prober(timed, prefix, racers, rounds, tell, patience)
    findings: list[Finding] = []
    offset = prober.begin()
    try:
        for name, check in prober.checks().items():
            tell(name.replace("_", " "), len(findings), len(prober.checks()))
            findings.append(_carry_out(name, check))
        findings += prober.extras()
        seen = f"{100 * (1 - 0.99**rounds):.0f} of 100 such examinations"
        findings.append(Finding(name="limits", mark=Mark.NOTE, text=f"a race that goes wrong 1 time in 100 is found by {seen}"))
    finally:
        left = prober.clean()
    findings.append(left)
    return Probed(findings=tuple(findings), latency=timed.medians(), clock_offset=offset)


def _carry_out(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, mark=Mark.YES, text=check())
    except Broken as error:
        return Finding(name=name, mark=Mark.NO, text=str(error))
    except PutRefused:
        return Finding(name=name, mark=Mark.NO, text="refuses a write whose condition holds")
    except PutUnclear as error:
        return Finding(name=name, mark=Mark.NO, text=f"gives no clear answer to a write that nothing stood against ({error})")
    except WindlassError as error:
        return Finding(name=name, mark=Mark.NO, text=error.message)


class _Prober:
    def __init__(self, store: Timed, prefix: str, racers: int, rounds: int, tell: Callable[[str, int, int], None], patience: float) -> None:
        self.store = store
        self.prefix = prefix
        self.racers = racers
        self.rounds = rounds
        self.tell = tell
        self.patience = patience
        self.started = 0.0
        self.first = 0.0
        self.latest = 0.0
        self.kept: dict[str, bytes] = {}
        """What must be there until the end, by name."""

    def checks(self) -> dict[str, Callable[[], str]]:
        """Every required check by name, in the order that they are shown in."""
        return {
            "create": self.create,
            "create_race": self.create_race,
            "replace": self.replace,
            "stale_replace": self.stale_replace,
            "replace_race": self.replace_race,
            "read_after_write": self.read_after_write,
            "read_after_overwrite": self.read_after_overwrite,
            "conditional_read": self.conditional_read,
            "bodies": self.bodies,
            "names": self.names,
            "missing_key": self.missing_key,
            "list_after_write": self.list_after_write,
            "list_after_overwrite": self.list_after_overwrite,
            "list_order": self.list_order,
            "start_after": self.start_after,
            "times_advance": self.times_advance,
            "kept": self.all_kept,
        }

    def begin(self) -> float | None:
        """Write a first object; how far this machine's clock is ahead of the store's."""
        before = time.time()
        try:
            self.put("time", b"1", Always())
            after = time.time()
            found = self.read("time")
        except PutUnclear as error:
            self.remove(f"{self.prefix}time")
            raise StoreError("the store gives no clear answer to a plain write", f"run it again; {error}") from error
        self.started = time.monotonic()
        if found is None:
            return None
        self.first = found.modified
        whole = found.modified == int(found.modified)
        offset = (before + after) / 2 - found.modified - (0.5 if whole else 0.0)
        return 0.0 if abs(offset) <= (after - before) / 2 + (0.5 if whole else 0.0) else offset

    def create(self) -> str:
        self.put("create", b"first", IfAbsent())
        if self.attempt("create", b"other", IfAbsent()):
            if self.body("create") == b"first":
                raise Broken("a create of what is already there is answered with success, and writes nothing")
            raise Broken("a create of what is already there is let through: conditions are ignored")
        self.expect("create", b"first", "a refused create changes the bytes")
        return "a create of what is already there is refused"

    def replace(self) -> str:
        version = self.put("replace", b"first", IfAbsent())
        now = self.put("replace", b"other", IfMatch(version=version))
        found = self.expect("replace", b"other", "a replace does not change the bytes")
        if now == version:
            raise Broken("two contents of an object have one version: an old one could be taken for the new one")
        if found.version != now:
            raise Broken("the version of an object is not the one that its write gave")
        return "a replace that names the right version is let through"

    def stale_replace(self) -> str:
        version = self.put("stale", b"first", IfAbsent())
        self.put("stale", b"other", Always())
        if self.attempt("stale", b"third", IfMatch(version=version)):
            if self.body("stale") == b"other":
                raise Broken("a replace that names an old version is answered with success, and writes nothing")
            raise Broken("a replace that names an old version is let through: conditions are ignored")
        self.expect("stale", b"other", "a refused replace changes the bytes")
        if self.attempt("nothing", b"x", IfMatch(version=version)):
            raise Broken("a replace of what is not there is let through")
        if self.listed("nothing"):
            raise Broken("a refused replace of what is not there creates it")
        return "a replace that names an old version is refused, and changes nothing"

    def create_race(self) -> str:
        settled = 0
        for turn in range(self.rounds):
            self.tell("racing creates", turn, self.rounds)
            settled += self.race(f"create-race/{turn}", IfAbsent(), None)
        return self.verdict(settled, "creates")

    def replace_race(self) -> str:
        settled = 0
        self.put("replace-race", b"start", IfAbsent())
        for turn in range(self.rounds):
            self.tell("racing replaces", turn, self.rounds)
            found = self.read("replace-race")
            if found is None:
                raise Broken("an object vanishes while it is being replaced")
            settled += self.race("replace-race", IfMatch(version=found.version), found.body)
        return self.verdict(settled, "replaces")

    def verdict(self, settled: int, what: str) -> str:
        if not settled:
            raise Broken(f"none of {self.rounds} races of {self.racers} {what} had a winner")
        return f"{settled} races of {self.racers} {what}: one winner each"

    def race(self, name: str, condition: Condition, before: bytes | None) -> bool:
        """Let all racers write at once; whether one of them won. Raises Broken where more than one did."""
        self.kept.pop(name, None)
        start = Barrier(self.racers)
        outcomes: list[bool | None | Exception] = [None] * self.racers
        bodies = [f"{name} {racer} {before!r}"[:200].encode() for racer in range(self.racers)]

        def write(racer: int) -> None:
            start.wait()
            try:
                self.store.store.put(self.prefix + name, bodies[racer], condition)
                outcomes[racer] = True
            except PutRefused:
                outcomes[racer] = False
            except PutUnclear:
                outcomes[racer] = None
            except Exception as error:  # it did not land; raised below if that was so for all
                outcomes[racer] = error

        threads = [Thread(target=write, args=(racer,), daemon=True) for racer in range(self.racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if len(failures) == self.racers:
            raise failures[0]
        won = [racer for racer, outcome in enumerate(outcomes) if outcome is True]
        if len(won) > 1:
            raise Broken(f"{len(won)} of {self.racers} writers won one race: claims would have several owners")
        found = self.read(name)
        body = found.body if found else None
        if won:
            if body != bodies[won[0]]:
                raise Broken("after a race the object does not hold the winner's bytes")
            self.kept[name] = body
            return True
        if body == before:
            return False
        if body not in [bodies[racer] for racer, outcome in enumerate(outcomes) if outcome is None]:
            raise Broken("after a race the object holds the bytes of a writer that was refused")
        return True  # one landed, and its answer was unclear: operations read back and see it

    def read_after_write(self) -> str:
        for n in range(5):
            self.put(f"fresh/{n}", b"here", Always())
            self.expect(f"fresh/{n}", b"here", "a read right after a create does not see it")
        return "a read sees what was just created"

    def read_after_overwrite(self) -> str:
        for n in range(5):
            self.put("over", b"%d" % n, Always())
            self.expect("over", b"%d" % n, "a read right after an overwrite sees the old bytes")
        return "a read sees what was just overwritten"

    def conditional_read(self) -> str:
        version = self.put("watched", b"first", Always())
        self.put("watched", b"other", Always())
        found = self.store.get(self.prefix + "watched", version)
        if not isinstance(found, Object) or found.body != b"other":
            raise Broken("a read that names an old version is told that nothing changed")
        return "a read that names an old version gets the new bytes"

    def bodies(self) -> str:
        broken = "what is read is not what was written, byte for byte"
        self.put("bytes", BODY, Always())
        self.expect("bytes", BODY, broken)
        self.put("text", b'{"a":"b"}', Always())
        self.expect("text", b'{"a":"b"}', broken)
        return "300 KiB of any bytes are read as they were written"

    def names(self) -> str:
        self.put("names/Ann", b"Ann", Always())
        self.put("names/ann", b"ann", Always())
        if self.body("names/Ann") != b"Ann":
            del self.kept["names/Ann"]
            raise Broken("names that differ in case are one object")
        return "names that differ in case are two objects"

    def missing_key(self) -> str:
        try:
            found = self.read("missing")
        except AccessDenied:
            raise Broken("a missing key is refused, not found missing: allow s3:ListBucket (windlass doctor --policy)") from None
        if found is not None:
            raise Broken("a read of a missing key finds something")
        return "a missing key is found missing"

    def list_after_write(self) -> str:
        for n in range(5):
            self.put(f"listed/{n}", b"1", Always())
            if self.prefix + f"listed/{n}" not in self.listed("listed/"):
                raise Broken("a listing right after a create does not show it")
        return "a listing shows what was just written"

    def list_after_overwrite(self) -> str:
        self.put("relisted", b"1", Always())
        for n in range(1, 4):
            version = self.put("relisted", b"1" * (n + 1), Always())
            (entry,) = self.entries("relisted") or (None,)
            if entry is None or entry.size != n + 1 or entry.version not in ("", version):
                raise Broken("a listing right after an overwrite shows the object as it was")
        return "a listing shows what was just overwritten"

    def list_order(self) -> str:
        names = self.sorted_names()
        if self.listed("sort/") != names:
            raise Broken("a listing is not complete and sorted by key")
        if list(self.paged("sort/", 3)) != names:
            raise Broken("a listing page by page is not complete and sorted by key")
        pages = getattr(self.store.store, "pages", None)
        raw = pages(self.prefix + "sort/") if pages is not None else None
        if raw is not None and list(raw) != names:
            raise Broken("a listing page by page is not complete and sorted by key")
        return "listings are complete and sorted"

    def start_after(self) -> str:
        names = self.sorted_names()
        for i, name in enumerate(names):
            if self.listed("sort/", after=name) != names[i + 1 :]:
                raise Broken("a listing that starts after a key does not begin with the next one")
        return "a listing can start after a key"

    def times_advance(self) -> str:
        while True:
            self.put("time", str(time.monotonic()).encode(), Always())
            found = self.read("time")
            if found is not None and found.modified > self.first:
                break
            if time.monotonic() - self.started > self.patience:
                raise Broken("the modification time does not move on: nobody could tell a dead agent from a live one")
            time.sleep(min(0.25, self.patience / 10))
        for n in range(5):
            self.put(f"times/{n}", b"1", Always())
            found = self.read(f"times/{n}")
            now = found.modified if found else 0.0
            if now < self.latest - ROUNDING:
                raise Broken(f"a later write has an earlier time, by {self.latest - now:.1f} s: live agents could be taken for dead ones")
            self.latest = max(self.latest, now)
        return "modification times move on"

    def all_kept(self) -> str:
        """Nothing was written for this alone: all that other checks wrote and read back, or were told that it is written."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            bodies = list(pool.map(self.body, self.kept))
        if bodies != list(self.kept.values()):
            raise Broken("what was written is not there any more, though the store said that it was")
        return "what was written is still there at the end"

    def extras(self) -> Iterator[Finding]:
        """What a store may offer beyond what is needed."""
        extras = getattr(self.store.store, "extras", None)
        if extras is None:
            return
        try:
            version = self.put("extras", b"1", Always())
            found: dict[str, bool] | None = extras(self.prefix + "extras", version)
        except (WindlassError, PutRefused, PutUnclear):
            found = None
        for name, words in (("conditional_get", "conditional reads"), ("conditional_delete", "conditional deletes")):
            known = "not tried" if found is None else "honoured" if found[name] else "not honoured"
            yield Finding(name=name, mark=Mark.NOTE, text=f"{words} (not needed): {known}")

    def clean(self) -> Finding:
        """Remove everything under the prefix."""
        from concurrent.futures import ThreadPoolExecutor

        keys = set(self.store.written)
        try:
            keys.update(self.paged("", 1000))
        except (WindlassError, Broken):  # what was written is known
            pass
        keys.update(f"{self.prefix}create-race/{turn}" for turn in range(self.rounds))
        keys.add(f"{self.prefix}replace-race")
        with ThreadPoolExecutor(8) as pool:
            failures = [error for error in pool.map(self.remove, sorted(keys)) if error is not None]
        if failures:
            text = f"left objects under {self.prefix}: {failures[0].message}"
            return Finding(name="delete", mark=Mark.WARNING, text=text)
        try:
            gone = self.read("time") is None
        except WindlassError:
            gone = True
        return Finding(
            name="delete",
            mark=Mark.YES if gone else Mark.WARNING,
            text="what is deleted is gone" if gone else "a deleted object is still read",
        )

    def remove(self, key: str) -> WindlassError | None:
        try:
            self.store.delete(key)
        except WindlassError as error:
            return error
        return None

    def put(self, name: str, body: bytes, condition: Condition) -> str:
        """A write that must succeed; some stores take one a second for each key."""
        for pause in (self.patience / 2, self.patience / 2, None):
            try:
                version = self.store.put(self.prefix + name, body, condition)
                self.kept[name] = body
                return version
            except PutUnclear:
                if pause is None:
                    raise
            time.sleep(pause)
            found = self.read(name)
            if found is not None and found.body == body:
                self.kept[name] = body
                return found.version
        raise AssertionError("the last attempt returns or raises")

    def attempt(self, name: str, body: bytes, condition: Condition) -> bool:
        """Whether a write that must be refused was let through."""
        try:
            self.store.put(self.prefix + name, body, condition)
        except (PutRefused, PutUnclear):
            return False
        self.kept.pop(name, None)
        return True

    def read(self, name: str) -> Object | None:
        found = self.store.get(self.prefix + name)
        return found if isinstance(found, Object) else None

    def body(self, name: str) -> bytes | None:
        found = self.read(name)
        return found.body if found else None

    def expect(self, name: str, body: bytes, broken: str) -> Object:
        found = self.read(name)
        if found is None or found.body != body:
            self.kept.pop(name, None)  # once is enough
            raise Broken(broken)
        return found

    def sorted_names(self) -> list[str]:
        """Keys of objects that are listed in another order by stores that sort folders apart; written at the first call."""
        names = ["b", "a-", "a-b", "a/b", "B", "a.c", "c10", "c2", "a0"]  # none is a folder of another: some servers take no such
        keys = sorted(f"{self.prefix}sort/{name}" for name in names)
        if keys[0] not in self.store.written:
            for name in names:
                self.put(f"sort/{name}", b"1", Always())
        return keys

    def listed(self, name: str, after: str = "") -> list[str]:
        return [entry.key for entry in self.entries(name, after)]

    def entries(self, name: str, after: str = "") -> tuple[Entry, ...]:
        return self.store.list(self.prefix + name, after).entries

    def paged(self, name: str, limit: int) -> Iterator[str]:
        after: str | None = ""
        while after is not None:
            page = self.store.list(self.prefix + name, after, limit)
            yield from (entry.key for entry in page.entries)
            if page.more is not None and page.more <= after:
                raise Broken("a listing does not end")
            after = page.more
