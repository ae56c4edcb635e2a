"""Merges of workspaces: what one side changed and the other did not comes along, what both changed is named, whatever went before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.folders import entries, leaves, sent
from tests.ops.world import WAYS, Agent, Between, Place, error_of

from windlass.errors import Conflicting, NotFound, UsageError
from windlass.ops import merging, workspaces
from windlass.protocol import keys
from windlass.protocol.codec import decode
from windlass.protocol.pending import Pending
from windlass.protocol.trees import Kind
from windlass.protocol.workspaces import MAX_LINES, MAX_MERGED, NOTHING, Merged, Root, Workspace, common, learned, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.ops.merging import Joined


class World:
    """Workspaces of one agent, by the text of each of their files."""

    def __init__(self) -> None:
        self.place = Place()
        self.ann = self.place.agent("ann").warm()

    def create(self, name: str, files: Mapping[str, str]) -> None:
        self.ann.do(workspaces.create(self.ann.actor, name, build=sent(files)))

    def fork(self, base: str, *names: str) -> None:
        for name in names:
            self.ann.do(workspaces.create(self.ann.actor, name, source=base))

    def set(self, name: str, **changes: str | None) -> None:
        """Push a head with some files changed; `__` in a name stands for a folder."""
        now = self.files(name) | {path.replace("__", "/"): text for path, text in changes.items()}
        wanted = {path: text for path, text in now.items() if text is not None}
        self.ann.do(workspaces.push(self.ann.actor, name, self.doc(name).root, sent(wanted)))

    def doc(self, name: str) -> Workspace:
        return self.ann.do(workspaces.show(name)).doc

    def merge(self, source: str, into: str, agent: Agent | None = None) -> Joined:
        return (agent or self.ann).do(merging.merge((agent or self.ann).actor, source, into))

    def files(self, name: str) -> dict[str, str | None]:
        found = leaves(self.ann, self.doc(name).root.tree)
        return {path: KNOWN[entry.sha] for path, entry in found.items() if entry.kind is not Kind.FOLDER}


KNOWN = {entries({"f": str(number)})["f"].sha: str(number) for number in (*range(200), 1000)}


def bodies(place: Place) -> dict[str, bytes]:
    """Everything in the store."""
    there = place.keys()
    return {key: place.body(key) for key in there}


@pytest.fixture
def world() -> World:
    out = World()
    out.create("base", {"a": "1", "b": "1", "d/x": "1", "d/y": "1"})
    return out


def test_what_differs_between_two_places_is_told_file_by_file(world: World) -> None:
    world.ann.do(workspaces.checkpoint(world.ann.actor, "base", "v1"))
    world.set("base", a="2", d__x=None, e__f="1", e__g="1")
    found = world.ann.do(merging.diff("base@v1", "base"))
    assert [(one.path, one.before is None, one.after is None) for one in found] == [
        ("a", False, False),
        ("d/x", False, True),
        ("e/f", True, False),
        ("e/g", True, False),
    ]
    error_of(NotFound, lambda: world.ann.do(merging.diff("base", "other")))


def test_a_fork_is_merged_back(world: World) -> None:
    world.fork("base", "w")
    world.set("w", a="2", d__x=None, n__new="3")
    world.set("base", b="4")
    done = world.merge("w", "base")
    assert done.paths == ("a", "d", "n")
    assert world.files("base") == {"a": "2", "b": "4", "d/y": "1", "n/new": "3"}
    assert world.files("w") == {"a": "2", "b": "1", "d/y": "1", "n/new": "3"}
    assert world.place.keys(keys.PENDING) == []
    assert world.doc("base").root.files == 4


def test_a_merge_done_twice_is_done_once(world: World) -> None:
    world.fork("base", "w")
    world.set("w", a="2")
    assert not world.merge("w", "base").again
    seq = world.doc("base").seq
    assert world.merge("w", "base").again
    assert world.doc("base").seq == seq


def test_a_conflict_is_named_and_nothing_is_written(world: World) -> None:
    world.fork("base", "w")
    world.set("w", a="2", b="2", d__x="2")
    world.set("base", a="3", d__x=None)
    before = bodies(world.place)
    error = error_of(Conflicting, lambda: world.merge("w", "base"))
    assert (error.exit, error.details["conflicts"], error.details["count"]) == (3, ["a", "d/x"], 2)
    assert bodies(world.place) == before


@pytest.mark.parametrize(
    ("prefer", "expected"), [("ours", {"a": "3", "b": "4", "d/y": "1"}), ("theirs", {"a": "2", "b": "4", "d/x": "2", "d/y": "1"})]
)
def test_where_both_changed_a_path_one_side_can_be_taken(world: World, prefer: str, expected: dict[str, str]) -> None:
    world.fork("base", "w")
    world.set("w", a="2", d__x="2")
    world.set("base", a="3", d__x=None, b="4")
    world.ann.do(merging.merge(world.ann.actor, "w", "base", prefer=prefer))
    assert world.files("base") == expected
    assert world.merge("w", "base").again
    error_of(UsageError, lambda: world.ann.do(merging.merge(world.ann.actor, "w", "base", prefer="mine")))


def test_a_file_and_a_folder_of_one_name_are_taken_as_a_whole(world: World) -> None:
    world.fork("base", "w")
    world.set("w", d__x=None, d__y=None, d="7")
    world.set("base", d__x="8")
    error_of(Conflicting, lambda: world.merge("w", "base"))
    world.ann.do(merging.merge(world.ann.actor, "w", "base", prefer="theirs"))
    assert world.files("base") == {"a": "1", "b": "1", "d": "7"}


def test_a_solved_conflict_does_not_come_again(world: World) -> None:
    """Once one side holds the other's state, what it made of it goes before."""
    world.fork("base", "w")
    world.set("w", a="2")
    world.set("base", a="3")
    error_of(Conflicting, lambda: world.merge("w", "base"))
    world.set("base", a="2")
    world.merge("w", "base")
    world.set("base", a="4")
    assert world.merge("w", "base").again
    world.merge("base", "w")
    assert world.files("w")["a"] == "4"


