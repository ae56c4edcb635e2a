"""Trees: what is written is read again, equal folders are one object, and what is compared or merged costs what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.folders import alike, entries, file, leaves, write
from tests.ops.world import Agent, Place

from windlass.errors import Damaged, UsageError
from windlass.ops import pending, trees
from windlass.ops.agents import act
from windlass.ops.registers import update
from windlass.protocol import keys
from windlass.protocol.blobs import blob_name, digest_of
from windlass.protocol.pending import Sweep
from windlass.protocol.trees import LEAF, MAX_DEPTH, MAX_LEAF, Entry, Kind, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.effects import Op
    from windlass.protocol.workspaces import Root


@pytest.fixture
def ann() -> Agent:
    return Place().agent("ann").warm()


def edited(agent: Agent, root: Root, edits: Mapping[str, Entry | None]) -> Entry:
    """The tree with some paths changed."""

    def op() -> Op[Entry]:
        upload = yield from pending.begin((yield from act(agent.actor)), [])
        return (yield from trees.edit(upload, root.tree, edits))

    return agent.do(op())


def raise_epoch(agent: Agent) -> None:
    """What is written from now on is of another gc epoch."""
    agent.do(update(keys.SWEEP, Sweep, lambda entry, _: (entry.doc if entry else Sweep()).but(epoch=(entry.doc.epoch if entry else 0) + 1)))


NAMES = st.sampled_from(["a", "b", "c", "d e", "ü"])
TEXTS = st.sampled_from(["1", "2", "3", "x:1", "->a", "/"])


def fits(files: dict[str, str]) -> dict[str, str]:
    """Without files below files."""
    out: dict[str, str] = {}
    for path in sorted(files, key=lambda one: one.count("/")):
        above = path.split("/")
        if not any("/".join(above[:depth]) in out for depth in range(1, len(above))):
            out[path] = files[path]
    return out


FOLDERS = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), TEXTS, max_size=8).map(fits)


@given(FOLDERS)
@settings(max_examples=80, deadline=None)
def test_a_tree_is_read_as_it_was_written(files: dict[str, str]) -> None:
    ann = Place().agent("ann")
    root = write(ann, files)
    assert leaves(ann, root.tree) == entries(files)
    assert root.files == sum(text != "/" for text in files.values())
    assert root.bytes == sum(entry.size for entry in entries(files).values())


def test_an_empty_folder_needs_no_object(ann: Agent) -> None:
    assert write(ann, {}).tree == ""
    assert write(ann, {"a": "/"}).files == 0


@given(FOLDERS, FOLDERS)
@settings(max_examples=80, deadline=None)
def test_an_edited_tree_is_the_one_that_would_have_been_written(before: dict[str, str], after: dict[str, str]) -> None:
    ann = Place().agent("ann")
    root = write(ann, before)
    wanted = write(ann, after)
    found = ann.do(trees.diff(root.tree, wanted.tree))
    assert edited(ann, root, {one.path: one.after for one in found}) == Entry(
        kind=Kind.FOLDER, name=wanted.tree, size=wanted.bytes, files=wanted.files
    )


@given(FOLDERS, FOLDERS)
@settings(max_examples=80, deadline=None)
def test_a_diff_names_every_path_that_differs_and_no_other(before: dict[str, str], after: dict[str, str]) -> None:
    ann = Place().agent("ann")
    found = ann.do(trees.expand(ann.do(trees.diff(write(ann, before).tree, write(ann, after).tree))))
    old, new = entries(before), entries(after)
    wanted = {path for path in old.keys() | new.keys() if not (path in old and old[path].same(new.get(path)))}
    told = {one.path for one in found if (one.before or one.after or file("/")).kind is not Kind.FOLDER}
    assert told == {path for path in wanted if any(side.get(path, file("/")).kind is not Kind.FOLDER for side in (old, new))}


@given(FOLDERS, FOLDERS, FOLDERS)
@settings(max_examples=200, deadline=None)
def test_a_merge_keeps_what_one_side_changed_and_names_what_both_did(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    ann = Place().agent("ann")
    b, o, t = (write(ann, files) for files in (base, ours, theirs))
    edits, conflicts = ann.do(trees.merge([b.tree], o.tree, t.tree))
    was, mine, other = (leaves(ann, root.tree) for root in (b, o, t))
    clashing = {one.path for one in conflicts}
    made = leaves(ann, edited(ann, o, edits).name) if edits else mine
    for path in was.keys() | mine.keys() | other.keys():
        if any((path + "/").startswith(one + "/") for one in clashing):
            continue
        old, own, new = was.get(path), mine.get(path), other.get(path)
        wanted = new if old == own else own if new in (old, own) else "both"
        assert wanted != "both" or any(one is not None and one.kind is Kind.FOLDER for one in (old, own, new)), path
        if wanted != "both" and not any(one is not None and one.kind is Kind.FOLDER for one in (old, own, new)):
            assert made.get(path) == wanted, path


SHORT = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map("/".join)
FEW = st.dictionaries(SHORT, st.sampled_from(["1", "2", "/"]), max_size=5)
"""So small that folders are often emptied, or turned into files."""


@given(FEW.map(fits), FEW.map(fits), FEW.map(fits))
@settings(max_examples=400, deadline=None)
def test_a_merge_is_the_same_in_both_directions(base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]) -> None:
    ann = Place().agent("ann")
    b, o, t = (write(ann, files) for files in (base, ours, theirs))
    to_ours, here = ann.do(trees.merge([b.tree], o.tree, t.tree))
    to_theirs, there = ann.do(trees.merge([b.tree], t.tree, o.tree))
    assert [one.path for one in here] == [one.path for one in there]
    if not here:
        assert alike(leaves(ann, edited(ann, o, to_ours).name), leaves(ann, edited(ann, t, to_theirs).name))


def test_folders_that_differ_in_their_epoch_only_are_the_same_to_a_merge(ann: Agent) -> None:
    """A folder that was removed here, and sent anew there as it was, was not changed there."""
    old = write(ann, {"a/b/f": "1", "g": "1"})
    raise_epoch(ann)
    again = write(ann, {"a/b/f": "1", "g": "2"})
    assert old.tree != again.tree
    gone = write(ann, {"g": "1"})
    assert ann.do(trees.merge([old.tree], gone.tree, again.tree)) == ({"g": file("2")}, [])
    assert ann.do(trees.merge([old.tree], again.tree, gone.tree)) == ({"a": None}, [])
    assert [one.path for one in ann.do(trees.diff(old.tree, again.tree))] == ["g"]


def test_what_two_bases_do_not_say_alike_is_a_conflict(ann: Agent) -> None:
    """Both went on from each other: one base says that ours took it back, the other that theirs is new."""
    first, second = write(ann, {"d/f": "0", "g": "0"}), write(ann, {"d/f": "1", "g": "0"})
    ours, theirs = write(ann, {"d/f": "0", "g": "0"}), write(ann, {"d/f": "1", "g": "5"})
    edits, conflicts = ann.do(trees.merge([first.tree, second.tree], ours.tree, theirs.tree))
    assert edits == {"g": file("5")}
    assert [one.path for one in conflicts] == ["d/f"]
    assert ann.do(trees.merge([first.tree], ours.tree, theirs.tree))[1] == []


def test_folders_as_deep_as_allowed_can_be_read_compared_and_merged(ann: Agent) -> None:
    deep = "/".join(["d"] * MAX_DEPTH)
    one, other = write(ann, {f"{deep}/f": "1"}), write(ann, {f"{deep}/f": "2"})
    assert leaves(ann, one.tree) == {f"{deep}/f": file("1")}
    assert [found.path for found in ann.do(trees.diff(one.tree, other.tree))] == [f"{deep}/f"]
    third = write(ann, {f"{deep}/f": "1", f"{deep}/g": "1"})
    assert ann.do(trees.merge([one.tree], third.tree, other.tree))[0] == {f"{deep}/f": file("2")}
    with pytest.raises(UsageError, match="nested"):
        write(ann, {f"{deep}/d/f": "1"})


@pytest.mark.parametrize(
    "path", ["../x", "a/../x", ".git/hooks/post-checkout", "a/.GIT/x", ".windlass/x", "a//b", "/etc/passwd", ".", "x" * 256]
)
def test_a_name_that_nobody_may_unpack_is_not_written(ann: Agent, path: str) -> None:
    with pytest.raises(UsageError, match="cannot be kept"):
        write(ann, {path: "1"})


def test_a_path_is_a_file_or_a_folder(ann: Agent) -> None:
    with pytest.raises(UsageError, match="a file and a folder"):
        write(ann, {"a": "1", "a/b": "1"})


def test_a_tree_that_was_changed_in_the_store_is_damaged(ann: Agent) -> None:
    root = write(ann, {"a/f": "1"})
    inner = ann.do(trees.at(root.tree, "a"))
    assert inner is not None
    ann.place.write(keys.blob(inner.name), b"{}")
    with pytest.raises(Damaged, match="not those that it was named after"):
        ann.do(trees.walk(root.tree))
    assert ann.do(trees.at(root.tree, "b")) is None


def many(count: int, folder: str = "") -> dict[str, str]:
    return {f"{folder}f{number:06d}": str(number) for number in range(count)}


def test_a_large_folder_is_split_by_its_names_and_nothing_else(ann: Agent) -> None:
    """Whichever way it came to be, it is the same object; a change of one file makes one leaf and the branch anew."""
    files = many(5000)
    root = write(ann, files)
    assert len(list(split(entries(files)))) > 4
    assert len(list(split(entries(many(LEAF))))) == 1
    one = edited(ann, write(ann, {path: text for path, text in files.items() if path != "f002000"}), {"f002000": file("2000")})
    assert one.name == root.tree
    ann.counting.reset()
    edited(ann, root, {"f004999": file("new")})
    assert ann.counting.counts()["put"] <= 3  # its leaf, the branch, the pending record


def test_leaves_stay_below_their_size_whatever_the_names(ann: Agent) -> None:
    wide = {f"{number:04d}" + "ü" * 120: "->" + "t" * 3000 for number in range(900)}
    for leaf in split(entries(wide)):
        assert sum(6 * (len(name) + len(entry.target)) + 200 for name, entry in leaf.items()) <= MAX_LEAF
    assert leaves(ann, write(ann, wide).tree) == entries(wide)


def test_a_diff_of_one_file_among_many_reads_one_way_down(ann: Agent) -> None:
    files = many(100_000, "a/b/c/d/e/") | {f"other{number}/x": "1" for number in range(20)}
    before = write(ann, files)
    after = write(ann, files | {"a/b/c/d/e/f050000": "changed"})
    found: list[str] = []

    def op() -> Op[None]:
        found.extend(one.path for one in (yield from trees.diff(before.tree, after.tree)))

    assert ann.cost(op()) == {"get": 2 * (6 + 1)}  # root, a to e, one leaf, on both sides
    assert found == ["a/b/c/d/e/f050000"]


def test_known_trees_are_not_sent_again(ann: Agent) -> None:
    def op(files: Mapping[str, str], known: Mapping[str, str]) -> Op[dict[str, str]]:
        upload = yield from pending.begin((yield from act(ann.actor)), [])
        _, names = yield from trees.write(upload, entries(files), known)
        return names

    files = {f"d{number}/f": str(number) for number in range(30)}
    known = ann.do(op(files, {}))
    assert len(known) == 31
    raise_epoch(ann)
    assert ann.cost(op(files | {"d7/f": "new"}, known))["put"] == 1 + 2
    assert {digest_of(name): name for name in known.values()} == known
    assert all(name == blob_name(digest, 0) for digest, name in known.items())


def test_a_push_of_the_same_tree_finds_what_is_there(ann: Agent) -> None:
    assert write(ann, {"a/f": "1"}) == write(ann, {"a/f": "1"})
