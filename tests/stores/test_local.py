"""The local store when things go wrong: crashes, full and read-only disks, links, odd files, many processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from windlass.effects import Always, IfAbsent, IfMatch, Object
from windlass.errors import (
    AccessDenied,
    Damaged,
    Indeterminate,
    PutRefused,
    PutUnclear,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
    Unavailable,
    WindlassError,
)
from windlass.stores import files, local
from windlass.stores.local import LocalStore

SRC = str(Path(local.__file__).parents[2])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.create(str(tmp_path / "store"))


def left(store: LocalStore) -> list[str]:
    return sorted(
        str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if path.is_file() and ".locks" not in path.parts
    )


def python(script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a script with this package on its path."""
    env = {**os.environ, "PYTHONPATH": SRC}
    return subprocess.run([*prefix, sys.executable, "-c", script, *arguments], env=env, text=True, capture_output=True, timeout=120)


class Tripwire:
    """Stands for `os` and breaks the call number `at` of those that change or wait for the disk."""

    WATCHED = ("open", "write", "fsync", "link", "rename", "utime", "mkdir", "unlink", "stat", "read", "fstat")

    def __init__(self, at: int, code: int) -> None:
        self.at, self.code, self.calls = at, code, 0
        self.broke = ""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.WATCHED:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                self.broke = name
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **kwargs)

        return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("kind", ["create", "replace"])
def test_whatever_call_fails_nothing_is_half_written(store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int, kind: str) -> None:
    met: Counter[type] = Counter()
    for at in range(1, 100):
        key = f"dir{at}/one"
        version = store.put(key, b"old", IfAbsent()) if kind == "replace" else ""
        wire = Tripwire(at, code)
        with monkeypatch.context() as patch:
            for module in (local, files):
                patch.setattr(module, "os", wire)
            try:
                store.put(key, b"new", IfMatch(version=version) if version else IfAbsent())
                done: Exception | None = None
            except (WindlassError, PutUnclear) as error:
                done = error
        if not wire.broke:
            break
        found = store.get(key)
        body = found.body if isinstance(found, Object) else None
        if done is None:
            assert body == b"new"
        elif isinstance(done, (PutUnclear, Indeterminate)):
            assert body in (b"new", b"old", None)
        else:
            assert body == (b"old" if version else None), f"{done!r} after {wire.broke} must mean that nothing landed"
            met[type(done)] += 1
        store.put(key, b"later", Always())
        assert not [name for name in left(store) if name.startswith(".tmp") and wire.broke != "unlink"]
    else:
        pytest.fail("the put never got through")
    expected = {
        errno.ENOSPC: StoreFull,
        errno.EDQUOT: StoreFull,
        errno.EROFS: StoreReadOnly,
        errno.EACCES: StoreReadOnly,
        errno.EIO: StoreError,
    }
    assert met[expected[code]] >= 3, met


CRASH = """
import os, sys
from windlass.stores import files, local
from windlass.effects import IfAbsent, IfMatch
root, kind = sys.argv[1:]

class Crashing:
    calls = 0
    def __init__(self, at): self.at = at
    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "link", "rename", "utime", "mkdir", "unlink"):
            return real
        def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self.at:
                os._exit(9)
            return real(*args, **kwargs)
        return call

for at in range(1, 100):
    key = f"{kind}{at}/one"
    store = local.LocalStore(root)
    version = store.put(key, b"old", IfAbsent()) if kind == "replace" else ""
    child = os.fork()
    if not child:
        local.os = files.os = Crashing(at)
        store.put(key, b"new", IfMatch(version=version) if version else IfAbsent())
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = store.get(key)
    body = found and found.body
    assert body in ((b"old", b"new") if version else (None, b"new")), (at, body)
    if status == 0:
        assert body == b"new"
        print(at)
        break
    if found:
        store.put(key, b"later", IfMatch(version=found.version))
    else:
        store.put(key, b"later", IfAbsent())
    assert store.get(key).body == b"later"
"""


@pytest.mark.parametrize("kind", ["create", "replace"])
def test_a_writer_may_die_at_any_moment(store: LocalStore, kind: str) -> None:
    done = python(CRASH, store.root, kind)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8


