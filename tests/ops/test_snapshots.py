"""A tree is read once: what this machine kept of it is not asked for again, and believed only as far as its name goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ops.world import Place, error_of

from windlass.errors import Damaged, UsageError
from windlass.ops import pending, snapshots, trees
from windlass.ops.agents import act
from windlass.protocol import keys
from windlass.protocol.blobs import EMPTY, Blob, digest_of
from windlass.protocol.trees import EMPTY_FOLDER, MAX_DEPTH, Entry, Kind, file_entry, link_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.ops.world import Agent

FILE = file_entry(Blob(sha=EMPTY, size=0))


@pytest.fixture
def ann() -> Agent:
    """An agent at work."""
    return Place().agent("ann").warm()


def written(agent: Agent, entries: Mapping[str, Entry], known: Mapping[str, str] = {}) -> tuple[str, dict[str, bytes]]:
    """A tree in the store: its root, and its objects as `write` tells of them."""
    bodies: dict[str, bytes] = {}
    upload = agent.do(pending.begin(agent.do(act(agent.actor)), ["x"]))
    root, _ = agent.do(trees.write(upload, entries, known, bodies))
    return root.name, bodies


def many(count: int, more: int = 0) -> dict[str, Entry]:
    """A large folder, a deep one, an empty one, a link."""
    files = {f"large/{n:05}": FILE for n in range(count)} | {f"large/new-{n}": FILE for n in range(more)}
    return {**files, "a/b/c": FILE, "void": EMPTY_FOLDER, "link": link_entry("a/b")}


def test_it_holds_what_a_walk_finds_and_the_objects_that_were_written(ann: Agent) -> None:
    root, bodies = written(ann, many(3000))
    found = ann.do(snapshots.take(root, {}))
    assert found.rows == ann.do(trees.walk(root))
    assert found.bodies == bodies
    assert found.known == {digest_of(name): name for name in bodies}
    assert {path for path, row in found.rows.items() if row.kind is Kind.FOLDER} == {"large", "a", "a/b", "void"}
    assert ann.do(snapshots.take("", {})).rows == {}


def test_what_was_kept_is_not_read_again(ann: Agent) -> None:
    root, bodies = written(ann, many(3000))
    assert ann.cost(snapshots.take(root, bodies)) == {}
    other, _ = written(ann, many(3000, more=1), {digest_of(name): name for name in bodies})
    # the root, the branch of the large folder, and the leaf that changed
    assert ann.cost(snapshots.take(other, bodies)) == {"get": 3}


def test_kept_bytes_that_are_not_what_their_name_says_are_read_again(ann: Agent) -> None:
    root, bodies = written(ann, many(5))
    wrong = {name: body.replace(b"00001", b"evil!") for name, body in bodies.items()}
    found = ann.do(snapshots.take(root, wrong))
    assert found.rows == ann.do(trees.walk(root))
    assert found.bodies == bodies
    assert ann.cost(snapshots.take(root, dict.fromkeys(bodies, b""))) == {"get": len(bodies)}


def test_a_missing_object_is_named_though_others_were_kept(ann: Agent) -> None:
    root, bodies = written(ann, many(5))
    (gone,) = (name for name, body in bodies.items() if b"00001" in body)
    ann.place.store.delete(keys.blob(gone))
    assert gone[2:] in str(error_of(Damaged, lambda: ann.do(snapshots.take(root, {}))))
    assert ann.do(snapshots.take(root, bodies)).rows["large/00001"] == FILE


def test_content_is_found_by_its_hash(ann: Agent) -> None:
    blob = Blob(sha="a" * 64, size=3, name="a" * 64 + ".0")
    root, _ = written(ann, {"x": file_entry(blob), "y": FILE, "z": link_entry("x")})
    assert ann.do(snapshots.take(root, {})).by_sha == {"a" * 64: blob, EMPTY: Blob(sha=EMPTY, size=0)}


def test_whatever_depth_is_written_is_read(ann: Agent) -> None:
    deepest = "/".join(["d"] * MAX_DEPTH)
    root, _ = written(ann, {f"{deepest}/f": FILE})
    assert ann.do(snapshots.take(root, {})).rows == ann.do(trees.walk(root))
    error_of(UsageError, lambda: written(ann, {f"{deepest}/d/f": FILE}))
