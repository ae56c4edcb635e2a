"""Trees and workspaces for tests: folders as a mapping from path to text, without any files on disk."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from windlass.ops import pending, trees, workspaces
from windlass.ops.agents import act
from windlass.protocol import keys
from windlass.protocol.blobs import Blob, blob_name
from windlass.protocol.codec import decode
from windlass.protocol.pending import Pending
from windlass.protocol.trees import EMPTY_FOLDER, Entry, Kind, file_entry, link_entry
from windlass.protocol.workspaces import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.ops.world import Agent, Place

    from windlass.effects import Op
    from windlass.ops.pending import Upload
    from windlass.ops.workspaces import WorkspaceChanged
    from windlass.protocol.pending import State
    from windlass.protocol.workspaces import Workspace


def file(text: str) -> Entry:
    """A file with that content, which nobody sends: trees do not look at it. `x:` an executable one, `->` a link, `/` an empty folder."""
    if text == "/":
        return EMPTY_FOLDER
    if text.startswith("->"):
        return link_entry(text[2:])
    digest = sha256(text.encode()).hexdigest()
    size = max(1, len(text))
    return file_entry(Blob(sha=digest, size=size, name=blob_name(digest, 0)), executable=text.startswith("x:"))


def entries(files: Mapping[str, str]) -> dict[str, Entry]:
    """What `trees.write` takes."""
    return {path: file(text) for path, text in files.items()}


def sent(files: Mapping[str, str]) -> Callable[..., Op[Root]]:
    """A `build` of these files."""

    def build(upload: Upload, *_: object) -> Op[Root]:
        root, _names = yield from trees.write(upload, entries(files))
        return Root.of(root)

    return build


def write(agent: Agent, files: Mapping[str, str]) -> Root:
    """Send a tree that nobody refers to."""

    def op() -> Op[Root]:
        upload = yield from pending.begin((yield from act(agent.actor)), [])
        root = yield from sent(files)(upload)
        yield from pending.end(upload)
        return root

    return agent.do(op())


def leaves(agent: Agent, tree: str) -> dict[str, Entry]:
    """Everything of a tree that is no folder with something in it."""
    found = agent.do(trees.walk(tree))
    return {path: entry for path, entry in found.items() if entry.kind is not Kind.FOLDER or not entry.name}


def alike(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> bool:
    """Whether both have the same content, wherever it lies."""
    return one.keys() == other.keys() and all(entry.same(other[path]) for path, entry in one.items())


def create(agent: Agent, name: str, files: Mapping[str, str], ttl: float | None = None) -> Workspace:
    """A workspace with these files."""
    return agent.do(workspaces.create(agent.actor, name, build=sent(files), ttl=ttl))


def push(agent: Agent, name: str, files: Mapping[str, str], base: Root | None = None, *, force: bool = False) -> WorkspaceChanged:
    """Set the head of a workspace from `base`, else from what it is now."""
    seen = base if base is not None else agent.do(workspaces.show(name)).doc.root
    return agent.do(workspaces.push(agent.actor, name, seen, sent(files), force=force))


TEXTS = [str(number) for number in range(10)]


def files(agent: Agent, at: str) -> dict[str, str]:
    """What a place holds, as `create` takes it."""
    found = leaves(agent, agent.do(workspaces.tree_of(at)).tree)
    return {path: next(text for text in TEXTS if entries({path: text})[path].same(entry)) for path, entry in found.items()}


def uploads(place: Place) -> list[State]:
    """What became of the uploads of which there is a record."""
    return [decode(Pending, key, place.body(key)).state for key in place.keys(keys.PENDING)]
