"""What is known of files counts only while they surely are as they were; anything odd counts for nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from windlass.digest import sha256_hex
from windlass.files.cache import FINE, GRAIN, Cache, known
from windlass.files.scan import Found

if TYPE_CHECKING:
    from pathlib import Path

OLD = 1_700_000_000_000_000_000


def found(path: str = "a", **changes: Any) -> Found:
    """A file that has not changed for long."""
    return Found(path=path, kind="file", size=4, mtime_ns=OLD, ctime_ns=OLD, inode=7).but(**changes)


def kept(folder: Path, *files: Found, scope: str = "s", root: str = "/r") -> Cache:
    """A cache that knows these files, as the next command opens it."""
    first = Cache(str(folder), scope, root)
    first.load()
    first.save({file.path: known(file, {"hash": file.path}) for file in files})
    again = Cache(str(folder), scope, root)
    again.load()
    return again


def the_file(folder: Path) -> Path:
    """The only file of a folder of caches."""
    (file,) = (folder / "files").iterdir()
    return file


def test_a_file_that_is_as_it_was_is_known(tmp_path: Path) -> None:
    cache = kept(tmp_path, found("a"), found("ü/b"))
    assert cache.get(found("a")) == {"hash": "a"}
    assert cache.get(found("ü/b")) == {"hash": "ü/b"}
    assert cache.get(found("c")) is None
    assert sorted(cache.load()) == ["a", "ü/b"]


@pytest.mark.parametrize(
    "change", [{"size": 5}, {"mtime_ns": OLD + 1}, {"mtime_ns": OLD - 1}, {"ctime_ns": OLD - 1}, {"inode": 8}, {"kind": "exec"}]
)
def test_any_change_makes_it_unknown(tmp_path: Path, change: dict[str, Any]) -> None:
    assert kept(tmp_path, found()).get(found(**change)) is None


def clock_of(tmp_path: Path) -> int:
    """The file system's time."""
    (tmp_path / "now").touch()
    return (tmp_path / "now").stat().st_mtime_ns


@pytest.mark.parametrize("which", ["mtime_ns", "ctime_ns"])
def test_a_file_that_changed_right_before_it_was_hashed_is_hashed_again(tmp_path: Path, which: str) -> None:
    now = clock_of(tmp_path)
    fresh = found().but(**{which: now - GRAIN // 2})
    settled = found("b").but(**{which: now - 10 * GRAIN})
    cache = kept(tmp_path / "cache", fresh, settled)
    assert cache.get(fresh) is None
    assert cache.get(settled) is not None


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("root", "age", "fraction", "known_"),
    [
        ("here", 2 * FINE, 1, True),
        ("here", FINE // 2, 1, False),
        ("here", SECOND, 0, False),
        ("here", 3 * SECOND, 0, True),
        ("/proc", 2 * FINE, 1, False),
        ("/proc", 3 * SECOND, 1, True),
    ],
)
def test_where_one_clock_stamps_fractions_of_a_second_a_moment_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, age: int, fraction: int, known_: bool
) -> None:
    now = OLD + 10 * SECOND
    monkeypatch.setattr("windlass.files.cache._clock", lambda _: now)
    time = (now - age) // SECOND * SECOND if not fraction else now - age - (1 if not (now - age) % SECOND else 0)
    file = found(mtime_ns=time, ctime_ns=time)
    cache = kept(tmp_path / "cache", file, root=str(tmp_path) if root == "here" else root)
    assert (cache.get(file) is not None) is known_


def test_however_long_lies_between_hashing_and_saving_a_change_in_the_same_instant_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windlass.files.cache._clock", lambda _: OLD)
    cache = Cache(str(tmp_path), "s", "/r")
    cache.load()
    monkeypatch.setattr("windlass.files.cache._clock", lambda _: OLD + 100 * GRAIN)
    cache.save({"a": known(found(), "hash"), "b": known(found("b", mtime_ns=OLD - GRAIN, ctime_ns=OLD - GRAIN), "hash")})
    cache.load()
    assert cache.get(found()) is None
    assert cache.get(found("b", mtime_ns=OLD - GRAIN, ctime_ns=OLD - GRAIN)) == "hash"


def test_what_is_saved_replaces_what_was_known(tmp_path: Path) -> None:
    kept(tmp_path, found("a"))
    assert list(kept(tmp_path, found("b")).load()) == ["b"]
    assert list(kept(tmp_path).load()) == []


def test_scopes_and_roots_do_not_mix(tmp_path: Path) -> None:
    kept(tmp_path, found())
    for scope, root in (("other", "/r"), ("s", "/other"), ("s/r", "")):
        assert Cache(str(tmp_path), scope, root).load() == {}


def test_a_cache_moved_to_another_scopes_place_counts_as_empty(tmp_path: Path) -> None:
    kept(tmp_path, found())
    mine = the_file(tmp_path).read_bytes()
    kept(tmp_path, scope="other")
    for file in (tmp_path / "files").iterdir():
        file.write_bytes(mine)
    assert Cache(str(tmp_path), "other", "/r").load() == {}


def sealed(body: bytes, head: bytes) -> bytes:
    """A file whose checksum is right, as only this user could make it."""
    start = head[: head.rindex(b", ", 0, head.rindex(b", "))]
    return start + f', {len(body)}, "{sha256_hex(body)}"]\n'.encode() + body


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"1", b"null", b"[]", b"[1]", b"[1,2]", b'[1,["a"]]', b'[1,["a"],[1,2]]', b'[1,[["a"]],[1]]', b'["x",["a"],[1]]',
     *(b'[%b,["a"],[4],[%d],[%d],[7],["file"],["x"]]' % (before, OLD, OLD) for before in (b"Infinity", b"NaN", b'"x"', b"null", b"[]")),
     b"[" * 100000, b"\xff", b'[1,{"a":1},"b"]'],
)  # fmt: skip
def test_odd_content_under_a_right_checksum_is_unknown(tmp_path: Path, body: bytes) -> None:
    kept(tmp_path, found())
    head, _, right = the_file(tmp_path).read_bytes().partition(b"\n")
    for content, value in ((right, {"hash": "a"}), (body, None)):
        the_file(tmp_path).write_bytes(sealed(content, head))
        cache = Cache(str(tmp_path), "s", "/r")
        cache.load()
        assert cache.get(found()) == value


