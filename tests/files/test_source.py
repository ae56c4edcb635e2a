"""An upload reads regular files only, in parts, and notices when one changes under its hands."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from windlass.errors import UsageError, WindlassError
from windlass.files.paths import PART, open_root
from windlass.files.scan import scan
from windlass.files.source import BytesSource, FileSource, StreamSource, is_unchanged, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    JustBefore = Callable[[str, str, Callable[[], None]], None]


class Dribble(io.RawIOBase):
    """Gives a few bytes at a time, as a pipe does."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece, self._data = self._data[: min(size, 3)], self._data[min(size, 3) :]
        return piece


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the folder `root`."""
    (tmp_path / "root").mkdir()
    fd = open_root(str(tmp_path / "root"))
    yield fd
    os.close(fd)


def test_a_file_is_read_in_parts_in_any_order_by_several_threads(tmp_path: Path) -> None:
    data = os.urandom(1000)
    (tmp_path / "a").write_bytes(data)
    with FileSource(str(tmp_path / "a"), 64) as source, ThreadPoolExecutor(8) as pool:
        assert source.size == 1000
        parts = list(pool.map(source.read, [*range(17)][::-1]))[::-1]
    assert b"".join(parts) == data
    assert parts[-1] == b""


def test_the_usual_part_is_what_an_object_holds(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with FileSource(str(tmp_path / "a")) as source:
        assert source.part == PART
        assert source.read(0) == b""


@pytest.mark.parametrize("how", ["grown", "cut", "touched", "cut after its size was seen"])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, how: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 100)
    os.utime(file, ns=(1, 1))
    with FileSource(str(file), 64) as source:
        source.read(0)
        if how == "grown":
            with file.open("ab") as more:
                more.write(b"y")
            os.utime(file, ns=(1, 1))
        elif how == "cut":
            os.truncate(file, 80)
            os.utime(file, ns=(1, 1))
        elif how == "touched":
            os.utime(file, ns=(2, 2))
        else:
            os.truncate(file, 0)
        with pytest.raises(WindlassError, match="changed while it was read") as caught:
            source.read(1)
    assert caught.value.hint


def test_a_file_replaced_at_its_name_is_still_read_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"new")
    with FileSource(str(tmp_path / "a")) as source:
        os.rename(tmp_path / "b", tmp_path / "a")
        assert source.read(0) == b"old"


@pytest.mark.parametrize("name", ["none", "folder", "pipe", "link", "a\0b"])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(UsageError):
        FileSource(f"{tmp_path}/{name}")


def test_devices_are_refused() -> None:
    with pytest.raises(UsageError):
        FileSource("/dev/zero")


def test_a_link_that_the_user_named_is_followed_to_a_regular_file_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with FileSource(str(tmp_path / "link"), follow=True) as source:
        assert source.read(0) == b"x"
    (tmp_path / "bad").symlink_to("/dev/zero")
    with pytest.raises(UsageError):
        FileSource(str(tmp_path / "bad"), follow=True)


def test_a_stream_fills_its_parts_and_ends() -> None:
    data = bytes(range(200))
    stream: BinaryIO = Dribble(data)  # type: ignore[assignment]
    source = StreamSource(stream, 64)
    assert source.size is None
    parts = [source.read(number) for number in range(5)]
    assert parts == [data[:64], data[64:128], data[128:192], data[192:], b""]


def test_a_stream_is_read_in_order_only() -> None:
    source = StreamSource(io.BytesIO(b"x" * 100), 64)
    with pytest.raises(AssertionError):
        source.read(1)


def test_a_stream_that_does_not_wait_is_refused() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        with open(read, "rb", buffering=0) as stream, pytest.raises(UsageError):
            StreamSource(stream).read(0)
    finally:
        os.close(write)


def test_bytes_at_hand_are_a_source_too() -> None:
    source = BytesSource(b"x" * 100, 64)
    assert (source.size, source.read(0), source.read(1), source.read(2)) == (100, b"x" * 64, b"x" * 36, b"")
    source.close()


def test_files_of_a_scan_are_read_as_they_were_found(tmp_path: Path, root: int) -> None:
    (tmp_path / "root" / "sub").mkdir()
    (tmp_path / "root" / "sub" / "a").write_bytes(b"x" * 100)
    (tmp_path / "root" / "empty").touch()
    found = {found.path: found for found in scan(str(tmp_path / "root")).found}
    assert read_file(root, found["sub/a"]) == b"x" * 100
    assert read_file(root, found["empty"]) == b""
    with FileSource.of(root, found["sub/a"], 64) as source:
        assert source.read(1) == b"x" * 36
    assert all(is_unchanged(root, one) for one in found.values())


@pytest.mark.parametrize("how", ["size", "time", "gone", "link", "folder", "pipe", "above"])
def test_a_file_that_changed_since_its_scan_is_an_error(tmp_path: Path, root: int, how: str) -> None:
    folder = tmp_path / "root" / "sub"
    folder.mkdir()
    file = folder / "a"
    file.write_bytes(b"x")
    (tmp_path / "out").mkdir()
    found = next(found for found in scan(str(tmp_path / "root")).found if found.kind == "file")
    if how == "size":
        file.write_bytes(b"xy")
        os.utime(file, ns=(found.mtime_ns, found.mtime_ns))
    elif how == "time":
        os.utime(file, ns=(1, 1))
    elif how == "above":
        os.rename(folder, tmp_path / "out" / "sub")
        folder.symlink_to(tmp_path / "out" / "sub")
    else:
        os.rename(file, tmp_path / "out" / "a")
        if how == "link":
            file.symlink_to(tmp_path / "out" / "a")  # the same size and time
        elif how == "folder":
            file.mkdir()
        elif how == "pipe":
            os.mkfifo(file)
    with pytest.raises((WindlassError, UsageError)):
        read_file(root, found)
    assert not is_unchanged(root, found)


def test_a_folder_that_becomes_a_link_right_before_it_is_opened_leads_nowhere(tmp_path: Path, root: int, just_before: JustBefore) -> None:
    folder = tmp_path / "root" / "sub"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    found = next(found for found in scan(str(tmp_path / "root")).found if found.kind == "file")

    def swap() -> None:
        os.rename(folder, tmp_path / "out")
        folder.symlink_to(tmp_path / "out")

    just_before("open", "sub", swap)
    with pytest.raises(WindlassError):
        read_file(root, found)


def test_sources_give_their_descriptors_back(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    (tmp_path / "a").touch()
    FileSource(str(tmp_path / "a")).close()
    with pytest.raises(UsageError):
        FileSource(str(tmp_path))
    assert len(os.listdir("/dev/fd")) == before
