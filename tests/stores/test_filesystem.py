"""What is known of the file system under a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windlass.stores.filesystem import file_system

if TYPE_CHECKING:
    from pathlib import Path


def mounts(tmp_path: Path, *points: tuple[str, str]) -> str:
    """A table of mounts as Linux shows it."""
    table = tmp_path / "mountinfo"
    lines = [f"{n} 1 8:1 / {point} rw,relatime shared:1 - {kind} /dev/x rw\n" for n, (point, kind) in enumerate(points)]
    table.write_text("".join(lines) + "odd line\n")
    return str(table)


@pytest.mark.parametrize(
    ("kind", "warning"),
    [
        ("ext4", False), ("xfs", False), ("btrfs", False), ("apfs", False), ("fuseblk", False),
        ("nfs4", True), ("cifs", True), ("9p", True), ("virtiofs", True), ("fuse.sshfs", True), ("overlay", True), ("tmpfs", True),
    ],
)  # fmt: skip
def test_kinds_that_may_let_writers_down_are_named(tmp_path: Path, kind: str, warning: bool) -> None:
    found = file_system("/data/store", mounts(tmp_path, ("/", "ext4"), ("/data", kind)))
    assert (found.kind, found.warning) == (kind, warning)
    assert found.text.startswith(f"{kind}: ")


def test_the_nearest_mount_counts(tmp_path: Path) -> None:
    table = mounts(tmp_path, ("/", "ext4"), ("/data", "nfs4"), ("/data/in", "xfs"), ("/data/in", "9p"), ("/database", "cifs"))
    assert file_system("/data/in/store", table).kind == "9p"
    assert file_system("/data/other", table).kind == "nfs4"
    assert file_system("/elsewhere", table).kind == "ext4"


def test_a_mount_point_with_a_blank_is_found(tmp_path: Path) -> None:
    assert file_system("/my data/store", mounts(tmp_path, ("/", "ext4"), (r"/my\040data", "nfs"))).kind == "nfs"


def test_a_synced_folder_is_named(tmp_path: Path) -> None:
    found = file_system("/home/u/Dropbox/work/store", mounts(tmp_path, ("/", "ext4")))
    assert found.warning
    assert "Dropbox" in found.text


def test_where_there_is_no_table_nothing_is_claimed(tmp_path: Path) -> None:
    found = file_system("/data", str(tmp_path / "none"))
    assert (found.kind, found.warning) == ("", False)
