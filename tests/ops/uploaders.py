"""The operations that change what is referred to, on content that a test gives as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.digest import sha256_large
from windlass.ops import artifacts, blobs, forks, settling, trees, workspaces
from windlass.protocol.artifacts import Ref
from windlass.protocol.blobs import Blob
from windlass.protocol.trees import Entry, file_entry
from windlass.protocol.workspaces import Root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.artifacts import Uploaded
    from windlass.ops.pending import Upload
    from windlass.protocol.workspaces import Workspace


def upload(actor: Actor, name: str, content: bytes, step: str = "") -> Op[Uploaded]:
    """Publish a file that is an object of its own."""

    def build(under: Upload) -> Op[Entry]:
        digest = sha256_large(content)
        where = yield from blobs.keep(under, digest, lambda: content)
        return file_entry(Blob(sha=digest, size=len(content), name=where))

    return artifacts.upload(actor, name, build, step=step)


def delete(actor: Actor, name: str) -> Op[object]:
    """Delete an artifact."""
    return artifacts.delete(actor, Ref(step="", name=name))


def push(actor: Actor, name: str, files: Mapping[str, bytes]) -> Op[Root]:
    """Set a workspace's head to these files, keeping what it holds already; made where there is none. Raises Lost where it moved on."""
    found = yield from settling.settled(name)
    if found is None or found.doc.deleted:
        return (yield from workspaces.create(actor, name, build=lambda under: tree(under, files))).root

    def build(under: Upload, workspace: Workspace) -> Op[Root]:
        return tree(under, files, workspace.root.tree)

    return (yield from workspaces.push(actor, name, found.doc.root, build)).workspace.root


def tree(under: Upload, files: Mapping[str, bytes], base: str = "") -> Op[Root]:
    """Send files, flat, and their tree; what the tree `base` holds is kept."""
    kept = (yield from trees.read_all([base]))[base] if base else {}
    by_sha = {entry.sha: entry for entry in kept.values()}
    entries: dict[str, Entry] = {}
    for path, content in files.items():
        digest = sha256_large(content)
        known = by_sha.get(digest)
        if known is None:
            where = yield from blobs.keep(under, digest, lambda content=content: content)  # type: ignore[misc]
            known = file_entry(Blob(sha=digest, size=len(content), name=where))
        entries[path] = known
    folder, _ = yield from trees.write(under, entries, trees.known_of([base] if base else []))
    return Root.of(folder)


def fork(actor: Actor, source: str, n: int, prefix: str = "w") -> Op[list[Workspace]]:
    """Make PREFIX-1 … PREFIX-n with the head of another, all or none."""
    return forks.fork(actor, source, n, prefix)


def teardown(actor: Actor, name: str) -> Op[object]:
    """Give a workspace up, whatever it holds."""
    return workspaces.teardown(actor, name, force=True)
