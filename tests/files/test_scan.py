"""A scan lists all that a tree keeps, says what it leaves out, and follows nothing out of its root."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windlass.errors import UsageError
from windlass.files.paths import MAX_DEPTH
from windlass.files.scan import Scan, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    JustBefore = Callable[[str, str, Callable[[], None]], None]


def paths(seen: Scan) -> list[str]:
    """Of all that was found."""
    return [found.path for found in seen.found]


def why(seen: Scan) -> dict[str, str]:
    """What was left out."""
    return {left.path: left.why for left in seen.left}


def test_files_programs_links_and_folders_are_found_sorted_by_path(tmp_path: Path) -> None:
    (tmp_path / "b" / "empty").mkdir(parents=True)
    (tmp_path / "b" / "run").write_bytes(b"#!")
    (tmp_path / "b" / "run").chmod(0o755)
    (tmp_path / "b.txt").write_bytes(b"four")
    (tmp_path / "a").symlink_to("b/nowhere")
    seen = scan(str(tmp_path))
    told = [(found.path, found.kind, found.size, found.target) for found in seen.found]
    assert told == [
        ("a", "link", 9, "b/nowhere"),
        ("b", "folder", 0, ""),
        ("b.txt", "file", 4, ""),
        ("b/empty", "folder", 0, ""),
        ("b/run", "exec", 2, ""),
    ]
    facts = (tmp_path / "b.txt").stat()
    file = seen.found[2]
    assert (file.mtime_ns, file.ctime_ns, file.inode) == (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    assert not seen.left
    assert not seen.odd
    assert seen.ignored == 0


@pytest.mark.parametrize(("mode", "kind"), [(0o644, "file"), (0o611, "file"), (0o744, "exec"), (0o4755, "exec")])
def test_a_program_is_what_its_owner_may_run(tmp_path: Path, mode: int, kind: str) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(mode)
    assert scan(str(tmp_path)).found[0].kind == kind


def test_a_link_to_a_folder_is_kept_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "in").symlink_to(tmp_path / "out")
    assert paths(scan(str(tmp_path / "root"))) == ["in"]


def test_the_root_may_be_a_link_that_the_user_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "named").symlink_to("real")
    assert paths(scan(str(tmp_path / "named"))) == ["a"]


def test_what_is_no_file_is_left_out_and_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    here = os.getcwd()
    os.chdir(tmp_path)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("sock")
            seen = scan(str(tmp_path))
    finally:
        os.chdir(here)
    assert why(seen) == {"pipe": "it is a FIFO", "sock": "it is a socket"}
    assert not seen.found


def test_devices_are_left_out(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    assert why(scan(str(tmp_path))) == {"null": "it is a device"}


@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="there all names are UTF-8")
def test_names_and_targets_that_are_not_utf_8_are_left_out_and_shown(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).touch()
    os.symlink(b"caf\xe9", os.fsencode(tmp_path) + b"/link")
    (tmp_path / "café").touch()
    seen = scan(str(tmp_path))
    assert paths(seen) == ["café"]
    assert why(seen) == {"caf\\xe9": "its name is not UTF-8", "link": "the target of this link is not UTF-8"}


def test_what_belongs_to_git_and_to_us_is_left_out_without_a_word(tmp_path: Path) -> None:
    for name in (".git", ".windlass", ".a.0123456789abcdef.windlass-part", "sub/.git/hooks", "sub/.windlass"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").touch()
    (tmp_path / "sub" / ".windlass-workspace").touch()
    (tmp_path / ".windlass-workspace").touch()
    (tmp_path / "worktree").mkdir()
    (tmp_path / "worktree" / ".git").write_text("gitdir: elsewhere")
    seen = scan(str(tmp_path))
    assert paths(seen) == ["sub", "worktree"]
    assert not seen.left


def test_names_that_no_tree_may_have_are_named(tmp_path: Path) -> None:
    (tmp_path / ".GIT").mkdir()
    (tmp_path / ".GIT" / "x").touch()
    seen = scan(str(tmp_path))
    if paths(seen):
        pytest.fail("what git takes for its own on another system was kept")
    assert list(why(seen)) == [".GIT"]


@pytest.mark.parametrize(
    "name", ["a:b", "a?", "a*", "<", ">", "a|b", 'a"', "a\\b", "a\x01", "CON", "nul.txt", "Com1", "LPT¹.log", "aux ", "a.", "a "]
)
def test_a_name_that_another_system_does_not_take_is_kept_and_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    seen = scan(str(tmp_path))
    assert paths(seen) == [name]
    assert [odd.path for odd in seen.odd] == [name]


@pytest.mark.parametrize("name", ["console", "com", "com0x", "nullable", ".a", "a.b", "a b", "é", "日本"])
def test_a_plain_name_is_not_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert not scan(str(tmp_path)).odd


@pytest.mark.parametrize(("one", "two"), [("README", "readme"), ("\u00e9", "e\u0301"), ("É", "e\u0301"), ("straße", "STRASSE")])
def test_names_that_are_one_on_another_system_are_told_with_each_other(tmp_path: Path, one: str, two: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / one).touch()
    (tmp_path / "sub" / two).touch()
    (tmp_path / one).touch()  # in another folder: no collision
    seen = scan(str(tmp_path))
    if len(seen.found) < 4:
        pytest.skip("this system is such a one")
    first, second = sorted([one, two])
    assert [(odd.path, first in odd.why) for odd in seen.odd] == [(f"sub/{second}", True)]


def test_a_name_with_control_characters_is_kept_as_it_is(tmp_path: Path) -> None:
    name = "a\x1b[2Jb\nc\u202ed"
    (tmp_path / name).touch()
    assert paths(scan(str(tmp_path))) == [name]


def test_a_folder_replaced_by_a_link_during_the_scan_is_not_followed(tmp_path: Path, just_before: JustBefore) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").touch()
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "z").touch()

    def swap() -> None:
        (tmp_path / "root" / "sub").rmdir()
        (tmp_path / "root" / "sub").symlink_to(tmp_path / "out")

    just_before("open", "sub", swap)
    seen = scan(str(tmp_path / "root"))
    assert paths(seen) == ["z"]
    assert list(why(seen)) == ["sub"]


def test_a_folder_that_vanishes_during_the_scan_is_left_out(tmp_path: Path, just_before: JustBefore) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "z").touch()
    just_before("open", "sub", (tmp_path / "sub").rmdir)
    seen = scan(str(tmp_path))
    assert paths(seen) == ["z"]
    assert not seen.left


def test_a_scan_ends_at_a_depth_and_says_so(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 2):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    seen = scan(str(tmp_path))
    assert len(seen.found) == MAX_DEPTH - 1
    assert len(seen.left) == 1
    shutil.rmtree(tmp_path / "d")


def test_a_scan_gives_all_descriptors_back(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / ".gitignore").symlink_to("nowhere")
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(UsageError):
        scan(str(tmp_path))
    scan(str(tmp_path), ignored=False)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        scan(f"{tmp_path}/{name}")


@pytest.fixture
def as_somebody() -> Iterator[Path]:
    """A folder of a user for whom permissions count, and to be that user."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for place, folders, _ in os.walk(folder):
            for name in folders:
                (Path(place) / name).chmod(0o755)
        shutil.rmtree(folder)


def test_what_may_not_be_read_is_left_out_and_named(as_somebody: Path) -> None:
    for name in ("closed", "open"):
        (as_somebody / name).mkdir()
        (as_somebody / name / "x").touch()
        (as_somebody / f"{name}.txt").touch()
    (as_somebody / "closed").chmod(0)
    (as_somebody / "closed.txt").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    seen = scan(str(as_somebody))
    assert paths(seen) == ["open", "open.txt", "open/x"]
    assert why(seen) == {"closed": "Permission denied", "closed.txt": "you may not read it"}
