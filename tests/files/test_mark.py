"""A folder says which workspace it holds; anything odd is named, never followed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from windlass.errors import Damaged, UsageError
from windlass.files.mark import Mark, read, write
from windlass.files.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

MARK = Mark(store="s3://b/p", project="demo", workspace="base", base={"root": "ab.1", "seen": [1, None, "é"]})


def test_a_mark_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read(str(tmp_path)) is None
    write(str(tmp_path), MARK)
    assert read(str(tmp_path)) == MARK
    write(str(tmp_path), MARK.but(workspace="other"))
    assert read(f"{tmp_path}/") == MARK.but(workspace="other")
    assert os.listdir(tmp_path) == [".windlass-workspace"]
    assert (tmp_path / ".windlass-workspace").stat().st_mode & 0o777 == 0o600


def test_a_mark_is_no_part_of_the_workspace(tmp_path: Path) -> None:
    write(str(tmp_path), MARK)
    assert not scan(str(tmp_path)).found


def test_a_mark_written_over_a_link_replaces_the_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "root" / ".windlass-workspace").symlink_to(tmp_path / "precious")
    write(str(tmp_path / "root"), MARK)
    assert (tmp_path / "precious").read_text() == "mine"
    assert read(str(tmp_path / "root")) == MARK


@pytest.mark.parametrize("how", ["link", "pipe", "folder", "large"])
def test_a_mark_that_is_no_file_of_ones_own_is_named_and_not_waited_for(tmp_path: Path, how: str) -> None:
    file = tmp_path / ".windlass-workspace"
    if how == "link":
        (tmp_path / "real").mkdir()
        write(str(tmp_path / "real"), MARK)
        file.symlink_to("real/.windlass-workspace")
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "folder":
        file.mkdir()
    else:
        write(str(tmp_path), MARK)
        with file.open("ab") as more:
            more.write(b" " * 4 * 1024 * 1024)
    with pytest.raises(Damaged) as caught:
        read(str(tmp_path))
    assert str(file) in caught.value.message
    assert "remove it" in caught.value.hint


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"\xff", b"{}", b"[" * 100000, b'{"format": 2, "store": "s", "project": "p", "workspace": "w", "base": {}}',
     b'{"format": 1, "store": 1, "project": "p", "workspace": "w", "base": {}}',
     b'{"format": 1, "store": "s", "project": "p", "workspace": "w", "base": []}',
     b'{"format": 1, "store": "s", "project": "p", "base": {}}'],
)  # fmt: skip
def test_odd_content_is_named(tmp_path: Path, body: bytes) -> None:
    (tmp_path / ".windlass-workspace").write_bytes(body)
    with pytest.raises(Damaged):
        read(str(tmp_path))


def test_a_folder_that_is_not_there_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(str(tmp_path / "none"))
    with pytest.raises(UsageError):
        write(str(tmp_path / "none"), MARK)
