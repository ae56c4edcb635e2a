"""The store protocol as tests: inherit StoreContract in a pytest class and give `make_store`. Importing it needs no pytest."""

from __future__ import annotations

import time
from threading import Barrier, Thread

from windlass.effects import Always, IfAbsent, IfMatch, Object, Unchanged
from windlass.errors import Damaged, PutRefused, PutUnclear, UsageError
from windlass.stores.base import MAX_OBJECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.stores.base import Page, Store

RACERS = 16
HOSTILE = (
    "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "../../etc/passwd", "a/...",
    "a\\b", "a b", "a\0b", "a\nb", "a%2Fb", "a:b", "a=b",
    "é", "ＡＢ", "a\u202eb", "x" * 1025, "y" * 201, "a/" * 500 + "ab/cd/" * 10, "\udc80",
)  # fmt: skip
UNUSUAL = (
    "a", "A", "Aa", "aA", "a~", "a~1", "A~1", "~", ".hidden", ".tmp/x", ".locks/00", ".git/HEAD", "a.", "a..b", "-x", "_", "0",
    "con", "x" * 200, "X" * 200, "/".join(["ab"] * 200), "a/b", "a/B", "a/b/c", "a-b", "a.b/c", "a0",
)  # fmt: skip


def refused(call: Callable[[], object], *kinds: type[Exception]) -> Exception:
    """The error of one of `kinds` that the call raises; AssertionError if it raises none."""
    try:
        result = call()
    except kinds as error:
        return error
    raise AssertionError(f"nothing of {kinds} was raised, but {result!r} came back")


