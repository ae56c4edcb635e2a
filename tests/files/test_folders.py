"""A downloaded folder appears whole or not at all; whatever its tree says, nothing outside of it is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from windlass.errors import Damaged, TimedOut, UsageError, WindlassError
from windlass.files.folders import FolderStaging
from windlass.files.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    JustBefore = Callable[[str, str, Callable[[], None]], None]

IDENT = "0123456789abcdef" * 4
STAGED = f".out.{IDENT[:16]}.windlass-part"
ASIDE = f".out.{IDENT[:16]}.old.windlass-part"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the folder is to appear."""
    return tmp_path / "home" / "out"


@pytest.fixture(autouse=True)
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file that a hostile tree would like to change; it stays as it is."""
    (tmp_path / "home").mkdir()
    file = tmp_path / "precious"
    file.write_bytes(b"mine")
    yield file
    assert file.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["home", "precious"]


@pytest.fixture
def staging(out: Path) -> Iterator[FolderStaging]:
    """A download under way."""
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        yield staging


def fill(staging: FolderStaging) -> None:
    """A small tree."""
    staging.add_link("to", "sub/a")
    staging.add_folder("empty")
    staging.put_file("sub/run", b"#!", exec=True)
    staging.add_file("sub/a", 6)
    staging.write("sub/a", 3, b"def")
    staging.write("sub/a", 0, b"abc")
    staging.finish_file("sub/a")


def tree(folder: Path) -> dict[str, object]:
    """What is in a folder."""
    seen = scan(str(folder), ignored=False)
    return {found.path: found.target or (folder / found.path).read_bytes() if found.kind != "folder" else None for found in seen.found}


WHOLE = {"empty": None, "sub": None, "sub/a": b"abcdef", "sub/run": b"#!", "to": "sub/a"}


def test_a_folder_appears_whole(out: Path, staging: FolderStaging) -> None:
    fill(staging)
    assert os.listdir(out.parent) == [STAGED]
    staging.publish()
    assert os.listdir(out.parent) == ["out"]
    assert tree(out) == WHOLE


@pytest.mark.parametrize(
    ("mask", "folder", "file", "program"), [(0o022, 0o755, 0o644, 0o755), (0o077, 0o700, 0o600, 0o700), (0, 0o755, 0o644, 0o755)]
)
def test_modes_follow_the_umask_and_have_no_special_bits(out: Path, mask: int, folder: int, file: int, program: int) -> None:
    before = os.umask(mask)
    try:
        with FolderStaging(str(out), IDENT) as staging:
            staging.open_folder()
            assert (out.parent / STAGED).stat().st_mode & 0o7777 == 0o700
            fill(staging)
            staging.publish(sync=mask == 0o022)
    finally:
        os.umask(before)
    modes = {name: (out / name).stat().st_mode & 0o7777 for name in ("", "empty", "sub/a", "sub/run")}
    assert modes == {"": folder, "empty": folder, "sub/a": file, "sub/run": program}


def test_several_threads_add_at_once(out: Path, staging: FolderStaging) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: staging.put_file(f"a/b{number % 3}/c{number % 7}/f{number}", b"%d" % number), range(300)))
    staging.publish()
    assert {path: body for path, body in tree(out).items() if body is not None} == {
        f"a/b{number % 3}/c{number % 7}/f{number}": b"%d" % number for number in range(300)
    }


HOSTILE = ["../precious", "/etc/x", "..", ".", "", "a//b", "a/../../precious", "./a", "a/", "a\0", "x" * 256, "\udcff", ".git/hooks/x",
           "a/.GIT/config", ".windlass", "b/.windlass-workspace", "/".join("d" * 300)]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_leads_out_is_refused_by_every_door(staging: FolderStaging, path: str) -> None:
    doors: list[Callable[[], None]] = [
        lambda: staging.add_folder(path),
        lambda: staging.add_file(path, 1),
        lambda: staging.put_file(path, b"x"),
        lambda: staging.add_link(path, "a"),
    ]
    for door in doors:
        with pytest.raises(Damaged):
            door()


@pytest.mark.parametrize("target", ["/etc/passwd", "../precious", "..", "sub/../../precious", "../../x"])
def test_a_link_that_could_lead_out_is_refused_by_its_name(staging: FolderStaging, target: str) -> None:
    with pytest.raises(UsageError) as caught:
        staging.add_link("link", target)
    assert "link" in caught.value.message
    assert "--links all" in caught.value.hint


def test_a_link_that_leads_out_is_made_as_it_is_where_the_user_says_so(out: Path) -> None:
    with FolderStaging(str(out), IDENT, outside=True) as staging:
        staging.open_folder()
        staging.add_link("d/link", "../../../precious")
        staging.publish()
    assert os.readlink(out / "d" / "link") == "../../../precious"


def test_nothing_is_written_through_a_link_of_the_same_tree(out: Path, tmp_path: Path) -> None:
    """A tree that says first that `d` is a link to elsewhere, then that `d/x` is a file."""
    with FolderStaging(str(out), IDENT, outside=True) as staging:
        staging.open_folder()
        staging.add_link("d", str(tmp_path))
        staging.put_file("d/precious", b"evil")
        with pytest.raises(Damaged):
            staging.publish()
    assert not out.exists()


def test_nothing_is_written_through_a_link_that_somebody_puts_there(out: Path, staging: FolderStaging, tmp_path: Path) -> None:
    staging.add_folder("d")
    (out.parent / STAGED / "d").rmdir()
    (out.parent / STAGED / "d").symlink_to(tmp_path)
    doors: list[Callable[[], None]] = [
        lambda: staging.put_file("d/precious", b"evil"),
        lambda: staging.add_file("d/precious", 4),
        lambda: staging.add_folder("d/x"),
        lambda: staging.add_link("d/x", "y"),
    ]
    for door in doors:
        with pytest.raises(Damaged):
            door()


def test_nothing_is_written_through_a_link_put_there_at_the_last_moment(
    out: Path, staging: FolderStaging, tmp_path: Path, just_before: JustBefore
) -> None:
    staging.add_folder("dd")

    def swap() -> None:
        (out.parent / STAGED / "dd").rmdir()
        (out.parent / STAGED / "dd").symlink_to(tmp_path)

    just_before("open", "dd", swap)
    with pytest.raises(Damaged):
        staging.put_file("dd/precious", b"evil")


def test_nothing_is_written_into_a_file_that_is_there_already(out: Path, staging: FolderStaging, precious: Path) -> None:
    os.link(precious, out.parent / STAGED / "a")
    with pytest.raises(Damaged):
        staging.put_file("a", b"evil")


@pytest.mark.parametrize("order", [("a", "a/b"), ("a/b", "a")])
def test_a_path_that_is_both_a_file_and_a_folder_is_refused(staging: FolderStaging, order: tuple[str, str]) -> None:
    staging.put_file(order[0], b"1")
    with pytest.raises(Damaged):
        staging.put_file(order[1], b"2")


@pytest.mark.parametrize("first", ["file", "link", "folder"])
@pytest.mark.parametrize("second", ["file", "link"])
def test_a_path_twice_is_refused(staging: FolderStaging, first: str, second: str) -> None:
    doors: dict[str, Callable[[], None]] = {
        "file": lambda: staging.put_file("a", b"1"),
        "link": lambda: staging.add_link("a", "b"),
        "folder": lambda: staging.add_folder("a"),
    }
    doors[first]()
    with pytest.raises(Damaged):
        doors[second]()


def test_two_names_that_are_one_on_this_file_system_are_both_named(out: Path) -> None:
    """As a file system shows it that ignores case: the second name finds the file, and the folder, of the first."""
    with FolderStaging(str(out), IDENT) as killed:
        killed.open_folder()
        killed.put_file("x", b"1")
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        staging.put_file("readme", b"1")
        os.link(out.parent / STAGED / "readme", out.parent / STAGED / "README")
        with pytest.raises(Damaged, match="readme") as caught:
            staging.put_file("README", b"2")
        assert "README" in caught.value.message
        assert (out.parent / STAGED / "readme").read_bytes() == b"1"


def test_two_names_that_are_one_are_both_named_in_a_fresh_download(out: Path, staging: FolderStaging) -> None:
    staging.put_file("readme", b"1")
    os.link(out.parent / STAGED / "readme", out.parent / STAGED / "README")
    for path in ("README", "README/x"):
        with pytest.raises(Damaged, match="readme"):
            staging.put_file(path, b"2")
    staging.add_link("README", "x")
    with pytest.raises(Damaged, match="readme"):
        staging.publish()


@pytest.mark.parametrize("what", ["file", "full folder", "link", "link to an empty folder"])
def test_nothing_that_is_there_is_replaced_unasked(out: Path, what: str, tmp_path: Path) -> None:
    make(out, what)
    with pytest.raises(UsageError, match="exists") as caught:
        FolderStaging(str(out), IDENT)
    assert "--force" in caught.value.hint


def make(out: Path, what: str) -> None:
    """Something where the folder is to appear."""
    if what == "file":
        out.write_bytes(b"old")
    elif what == "full folder":
        (out / "sub").mkdir(parents=True)
        (out / "sub" / "old").write_bytes(b"old")
        (out / "precious").symlink_to("../../precious")
    elif what == "link":
        out.symlink_to("../precious")
    elif what == "link to an empty folder":
        (out.parent / "empty").mkdir()
        out.symlink_to("empty")


@pytest.mark.parametrize("what", ["file", "full folder", "link", "link to an empty folder"])
def test_what_appears_at_the_last_moment_is_not_replaced_either(
    out: Path, staging: FolderStaging, what: str, just_before: JustBefore
) -> None:
    fill(staging)
    just_before("os.rename", "windlass-part", lambda: make(out, what))
    with pytest.raises(UsageError, match="exists"):
        staging.publish()
    assert os.path.lexists(out)
    assert not (out / "to").is_symlink()


def test_an_empty_folder_is_filled(out: Path, staging: FolderStaging) -> None:
    out.mkdir()
    fill(staging)
    staging.publish()
    assert tree(out) == WHOLE


@pytest.mark.parametrize("what", ["file", "full folder", "link", "link to an empty folder"])
def test_with_force_the_old_one_goes_and_nothing_behind_its_links(out: Path, what: str) -> None:
    make(out, what)
    with FolderStaging(str(out), IDENT, force=True) as staging:
        staging.open_folder()
        fill(staging)
        staging.publish()
    assert tree(out) == WHOLE
    assert set(os.listdir(out.parent)) <= {"out", "empty"}


@pytest.mark.parametrize("name", [".git", ".windlass", ".windlass-workspace"])
def test_not_even_with_force_is_a_repository_or_workspace_replaced(out: Path, name: str) -> None:
    (out / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=name):
        FolderStaging(str(out), IDENT, force=True)


def test_not_even_with_force_is_ones_own_place_replaced(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (out / "deep").mkdir(parents=True)
    monkeypatch.chdir(out / "deep")
    with pytest.raises(UsageError):
        FolderStaging(str(out), IDENT, force=True)
    with pytest.raises(UsageError):
        FolderStaging(".", IDENT, force=True)
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(out))
    with pytest.raises(UsageError):
        FolderStaging(str(out), IDENT, force=True)


def kill(code: str, out: Path) -> None:
    """A process that begins a download and is killed."""
    start = "import os, sys; from windlass.files.folders import FolderStaging as F; s = F(*sys.argv[1:], force=True); s.open_folder(); "
    done = subprocess.run([sys.executable, "-c", f"{start}{code}; os.kill(os.getpid(), 9)", str(out), IDENT], check=False)
    assert done.returncode == -9


def test_a_killed_download_finds_what_it_has_and_sheds_what_is_not_in_the_tree(out: Path) -> None:
    kill(
        "s.put_file('sub/run', b'#!', exec=True); s.put_file('gone/x', b'1'); s.put_file('empty', b'1'); "
        "s.add_file('sub/a', 6); s.write('sub/a', 0, b'abc')",
        out,
    )
    (out.parent / STAGED / "empty").unlink()
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        staging.add_file("sub/a", 6)
        assert staging.have("sub/a", 0, 3) == b"abc"
        assert staging.have("sub/a", 0, 6) is None
        with pytest.raises(WindlassError, match="not whole"):
            staging.publish()
        staging.write("sub/a", 3, b"def")
        staging.finish_file("sub/a")
        staging.put_file("sub/run", b"#!", exec=True)
        staging.add_folder("empty")
        staging.add_link("to", "sub/a")
        staging.publish()
    assert tree(out) == WHOLE


def test_small_files_that_a_killed_download_left_are_seen_before_they_are_added(out: Path, precious: Path) -> None:
    kill("s.put_file('sub/a', b'abc')", out)
    with FolderStaging(str(out), IDENT) as staging:
        assert staging.left("sub/a", 3) is None
        staging.open_folder()
        assert staging.left("sub/a", 3) == b"abc"
        for path, size in (("sub/a", 2), ("sub/a", 4), ("sub", 0), ("none", 0), ("sub/a/x", 0)):
            assert staging.left(path, size) is None
        (out.parent / STAGED / "link").symlink_to(precious)
        assert staging.left("link", 4) is None
        with pytest.raises(Damaged):
            staging.left("../../precious", 4)
    with FolderStaging(str(out.parent / "fresh"), IDENT) as fresh:
        fresh.open_folder()
        fresh.put_file("a", b"abc")
        assert fresh.left("a", 3) is None
        fresh.discard()


def test_what_is_discarded_leaves_nothing(out: Path, staging: FolderStaging) -> None:
    fill(staging)
    staging.discard()
    assert os.listdir(out.parent) == []


def test_a_path_twice_is_refused_also_where_two_threads_add_it_at_once(out: Path, just_before: JustBefore) -> None:
    kill("s.put_file('dup', b'0')", out)
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        just_before("open", "dup", lambda: staging.put_file("dup", b"1"))
        with pytest.raises(Damaged):
            staging.put_file("dup", b"2")
        assert (out.parent / STAGED / "dup").read_bytes() == b"1"


def test_a_file_that_is_not_whole_is_not_finished(staging: FolderStaging) -> None:
    staging.add_file("a", 6)
    staging.write("a", 0, b"abc")
    with pytest.raises(WindlassError, match="not whole"):
        staging.finish_file("a")


def test_what_somebody_put_into_a_staging_folder_is_neither_followed_nor_published(out: Path, precious: Path, tmp_path: Path) -> None:
    kill("s.put_file('run', b'x', exec=True); s.add_folder('sub')", out)
    there = out.parent / STAGED
    (there / "sub").rmdir()
    (there / "sub").symlink_to(tmp_path)
    (there / "a").symlink_to(precious)
    os.link(precious, there / "hard")
    os.mkfifo(there / "pipe")
    (there / "suid").write_bytes(b"x")
    (there / "suid").chmod(0o4755)
    (there / ".git").mkdir()
    (there / ".git" / "config").touch()
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        staging.put_file("a", b"1")
        staging.put_file("hard", b"2")
        staging.put_file("pipe", b"3")
        staging.put_file("suid", b"4", exec=True)
        staging.put_file("run", b"5")  # not to be run any more
        staging.put_file("sub/precious", b"6")
        staging.publish()
    assert tree(out) == {"a": b"1", "hard": b"2", "pipe": b"3", "suid": b"4", "run": b"5", "sub": None, "sub/precious": b"6"}
    assert (out / "suid").stat().st_mode & 0o7777 == 0o755
    assert (out / "run").stat().st_mode & 0o111 == 0
    assert not (out / ".git").exists()


@pytest.mark.parametrize("what", ["link", "file", "pipe", "others may write"])
def test_a_staging_place_made_by_somebody_hostile_is_never_written_into(out: Path, what: str, tmp_path: Path) -> None:
    there = out.parent / STAGED
    if what == "link":
        there.symlink_to(tmp_path)
    elif what == "file":
        there.write_bytes(b"x")
    elif what == "pipe":
        os.mkfifo(there)
    else:
        there.mkdir()
        there.chmod(0o777)
    with FolderStaging(str(out), IDENT) as staging:
        if what == "others may write":
            with pytest.raises(UsageError) as caught:
                staging.open_folder()
            assert STAGED in caught.value.message
            return
        staging.open_folder()
        staging.put_file("precious", b"new")
        staging.publish()
    assert tree(out) == {"precious": b"new"}


def test_a_staging_folder_exchanged_by_somebody_is_not_published(out: Path, staging: FolderStaging) -> None:
    fill(staging)
    (out.parent / STAGED).rename(out.parent / "b")
    (out.parent / STAGED).mkdir()
    with pytest.raises(UsageError):
        staging.publish()
    assert not out.exists()


def test_two_downloads_of_the_same_do_not_mix(out: Path, staging: FolderStaging) -> None:
    with FolderStaging(str(out), IDENT) as other:
        before = len(os.listdir("/dev/fd"))
        with pytest.raises(TimedOut):
            other.open_folder()
        assert len(os.listdir("/dev/fd")) == before
        fill(staging)
        staging.publish()
        with pytest.raises(UsageError):
            other.open_folder()
    assert tree(out) == WHOLE


def test_a_kill_in_the_midst_of_a_replacement_loses_nothing(out: Path) -> None:
    make(out, "full folder")
    kill(f"s.put_file('a', b'new'); os.rename(sys.argv[1], os.path.dirname(sys.argv[1]) + '/{ASIDE}')", out)
    assert not out.exists()
    with FolderStaging(str(out), IDENT, force=True) as staging:
        staging.open_folder()
        assert (out / "sub" / "old").read_bytes() == b"old"
        staging.put_file("a", b"new")
        staging.publish()
    assert tree(out) == {"a": b"new"}
    assert os.listdir(out.parent) == ["out"]


def test_what_a_kill_left_of_the_old_one_is_removed(out: Path) -> None:
    (out.parent / ASIDE / "sub").mkdir(parents=True)
    out.mkdir()
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        staging.publish()
    assert os.listdir(out.parent) == ["out"]


def test_descriptors_come_back(out: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    with FolderStaging(str(out), IDENT) as staging:
        staging.open_folder()
        fill(staging)
        staging.add_file("b", 1)
        for path in ("empty", "sub"):
            with pytest.raises(Damaged):
                staging.put_file(path, b"x")
        with pytest.raises(Damaged):
            staging.add_file("sub/run/x", 1)
    assert len(os.listdir("/dev/fd")) == before
