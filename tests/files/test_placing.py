"""A downloaded file appears whole or not at all, where the user said, over nothing that the user did not say."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from windlass.errors import TimedOut, UsageError, WindlassError
from windlass.files.paths import PART
from windlass.files.placing import FileStaging, put_new, umask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    JustBefore = Callable[[str, str, Callable[[], None]], None]

IDENT = "0123456789abcdef" * 4


def place(target: Path, content: bytes, *, force: bool = False, exec: bool = False) -> None:  # noqa: A002
    """A whole download."""
    with FileStaging(str(target), IDENT, force=force) as staging:
        staging.open_file(len(content))
        for number in range(-(-len(content) // PART)):
            staging.write(number, content[number * PART : (number + 1) * PART])
        staging.publish(exec=exec)


def staged(folder: Path, name: str = "a") -> Path:
    """Where a download of `name` grows."""
    return folder / f".{name}.{IDENT[:16]}.windlass-part"


@pytest.fixture(autouse=True)
def _plain_umask() -> None:
    assert os.umask(0o022) == 0o022


def test_a_file_appears_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    with FileStaging(str(tmp_path / "a"), IDENT) as staging:
        staging.open_file(PART + 3)
        staging.write(1, b"end")
        staging.write(0, b"x" * PART)
        assert os.listdir(tmp_path) == [staged(tmp_path).name]
        staging.publish()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"x" * PART + b"end"


def test_parts_come_from_several_threads(tmp_path: Path) -> None:
    parts = [os.urandom(PART) for _ in range(6)]
    with FileStaging(str(tmp_path / "a"), IDENT) as staging, ThreadPoolExecutor(6) as pool:
        staging.open_file(6 * PART)
        list(pool.map(staging.write, range(6), parts))
        staging.publish()
    assert (tmp_path / "a").read_bytes() == b"".join(parts)


@pytest.mark.parametrize(
    ("mask", "exec", "mode"), [(0o022, False, 0o644), (0o022, True, 0o755), (0o077, True, 0o700), (0, True, 0o755), (0, False, 0o644)]
)
def test_modes_follow_the_umask_and_have_no_special_bits(tmp_path: Path, mask: int, exec: bool, mode: int) -> None:  # noqa: A002
    os.umask(mask)
    try:
        place(tmp_path / "a", b"x", exec=exec)
    finally:
        os.umask(0o022)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == mode


def test_the_umask_is_told_without_the_proc_file_system_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError

    for mask in (0o027, 0o022):
        before = os.umask(mask)
        try:
            assert umask() == mask
            with monkeypatch.context() as without:
                without.setattr("builtins.open", refuse)
                assert umask() == mask
            assert umask() == mask
        finally:
            os.umask(before)


def test_a_download_under_way_is_private(tmp_path: Path) -> None:
    for before in (None, 0o644):
        if before:
            staged(tmp_path).chmod(before)
        with FileStaging(str(tmp_path / "a"), IDENT) as staging:
            staging.open_file(1)
            assert staged(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_killed_download_finds_what_it_has(tmp_path: Path) -> None:
    code = (
        "import os, sys; from windlass.files.placing import FileStaging as F; s = F(sys.argv[1], sys.argv[2]); "
        "s.open_file(5); s.write(0, b'abc'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a"), IDENT], check=False)
    with FileStaging(str(tmp_path / "a"), IDENT) as staging:
        staging.open_file(5)
        assert staging.have(0, 3) == b"abc"
        assert staging.have(0, 5) is None
        assert staging.have(1, 1) is None
        with pytest.raises(WindlassError, match="not whole"):
            staging.publish()
        staging.write(0, b"abcde")
        staging.publish()
    assert (tmp_path / "a").read_bytes() == b"abcde"


def test_what_an_earlier_try_left_too_much_is_cut(tmp_path: Path) -> None:
    staged(tmp_path).write_bytes(b"far too much")
    with FileStaging(str(tmp_path / "a"), IDENT) as staging:
        staging.open_file(3)
        staging.write(0, b"abc")
        staging.publish()
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_two_downloads_of_the_same_do_not_mix(tmp_path: Path) -> None:
    with FileStaging(str(tmp_path / "a"), IDENT) as one, FileStaging(str(tmp_path / "a"), IDENT) as two:
        one.open_file(1)
        with pytest.raises(TimedOut):
            two.open_file(1)
        one.write(0, b"x")
        one.publish()
        one.close()
        two.open_file(1)  # not what was published
        two.write(0, b"y")
        assert (tmp_path / "a").read_bytes() == b"x"
        with pytest.raises(UsageError):
            two.publish()


def test_a_lock_got_on_a_file_that_was_published_meanwhile_is_none(tmp_path: Path, just_before: JustBefore) -> None:
    """The other ends between our opening its staging file and our lock on it."""
    one = FileStaging(str(tmp_path / "a"), IDENT, force=True)
    one.open_file(1)
    one.write(0, b"x")

    def end() -> None:
        one.publish()
        one.close()

    just_before("fcntl.flock", "", end)
    two = FileStaging(str(tmp_path / "a"), IDENT, force=True)
    try:
        two.open_file(2)
        two.write(0, b"yy")
        assert (tmp_path / "a").read_bytes() == b"x"
        two.publish()
    finally:
        two.close()
    assert (tmp_path / "a").read_bytes() == b"yy"


@pytest.mark.parametrize("what", ["file", "folder", "link", "dangling", "pipe"])
def test_nothing_that_is_there_is_replaced_unasked(tmp_path: Path, what: str) -> None:
    make(tmp_path, what)
    before = os.lstat(tmp_path / "a")
    with pytest.raises(UsageError, match="exists") as caught:
        place(tmp_path / "a", b"new")
    assert "--force" in caught.value.hint
    assert os.lstat(tmp_path / "a").st_ino == before.st_ino
    assert (tmp_path / "precious").read_bytes() == b"mine"


def make(folder: Path, what: str) -> None:
    """Something at `a`, and a file that a link leads to."""
    (folder / "precious").write_bytes(b"mine")
    if what == "file":
        (folder / "a").write_bytes(b"old")
    elif what == "folder":
        (folder / "a").mkdir()
    elif what == "link":
        (folder / "a").symlink_to("precious")
    elif what == "dangling":
        (folder / "a").symlink_to("nowhere")
    elif what == "pipe":
        os.mkfifo(folder / "a")


@pytest.mark.parametrize("what", ["file", "link", "dangling"])
def test_with_force_a_file_or_link_is_replaced_itself_not_what_it_leads_to(tmp_path: Path, what: str) -> None:
    make(tmp_path, what)
    place(tmp_path / "a", b"new", force=True)
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_not_even_with_force_is_a_folder_or_a_device_replaced(tmp_path: Path, what: str) -> None:
    make(tmp_path, what)
    with pytest.raises(UsageError):
        place(tmp_path / "a", b"new", force=True)
    assert (tmp_path / "a").exists()
    with pytest.raises(UsageError):
        FileStaging("/dev/null", IDENT, force=True)


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_appears_at_the_last_moment_is_not_replaced_either(tmp_path: Path, what: str, just_before: JustBefore) -> None:
    just_before("os.link", "windlass-part", lambda: make(tmp_path, what))
    with pytest.raises(UsageError, match="exists"):
        place(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert what != "file" or (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("what", ["link", "dangling", "hard link", "pipe", "others may write"])
def test_a_staging_place_made_by_somebody_hostile_is_never_written_into(tmp_path: Path, what: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    there = staged(tmp_path)
    if what == "link":
        there.symlink_to("precious")
    elif what == "dangling":
        there.symlink_to("nowhere")
    elif what == "hard link":
        os.link(precious, there)
    elif what == "pipe":
        os.mkfifo(there)
    else:
        there.write_bytes(b"theirs")
        there.chmod(0o666)
    with there.open("r+b") if what == "others may write" else open(os.devnull, "wb") as theirs:
        place(tmp_path / "a", b"new")
        theirs.write(b"evil")
    assert precious.read_bytes() == b"mine"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["a", "precious"]


def test_a_folder_in_the_place_of_the_staging_file_is_named(tmp_path: Path) -> None:
    staged(tmp_path).mkdir()
    with pytest.raises(UsageError) as caught:
        place(tmp_path / "a", b"new")
    assert staged(tmp_path).name in caught.value.message


def test_a_staging_file_exchanged_by_somebody_is_not_published(tmp_path: Path) -> None:
    with FileStaging(str(tmp_path / "a"), IDENT) as staging:
        staging.open_file(4)
        staging.write(0, b"good")
        staged(tmp_path).rename(tmp_path / "b")
        staged(tmp_path).write_bytes(b"evil")
        with pytest.raises(UsageError):
            staging.publish()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("target", ["/", "..", "none/a", "file/a", "a\0b"])
def test_a_target_that_cannot_be_is_refused_before_anything_is_sent(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        FileStaging(target if target == "/" else f"{tmp_path}/{target}", IDENT)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "\x1b[2J", "caf\udce9", " "])
def test_odd_names_of_targets_are_fine(tmp_path: Path, name: str) -> None:
    place(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]


def test_a_target_without_a_folder_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FileStaging("a", IDENT) as staging:
        staging.open_file(0)
        staging.publish()
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_system_without_links_gets_the_file_too_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "new").write_bytes(b"new")
        (tmp_path / "old").write_bytes(b"old")
        with pytest.raises(FileExistsError):
            put_new(b"new", fd, b"old", fd)
        put_new(b"new", fd, b"a", fd)
    finally:
        os.close(fd)
    assert (tmp_path / "old").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["a", "old"]


def test_descriptors_come_back(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    place(tmp_path / "a", b"x")
    with pytest.raises(UsageError):
        place(tmp_path / "a", b"x")
    with FileStaging(str(tmp_path / "b"), IDENT) as one, FileStaging(str(tmp_path / "b"), IDENT) as two:
        one.open_file(1)
        with pytest.raises(TimedOut):
            two.open_file(1)
    assert len(os.listdir("/dev/fd")) == before
