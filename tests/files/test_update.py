"""A folder of the user's is brought to a new state without losing what the user did to it meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from windlass.errors import Damaged, UsageError
from windlass.files.folders import FolderStaging
from windlass.files.paths import PART
from windlass.files.scan import Found, Left, scan
from windlass.files.update import Applied, Delete, MakeFolder, MakeLink, SetExec, Write, apply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from windlass.files.update import Change

    JustBefore = Callable[[str, str, Callable[[], None]], None]

IDENT = "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with some things in it."""
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a").write_bytes(b"old")
    (root / "sub" / "b").write_bytes(b"old")
    (root / "sub" / "deep" / "c").write_bytes(b"old")
    (root / "link").symlink_to("a")
    return root


@pytest.fixture(autouse=True)
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file outside that nothing may touch."""
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "b"
    file.write_bytes(b"mine")
    yield file
    assert file.read_bytes() == b"mine"
    assert os.listdir(tmp_path / "out") == ["b"]


def seen(root: Path) -> dict[str, Found]:
    """What is in the folder now."""
    return {found.path: found for found in scan(str(root), ignored=False).found}


def listed(root: Path) -> list[str]:
    """All names, also those that a scan leaves out."""
    return sorted(os.path.relpath(os.path.join(at, name), root) for at, folders, files in os.walk(root) for name in folders + files)


def test_all_kinds_of_changes_are_made(root: Path) -> None:
    before = seen(root)
    done = apply(
        str(root),
        [
            MakeLink(path="new/link", target="../a"),
            MakeLink(path="link", target="sub/b", expected=before["link"]),
            Write(path="new/x", content=b"x", exec=True),
            Write(path="a", content=iter([b"new", b"er"]), expected=before["a"]),
            MakeFolder(path="new"),
            MakeFolder(path="sub"),
            SetExec(path="sub/b", exec=True, expected=before["sub/b"]),
            Delete(path="sub/deep", expected=before["sub/deep"]),
            Delete(path="sub/deep/c", expected=before["sub/deep/c"]),
        ],
        sync=True,
    )
    assert done == Applied(done=9, kept=[])
    assert listed(root) == ["a", "link", "new", "new/link", "new/x", "sub", "sub/b"]
    after = seen(root)
    assert {path: found.kind for path, found in after.items() if found.kind != "folder"} == {
        "a": "file", "link": "link", "new/link": "link", "new/x": "exec", "sub/b": "exec",
    }  # fmt: skip
    assert (root / "a").read_bytes() == b"newer"
    assert after["link"].target == "sub/b"


def test_a_file_becomes_a_folder_and_a_folder_a_file(root: Path) -> None:
    before = seen(root)
    done = apply(
        str(root),
        [
            Write(path="a/x", content=b"x"),
            MakeFolder(path="a"),
            Delete(path="a", expected=before["a"]),
            Write(path="sub", content=b"y"),
            *(Delete(path=path, expected=before[path]) for path in ("sub", "sub/b", "sub/deep", "sub/deep/c")),
        ],
    )
    assert done.kept == []
    assert (root / "a" / "x").read_bytes() == b"x"
    assert (root / "sub").read_bytes() == b"y"


@pytest.mark.parametrize("how", ["content", "gone", "link", "folder", "exec", "replaced"])
def test_what_changed_meanwhile_is_left_and_named(root: Path, how: str, precious: Path) -> None:
    before = seen(root)["sub/b"]
    file = root / "sub" / "b"
    if how == "content":
        file.write_bytes(b"own")
        os.utime(file, ns=(before.mtime_ns, before.mtime_ns))  # the same size and time: only ctime tells
    elif how == "exec":
        file.chmod(0o755)
    elif how == "replaced":
        (root / "other").write_bytes(b"own")
        os.utime(root / "other", ns=(before.mtime_ns, before.mtime_ns))
        (root / "other").rename(file)
    else:
        file.unlink()
        if how == "link":
            file.symlink_to(precious)
        elif how == "folder":
            file.mkdir()
    there = listed(root), os.lstat(file).st_ctime_ns if how != "gone" else 0
    changes: list[Change] = [
        Write(path="sub/b", content=b"new", expected=before),
        MakeLink(path="sub/b", target="x", expected=before),
        SetExec(path="sub/b", exec=True, expected=before),
    ]
    for change in changes if how == "gone" else [*changes, Delete(path="sub/b", expected=before)]:
        done = apply(str(root), [change])
        assert (done.done, [left.path for left in done.kept]) == (0, ["sub/b"]), change
    assert (listed(root), os.lstat(file).st_ctime_ns if how != "gone" else 0) == there


@pytest.mark.parametrize("what", ["file", "link", "dangling", "folder"])
def test_nothing_that_nobody_expected_is_replaced(root: Path, what: str, precious: Path) -> None:
    if what == "file":
        (root / "new").write_bytes(b"own")
    elif what == "folder":
        (root / "new").mkdir()
    else:
        (root / "new").symlink_to(precious if what == "link" else "nowhere")
    before = os.lstat(root / "new")
    for change in (Write(path="new", content=b"x"), MakeLink(path="new", target="x")):
        assert apply(str(root), [change]).kept == [Left(path="new", why="something is there by now")]
    after = os.lstat(root / "new")
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_what_appears_at_the_last_moment_is_not_replaced(root: Path, just_before: JustBefore) -> None:
    def appear() -> None:
        (root / "new").write_bytes(b"own")

    just_before("os.link", "windlass-part", appear)
    assert apply(str(root), [Write(path="new", content=b"x")]).kept == [Left(path="new", why="something is there by now")]
    assert (root / "new").read_bytes() == b"own"
    assert listed(root) == sorted(["a", "link", "new", "sub", "sub/b", "sub/deep", "sub/deep/c"])


def every_change(found: Found | None) -> list[Change]:
    """Of the file `sub/b`."""
    changes: list[Change] = [
        Write(path="sub/b", content=b"evil", expected=found),
        Write(path="sub/new", content=b"evil"),
        MakeLink(path="sub/link", target="x"),
        MakeFolder(path="sub/folder"),
        MakeFolder(path="sub"),
    ]
    if found is not None:
        changes += [Delete(path="sub/b", expected=found), SetExec(path="sub/b", exec=True, expected=found)]
    return changes


@pytest.mark.parametrize("number", range(7))
def test_nothing_is_done_through_a_link(root: Path, tmp_path: Path, number: int) -> None:
    (root / "sub").rename(tmp_path / "away")
    (root / "sub").symlink_to(tmp_path / "out")
    found = seen(tmp_path / "out")["b"].but(path="sub/b")  # exactly what is expected, were the link followed
    done = apply(str(root), [every_change(found)[number]])
    assert (done.done, len(done.kept)) == (0, 1)
    assert os.readlink(root / "sub") == str(tmp_path / "out")


@pytest.mark.parametrize("number", range(7))
def test_nothing_is_done_through_a_link_put_there_at_the_last_moment(
    root: Path, tmp_path: Path, number: int, just_before: JustBefore
) -> None:
    found = seen(tmp_path / "out")["b"].but(path="sub/b")

    def swap() -> None:
        (root / "sub").rename(tmp_path / "away")
        (root / "sub").symlink_to(tmp_path / "out")

    just_before("open", "sub", swap)
    assert apply(str(root), [every_change(found)[number]]).done == 0


def test_a_link_that_is_itself_replaced_is_not_followed(root: Path) -> None:
    before = seen(root)
    assert apply(str(root), [Write(path="link", content=b"x", expected=before["link"])]).kept == []
    assert not (root / "link").is_symlink()
    assert (root / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    "path", ["../out/b", "/etc/x", "sub/../../out/b", "", "sub//b", ".git/hooks/post-checkout", ".windlass-workspace", "sub/.GIT"]
)
def test_a_path_that_leads_out_stops_all_before_anything_is_changed(root: Path, path: str) -> None:
    before = seen(root)
    bad: list[Change] = [
        Write(path=path, content=b"x"),
        MakeFolder(path=path),
        MakeLink(path=path, target="a"),
        Delete(path=path, expected=before["a"]),
        SetExec(path=path, exec=True, expected=before["a"]),
    ]
    for change in bad:
        with pytest.raises(Damaged):
            apply(str(root), [Delete(path="a", expected=before["a"]), change])
    assert seen(root) == before


def test_a_link_that_could_lead_out_stops_all_unless_the_user_allows_it(root: Path) -> None:
    before = seen(root)
    changes: list[Change] = [Delete(path="a", expected=before["a"]), MakeLink(path="sub/l", target="../../out/b")]
    with pytest.raises(UsageError, match="sub/l"):
        apply(str(root), changes)
    assert seen(root) == before
    assert apply(str(root), changes, outside=True).kept == []
    assert os.readlink(root / "sub" / "l") == "../../out/b"


def test_a_folder_with_something_of_the_users_in_it_stays(root: Path) -> None:
    before = seen(root)
    (root / "sub" / "deep" / "own").touch()
    done = apply(str(root), [Delete(path=path, expected=before[path]) for path in ("sub", "sub/b", "sub/deep", "sub/deep/c")])
    assert done.done == 2
    assert [(left.path, left.why) for left in done.kept] == [("sub/deep", "it is not empty"), ("sub", "it is not empty")]
    assert listed(root) == ["a", "link", "sub", "sub/deep", "sub/deep/own"]


def test_what_is_gone_already_is_deleted(root: Path) -> None:
    before = seen(root)
    (root / "a").unlink()
    assert apply(str(root), [Delete(path="a", expected=before["a"])]) == Applied(done=1, kept=[])


@pytest.mark.parametrize(("old", "exec", "mode"), [(None, False, 0o644), (None, True, 0o755), (0o600, False, 0o600), (0o600, True, 0o700),
                                                   (0o4777, False, 0o644), (0o640, True, 0o750), (0o444, False, 0o644)])  # fmt: skip
def test_modes_have_no_special_bits_and_open_nothing_that_was_closed(root: Path, old: int | None, exec: bool, mode: int) -> None:  # noqa: A002
    if old is None:
        (root / "a").unlink()
    else:
        (root / "a").chmod(old)
    assert apply(str(root), [Write(path="a", content=b"x", exec=exec, expected=seen(root).get("a"))]).kept == []
    assert (root / "a").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize(
    ("old", "exec", "mode"),
    [(0o644, True, 0o755), (0o600, True, 0o700), (0o755, False, 0o644), (0o4755, False, 0o644), (0o6755, True, 0o755)],
)
def test_a_file_may_be_run_by_those_who_may_read_it(root: Path, old: int, exec: bool, mode: int) -> None:  # noqa: A002
    (root / "a").chmod(old)
    assert apply(str(root), [SetExec(path="a", exec=exec, expected=seen(root)["a"])]).kept == []
    assert (root / "a").stat().st_mode & 0o7777 == mode


def test_content_prepared_in_a_staging_folder_is_taken_from_there(root: Path) -> None:
    large = os.urandom(PART + 3)
    with FolderStaging(f"{root}/.x.windlass-part", IDENT) as staging:
        staging.open_folder()
        staging.put_file("sub/b", b"small")
        staging.add_file("new", len(large))
        staging.write("new", PART, large[PART:])
        staging.write("new", 0, large[:PART])
        staging.finish_file("new")
        before = seen(root)
        assert list(before) == ["a", "link", "sub", "sub/b", "sub/deep", "sub/deep/c"]
        changes = [Write(path=path, content=staging.pieces(path), expected=before.get(path)) for path in ("sub/b", "new")]
        assert apply(str(root), changes).kept == []
        staging.discard()
    assert (root / "sub" / "b").read_bytes() == b"small"
    assert (root / "new").read_bytes() == large
    assert listed(root) == ["a", "link", "new", "sub", "sub/b", "sub/deep", "sub/deep/c"]


@pytest.mark.parametrize("expected", [True, False])
def test_what_changes_while_the_new_content_is_written_is_left(root: Path, expected: bool) -> None:
    before = seen(root)["a"]

    def content() -> Iterator[bytes]:
        yield b"new"
        (root / "a").write_bytes(b"own")

    if not expected:
        (root / "a").unlink()
    names = listed(root)
    assert apply(str(root), [Write(path="a", content=content(), expected=before if expected else None)]).done == 0
    assert (root / "a").read_bytes() == b"own"
    assert set(listed(root)) == {*names, "a"}


def test_no_content_is_asked_for_where_it_has_no_place(root: Path) -> None:
    asked = []

    def content() -> Iterator[bytes]:
        asked.append(True)
        yield b""

    assert apply(str(root), [Write(path="a", content=content()), Write(path="link/x", content=content())]).done == 0
    assert not asked


def test_content_that_fails_leaves_the_old_file_and_nothing_else(root: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the store is gone")

    before = listed(root)
    with pytest.raises(ValueError, match="gone"):
        apply(str(root), [Write(path="a", content=torn(), expected=seen(root)["a"])])
    assert (root / "a").read_bytes() == b"old"
    assert listed(root) == before


def test_descriptors_come_back(root: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    apply(str(root), every_change(None))
    assert len(os.listdir("/dev/fd")) == before