def test_siblings_are_merged_from_where_they_parted(world: World) -> None:
    world.fork("base", "one", "two")
    world.set("base", b="9")
    world.set("one", a="2")
    world.set("two", d__x="3")
    world.merge("one", "two")
    assert world.files("two") == {"a": "2", "b": "1", "d/x": "3", "d/y": "1"}


def test_what_came_through_a_third_workspace_and_was_taken_back_stays_so(world: World) -> None:
    """One's change went into the base and from there into two, which takes it back: one has nothing new for it."""
    world.fork("base", "one", "two")
    world.set("one", a="2")
    world.merge("one", "base")
    world.merge("base", "two")
    assert world.files("two")["a"] == "2"
    world.set("two", a="1")
    assert world.merge("one", "two").again
    assert world.files("two")["a"] == "1"


def test_two_that_were_merged_into_each_other_at_once_do_not_undo_what_one_takes_back(world: World) -> None:
    """Neither of the two states that both hold is newer: what only one of them shows to be a change is left to people."""
    world.fork("base", "w")
    world.set("base", a="2")
    world.set("w", b="2")
    bob = world.place.agent("bob").warm()
    Between(bob, lambda: world.merge("base", "w"), key="workspaces/", lands=False)
    world.merge("w", "base", bob)
    assert world.files("base") == world.files("w")
    assert len(common(world.doc("base"), world.doc("w"))) == 2
    world.set("base", a="1")
    world.set("w", d__x="7")
    error = error_of(Conflicting, lambda: world.merge("w", "base"))
    assert error.details["conflicts"] == ["a"]


def test_what_both_got_from_a_third_and_one_took_back_is_not_brought_again(world: World) -> None:
    world.fork("base", "one", "third")
    world.set("third", a="2")
    world.merge("third", "one")
    world.merge("third", "base")
    world.set("base", a="1")
    world.merge("one", "base")
    assert world.files("base")["a"] == "1"
    world.merge("base", "one")
    assert world.files("one")["a"] == "1"