class Recorder:
    """Stands for `os` and notes what decides whether a write outlives a power cut, each with the inode that it is about."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("write", "fsync", "link", "rename", "mkdir"):
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            done = real(*args, **kwargs)
            about = args[0] if name in ("write", "fsync") else kwargs["dir_fd" if name == "mkdir" else "dst_dir_fd"]
            if name == "mkdir" and args[0].startswith("."):
                return done  # the store's own: nothing in there has to last
            self.log.append(("seen" if name in ("link", "rename") else name, os.fstat(about).st_ino))
            return done

        return call


@pytest.mark.parametrize("kind", ["create", "replace", "overwrite"])
def test_bytes_are_synced_before_they_are_seen_and_their_name_before_it_is_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    version = store.put("new/folder/one", b"old", IfAbsent()) if kind == "replace" else ""
    recorder = Recorder()
    for module in (local, files):
        monkeypatch.setattr(module, "os", recorder)
    store.put("new/folder/one", b"new", IfMatch(version=version) if version else IfAbsent() if kind == "create" else Always())
    log = recorder.log
    file, folder = (os.stat(Path(store.root, "new", "folder", *name)).st_ino for name in (["one="], []))
    assert ("write", file) in log
    written = max(at for at, line in enumerate(log) if line == ("write", file))
    seen = log.index(("seen", folder))
    assert ("fsync", file) in log[written:seen], "a name never stands for bytes that a power cut takes away"
    assert ("fsync", folder) in log[seen:], "nor is a write told whose name a power cut takes away"
    for at, (what, above) in enumerate(log):
        assert what != "mkdir" or ("fsync", above) in log[at:], "nor the folder that it is in"


def test_a_create_that_looked_too_early_still_loses(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a/b", b"first", IfAbsent())
    monkeypatch.setattr(local, "exists", lambda *_: False)
    with pytest.raises(PutRefused):
        store.put("a/b", b"second", IfAbsent())
    found = store.get("a/b")
    assert isinstance(found, Object)
    assert found.body == b"first"


def test_a_replace_compares_what_is_there_once_it_has_the_lock(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.put("one", b"old", IfAbsent())
    lock = local._lock

    def after_another(root: int, key: str) -> int:
        monkeypatch.setattr(local, "_lock", lock)
        LocalStore(store.root).put("one", b"another's", IfMatch(version=version))
        return lock(root, key)

    monkeypatch.setattr(local, "_lock", after_another)
    with pytest.raises(PutRefused):
        store.put("one", b"mine", IfMatch(version=version))
    found = store.get("one")
    assert isinstance(found, Object)
    assert found.body == b"another's"


def test_what_a_crash_left_is_swept_after_an_hour(store: LocalStore) -> None:
    staging = Path(store.root, ".tmp")
    staging.mkdir(exist_ok=True)
    for name, age in (("old", 3700), ("fresh", 60)):
        (staging / name).write_bytes(b"left")
        os.utime(staging / name, (time.time() - age,) * 2)
    LocalStore(store.root).put("one", b"1", Always())
    assert [path.name for path in staging.iterdir()] == ["fresh"]


def test_a_clock_that_is_hours_ahead_sweeps_nobodys_file_in_use(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"1", IfAbsent())
    in_use = Path(store.root, ".tmp", "1-fresh")
    in_use.write_bytes(b"another writer's")
    ahead = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: ahead)
    LocalStore(store.root).put("b", b"2", IfAbsent())
    assert in_use.exists()


RACE = """
import sys
from windlass.stores.local import LocalStore
from windlass.effects import IfMatch, IfAbsent
from windlass.errors import PutRefused
store, me = LocalStore(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
won = 0
for turn in range(40):
    try:
        store.put(f"create/{turn}", me.encode(), IfAbsent())
        won += 1
    except PutRefused:
        pass
    while True:
        found = store.get("count")
        try:
            store.put("count", b"%d" % (int(found.body) + 1), IfMatch(version=found.version))
            break
        except PutRefused:
            continue
    store.put(f"come/and/go/{me}", b"x", IfAbsent())
    store.delete(f"come/and/go/{me}")
print(won)
"""


def test_many_processes_lose_nothing(store: LocalStore) -> None:
    store.put("count", b"0", IfAbsent())
    env = {**os.environ, "PYTHONPATH": SRC}
    command = [sys.executable, "-c", RACE, store.root]
    racers = [
        subprocess.Popen([*command, str(me)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for me in range(6)
    ]
    answers = []
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    done = [racer.communicate(timeout=120) for racer in racers]
    for racer, (out, err) in zip(racers, done, strict=True):
        assert racer.returncode == 0, err
        answers.append(int(out))
    assert sum(answers) == 40, "each create has one winner"
    found = store.get("count")
    assert isinstance(found, Object)
    assert found.body == b"240"
    assert store.folders("") == ("create",)


HOLD = """
import os, sys
from windlass.stores import local
local._lock(os.open(sys.argv[1], os.O_RDONLY), "one")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_lock_holds_among_processes(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.put("one", b"1", IfAbsent())
    monkeypatch.setattr(local, "LOCK_WAIT", 0.05)
    command = [sys.executable, "-c", HOLD, store.root]
    env = {**os.environ, "PYTHONPATH": SRC}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Unavailable):
            store.put("one", b"2", IfMatch(version=version))
        holder.communicate("go\n", timeout=60)
    store.put("one", b"2", IfMatch(version=version))


def test_a_store_that_is_not_there_is_missing(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path / "file" / "in"):
        (tmp_path / "file").write_bytes(b"")
        store = LocalStore(str(root))
        with pytest.raises(StoreMissing) as met:
            store.put("a", b"", Always())
        assert f"windlass init --store {root}" in met.value.hint
        for call in (store.get, store.list, store.delete):
            with pytest.raises(StoreMissing):
                call("a")
        with pytest.raises(StoreMissing):
            store.folders("")
    with pytest.raises(StoreError):
        LocalStore.create(str(tmp_path / "file"))


def test_creating_a_store_again_keeps_it(store: LocalStore) -> None:
    store.put("one", b"1", IfAbsent())
    assert LocalStore.create(store.root).list("").entries[0].key == "one"


def test_the_root_may_be_a_link(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.root)
    linked = LocalStore(str(tmp_path / "link"))
    linked.put("a/b", b"1", IfAbsent())
    assert store.get("a/b") == linked.get("a/b")


def test_no_link_within_is_followed(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret=").write_bytes(b"secret")
    store.put("here", b"1", IfAbsent())
    Path(store.root, "folder").symlink_to(outside)
    Path(store.root, "object=").symlink_to(outside / "secret=")
    for key in ("folder/secret", "object"):
        with pytest.raises(Damaged):
            store.get(key)
        with pytest.raises((Damaged, PutRefused)):
            store.put(key, b"overwritten", IfAbsent())
        with pytest.raises(Damaged):
            store.put(key, b"overwritten", IfMatch(version="x"))
    with pytest.raises(Damaged):
        store.put("folder/new", b"escaped", IfAbsent())
    with pytest.raises(Damaged):
        store.delete("folder/secret")
    store.put("object", b"in place of the link", Always())
    assert [entry.key for entry in store.list("").entries] == ["here", "object"]
    assert store.list("folder/").entries == ()
    assert store.folders("") == ()
    assert store.folders("folder/") == ()
    assert (outside / "secret=").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret="]


@pytest.mark.parametrize("name", [".tmp", ".locks"])
def test_links_in_place_of_the_stores_own_folders_are_not_followed(store: LocalStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    Path(store.root, name).symlink_to(tmp_path / "outside")
    with pytest.raises(Damaged):
        store.put("one", b"1", Always())
    assert not list((tmp_path / "outside").iterdir())


def test_files_that_are_not_ours_are_not_listed(store: LocalStore) -> None:
    store.put("one", b"1", IfAbsent())
    root = Path(store.root)
    os.mkfifo(root / "pipe=")
    (root / "folder=").mkdir()
    (root / "README").write_bytes(b"")
    (root / "Upper=").write_bytes(b"")
    (root / "x~1=").write_bytes(b"an X")
    (root / "x~3=").write_bytes(b"no name of ours")
    (root / "x~01=").write_bytes(b"nor this")
    with open(os.fsencode(root) + b"/\xff\xfe=", "wb"):
        pass
    assert [entry.key for entry in store.list("").entries] == ["X", "one"]
    for key in ("pipe", "folder"):
        with pytest.raises(Damaged):
            store.get(key)


def test_a_folder_that_a_crash_left_empty_does_not_show(store: LocalStore) -> None:
    Path(store.root, "a", "b").mkdir(parents=True)
    assert store.folders("") == ()
    store.put("a/b", b"1", IfAbsent())
    assert store.folders("") == ("a",)


def turned_back(store: LocalStore, key: str) -> float:
    """Make the object as if written an hour from now, before the clock was set right; that time."""
    ahead = time.time_ns() + 3600 * 10**9
    path = Path(store.root, f"{key}=")
    os.utime(path, ns=(ahead, ahead))
    return path.stat().st_mtime


def modified(store: LocalStore, key: str) -> float:
    found = store.get(key)
    assert isinstance(found, Object)
    return found.modified


def test_a_replace_always_moves_the_time_on_so_that_it_shows(store: LocalStore) -> None:
    version = store.put("one", b"1", Always())
    times = [turned_back(store, "one")]
    for turn in range(5):
        version = store.put("one", b"%d" % turn, IfMatch(version=version))
        times.append(modified(store, "one"))
    assert times == sorted(set(times))
    for turn in range(200):  # faster than many a file system's clock ticks
        version = store.put("one", b"x%d" % turn, IfMatch(version=version))
        times.append(modified(store, "one"))
    assert times == sorted(set(times))


def test_an_overwrite_tells_the_true_time_also_after_the_clock_was_set_right(store: LocalStore) -> None:
    store.put("presence", b"1", Always())
    turned_back(store, "presence")
    store.put("presence", b"2", Always())
    assert abs(modified(store, "presence") - time.time()) < 60


def test_what_is_created_again_tells_the_true_time(store: LocalStore) -> None:
    store.put("one", b"1", IfAbsent())
    turned_back(store, "one")
    store.delete("one")
    store.put("one", b"2", IfAbsent())
    assert abs(modified(store, "one") - time.time()) < 60


def test_a_lock_that_nobody_gives_back_is_an_error_not_a_hang(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.put("one", b"1", IfAbsent())
    monkeypatch.setattr(local, "LOCK_WAIT", 0.05)
    root = os.open(store.root, os.O_RDONLY)
    held = local._lock(root, "one")
    try:
        with pytest.raises(Unavailable):
            LocalStore(store.root).put("one", b"2", IfMatch(version=version))
        with pytest.raises(Unavailable):
            LocalStore(store.root).delete("one")
        with pytest.raises(PutRefused):
            store.put("one", b"2", IfAbsent())
        store.put("two", b"has another lock", IfAbsent())
    finally:
        local._unlock(held)
        os.close(root)
    store.put("one", b"2", IfMatch(version=version))


def test_a_file_system_without_hard_links_still_creates_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    store.put("a/b", b"1", IfAbsent())
    monkeypatch.setattr(local, "exists", lambda *_: False)
    with pytest.raises(PutRefused):
        store.put("a/b", b"2", IfAbsent())
    found = store.get("a/b")
    assert isinstance(found, Object)
    assert found.body == b"1"


def test_a_writer_that_may_not_link_and_one_that_may_exclude_each_other(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link, rename = os.link, local._rename
    may_not = threading.current_thread()
    others: list[threading.Thread] = []
    won: list[bytes] = []

    def create(body: bytes) -> None:
        try:
            LocalStore(store.root).put("slot", body, IfAbsent())
            won.append(body)
        except PutRefused:
            pass

    def sandboxed(*args: Any, **more: Any) -> None:
        if threading.current_thread() is may_not:
            raise OSError(errno.EPERM, "hard links are not allowed to this process")
        link(*args, **more)

    def slow(*args: Any) -> None:
        others.append(threading.Thread(target=create, args=(b"two",)))
        others[0].start()
        others[0].join(0.3)  # long enough to get through, were there no lock
        rename(*args)

    monkeypatch.setattr(os, "link", sandboxed)
    monkeypatch.setattr(local, "_rename", slow)
    create(b"one")
    others[0].join()
    found = store.get("slot")
    assert isinstance(found, Object)
    assert won == [found.body], "one winner, whose bytes are there"


MOUNTED = """
import sys, os, subprocess
from windlass.stores.local import LocalStore
from windlass.effects import Always, IfAbsent
from windlass.errors import WindlassError
root = sys.argv[1]
"""


def mounted(tmp_path: Path, options: str, script: str) -> str:
    """Run a script in a mount namespace of its own, where tmp_path is a fresh tmpfs."""
    where = tmp_path / "mnt"
    where.mkdir()
    mount = f'mount -t tmpfs -o "{options}" tmpfs "$0" || exit 77; exec "$@"'
    done = python(MOUNTED + script, str(where), prefix=("unshare", "-Urm", "sh", "-c", mount, str(where)))
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no such mount here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_full_disk(tmp_path: Path) -> None:
    script = """
store = LocalStore.create(root + "/s")
store.put("old", b"old", IfAbsent())
try:
    for turn in range(1000):
        store.put(f"k{turn}", b"x" * 4000, IfAbsent())
except WindlassError as error:
    assert store.get("old").body == b"old"
    assert store.get(f"k{turn}") is None
    assert not os.listdir(root + "/s/.tmp")
    for key in range(turn):
        store.delete(f"k{key}")
    store.put("old", b"new", Always())
    print(type(error).__name__)
"""
    assert mounted(tmp_path, "size=128k", script) == "StoreFull"


def test_a_read_only_disk(tmp_path: Path) -> None:
    script = """
store = LocalStore.create(root + "/s")
store.put("old", b"old", IfAbsent())
subprocess.run(["mount", "-o", "remount,ro", root], check=True)
for call in (lambda: store.put("old", b"new", Always()), lambda: store.put("new", b"new", IfAbsent()), lambda: store.delete("old"),
             lambda: LocalStore.create(root + "/t")):
    try:
        call()
    except WindlassError as error:
        print(type(error).__name__)
print(store.get("old").body.decode(), len(store.list("").entries))
"""
    assert mounted(tmp_path, "size=1m", script).split() == ["StoreReadOnly"] * 4 + ["old", "1"]


def test_a_file_system_that_ignores_case(tmp_path: Path) -> None:
    script = """
os.mkdir(root + "/s")
if subprocess.run(["chattr", "+F", root + "/s"]).returncode:
    print("skip"); sys.exit()
store = LocalStore.create(root + "/s")
keys = ["a", "A", "aB", "Ab", "AB", "ab", "a/x", "A/x", "A/X", "a~1", "A~1"]
for key in keys:
    store.put(key, key.encode(), IfAbsent())
assert all(store.get(key).body == key.encode() for key in keys)
assert [entry.key for entry in store.list("").entries] == sorted(keys)
print("fine")
"""
    answer = mounted(tmp_path, "casefold", script)
    if answer == "skip":
        pytest.skip("no folder here ignores case")
    assert answer == "fine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permissions(store: LocalStore) -> None:
    store.put("a/b", b"1", IfAbsent())
    Path(store.root, "a").chmod(0)
    try:
        with pytest.raises(AccessDenied):
            store.get("a/b")
        with pytest.raises(AccessDenied):
            store.list("")
        with pytest.raises(StoreReadOnly):
            store.put("a/b", b"2", Always())
    finally:
        Path(store.root, "a").chmod(0o700)


def test_no_descriptor_leaks(store: LocalStore) -> None:
    listing = "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"
    before = len(os.listdir(listing))
    for turn in range(20):
        store.put(f"a/b/{turn}", b"1", IfAbsent())
        with pytest.raises(PutRefused):
            store.put(f"a/b/{turn}", b"1", IfMatch(version="x"))
        store.get(f"a/b/{turn}")
        store.get(f"a/c/{turn}")
        store.list("a/", limit=1)
        store.folders("")
    for turn in range(20):
        store.delete(f"a/b/{turn}")
    assert len(os.listdir(listing)) == before
