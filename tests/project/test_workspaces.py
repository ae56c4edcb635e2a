"""Workspaces from Python: folders go in and come out as they were, nobody's work is lost, and hostile trees reach nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.project.folders import fill, held

import windlass
from windlass import aio
from windlass.digest import sha256_hex
from windlass.effects import Always, IfAbsent, Object
from windlass.files import cache
from windlass.ops import registers, trees
from windlass.project import folders, syncing
from windlass.protocol import keys
from windlass.protocol.blobs import blob_name
from windlass.protocol.codec import encode
from windlass.protocol.trees import Tree
from windlass.protocol.workspaces import Root, Workspace
from windlass.stores.wrappers import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windlass.stores.base import Store

    Open = Callable[..., windlass.Project]

MIB = 2**20
SITE: dict[str, bytes | str | None] = {
    "index.html": b"<h1>",
    "css/style.css": b"h1 {}",
    "run.sh*": b"#!/bin/sh\n",
    "latest": "css/style.css",
}


def counting(p: windlass.Project) -> Counting:
    """The requests of a project from now on."""
    world = p.session.world
    world.store = counted = Counting(world.store)
    return counted


class Breaking(Counting):
    """A store that goes away after so many reads of blobs."""

    def __init__(self, store: Store, reads: int) -> None:
        super().__init__(store)
        self.reads = reads

    def get(self, key: str, unless: str | None = None) -> Any:
        if key.startswith("blobs/"):
            self.reads -= 1
            if self.reads < 0:
                raise windlass.Unavailable("the network is down")
        return super().get(key, unless)


# what goes in comes out


def test_a_folder_comes_back_as_it_was(p: windlass.Project, home: Path) -> None:
    files: dict[str, bytes | str | None] = {
        **SITE,
        "empty": b"",
        "nothing here": None,
        "deep/er/and/deeper/x": b"x",
        "also/empty/folder": None,
        "odd ü\n\t name": b"odd",
        "64k": b"k" * 65536,
        "64k+1": b"k" * 65537,
        "4m": b"m" * (4 * MIB),
        "4m+1": b"m" * (4 * MIB) + b"n",
        "10m*": os.urandom(10 * MIB),
        "dangling": "no/where",
        "to-folder": "css",
    }
    fill(home / "a", files)
    made = p.workspaces.create("site", folder=home / "a")
    assert made.workspace.root.files == len(files) - 2
    done = p.workspaces.pull("site", home / "b")
    assert held(home / "b") == held(home / "a") == files
    assert len(done.added) == len(files)
    assert p.workspaces.status(home / "b").moved is False


def test_many_small_files_come_back_as_they_were(p: windlass.Project, home: Path) -> None:
    files: dict[str, bytes | str | None] = {f"{n % 10}/{n}": os.urandom(n % 3000) for n in range(600)}
    fill(home / "a", files)
    p.workspaces.create("site", folder=home / "a")
    p.workspaces.pull("site", home / "b")
    assert held(home / "b") == files


def test_an_empty_folder_is_fine(p: windlass.Project, home: Path) -> None:
    fill(home / "a", {})
    p.workspaces.create("none", folder=home / "a")
    p.workspaces.pull("none", home / "b")
    assert held(home / "b") == {}
    fill(home / "b", {"x": b"x"})
    assert p.workspaces.push("none", home / "b").added == ("x",)
    (home / "b" / "x").unlink()
    assert p.workspaces.push("none", home / "b").removed == ("x",)
    assert p.workspaces.show("none").root == Root()


def test_what_the_rules_leave_out_stays_at_home(p: windlass.Project, home: Path) -> None:
    rules = b"*.log\n/build/\n!keep.log\n"
    fill(home / "a", {".windlassignore": rules, "x.log": b"1", "keep.log": b"2", "build/out": b"3", ".git/config": b"4", "src/x": b"5"})
    done = p.workspaces.create("site", folder=home / "a")
    assert done.push(home / "a").ignored == 2
    p.workspaces.pull("site", home / "b")
    assert held(home / "b") == {".windlassignore": rules, "keep.log": b"2", "src/x": b"5"}


def test_a_rule_does_not_take_away_what_the_workspace_has(p: windlass.Project, home: Path) -> None:
    fill(home / "a", {"x.log": b"1", "build/out": b"2"})
    p.workspaces.create("site", folder=home / "a")
    fill(home / "a", {".windlassignore": b"*.log\nbuild/\n", "y.log": b"3"})
    assert p.workspaces.status(home / "a").removed == ()
    done = p.workspaces.push("site", home / "a")
    assert (done.added, done.removed) == ((".windlassignore",), ())
    (home / "a" / "x.log").write_bytes(b"changed")
    assert p.workspaces.push("site", home / "a").changed == ("x.log",)
    (home / "a" / "x.log").unlink()
    assert p.workspaces.push("site", home / "a").removed == ("x.log",)


def test_things_that_are_no_files_are_left_out_and_named(p: windlass.Project, home: Path) -> None:
    fill(home / "a", {"x": b"x"})
    os.mkfifo(home / "a" / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(home / "a")
        one.bind("sock")
        os.chdir(home / "work")
    os.mkdir(home / "a" / os.fsdecode(b"\xff"))
    done = p.workspaces.create("site", folder=home / "a").push(home / "a")
    assert [(one.path, one.why) for one in done.left] == [
        ("\\xff", "its name is not UTF-8"),
        ("pipe", "it is a FIFO"),
        ("sock", "it is a socket"),
    ]
    assert p.workspaces.show("site").root.files == 1


def test_what_cannot_be_looked_at_is_not_taken_for_removed(p: windlass.Project, home: Path) -> None:
    fill(home / "a", {"x": b"x", "y/z": b"z"})
    p.workspaces.create("site", folder=home / "a")
    for path in ("x", "y/z"):
        (home / "a" / path).unlink()
    (home / "a" / "y").rmdir()
    os.mkfifo(home / "a" / "x")
    os.mkfifo(home / "a" / "y")
    assert p.workspaces.status(home / "a").removed == ()
    assert p.workspaces.push("site", home / "a").again
    assert p.workspaces.read("site", "y/z") == b"z"


def test_names_that_another_system_cannot_have_are_kept_and_told(p: windlass.Project, home: Path) -> None:
    names = ["README", "readme", "caf\u00e9", "cafe\u0301", "aux.txt", "a:b"]
    fill(home / "a", dict.fromkeys(names, b"x"))
    p.workspaces.create("site", folder=home / "a")
    told = {one.path for one in p.workspaces.push("site", home / "a").odd}
    pulled = p.workspaces.pull("site", home / "b")
    assert told == {one.path for one in pulled.odd} == {"readme", "caf\u00e9", "aux.txt", "a:b"}
    assert set(held(home / "b")) == set(names)


# nobody's work is lost


@pytest.fixture
def two(p: windlass.Project, home: Path) -> tuple[Path, Path]:
    """Two folders in the same state of the workspace `site`."""
    fill(home / "a", SITE)
    p.workspaces.create("site", folder=home / "a")
    p.workspaces.pull("site", home / "b")
    return home / "a", home / "b"


def test_the_second_of_two_pushes_takes_in_the_first_one_first(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(a, {"new-a": b"a", "css/style.css": b"a"})
    fill(b, {"new-b": b"b"})
    (b / "run.sh").unlink()
    assert p.workspaces.push("site", a).changed == ("css/style.css",)
    with pytest.raises(windlass.Lost, match="changed meanwhile by designer"):
        p.workspaces.push("site", b)
    done = p.workspaces.pull("site", b)
    assert (done.added, done.changed, done.removed) == (("new-a",), ("css/style.css",), ())
    pushed = p.workspaces.push("site", b)
    assert (pushed.added, pushed.changed, pushed.removed) == (("new-b",), (), ("run.sh",))
    p.workspaces.pull("site", a)
    assert held(a) == held(b) == {"index.html": b"<h1>", "css/style.css": b"a", "latest": "css/style.css", "new-a": b"a", "new-b": b"b"}


def test_a_forced_push_overwrites(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(a, {"x": b"a"})
    p.workspaces.push("site", a)
    fill(b, {"y": b"b"})
    p.workspaces.push("site", b, force=True)
    assert {one.path for one in p.workspaces.diff("site", "site")} == set()
    p.workspaces.pull("site", a)
    assert held(a) == {**SITE, "y": b"b"}


def test_paths_that_changed_on_both_sides_are_named_and_nothing_is_changed(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(a, {"index.html": b"a", "css/style.css": b"a", "both": b"a", "only-a": b"a", "latest2": "x"})
    (a / "run.sh").unlink()
    p.workspaces.push("site", a)
    fill(b, {"index.html": b"b", "both": b"b", "run.sh*": b"b"})
    (b / "css/style.css").unlink()
    before = held(b)
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert caught.value.exit == 3
    details: Any = caught.value.details
    assert details["conflicts"] == ["both", "css/style.css", "index.html", "run.sh"]
    assert details["ours"] == {"both": "added", "css/style.css": "removed", "index.html": "changed", "run.sh": "changed"}
    assert details["theirs"] == {"both": "added", "css/style.css": "changed", "index.html": "changed", "run.sh": "removed"}
    assert held(b) == before
    fill(b, {"mine": b"stays"})
    p.workspaces.pull("site", b, force=True)
    assert held(b) == {**held(a), "mine": b"stays"}


def test_the_same_change_on_both_sides_is_no_conflict(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    for one in two:
        fill(one, {"index.html": b"new", "more": b"more"})
        (one / "run.sh").unlink()
    p.workspaces.push("site", a)
    assert p.workspaces.pull("site", b).again
    assert p.workspaces.push("site", b).again


def test_a_file_that_becomes_executable_is_a_change_of_its_own(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    (a / "index.html").chmod(0o755)
    assert p.workspaces.push("site", a).changed == ("index.html",)
    p.workspaces.pull("site", b)
    assert "index.html*" in held(b)
    (a / "index.html").chmod(0o644)
    p.workspaces.push("site", a)
    fill(b, {"index.html": b"new"})
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert caught.value.details["theirs"] == {"index.html": "made not executable"}


def test_folders_files_and_links_take_each_others_places(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    (a / "css/style.css").unlink()
    (a / "css").rmdir()
    (a / "latest").unlink()
    (a / "index.html").unlink()
    fill(a, {"css": b"now a file", "latest/a": b"now a folder", "index.html": "css"})
    p.workspaces.push("site", a)
    p.workspaces.pull("site", b)
    assert held(b) == held(a)
    (a / "css").unlink()
    (a / "latest/a").unlink()
    (a / "latest").rmdir()
    (a / "index.html").unlink()
    fill(a, SITE)
    p.workspaces.push("site", a)
    p.workspaces.pull("site", b)
    assert held(b) == SITE


def test_what_is_in_the_way_of_a_new_file_or_folder_is_a_conflict(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(a, {"css/more/x": b"x", "doc": b"file"})
    (a / "css/style.css").unlink()
    p.workspaces.push("site", a)
    (b / "css/style.css").unlink()
    fill(b, {"css/more": b"file", "doc/y": b"y"})
    before = held(b)
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert set(caught.value.details["conflicts"]) == {"css/more", "doc", "doc/y"}  # type: ignore[call-overload]
    assert held(b) == before
    p.workspaces.pull("site", b, force=True)
    assert held(b) == held(a)


def test_a_removed_folder_keeps_what_is_new_in_it_here(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    (a / "css/style.css").unlink()
    (a / "css").rmdir()
    p.workspaces.push("site", a)
    fill(b, {"css/mine": b"mine"})
    done = p.workspaces.pull("site", b)
    assert done.removed == ("css/style.css",)
    assert held(b) == {**held(a), "css/mine": b"mine"}
    assert p.workspaces.status(b).added == ("css/mine",)


def test_an_ignored_file_here_is_not_overwritten(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(b, {".windlassignore": b"secret\n", "secret": b"mine"})
    fill(a, {"secret": b"theirs"})
    p.workspaces.push("site", a)
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert caught.value.details["conflicts"] == ["secret"]
    assert held(b)["secret"] == b"mine"


def test_a_base_that_is_gone_makes_conflicts_not_losses(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    a, b = two
    base = p.workspaces.show("site").root.tree
    fill(a, {"index.html": b"new"})
    p.workspaces.push("site", a)
    p.session.world.store.delete(keys.blob(base))
    p.session.settings.__dict__["cache_dir"] = None
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert caught.value.details["conflicts"] == ["index.html"]
    p.workspaces.pull("site", b, force=True)
    assert held(b) == held(a)


def test_a_folder_that_changes_during_a_pull_loses_nothing(
    p: windlass.Project, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    fill(a, {"index.html": b"theirs", "run.sh*": b"theirs"})
    p.workspaces.push("site", a)
    apply: Any = vars(syncing)["apply"]

    def late(*args: Any, **options: Any) -> Any:
        fill(b, {"index.html": b"typed just now"})
        return apply(*args, **options)

    monkeypatch.setattr(syncing, "apply", late)
    with pytest.raises(windlass.Lost, match=r"index\.html was left as it is"):
        p.workspaces.pull("site", b)
    monkeypatch.undo()
    assert held(b)["index.html"] == b"typed just now"
    with pytest.raises(windlass.Conflicting) as caught:
        p.workspaces.pull("site", b)
    assert caught.value.details["conflicts"] == ["index.html"]


def test_what_an_earlier_pull_left_goes_with_the_next_one(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    fill(a, {"index.html": b"v2", "large": b"x" * 5 * MIB})
    p.workspaces.push("site", a)
    entry = p.session.run(trees.at(p.workspaces.show("site").root.tree, "index.html"))
    assert entry is not None
    p.session.world.store.delete(keys.blob(entry.name))
    with pytest.raises(windlass.Damaged, match="it is missing"):
        p.workspaces.pull("site", b)
    assert list(b.glob("*windlass-part"))
    assert p.workspaces.status(b).added == ()
    fill(a, {"index.html": b"v3"})
    p.workspaces.push("site", a)
    p.workspaces.pull("site", b)
    assert held(b) == held(a)
    assert not list(b.glob("*windlass-part"))


@pytest.mark.parametrize("into", ["new", "old"])
@pytest.mark.parametrize("reads", [15, 26])
def test_a_pull_that_broke_off_reads_only_the_rest(p: windlass.Project, home: Path, into: str, reads: int) -> None:
    files: dict[str, bytes | str | None] = {f"{n}": os.urandom(200_000) for n in range(20)}
    files |= {"large*": os.urandom(9 * MIB), **{f"small/{n}": os.urandom(500) for n in range(40)}}
    fill(home / "a", files)
    p.workspaces.create("site", folder=home / "a")
    if into == "old":
        fill(home / "b", {"mine": b"mine"})
    world = p.session.world
    plain = world.store
    world.store = Breaking(plain, reads)
    with pytest.raises(windlass.Unavailable):
        p.workspaces.pull("site", home / "b")
    assert not (home / "b" / "large").exists()
    assert not (home / "b" / "0").exists()
    world.store = plain
    counted = counting(p)
    p.workspaces.pull("site", home / "b")
    assert held(home / "b") == files | ({"mine": b"mine"} if into == "old" else {})
    read = [one.key for one in counted.requests if one.kind == "get" and one.key.startswith("blobs/")]
    # 2 trees (read again where nothing was kept), 20 files, a pack, an index and 3 parts
    assert len(read) <= 27 - reads + 3


def test_what_a_broken_pull_left_is_verified(p: windlass.Project, home: Path) -> None:
    files: dict[str, bytes | str | None] = {"large": os.urandom(9 * MIB), **{f"{n}": os.urandom(200_000) for n in range(10)}}
    fill(home / "a", files)
    p.workspaces.create("site", folder=home / "a")
    plain = p.session.world.store
    p.session.world.store = Breaking(plain, reads=14)
    with pytest.raises(windlass.Unavailable):
        p.workspaces.pull("site", home / "b")
    p.session.world.store = plain
    left = [path for path in home.rglob("*windlass-part/*") if path.is_file()]
    assert len(left) >= 10
    for path in left:
        path.write_bytes(b"?" + path.read_bytes()[1:])
    p.workspaces.pull("site", home / "b")
    assert held(home / "b") == files


# which folder belongs where


def test_a_folder_that_belongs_to_none_is_not_pushed_over_a_workspace(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    c = fill(home / "c", {"index.html": b"other"})
    with pytest.raises(windlass.Lost):
        p.workspaces.push("site", c)
    with pytest.raises(windlass.Conflicting):
        p.workspaces.pull("site", c)
    assert p.workspaces.belongs_to(c) is None
    assert held(c) == {"index.html": b"other"}
    fill(c, {"index.html": b"<h1>", "mine": b"mine"})
    p.workspaces.pull("site", c)
    assert held(c) == {**SITE, "mine": b"mine"}
    assert p.workspaces.push("site", c).added == ("mine",)


def test_a_folder_of_another_workspace_is_refused_until_forced(p: windlass.Project, two: tuple[Path, Path], open_as: Open) -> None:
    a, _ = two
    p.workspaces.create("other")
    for call in (p.workspaces.push, p.workspaces.pull):
        with pytest.raises(windlass.UsageError, match="belongs to the workspace site"):
            call("other", a)
    p.workspaces.push("other", a, force=True)
    assert p.workspaces.belongs_to(a) == "other"
    elsewhere = open_as("designer", project="second")
    elsewhere.workspaces.create("other")
    for look in (elsewhere.workspaces.belongs_to, elsewhere.workspaces.status):
        with pytest.raises(windlass.UsageError, match="of the project demo in"):
            look(a)
    with pytest.raises(windlass.UsageError):
        elsewhere.workspaces.push("other", a)
    elsewhere.workspaces.push("other", a, force=True)
    assert elsewhere.workspaces.belongs_to(a) == "other"


def test_a_folder_made_into_a_second_workspace_goes_on_belonging_to_the_first(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, _ = two
    p.workspaces.create("second", folder=a)
    assert p.workspaces.belongs_to(a) == "site"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "store": "x", "project": "y", "workspace": "z", "base": 3}']
)
def test_an_odd_mark_is_named(p: windlass.Project, two: tuple[Path, Path], text: str) -> None:
    a, _ = two
    (a / ".windlass-workspace").write_text(text)
    with pytest.raises(windlass.Damaged, match="windlass-workspace is damaged"):
        p.workspaces.status(a)


@pytest.mark.parametrize("base", [{}, {"tree": 3}, {"tree": "../../x", "files": 1, "bytes": 1}, {"tree": "", "files": "1", "bytes": 1}])
def test_an_odd_base_in_a_mark_is_named(p: windlass.Project, two: tuple[Path, Path], base: dict[str, Any]) -> None:
    from windlass.files.mark import Mark, write

    a, _ = two
    write(str(a), Mark(store=p.store, project="demo", workspace="site", base=base))
    for look in (p.workspaces.status, lambda folder: p.workspaces.pull("site", folder), lambda folder: p.workspaces.push("site", folder)):
        with pytest.raises(windlass.Damaged, match="its base names no tree"):
            look(a)


def test_a_link_to_a_folder_may_be_named(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    a, _ = two
    (home / "here").symlink_to(a)
    fill(a, {"new": b"new"})
    assert p.workspaces.push("site", home / "here").added == ("new",)
    assert (home / "here").is_symlink()


def test_the_folder_that_one_stands_in_may_be_pulled_into(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    here = os.stat(home / "work").st_ino
    p.workspaces.pull("site")
    assert held(home / "work") == SITE
    assert os.stat(home / "work").st_ino == here


# quick looks


def test_status_tells_what_changed(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    os.utime(a / "index.html", ns=(1, 1))
    found = p.workspaces.status(a)
    assert (found.workspace, found.moved, found.added, found.changed, found.removed) == ("site", False, (), (), ())
    fill(a, {"css/style.css": b"h2 {}", "new/x": b"x", "void": None})
    (a / "run.sh").chmod(0o644)
    (a / "latest").unlink()
    found = p.workspaces.status(a)
    assert (found.added, found.changed, found.removed) == (("new/x", "void/"), ("css/style.css", "run.sh"), ("latest",))
    p.workspaces.push("site", a)
    assert p.workspaces.status(b).moved is True
    assert p.workspaces.status(a).changed == ()


def test_what_a_killed_pull_left_goes_with_the_next_though_nothing_is_left_to_do(p: windlass.Project, two: tuple[Path, Path]) -> None:
    left = two[0] / "..pull.windlass-part.0123456789abcdef.windlass-part"
    (left / "css").mkdir(parents=True)
    left.chmod(0o700)
    assert p.workspaces.pull("site", two[0]).again
    assert not left.exists()


def test_status_says_where_what_it_compares_with_is_no_longer_kept(p: windlass.Project, two: tuple[Path, Path]) -> None:
    """Somebody else's push, a gc, and another machine: nothing is damaged then."""
    one, other = two
    tree = p.workspaces.show("site").root.tree
    (other / "index.html").write_bytes(b"theirs")
    p.workspaces.push("site", other)
    p.session.world.store.delete(keys.blob(tree))
    p.session.settings.__dict__["cache_dir"] = None
    with pytest.raises(windlass.Lost, match="no longer kept"):
        p.workspaces.status(one)
    p.session.world.store.delete(keys.blob(p.workspaces.show("site").root.tree))
    with pytest.raises(windlass.Damaged):
        p.workspaces.status(other)