def test_two_states_in_common_of_which_none_is_newer_are_both_asked(world: World) -> None:
    world.fork("base", "one", "third")
    world.set("base", b="2")
    world.merge("base", "one")
    world.set("third", a="2")
    world.merge("third", "one")
    world.merge("third", "base")
    world.set("base", a="1")
    assert len(common(world.doc("base"), world.doc("one"))) == 2
    error = error_of(Conflicting, lambda: world.merge("one", "base"))
    assert error.details["conflicts"] == ["a"]


def test_as_long_as_forks_are_merged_one_after_the_other_one_state_is_the_newest_in_common(world: World) -> None:
    world.fork("base", "one", "two")
    world.set("one", b="5")
    world.fork("one", "inner", "other")
    for source, into in (("inner", "other"), ("inner", "one"), ("one", "base"), ("base", "two"), ("two", "base"), ("base", "inner")):
        world.set(source, a=str(world.doc(source).seq + 10))
        assert len(common(world.doc(into), world.doc(source))) == 1, (source, into)
        world.merge(source, into)
    assert [len(common(world.doc(one), world.doc(other))) for one in NAMES_OF_ALL for other in NAMES_OF_ALL if one < other] == [1] * 10


NAMES_OF_ALL = ["base", "inner", "one", "other", "two"]


def test_workspaces_that_share_nothing_are_not_merged(world: World) -> None:
    world.create("other", {"a": "1"})
    error_of(UsageError, lambda: world.merge("other", "base"))
    error_of(UsageError, lambda: world.merge("base", "base"))
    error_of(NotFound, lambda: world.merge("nowhere", "base"))


def test_a_workspace_made_anew_under_an_old_name_is_another(world: World) -> None:
    """Its tree is no later state of the one before: to merge it as one would remove what only the one before had."""
    world.fork("base", "w")
    world.merge("base", "w")
    world.set("w", b="2")
    world.merge("w", "base")
    world.ann.do(workspaces.teardown(world.ann.actor, "w"))
    world.create("w", {"z": "1"})
    error_of(UsageError, lambda: world.merge("w", "base"))
    assert "a" in world.files("base")


def test_a_fork_of_a_checkpoint_knows_what_the_checkpoint_knew(world: World) -> None:
    world.ann.do(workspaces.checkpoint(world.ann.actor, "base", "v1"))
    world.fork("base", "late")
    world.set("late", a="2")
    world.merge("late", "base")
    world.fork("base@v1", "old")
    assert "late" not in world.doc("old").merged
    world.set("old", b="5")
    world.merge("old", "base")
    assert world.files("base") == {"a": "2", "b": "5", "d/x": "1", "d/y": "1"}
    world.merge("late", "old")
    assert world.files("old")["a"] == "2"


def test_a_merge_goes_on_from_what_is_there_now(world: World) -> None:
    """Another push comes in between: the merge is done again on top of it, and both are there."""
    world.fork("base", "w")
    world.set("w", a="2")
    bob = world.place.agent("bob").warm()
    Between(bob, lambda: world.set("base", b="7"), key="workspaces/", lands=False)
    world.merge("w", "base", bob)
    assert world.files("base") == {"a": "2", "b": "7", "d/x": "1", "d/y": "1"}


def test_a_merge_of_what_is_torn_down_meanwhile_is_refused(world: World) -> None:
    world.fork("base", "w")
    world.set("w", a="2")
    bob = world.place.agent("bob").warm()
    Between(bob, lambda: world.ann.do(workspaces.teardown(world.ann.actor, "w", force=True)), key="pending/")
    error_of(NotFound, lambda: world.merge("w", "base", bob))
    assert world.files("base")["a"] == "1"


