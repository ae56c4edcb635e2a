"""gc takes what nothing refers to any more, and nothing else; where it cannot tell, nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ops import uploaders
from tests.ops.stored import (
    found_sweep,
    name_of,
    put,
    put_file,
    put_tree,
    sha,
    sweep,
    there,
    workspace,
)
from tests.ops.world import DAY, Place, error_of

from windlass.errors import Damaged, FormatTooNew
from windlass.ops.gc import gc
from windlass.protocol import keys
from windlass.protocol.artifacts import Artifact, Published, content_of
from windlass.protocol.blobs import EMPTY, PART, Blob, Index
from windlass.protocol.codec import encode, plain
from windlass.protocol.steps import Step
from windlass.protocol.trees import Entry, Kind, Tree, file_entry
from windlass.protocol.workspaces import Checkpoint, Merged, Root

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def place() -> Place:
    return Place()


def test_what_nothing_refers_to_goes_and_the_rest_stays(place: Place) -> None:
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", b"kept"))
    put(place, b"garbage")
    place.pass_(2 * DAY)
    put(place, b"young")
    swept = sweep(place)
    assert there(place) == {name_of(b"kept"), name_of(b"young")}
    assert (swept.deleted, swept.bytes, swept.kept, swept.kept_bytes, swept.young, swept.young_bytes) == (1, 7, 1, 4, 1, 5)
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 1
    assert there(place) == {name_of(b"kept")}


def test_every_version_of_an_artifact_that_is_not_deleted_is_kept(place: Place) -> None:
    ann = place.agent("ann").warm()
    for content in (b"one", b"two", b"three"):
        ann.do(uploaders.upload(ann.actor, "a", content))
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 0
    ann.do(uploaders.delete(ann.actor, "a"))
    ann.do(uploaders.upload(ann.actor, "a", b"four"))
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 3
    assert there(place) == {name_of(b"four", 1)}


def test_what_the_artifacts_of_steps_refer_to_is_kept(place: Place) -> None:
    """The current version in the step, and those archived before it."""
    entry, before = put_file(place, b"result"), put_file(place, b"first try")
    old = Published(version=1, content=content_of(before))
    now = Published(version=2, content=content_of(entry))
    place.write(keys.step("s"), encode(Step(name="s", artifacts={"out": plain(now)}, write_id="w", seq=3)))
    place.write(keys.artifact_version("s", "out", 1), encode(Artifact(name="out", current=old)))
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 0


def test_what_workspaces_refer_to_is_kept_folder_by_folder(place: Place) -> None:
    """Head, checkpoints, what was merged; below them folders, leaves, packs, indexes and their parts."""
    pack = put(place, b"ab")
    packed = put_tree(
        place,
        a=file_entry(Blob(sha=sha(b"a"), size=1, name=pack, offset=0)),
        b=file_entry(Blob(sha=sha(b"b"), size=1, name=pack, offset=1)),
        empty=file_entry(Blob(sha=EMPTY, size=0)),
        none=Entry(kind=Kind.FOLDER, files=0),
        link=Entry(kind=Kind.LINK, target="a"),
    )
    parts = tuple(put(place, content) for content in (b"first part", b"last part"))
    index = put(place, encode(Index(size=PART + 1, parts=parts)))
    large = put_tree(place, large=file_entry(Blob(sha=sha(b"whatever it is"), size=PART + 1, name=index)))
    leaves = [put_tree(place, **{letter: put_file(place, letter.encode() * 9)}) for letter in "xy"]
    branch = put(place, encode(Tree(leaves=(["x", leaves[0].name], ["y", leaves[1].name]))))
    head = put_tree(place, inner=packed, wide=Entry(kind=Kind.FOLDER, name=branch, size=18, files=2))
    merged = put_tree(place, f=put_file(place, b"of the other"))
    workspace(
        place,
        "w",
        root=Root.of(head),
        checkpoints={"first": Checkpoint(root=Root.of(large))},
        merged={"other": Merged(root=Root.of(merged), seq=1, at_seq=1)},
    )
    everything = there(place)
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 0
    workspace(place, "w", root=Root.of(head), deleted=True)
    assert sweep(place).deleted == len(everything) == 14
    assert there(place) == set()


def test_a_file_with_the_bytes_of_a_tree_does_not_hide_that_tree(place: Place) -> None:
    inner = put_file(place, b"inner")
    folder = put_tree(place, f=inner)
    body = place.body(keys.blob(folder.name))
    twin = file_entry(Blob(sha=sha(body), size=len(body), name=folder.name))
    workspace(place, "w", root=Root.of(put_tree(place, a_file=twin, folder=folder)))
    place.pass_(2 * DAY)
    assert sweep(place).deleted == 0


def test_a_dry_run_says_what_a_run_takes_and_writes_nothing(place: Place) -> None:
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", b"kept"))
    put(place, b"garbage")
    place.pass_(2 * DAY)
    put(place, b"young")
    looker = place.agent("looker")
    before = {key: place.body(key) for key in place.keys("")}
    told = looker.do(gc(looker.actor, dry_run=True))
    assert not {"put", "delete"} & looker.counting.counts().keys()
    assert {key: place.body(key) for key in place.keys("")} == before
    assert told.names == ((name_of(b"garbage"), 7),)
    done = sweep(place)
    assert told.but(names=()) == done


def test_what_a_run_deleted_is_never_created_again(place: Place) -> None:
    put(place, b"x")
    place.pass_(2 * DAY)
    sweep(place)
    assert there(place) == set()
    ann = place.agent("ann").warm()
    ann.do(uploaders.upload(ann.actor, "a", b"x"))
    assert there(place) == {name_of(b"x", 1)}


DAMAGE: dict[str, Callable[[Place, Entry], str]] = {}


def damage(do: Callable[[Place, Entry], str]) -> Callable[[Place, Entry], str]:
    DAMAGE[do.__name__.replace("_", " ")] = do
    return do


@damage
def a_tree_that_is_gone(place: Place, folder: Entry) -> str:
    place.store.delete(keys.blob(folder.name))
    return keys.blob(folder.name)


@damage
def a_tree_with_a_flipped_bit(place: Place, folder: Entry) -> str:
    key = keys.blob(folder.name)
    place.write(key, place.body(key).replace(b'"f"', b'"g"'))
    return key


@damage
def an_entry_of_an_unknown_kind(place: Place, folder: Entry) -> str:
    body = encode(Tree(entries={"f": ["device", 1]}))
    workspace(place, "w", root=Root(tree=put(place, body)))
    return keys.blob(name_of(body))


@damage
def a_register_that_is_torn(place: Place, folder: Entry) -> str:
    place.write(keys.workspace("w"), b'{"format": 1')
    return keys.workspace("w")


@damage
def an_artifact_without_a_content(place: Place, folder: Entry) -> str:
    body = encode(Artifact(name="a", current=Published(version=1, content=content_of(folder)), write_id="w", seq=1))
    place.write(keys.artifact("a"), body.replace(b'["d"', b'["q"'))
    return keys.artifact("a")


@damage
def a_step_with_an_odd_artifact(place: Place, folder: Entry) -> str:
    place.write(keys.step("s"), encode(Step(name="s", artifacts={"a": {"version": 1, "content": ["q"]}}, write_id="w", seq=1)))
    return keys.step("s")


@damage
def a_key_that_nobody_knows(place: Place, folder: Entry) -> str:
    place.write("workspaces/of/others.json", b"{}")
    return "workspaces/of/others.json"


@damage
def an_upload_that_is_torn(place: Place, folder: Entry) -> str:
    place.write(keys.pending("p"), b"{}")
    return keys.pending("p")


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_where_references_are_stops_it_before_it_deletes_anything(place: Place, kind: str) -> None:
    folder = put_tree(place, f=put_file(place, b"content"))
    workspace(place, "w", root=Root.of(folder))
    put(place, b"garbage")
    key = DAMAGE[kind](place, folder)
    before = there(place)
    place.pass_(2 * DAY)
    assert key in error_of(Damaged, lambda: sweep(place)).message
    assert key in error_of(Damaged, lambda: sweep(place, dry_run=True)).message
    assert there(place) == before
    assert not found_sweep(place).sweeping


def test_what_a_newer_windlass_wrote_stops_it(place: Place) -> None:
    place.write(keys.workspace("w"), b'{"format": 2, "kind": "workspace", "write_id": "w", "seq": 1}')
    put(place, b"garbage")
    place.pass_(2 * DAY)
    error_of(FormatTooNew, lambda: sweep(place))
    assert there(place) == {name_of(b"garbage")}


@pytest.mark.parametrize("times", [1, 2])
def test_two_runs_in_a_row_find_nothing_more(place: Place, times: int) -> None:
    put(place, b"garbage")
    place.pass_(2 * DAY)
    assert [sweep(place).deleted for _ in range(times)] == [1, 0][:times]
    assert found_sweep(place).epoch == times


def test_many_blobs_are_listed_and_deleted_page_by_page(place: Place) -> None:
    for number in range(300):
        put(place, b"%d" % number)
    place.pass_(2 * DAY)
    sweeper = place.agent("sweeper").warm()
    assert sweeper.do(gc(sweeper.actor)).deleted == 300
    assert there(place) == set()


def test_nobody_needs_a_project_that_is_empty(place: Place) -> None:
    assert sweep(place).deleted == 0
    assert sweep(place, dry_run=True).deleted == 0