def test_status_goes_on_where_the_workspace_cannot_be_looked_at(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, _ = two
    fill(a, {"new": b"x"})
    p.workspaces.teardown("site", force=True)
    found = p.workspaces.status(a)
    assert (found.added, found.head, found.moved) == (("new",), None, None)
    assert "there is no workspace site" in found.problem


def test_files_are_read_again_only_where_size_or_times_changed(
    p: windlass.Project, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = two
    monkeypatch.setattr(cache, "GRAIN", 0)
    monkeypatch.setattr(cache, "FINE", 0)
    read: list[str] = []
    plain: Any = vars(folders)["read_file"]

    def told(root: int, found: Any) -> bytes:
        read.append(found.path)
        return bytes(plain(root, found))

    monkeypatch.setattr(folders, "read_file", told)
    p.workspaces.status(a)
    read.clear()
    assert p.workspaces.status(a).changed == ()
    assert read == []
    fill(a, {"css/style.css": b"h9 {}"})
    assert p.workspaces.status(a).changed == ("css/style.css",)
    assert read == ["css/style.css"]
    read.clear()
    assert p.workspaces.push("site", a).changed == ("css/style.css",)
    assert set(read) == {"css/style.css"}


def test_a_cache_that_lies_costs_requests_not_files(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    a, b = two
    folder = home / ".cache" / "windlass"
    caches = [path for path in home.rglob("files/*.json") if "store" not in path.parts]
    assert caches, list(folder.rglob("*"))
    for path in caches:
        path.write_bytes(path.read_bytes().replace(b"css", b"csS"))
    fill(a, {"index.html": b"new"})
    assert p.workspaces.push("site", a).changed == ("index.html",)
    p.workspaces.pull("site", b)
    assert held(a) == held(b) == {**SITE, "index.html": b"new"}


def test_a_push_of_few_changes_among_many_files_costs_few_requests(p: windlass.Project, home: Path) -> None:
    a = fill(home / "a", {f"{n % 100:02}/{n}": str(n).encode() for n in range(10_000)})
    p.workspaces.create("big", folder=a)
    for n in range(10):
        (a / f"{n:02}/{n}").write_bytes(b"changed")
        (a / f"50/new-{n}").write_bytes(b"%d" % n)
        os.utime(a / f"9{n}/9{n}")
    counted = counting(p)
    done = p.workspaces.push("big", a)
    assert (len(done.added), len(done.changed)) == (10, 10)
    # register, pending record, gc, its own tree objects: 11 folders and the root; two puts less would be a pack
    counts = counted.counts()
    assert sum(counts.values()) <= 60, counts
    assert counts["get"] <= 8, counts
    fresh = home / "b"
    p.workspaces.pull("big", fresh)
    (a / "00/0").write_bytes(b"again")
    p.workspaces.push("big", a)
    counted.reset()
    assert p.workspaces.pull("big", fresh).changed == ("00/0",)
    assert sum(counted.counts().values()) <= 5, counted.counts()
    (fresh / "01/1").write_bytes(b"from there")
    counted.reset()
    assert p.workspaces.push("big", fresh).changed == ("01/1",)
    assert sum(counted.counts().values()) <= 14, counted.counts()


def test_a_touched_folder_is_pushed_without_a_write_to_the_workspace(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, _ = two
    fill(a, {"large": os.urandom(5 * MIB), **{f"many/{n}": b"%d" % (n // 2) for n in range(40)}})
    p.workspaces.push("site", a)
    fill(a, {f"alone-{n}": b"%d" % n for n in range(5)})
    p.workspaces.push("site", a)
    before = p.workspaces.show("site").seq
    for path in held(a):
        os.utime(a / path.removesuffix("*"), follow_symlinks=False)
    assert p.workspaces.status(a).changed == ()
    p.session.settings.__dict__["cache_dir"] = None
    assert p.workspaces.push("site", a).again
    assert p.workspaces.show("site").seq == before


def test_equal_content_that_lies_in_two_places_stays_where_it_is(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    with p.workspaces.fork("site", 2) as attempts:
        for number, one in enumerate(attempts):
            one.pull(home / one.name)
            count = (1, 40)[number]  # alone, and in a pack
            fill(home / one.name, {f"{number}/{n:02}": b"%d" % n for n in range(count)})
            one.push(home / one.name)
            one.merge_into("site")
    root = p.workspaces.show("site").root.tree
    found = p.session.run(trees.walk(root))
    assert found["0/00"].sha == found["1/00"].sha
    assert found["0/00"].name != found["1/00"].name
    p.session.settings.__dict__["cache_dir"] = None
    p.workspaces.pull("site", home / "c")
    assert p.workspaces.push("site", home / "c").again
    p.session.settings.__dict__["cache_dir"] = str(home / "cache")
    p.workspaces.status(home / "c")
    assert p.workspaces.push("site", home / "c").again
    assert p.workspaces.show("site").root.tree == root


# checkpoints, forks, merges


def test_checkpoints_are_kept_and_restored(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, b = two
    assert not p.workspaces.checkpoint("site", "v1", note="first").again
    assert p.workspaces.checkpoint("site", "v1").again
    fill(a, {"index.html": b"v2"})
    p.workspaces.push("site", a)
    with pytest.raises(windlass.Lost):
        p.workspaces.checkpoint("site", "v1")
    assert [one.path for one in p.workspaces.diff("site@v1", "site")] == ["index.html"]
    assert p.workspaces.read("site@v1", "index.html") == b"<h1>"
    p.workspaces.restore("site", "v1")
    assert list(p.workspaces.checkpoints("site")) == ["v1", "before-restore-1"]
    p.workspaces.pull("site", a)
    assert held(a) == SITE
    p.workspaces.restore("site", "before-restore-1")
    p.workspaces.pull("site", b)
    assert held(b)["index.html"] == b"v2"
    with pytest.raises(windlass.NotFound, match="no checkpoint v9"):
        p.workspaces.restore("site", "v9")


def test_forks_are_tried_and_the_best_is_merged(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    with p.workspaces.fork("site", 3, prefix="try") as attempts:
        assert [one.name for one in attempts] == ["try-1", "try-2", "try-3"]
        assert len(attempts) == 3
        for number, one in enumerate(attempts):
            one.pull(home / one.name)
            fill(home / one.name, {f"new-{number}": b"x"})
            one.push(home / one.name)
        attempts[1].checkpoint("done")
        assert [one.path for one in attempts[0].diff("try-2")] == ["new-0", "new-1"]
        assert attempts[1].merge_into("site").paths == ("new-1",)
        assert attempts[2].read("new-2") == b"x"
        attempts[2].teardown(force=True)
    assert [one.name for one in p.workspaces.list()] == ["site"]
    assert p.workspaces.read("site", "new-1") == b"x"


def test_a_merge_with_conflicts_changes_nothing(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    with p.workspaces.fork("site", 2) as attempts:
        for number, one in enumerate(attempts):
            one.pull(home / one.name)
            fill(home / one.name, {"index.html": b"%d" % number, f"new-{number}": b"x"})
            one.push(home / one.name)
        attempts[0].merge_into("site")
        before = p.workspaces.show("site"), p.workspaces.show("site-2")
        with pytest.raises(windlass.Conflicting) as caught:
            attempts[1].merge_into("site")
        assert caught.value.details["conflicts"] == ["index.html"]
        assert before == (p.workspaces.show("site"), p.workspaces.show("site-2"))


def test_a_fork_with_a_name_in_the_way_leaves_nothing(p: windlass.Project, two: tuple[Path, Path]) -> None:
    p.workspaces.create("site-2")
    with pytest.raises(windlass.Lost, match="site-2"):
        p.workspaces.fork("site", 3)
    assert [one.name for one in p.workspaces.list()] == ["site", "site-2"]


def test_a_block_ends_with_the_teardown_of_what_it_made(p: windlass.Project, home: Path) -> None:
    with p.workspaces.create("scratch", ttl=60) as w:
        fill(home / "a", {"x": b"x"})
        w.push(home / "a")
    assert p.workspaces.list() == []
    with p.workspaces.create("scratch") as w:
        w.teardown()
    with pytest.raises(windlass.NotFound):
        p.workspaces.show("scratch")


def test_an_error_of_the_block_is_not_hidden_by_one_of_the_teardown(p: windlass.Project, two: tuple[Path, Path]) -> None:
    with pytest.raises(KeyError) as caught, p.workspaces.fork("site", 2):
        key = f"demo/{keys.workspace('site-1')}"
        p.session.base.put(key, b"{", Always())
        raise KeyError("mine")
    assert "not all torn down" in caught.value.__notes__[0]
    assert [one.name for one in p.workspaces.list() if one.workspace] == ["site"]
    with pytest.raises(windlass.Damaged), p.workspaces.fork("site", 12, prefix="more"):
        p.session.base.put(f"demo/{keys.workspace('more-1')}", b"{", Always())
    assert [one.name for one in p.workspaces.list() if one.workspace] == ["site"]


def test_teardown_spares_what_nobody_else_has(p: windlass.Project, two: tuple[Path, Path]) -> None:
    a, _ = two
    with pytest.raises(windlass.Lost, match="no other workspace has"):
        p.workspaces.teardown("site")
    p.workspaces.fork("site", 1)
    p.workspaces.teardown("site-1")
    p.workspaces.teardown("site", force=True)
    assert held(a) == SITE


def test_async_programs_do_the_same(home: Path, two: tuple[Path, Path]) -> None:
    a, _ = two

    async def work() -> list[str]:
        async with aio.open(str(home / "store"), project="demo", agent="writer") as p:
            async with await p.workspaces.fork("site", 3, prefix="try") as attempts:
                await asyncio.gather(*(one.pull(home / one.name) for one in attempts))
                for one in attempts:
                    fill(home / one.name, {one.name: b"x"})
                await asyncio.gather(*(one.push(home / one.name) for one in attempts))
                await attempts[0].merge_into("site")
                assert len(attempts) == 3
                assert attempts[1].name == "try-2"
            async with await p.workspaces.create("scratch", folder=a) as w:
                assert await w.read("index.html") == b"<h1>"
                assert (await p.workspaces.status(a)).workspace == "site"
            assert await p.workspaces.read("site", "try-1") == b"x"
            return [one.name for one in await p.workspaces.list()]

    assert asyncio.run(work()) == ["site"]


def test_a_cancelled_fork_leaves_nothing(home: Path, two: tuple[Path, Path]) -> None:
    async def work() -> list[str]:
        async with aio.open(str(home / "store"), project="demo", agent="writer") as p:
            task = asyncio.ensure_future(p.workspaces.fork("site", 50, prefix="try"))
            begun = (home / "store" / "demo").rglob
            while not any(path.name.startswith("try-") for path in begun("*")):  # noqa: ASYNC110 (the store tells nobody)
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [one.name for one in await p.workspaces.list()]

    assert asyncio.run(work()) == ["site"]


def test_single_files_are_read(p: windlass.Project, home: Path) -> None:
    large = os.urandom(9 * MIB)
    fill(home / "a", {"deep/large": large, "empty": b"", "link": "empty"})
    p.workspaces.create("site", folder=home / "a")
    assert p.workspaces.read("site", "deep/large") == large
    assert p.workspaces.read("site", "empty") == b""
    for path, error in (("deep", windlass.UsageError), ("link", windlass.UsageError), ("no", windlass.NotFound), ("", windlass.NotFound)):
        with pytest.raises(error):
            p.workspaces.read("site", path)


def test_a_damaged_file_is_named_and_nothing_is_put_in_place(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    entry = p.session.run(trees.at(p.workspaces.show("site").root.tree, "index.html"))
    assert entry is not None
    p.session.world.store.put(keys.blob(entry.name), b"<h2>", Always())
    with pytest.raises(windlass.Damaged, match=entry.name[2:]):
        p.workspaces.pull("site", home / "c")
    assert not (home / "c").exists()
    a, b = two
    (a / "index.html").unlink()
    p.workspaces.push("site", a)
    p.workspaces.checkpoint("site", "without")
    p.workspaces.pull("site", b)
    fill(a, {"index.html": b"<h1>", "run.sh*": b"new"})
    p.workspaces.push("site", a)
    before = held(b)
    with pytest.raises(windlass.Damaged, match=entry.name[2:]):
        p.workspaces.pull("site", b)
    assert {path: content for path, content in held(b).items() if "windlass-part" not in path} == before
    assert p.workspaces.status(b).changed == ()


# hostile trees


def plant(p: windlass.Project, name: str, entries: Mapping[str, Any]) -> None:
    """Make a workspace of a tree that no client of ours writes."""
    body = encode(Tree(entries=dict(sorted(entries.items()))))
    tree = blob_name(sha256_hex(body), 0)
    try:
        p.session.world.store.put(keys.blob(tree), body, IfAbsent())
    except Exception as error:  # it is there from another try
        assert "Refused" in type(error).__name__  # noqa: PT017

    def decide(entry: Any, write: Any) -> Workspace:
        return Workspace(name=name, root=Root(tree=tree, files=1, bytes=1))

    p.session.run(registers.update(keys.workspace(name), Workspace, decide))


def stored(p: windlass.Project, content: bytes) -> list[Any]:
    """The row of a file with that content."""
    sha = sha256_hex(content)
    try:
        p.session.world.store.put(keys.blob(blob_name(sha, 0)), content, IfAbsent())
    except Exception as error:
        assert "Refused" in type(error).__name__  # noqa: PT017
    return ["f", sha, len(content)]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../x", "..", ".", "", "a\0b", ".git", ".GIT", ".windlass", ".windlass-workspace", "x" * 256, "\udcff"]
)
@pytest.mark.parametrize("into", ["new", "old"])
def test_a_tree_with_a_hostile_name_is_refused_whole(p: windlass.Project, home: Path, path: str, into: str) -> None:
    outside = sorted(str(one) for one in home.rglob("*") if "store" not in one.parts)
    plant(p, "evil", {"good": stored(p, b"good"), path: stored(p, b"evil")})
    target = home / "deep" / "down" / "x"
    target.parent.mkdir(parents=True)
    if into == "old":
        fill(target, {"mine": b"mine"})
    with pytest.raises(windlass.Damaged, match="blobs/"):
        p.workspaces.pull("evil", target)
    assert held(target) == ({"mine": b"mine"} if into == "old" else {})
    assert [one.name for one in target.parent.iterdir()] == (["x"] if into == "old" else [])
    assert [one for one in outside if not os.path.lexists(one)] == []


def test_a_hook_for_git_is_refused_at_any_depth(p: windlass.Project, home: Path) -> None:
    hook = encode(Tree(entries={"post-checkout": ["x", *stored(p, b"evil")[1:]]}))
    name = blob_name(sha256_hex(hook), 0)
    p.session.world.store.put(keys.blob(name), hook, IfAbsent())
    inner = encode(Tree(entries={".Git": ["d", name, 4, 1]}))
    below = blob_name(sha256_hex(inner), 0)
    p.session.world.store.put(keys.blob(below), inner, IfAbsent())
    plant(p, "evil", {"sub": ["d", below, 4, 1]})
    with pytest.raises(windlass.Damaged, match="reserved"):
        p.workspaces.pull("evil", home / "x")
    assert not (home / "x").exists()


@pytest.mark.parametrize(
    "row", [["c", 1, 3], ["f"], ["b", "x"], "file", None, ["l", ""], ["l", 5], ["f", "0" * 64, -1], ["d", "../x", 1, 1]]
)
def test_a_device_or_nonsense_in_a_tree_is_refused(p: windlass.Project, home: Path, row: Any) -> None:
    plant(p, "evil", {"x": row})
    with pytest.raises(windlass.WindlassError):
        p.workspaces.pull("evil", home / "x")
    assert not (home / "x").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../../etc/passwd", "a/../../x"])
@pytest.mark.parametrize("into", ["new", "old"])
def test_a_link_that_leads_out_is_only_made_when_asked_for(p: windlass.Project, home: Path, target: str, into: str) -> None:
    plant(p, "evil", {"link": ["l", target], "good": stored(p, b"good")})
    folder = home / "x"
    if into == "old":
        fill(folder, {"mine": b"mine"})
    with pytest.raises(windlass.UsageError, match="the link link could lead out"):
        p.workspaces.pull("evil", folder)
    assert (held(folder) == {"mine": b"mine"}) if into == "old" else not folder.exists()
    assert not list(home.rglob("*windlass-part"))
    p.workspaces.pull("evil", folder, links="all")
    assert held(folder)["link"] == target
    assert p.workspaces.push("evil", folder).again == (into == "new")


def test_nothing_is_written_through_a_link_of_the_same_tree(p: windlass.Project, home: Path) -> None:
    victim = fill(home / "victim", {"x": b"safe"})
    inner = encode(Tree(entries={"x": stored(p, b"evil")}))
    below = blob_name(sha256_hex(inner), 0)
    p.session.world.store.put(keys.blob(below), inner, IfAbsent())
    fill(home / "t", {"one": str(victim)})
    p.workspaces.create("w", folder=home / "t")
    p.workspaces.pull("w", home / "x", links="all")
    plant(p, "w", {"one": ["d", below, 4, 1]})
    p.workspaces.pull("w", home / "x", links="all")
    assert held(victim) == {"x": b"safe"}
    assert held(home / "x") == {"one/x": b"evil"}


def test_a_link_here_is_not_followed_by_a_pull(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    a, b = two
    victim = fill(home / "victim", {"style.css": b"h1 {}"})
    fill(a, {"css/style.css": b"new"})
    p.workspaces.push("site", a)
    (b / "css/style.css").unlink()
    (b / "css").rmdir()
    (b / "css").symlink_to(victim)
    with pytest.raises(windlass.Conflicting):
        p.workspaces.pull("site", b)
    p.workspaces.pull("site", b, force=True)
    assert held(victim) == {"style.css": b"h1 {}"}
    assert held(b) == held(a)


def test_an_object_that_is_no_tree_is_named(p: windlass.Project, two: tuple[Path, Path], home: Path) -> None:
    tree = p.workspaces.show("site").root.tree
    found = p.session.world.store.get(keys.blob(tree))
    assert isinstance(found, Object)
    p.session.world.store.put(keys.blob(tree), found.body.replace(b"index", b"iNdex"), Always())
    with pytest.raises(windlass.Damaged, match="not those that it was named after"):
        p.workspaces.pull("site", home / "x")
    assert not (home / "x").exists()