def test_what_a_merge_takes_over_is_held_while_it_is_taken(world: World) -> None:
    world.fork("base", "one", "two")
    world.set("one", a="2")
    world.merge("one", "two")
    held: list[Pending] = []
    bob = world.place.agent("bob").warm()

    def look() -> None:
        (key,) = world.place.keys(keys.PENDING)
        held.append(decode(Pending, key, world.place.body(key)))

    Between(bob, look, key="pending/")
    world.merge("two", "base", bob)
    roots = {root.tree for root in (world.doc("two").root, *(one.root for one in world.doc("two").merged.values()))}
    assert set(held[0].holds) == roots
    assert held[0].targets == ("workspaces/base.json",)


@pytest.mark.parametrize("way", WAYS)
def test_a_spoilt_answer_neither_loses_a_merge_nor_merges_twice(world: World, way: str) -> None:
    world.fork("base", "w")
    world.set("w", a="2")
    world.ann.spoil(*WAYS[way], key="workspaces/")
    world.merge("w", "base")
    world.ann.heal()
    assert [change.event for change in world.doc("base").history] == ["create", "merge"]
    assert world.files("base")["a"] == "2"


def test_a_merge_of_one_file_among_many_costs_one_way_down(world: World) -> None:
    many = {f"a/b/c/d{number % 100}/f{number}": "1" for number in range(10_000)}
    world.create("large", many)
    world.fork("large", "w")
    for name, changed in (("w", "d7/f7"), ("large", "d8/f8")):
        world.ann.do(workspaces.push(world.ann.actor, name, world.doc(name).root, sent(many | {f"a/b/c/{changed}": "2"})))
    cost = world.ann.cost(merging.merge(world.ann.actor, "w", "large"))
    depth = 4  # the root, a, b and c; the folder that only one side changed is taken whole
    assert cost == {"get": 2 + 3 * depth + 1 + 1 + depth, "put": 1 + depth + 1, "delete": 1}


@pytest.mark.parametrize("folder", ["", "a/b/c/d/e/"])
def test_a_diff_of_two_forks_costs_one_way_down(world: World, folder: str) -> None:
    many = {f"{folder}f{number:06d}": "1" for number in range(100_000)}
    world.create("large", many)
    world.fork("large", "one", "two")
    world.ann.do(workspaces.push(world.ann.actor, "two", world.doc("two").root, sent(many | {f"{folder}f050000": "2"})))
    depth = folder.count("/") + 2  # the folders, the last of which has a branch and leaves
    assert world.ann.cost(merging.diff("one", "two")) == {"get": 2 + 2 * depth}
    assert [one.path for one in world.ann.do(merging.diff("one", "two"))] == [f"{folder}f050000"]


def test_what_others_are_known_for_is_bounded_and_the_newest_stay() -> None:
    me = Workspace(name="me")
    for number in range(MAX_MERGED + 10):
        other = Workspace(name=f"w{number}", seq=5, root=NOTHING)
        me = me.but(**learned(me, other, state_of(other), number + 1))
    assert len(me.merged) == MAX_MERGED
    assert f"w{MAX_MERGED + 9}" in me.merged
    assert "w0" not in me.merged
    for number in range(MAX_LINES + 10):
        other = Workspace(name="w", seq=number + 5, born=number, root=NOTHING)
        me = me.but(**learned(me, other, state_of(other), 1000 + number))
    assert [line.born for line in me.lines][-1] == MAX_LINES + 8
    assert len(me.lines) == MAX_LINES


def kept(world: World, name: str, label: str) -> None:
    world.ann.do(workspaces.checkpoint(world.ann.actor, name, label))


def back(world: World, name: str, label: str) -> None:
    world.ann.do(workspaces.restore(world.ann.actor, name, label))


def test_what_was_merged_before_a_restore_can_be_merged_again(world: World) -> None:
    world.fork("base", "w")
    kept(world, "base", "good")
    world.set("w", a="2")
    world.merge("w", "base")
    back(world, "base", "good")
    assert world.files("base")["a"] == "1"
    world.set("w", b="5")
    world.merge("w", "base")
    assert (world.files("base")["a"], world.files("base")["b"]) == ("2", "5")


