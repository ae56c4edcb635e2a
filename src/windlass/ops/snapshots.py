"""A whole tree as this machine knows it: objects that it has kept are not read again, so that a look costs what is new."""

from __future__ import annotations

from windlass.digest import sha256_large
from windlass.errors import Damaged
from windlass.ops import blobs
from windlass.protocol import keys
from windlass.protocol.blobs import digest_of
from windlass.protocol.codec import decode
from windlass.protocol.trees import MAX_DEPTH, Entry, Kind, Tree, entries_of, leaves_of
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windlass.effects import Op
    from windlass.protocol.blobs import Blob


class Snapshot(Record):
    """What is below a tree, folders too, by path; and the bytes of the tree's objects by name, to be kept for the next look."""

    root: str
    rows: Mapping[str, Entry]
    bodies: Mapping[str, bytes]

    @property
    def known(self) -> dict[str, str]:
        """The names of the tree's objects by their SHA-256."""
        return {digest_of(name): name for name in self.bodies}

    @property
    def by_sha(self) -> dict[str, Blob]:
        """Where content lies that the tree refers to."""
        return {entry.sha: entry.blob for entry in self.rows.values() if entry.sha}


def take(root: str, kept: Mapping[str, bytes]) -> Op[Snapshot]:
    """Read a tree; `kept` are objects from an earlier look, from wherever: what is not what its name says is read again. Raises Damaged."""
    rows: dict[str, Entry] = {}
    bodies: dict[str, bytes] = {}
    level = {"": root} if root else {}
    for _ in range(MAX_DEPTH + 1):
        found = yield from _read(level.values(), kept, bodies)
        leaves = {name: [leaf for _, leaf in leaves_of(tree, keys.blob(name))] for name, tree in found.items() if tree.leaves}
        found |= yield from _read((leaf for some in leaves.values() for leaf in some), kept, bodies)
        below: dict[str, str] = {}
        for path, name in level.items():
            for part in leaves.get(name, [name]):
                for inner, entry in entries_of(found[part], keys.blob(part)).items():
                    rows[path + inner] = entry
                    if entry.kind is Kind.FOLDER and entry.name:
                        below[f"{path}{inner}/"] = entry.name
        if not below:
            return Snapshot(root=root, rows=rows, bodies=bodies)
        level = below
    raise Damaged(keys.blob(root), "its folders are nested too deeply")


def _read(names: Iterable[str], kept: Mapping[str, bytes], bodies: dict[str, bytes]) -> Op[dict[str, Tree]]:
    """Tree objects by name; `bodies` learns their bytes."""
    wanted = set(names)
    for name in wanted - bodies.keys():
        body = kept.get(name)
        if body is not None and sha256_large(body) == digest_of(name):
            bodies[name] = body
    new = sorted(wanted - bodies.keys())
    bodies.update(zip(new, (yield from blobs.fetch_all(new)), strict=True))
    return {name: decode(Tree, keys.blob(name), bodies[name]) for name in wanted}
