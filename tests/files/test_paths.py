"""Which paths a tree may have, and which links stay inside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from windlass.errors import Damaged, UsageError
from windlass.files.paths import MAX_DEPTH, PART, check_path, check_target, leads_out, open_folder, open_root, read_all, write_all
from windlass.stores.base import MAX_OBJECT

if TYPE_CHECKING:
    from pathlib import Path


def test_a_part_fits_into_an_object() -> None:
    assert PART == MAX_OBJECT


@pytest.mark.parametrize(
    "path",
    ["a", "a/b", "…", "a b", "a\\b", "..a", "a..", "...", ".gitignore", ".github/x", ".windlassignore", ".windlass.toml", "git", "\x1b[31m",
     "a\nb", "x" * 255, "é" * 127, "CON", "a:b", "/".join("a" * MAX_DEPTH)],
)  # fmt: skip
def test_a_plain_path_is_taken(path: str) -> None:
    assert check_path(path) == path.encode().split(b"/")


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "a//b", "a/", "./a", "a/./b", "..", "../a", "a/../../b", "a/..", "a\0b", "x" * 256, "é" * 128, "\udce9",
     "/".join("a" * (MAX_DEPTH + 1)), "/".join(["a" * 250] * 17)],
)  # fmt: skip
def test_a_path_that_leads_out_or_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(Damaged):
        check_path(path)


@pytest.mark.parametrize(
    "name",
    [".git", ".GIT", ".Git", ".g\u200cit", "\ufeff.git", ".git ", ".git.", ".windlass", ".WINDLASS", ".windlass-workspace",
     ".Windlass-Workspace", ".x.0123.windlass-part"],
)  # fmt: skip
@pytest.mark.parametrize("frame", ["{}", "{}/hooks/post-checkout", "a/{}", "a/{}/config"])
def test_no_tree_has_what_git_or_we_would_act_on(name: str, frame: str) -> None:
    with pytest.raises(Damaged):
        check_path(frame.format(name))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a", "b/c"),
        ("a", "./b"),
        ("d/a", "../b"),
        ("d/e/a", "../../b/c"),
        ("a", "."),
        ("d/a", ".."),
        ("a", "..."),
        ("a", "b//c"),
    ],
)
def test_a_link_within_the_root_stays_inside(path: str, target: str) -> None:
    assert not leads_out(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "/etc/passwd"),
        ("a", "//x"),
        ("a", ".."),
        ("a", "../b"),
        ("a", "./../b"),
        ("d/a", "../../b"),
        ("d/e/a", "../../../b"),
        ("a", "b/../c"),
        ("d/e/f/a", "s/../x"),  # s may be a link to the root
    ],
)
def test_a_link_that_could_lead_out_is_told(path: str, target: str) -> None:
    assert leads_out(path, target)


def test_no_chain_of_links_that_are_let_through_leads_out(tmp_path: Path) -> None:
    """All pairs of links over a small tree, followed by the system itself."""
    targets = [".", "..", "../..", "d", "e", "s", "t", "d/e", "../s", "s/..", "d/../..", "e/../s", "s/e/../..", "../t/..", "t/d/e"]
    places = ["s", "t", "d/s", "d/e/s", "d/e/t"]
    root = tmp_path / "root"
    (root / "d" / "e").mkdir(parents=True)
    tried = 0
    for one in places:
        for two in places:
            for to_one in targets:
                for to_two in targets:
                    if one == two or leads_out(one, to_one) or leads_out(two, to_two):
                        continue
                    os.symlink(to_one, root / one)
                    os.symlink(to_two, root / two)
                    for place in (one, two):
                        end = os.path.realpath(root / place)
                        assert end == str(root) or end.startswith(f"{root}/"), (one, to_one, two, to_two)
                        tried += 1
                    (root / one).unlink()
                    (root / two).unlink()
    assert tried > 1000


@pytest.mark.parametrize("target", ["", "\0", "a\0b", "x" * 4097, "\udcff"])
def test_a_target_that_no_system_takes_is_refused(target: str) -> None:
    with pytest.raises(Damaged):
        check_target("a", target)


def test_a_folder_is_never_opened_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path / "out")
    root = open_root(str(tmp_path / "root"))
    try:
        for names in ([b"link"], [b"link", b"sub"]):
            for make in (False, True):
                with pytest.raises(OSError):
                    os.close(open_folder(root, names, make=make))
    finally:
        os.close(root)


def test_a_system_that_reads_and_writes_a_little_at_a_time_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    fd = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    try:
        write_all(fd, b"0123456789", 2)
        assert read_all(fd, 8, 2) == b"01234567"
        assert read_all(fd, 100, 2) == b"0123456789"
        assert read_all(fd, 100, 12) == b""
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["none", "file", "a\0b"])
def test_a_root_that_is_no_folder_is_a_mistake_of_the_user(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        open_root(f"{tmp_path}/{name}")
    assert caught.value.hint