def test_what_another_took_over_before_a_restore_is_no_state_in_common(world: World) -> None:
    world.fork("base", "w")
    kept(world, "base", "good")
    world.set("base", a="2")
    world.merge("base", "w")
    back(world, "base", "good")
    assert not world.merge("w", "base").again
    assert world.files("base")["a"] == "2"


def test_a_second_restore_and_forks_of_before_and_after_are_still_merged(world: World) -> None:
    world.fork("base", "early")
    kept(world, "base", "one")
    world.set("base", a="2")
    kept(world, "base", "two")
    back(world, "base", "one")
    world.fork("base", "late")
    back(world, "base", "two")
    world.set("early", b="5")
    world.set("late", d__x="6")
    world.merge("early", "base")
    world.merge("late", "base")
    world.merge("late", "early")
    assert world.files("base") == {"a": "2", "b": "5", "d/x": "6", "d/y": "1"}
    assert world.files("early") == {"a": "1", "b": "5", "d/x": "6", "d/y": "1"}


def test_hostile_knowledge_is_no_endless_loop_and_no_base() -> None:
    """Two registers that each claim to be part of the other."""
    tree = Root(tree="a" * 64 + ".0")
    one = Workspace(name="one", seq=5, merged={"two": Merged(root=tree, seq=9, at_seq=1, via="one")})
    two = Workspace(name="two", seq=5, merged={"one": Merged(root=tree, seq=9, at_seq=1, via="two")})
    assert common(one, two) in ([], [tree], [NOTHING])


# --- any number of workspaces, in any order


PATHS = ["a", "b", "d/x", "d/y", "d/e/z"]
NAMES = ["base", "w1", "w2", "w3"]
MOVES = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(NAMES), st.sampled_from(PATHS)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.sampled_from(PATHS)),
    st.tuples(st.just("take back"), st.sampled_from(NAMES), st.sampled_from(PATHS)),
    st.tuples(st.just("checkpoint"), st.sampled_from(NAMES), st.sampled_from(PATHS[:2])),
    st.tuples(st.just("restore"), st.sampled_from(NAMES), st.sampled_from(PATHS[:2])),
    st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
)


class Truth:
    """What each workspace holds, and which changes it knows of: those made in it, and those that came by merges."""

    def __init__(self) -> None:
        self.count = 1
        self.now: dict[str, dict[str, tuple[str | None, frozenset[int]]]] = {name: {} for name in NAMES}
        self.knows: dict[str, set[int]] = {name: set() for name in NAMES}
        self.vague: set[int] = set()
        """Changes to a value that was there before: no three-way merge tells them from no change."""
        self.past: dict[str, list[str | None]] = {path: ["1"] for path in PATHS}
        self.kept: dict[tuple[str, str], tuple[dict[str, tuple[str | None, frozenset[int]]], set[int]]] = {}
        for name in NAMES:
            self.now[name] = {path: ("1", frozenset([0])) for path in PATHS}
            self.knows[name] = {0}

    def change(self, name: str, path: str, text: str | None, *, vague: bool) -> None:
        self.count += 1
        self.now[name][path] = (text, frozenset([self.count]))
        self.knows[name].add(self.count)
        self.past[path].append(text)
        if vague:
            self.vague.add(self.count)

    def checkpoint(self, name: str, label: str) -> bool:
        """Whether there was none of that label yet."""
        new = (name, label) not in self.kept
        if new:
            self.kept[name, label] = dict(self.now[name]), set(self.knows[name])
        return new

    def restore(self, name: str, label: str) -> bool:
        """Whether there was one, with other files: what came after it was never there."""
        if (name, label) not in self.kept:
            return False
        now, knows = self.kept[name, label]
        if {path: text for path, (text, _) in now.items()} == {path: text for path, (text, _) in self.now[name].items()}:
            return False
        self.now[name], self.knows[name] = dict(now), set(knows)
        return True

    def files(self, name: str) -> dict[str, str]:
        return {path: text for path, (text, _) in self.now[name].items() if text is not None}