def test_a_torn_or_changed_file_counts_as_empty(tmp_path: Path) -> None:
    kept(tmp_path, found())
    whole = the_file(tmp_path).read_bytes()
    for place in range(0, len(whole), 7):
        for torn in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            the_file(tmp_path).write_bytes(torn)
            assert Cache(str(tmp_path), "s", "/r").load() == {}
    the_file(tmp_path).write_bytes(whole)
    assert list(Cache(str(tmp_path), "s", "/r").load()) == ["a"]


@pytest.mark.parametrize("how", ["link", "pipe", "folder", "others may write"])
def test_a_file_that_is_not_this_users_own_counts_as_empty_and_is_not_waited_for(tmp_path: Path, how: str) -> None:
    kept(tmp_path, found())
    file = the_file(tmp_path)
    if how == "others may write":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "elsewhere")
    if how == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "folder":
        file.mkdir()
    cache = Cache(str(tmp_path), "s", "/r")
    assert cache.load() == {}
    cache.save({"a": known(found(), 1)})  # never raises


def test_a_folder_that_others_may_write_to_or_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    kept(tmp_path, found())
    (tmp_path / "files").chmod(0o777)
    assert Cache(str(tmp_path), "s", "/r").load() == {}
    (tmp_path / "files").chmod(0o700)
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    (tmp_path / "files").symlink_to("elsewhere")
    assert Cache(str(tmp_path), "s", "/r").load() == {}


def test_files_are_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        kept(tmp_path / "new" / "deep", found())
    finally:
        os.umask(old)
    assert the_file(tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o600
    for folder in ("new", "new/deep", "new/deep/files"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", [None, "/dev/null/x"])
def test_without_a_place_nothing_is_known_and_nothing_raises(folder: str | None) -> None:
    cache = Cache(folder, "s", "/r")
    assert cache.load() == {}
    cache.save({"a": known(found(), 1)})
    assert cache.get(found()) is None


def test_a_hundred_thousand_files_come_back(tmp_path: Path) -> None:
    files = [found(f"d{number % 100}/f{number}", inode=number) for number in range(100_000)]
    cache = kept(tmp_path, *files)
    assert all(cache.get(file) for file in files)