class StoreContract:
    """What every store promises. `make_store` gives an empty store, and is called once for each test."""

    coarse_clock = 1.0
    """Seconds: the step of the store's `modified`."""

    def make_store(self) -> Store:
        """An empty store."""
        raise NotImplementedError

    def setup_method(self, _method: object = None) -> None:
        """Pytest's hook: a fresh store for each test."""
        self.store = self.make_store()

    def teardown_method(self, _method: object = None) -> None:
        """Pytest's hook."""
        self.store.close()

    def get(self, key: str) -> Object:
        """The object, which must be there."""
        found = self.store.get(key)
        assert isinstance(found, Object)
        return found

    def fill(self, *keys: str) -> None:
        """Create objects that hold their own key."""
        for key in keys:
            self.store.put(key, key.encode(), IfAbsent())

    def keys(self, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
        """All keys, listed page by page."""
        found: list[str] = []
        for _ in range(10_000):
            page = self.store.list(prefix, after, limit)
            assert len(page.entries) <= limit
            found += [entry.key for entry in page.entries]
            if page.more is None:
                return found
            assert page.more > after, "a listing must move on"
            after = page.more
        raise AssertionError("the listing does not end")

    def test_what_was_put_is_what_is_got(self) -> None:
        version = self.store.put("dir/one", b'{"x": 1}', IfAbsent())
        found = self.get("dir/one")
        assert (found.key, found.body, found.version) == ("dir/one", b'{"x": 1}', version)
        assert version
        assert abs(found.modified - time.time()) < 60

    def test_what_is_not_there_is_none(self) -> None:
        self.fill("dir/one")
        for key in ("two", "dir", "dir/on", "dir/one/more", "dir/two"):
            assert self.store.get(key) is None
            assert self.store.get(key, unless="x") is None

    def test_values_of_every_size(self) -> None:
        for size in (0, 1, 4096, 256 * 1024, MAX_OBJECT):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            self.store.put(f"size/{size}", body, IfAbsent())
            assert self.get(f"size/{size}").body == body

    def test_too_big_an_object_is_damaged_and_named(self) -> None:
        try:
            self.store.put("big", b"x" * (MAX_OBJECT + 1), Always())
        except (PutRefused, PutUnclear, UsageError):
            return
        error = refused(lambda: self.store.get("big"), Damaged)
        assert isinstance(error, Damaged)
        assert error.key == "big"

    def test_a_create_loses_to_what_is_there(self) -> None:
        self.store.put("one", b"first", IfAbsent())
        refused(lambda: self.store.put("one", b"second", IfAbsent()), PutRefused)
        assert self.get("one").body == b"first"

    def test_a_replace_needs_the_version_that_is_there(self) -> None:
        old = self.store.put("one", b"first", IfAbsent())
        new = self.store.put("one", b"second", IfMatch(version=old))
        assert new != old
        assert self.get("one").version == new
        refused(lambda: self.store.put("one", b"stale", IfMatch(version=old)), PutRefused)
        assert self.get("one").body == b"second", "a stale replace leaves the bytes alone"
        self.store.put("one", b"third", IfMatch(version=new))
        assert self.get("one").body == b"third"

    def test_a_replace_of_nothing_is_refused(self) -> None:
        version = self.store.put("other", b"x", IfAbsent())
        refused(lambda: self.store.put("one", b"x", IfMatch(version=version)), PutRefused)
        refused(lambda: self.store.put("new-folder/one", b"x", IfMatch(version=version)), PutRefused)
        assert self.keys() == ["other"]
        assert self.store.folders("") == ()

    def test_always_overwrites_and_creates(self) -> None:
        first = self.store.put("deep/one", b"1", Always())
        second = self.store.put("deep/one", b"2", Always())
        assert first != second
        assert self.get("deep/one").body == b"2"
        assert self.get("deep/one").version == second

    def test_a_deleted_object_is_gone_and_may_come_back(self) -> None:
        version = self.store.put("deep/er/one", b"1", IfAbsent())
        self.store.delete("deep/er/one")
        assert self.store.get("deep/er/one") is None
        assert self.keys() == []
        assert self.store.folders("") == ()
        refused(lambda: self.store.put("deep/er/one", b"2", IfMatch(version=version)), PutRefused)
        self.store.put("deep/er/one", b"3", IfAbsent())
        assert self.get("deep/er/one").body == b"3"

    def test_deleting_nothing_is_fine(self) -> None:
        self.fill("a/b")
        for key in ("nothing", "no/thing", "a", "a/b/c"):
            self.store.delete(key)
        assert self.keys() == ["a/b"]

    def test_a_read_that_knows_the_version_gets_no_body(self) -> None:
        version = self.store.put("one", b"1", IfAbsent())
        if self.store.capabilities.conditional_read:
            assert self.store.get("one", unless=version) == Unchanged(key="one")
        new = self.store.put("one", b"2", IfMatch(version=version))
        found = self.store.get("one", unless=version)
        assert isinstance(found, Object)
        assert (found.body, found.version) == (b"2", new)

    def test_hostile_keys_are_refused_before_anything_is_sent(self) -> None:
        for key in HOSTILE:
            refused(lambda key=key: self.store.get(key), UsageError)  # type: ignore[misc]
            refused(lambda key=key: self.store.put(key, b"x", Always()), UsageError)  # type: ignore[misc]
            refused(lambda key=key: self.store.delete(key), UsageError)  # type: ignore[misc]
        for prefix in ("..", "../", "a//", "/", "a/../", "a b", "é", "a\0"):
            if prefix != "..":
                refused(lambda prefix=prefix: self.store.list(prefix), UsageError)  # type: ignore[misc]
            refused(lambda prefix=prefix: self.store.folders(prefix), UsageError)  # type: ignore[misc]
        refused(lambda: self.store.folders("a"), UsageError)
        assert self.keys() == []

    def test_every_legal_key_is_its_own_object(self) -> None:
        self.fill(*UNUSUAL)
        for key in UNUSUAL:
            assert self.get(key).body == key.encode()
        assert self.keys() == sorted(UNUSUAL)
        for key in UNUSUAL:
            self.store.delete(key)
        assert self.keys() == []

    def test_a_listing_is_sorted_by_the_whole_key(self) -> None:
        self.fill("a/b", "a", "a-b", "a.b", "a0", "a/a/z", "B", "b", "a/b/c", "a/-")
        wanted = ["B", "a", "a-b", "a.b", "a/-", "a/a/z", "a/b", "a/b/c", "a0", "b"]
        assert self.keys() == wanted
        for limit in (*range(1, len(wanted) + 2), 100_000):  # more than any page has is fine
            assert self.keys(limit=limit) == wanted
        for after in ("", "A", "B", "a", "a-", "a/", "a/a", "a/a/z", "a/b", "a/b/", "a/zzz", "a0", "b", "c"):
            assert self.keys(after=after) == [key for key in wanted if key > after], after

    def test_a_listing_starts_with_any_prefix(self) -> None:
        keys = ("a/b", "a/b1", "a/b/c", "a/bc/d", "a/c", "ab", "b/a", "a/0", "a/-x", "a/.y", "a/Z/z", "a/x", "a/x/1", "a/x0", "a/~")
        self.fill(*keys)
        prefixes = [key[:cut] for key in keys for cut in range(len(key) + 1) if key[cut - 1 : cut] != "." or cut < len(key)]
        for prefix in (*prefixes, "c", "a/c/", "a/.", "a/bd"):
            assert self.keys(prefix) == sorted(key for key in keys if key.startswith(prefix)), prefix
            for after in ("a/b", "a/x/1", "zz", "0"):
                assert self.keys(prefix, after) == sorted(key for key in keys if key.startswith(prefix) and key > after), (prefix, after)

    def test_pages_say_where_to_go_on(self) -> None:
        self.fill("p/1", "p/2", "p/3")
        page = self.store.list("p/", limit=2)
        assert [entry.key for entry in page.entries] == ["p/1", "p/2"]
        assert page.more == "p/2"
        assert self.store.list("p/", after="p/2", limit=2).more is None
        assert self.store.list("p/", limit=3).more is None
        empty: Page = self.store.list("q/")
        assert (empty.entries, empty.more) == ((), None)

    def test_entries_tell_what_a_read_would(self) -> None:
        self.store.put("one", b"12345", IfAbsent())
        (entry,) = self.store.list("").entries
        found = self.get("one")
        assert (entry.key, entry.size, entry.modified) == ("one", 5, found.modified)
        assert entry.version in ("", found.version)

    def test_folders_are_the_names_before_the_next_slash(self) -> None:
        self.fill("p/one/x", "p/one/y", "p/Two/x/y", "p/three", "q", "p/one")
        assert self.store.folders("") == ("p",)
        assert self.store.folders("p/") == ("Two", "one")
        assert self.store.folders("p/one/") == ()
        assert self.store.folders("nothing/") == ()
        assert self.store.folders("q/") == ()

    def test_time_moves_on_with_each_write(self) -> None:
        self.store.put("one", b"1", Always())
        before = self.get("one").modified
        give_up = time.monotonic() + 2 * self.coarse_clock + 5
        while self.get("one").modified == before:
            assert time.monotonic() < give_up, "the store's clock stands still"
            self.store.put("one", str(time.monotonic()).encode(), Always())
        assert self.get("one").modified > before

    def test_a_replace_shows_in_a_listing(self) -> None:
        version = self.store.put("one", b"start", IfAbsent())
        marks = set()
        for turn in range(20):
            version = self.store.put("one", b"%05d" % turn, IfMatch(version=version))
            (entry,) = self.store.list("").entries
            marks.add((entry.version, entry.modified))
        assert len(marks) == 20, "by its version, or else by its time"

    def test_of_racing_creates_one_wins(self) -> None:
        for turn in range(5):
            key = f"race/{turn}"
            won = self.race(lambda racer, key=key: self.store.put(key, b"%d" % racer, IfAbsent()))  # type: ignore[misc]
            assert len(won) == 1
            found = self.get(key)
            assert {int(found.body): found.version} == won

    def test_of_racing_replaces_one_wins(self) -> None:
        version = self.store.put("race", b"start", IfAbsent())
        for _ in range(5):
            seen = version
            won = self.race(lambda racer, seen=seen: self.store.put("race", b"%d %s" % (racer, seen.encode()), IfMatch(version=seen)))  # type: ignore[misc]
            assert len(won) == 1
            found = self.get("race")
            (version,) = won.values()
            assert found.version == version
            assert int(found.body.split()[0]) in won

    def test_no_increment_is_lost(self) -> None:
        self.store.put("count", b"0", IfAbsent())

        def increment(_racer: int) -> str:
            while True:
                found = self.get("count")
                try:
                    return self.store.put("count", b"%d" % (int(found.body) + 1), IfMatch(version=found.version))
                except (PutRefused, PutUnclear):
                    continue

        self.race(increment)
        assert self.get("count").body == b"%d" % RACERS

    def test_readers_never_see_half_a_write(self) -> None:
        bodies = [bytes([65 + racer]) * 100_000 for racer in range(4)]
        self.store.put("whole", bodies[0], Always())

        def act(racer: int) -> str:
            for _ in range(5):
                if racer < len(bodies):
                    self.store.put("whole", bodies[racer], Always())
                assert self.get("whole").body in bodies
            return ""

        assert len(self.race(act)) == RACERS

    def race(self, act: Callable[[int], str]) -> dict[int, str]:
        """What `act(racer)` returned for the racers, all started at once, that were not refused."""
        start = Barrier(RACERS)
        won: dict[int, str] = {}
        broken: list[BaseException] = []

        def run(racer: int) -> None:
            start.wait()
            try:
                won[racer] = act(racer)
            except PutRefused:
                pass
            except BaseException as error:
                broken.append(error)

        threads = [Thread(target=run, args=(racer,)) for racer in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]
        return won