@given(st.lists(MOVES, min_size=3, max_size=25))
@settings(max_examples=250, deadline=None)
def test_no_merge_loses_a_change_that_only_one_side_made(moves: list[tuple[str, str, str]]) -> None:
    world, truth = World(), Truth()
    world.create("base", truth.files("base"))
    world.fork("base", "w1", "w2")
    truth.change("w1", "b", "1000", vague=False)
    world.set("w1", b="1000")
    world.fork("w1", "w3")
    truth.now["w3"], truth.knows["w3"] = dict(truth.now["w1"]), set(truth.knows["w1"])
    for what, name, other in moves:
        if what == "checkpoint":
            if truth.checkpoint(name, other):
                world.ann.do(workspaces.checkpoint(world.ann.actor, name, other))
        elif what == "restore":
            if truth.restore(name, other):
                world.ann.do(workspaces.restore(world.ann.actor, name, other))
        elif what != "merge":
            old = truth.now[name][other][0]
            text = str(truth.count + 1) if what == "set" else None if what == "remove" else truth.past[other][-2:][0]
            if text != old:
                truth.change(name, other, text, vague=what != "set")
                world.ann.do(workspaces.push(world.ann.actor, name, world.doc(name).root, sent(truth.files(name))))
        if what != "merge" or name == other:
            continue
        source, into = name, other
        several = len(common(world.doc(into), world.doc(source))) > 1
        try:
            world.merge(source, into)
        except Conflicting as error:
            clashing = error.details["conflicts"]
            assert isinstance(clashing, list)
            for path in clashing:
                mine, theirs = truth.now[into].get(path), truth.now[source].get(path)
                if mine is not None and theirs is not None:
                    unknown = not (mine[1] & truth.knows[source]) and not (theirs[1] & truth.knows[into])
                    assert unknown or several or (mine[1] | theirs[1]) & truth.vague, f"no conflict: {path}"
            continue
        found = world.files(into)
        for path in PATHS:
            (mine_text, mine_ids), (text, ids) = truth.now[into][path], truth.now[source][path]
            ours_known, theirs_known = bool(mine_ids & truth.knows[source]), bool(ids & truth.knows[into])
            result = found.get(path)
            if mine_text == text:
                assert result == text, path
                truth.now[into][path] = (text, mine_ids | ids)
            elif theirs_known and not ours_known:
                assert result == mine_text, f"{path}: {into} went on from what {source} holds"
            elif ours_known and not theirs_known:
                assert result == text, f"{path}: {source} went on from what {into} held"
                truth.now[into][path] = (text, ids)
            else:
                assert (mine_ids | ids) & truth.vague, f"{path}: both changed it"
                assert result in (mine_text, text)
                truth.now[into][path] = (result, mine_ids if result == mine_text else ids)
        truth.knows[into] |= truth.knows[source]
        assert world.merge(source, into).again
    for name in NAMES:
        assert world.files(name) == truth.files(name)


@given(st.lists(st.tuples(st.sampled_from(["set", "remove"]), st.sampled_from(NAMES[:2]), st.sampled_from(PATHS)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_both_directions_come_to_the_same(moves: list[tuple[str, str, str]]) -> None:
    world, other, truth = World(), World(), Truth()
    for one in (world, other):
        one.create("base", truth.files("base"))
        one.fork("base", "w1")
    for what, name, path in moves:
        if name in ("base", "w1"):
            truth.change(name, path, str(truth.count + 1) if what == "set" else None, vague=False)
            for one in (world, other):
                one.ann.do(workspaces.push(one.ann.actor, name, one.doc(name).root, sent(truth.files(name))))
    outcomes = []
    for one, source, into in ((world, "w1", "base"), (other, "base", "w1")):
        try:
            one.merge(source, into)
        except Conflicting as error:
            outcomes.append(error.details["conflicts"])
        else:
            outcomes.append(one.files(into))
    assert outcomes[0] == outcomes[1]
