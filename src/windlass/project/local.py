"""A folder of the user's as it is, and the file in it that says which workspace it belongs to."""

from __future__ import annotations

import os

from windlass.errors import Damaged, UsageError
from windlass.files import mark as marks
from windlass.files.cache import Cache, known
from windlass.files.mark import Mark
from windlass.files.paths import open_root
from windlass.files.scan import Found, scan
from windlass.ops import sending, trees
from windlass.project import folders
from windlass.project.comparing import FILES, Sides, states_here, states_of
from windlass.protocol.blobs import EMPTY, Blob
from windlass.protocol.keys import is_blob_name
from windlass.protocol.trees import EMPTY_FOLDER, Entry, Kind, file_entry, link_entry
from windlass.protocol.workspaces import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windlass.effects import Op
    from windlass.ops.pending import Upload
    from windlass.ops.snapshots import Snapshot
    from windlass.project.session import Session
    from windlass.protocol.workspaces import Workspace

_NO_FILE = Found(path="", kind="", size=0, mtime_ns=0, ctime_ns=0, inode=0)


class Local:
    """A folder as it is: its mark, what a scan found, and the SHA-256 of files as far as the cache knows them. Close it."""

    def __init__(self, session: Session, folder: str) -> None:
        self.path = folder
        self.fd = open_root(folder)
        try:
            self.mark = marks.read(folder)
            self._session = session
            self._cache = cache_of(session, folder)
            kept = self._cache.load().get("")
            self.bodies = _bodies(kept[-1] if kept else None)
            """Objects of trees that were read or sent before: whoever uses one looks whether it is what its name says."""
            self.scan = scan(folder)
        except BaseException:
            os.close(self.fd)
            raise
        self.found = {one.path: one for one in self.scan.found}
        self.shas: dict[str, str] = {}
        self._know(self.scan.found)
        self._left = tuple(one.path for one in self.scan.left)

    def _know(self, found: Iterable[Found]) -> None:
        for one in found:
            if one.kind in FILES:
                sha = EMPTY if not one.size else self._cache.get(one)
                if isinstance(sha, str):
                    self.shas[one.path] = sha

    def base(self, name: str, *, force: bool) -> Root | None:
        """The state that the folder last agreed with; None where it is not marked. Raises UsageError where it belongs elsewhere."""
        mark, session = self.mark, self._session
        if mark is None:
            return None
        elsewhere = (mark.store, mark.project) != (session.url, session.project)
        if not force and (elsewhere or mark.workspace != name):
            raise belongs_elsewhere(mark, self.path, elsewhere, f"the project {session.project} in {session.url}" if elsewhere else name)
        return _root(mark, self.path)

    def unknown(self, path: str) -> bool:
        """Whether something is there that could not be looked at."""
        return any(path == one or path.startswith(one + "/") for one in self._left)

    def track(self, rows: Mapping[str, Entry]) -> None:
        """Find also what rules leave out but a tree has: rules are for what no tree has yet."""
        new = [one for path in rows if path not in self.found and not self.unknown(path) and (one := folders.look(self.fd, path))]
        self.found.update((one.path, one) for one in new)
        self._know(new)

    def hash(self, paths: Iterable[str]) -> Op[None]:
        """Know the SHA-256 of these files. Raises WindlassError where one changed since the scan."""
        new = [self.found[path] for path in paths if path not in self.shas]
        self.shas.update((yield from folders.hashes(self.fd, new)))

    def compare(self, before: Mapping[str, Entry], after: Mapping[str, Entry], paths: Iterable[str] | None = None) -> Op[Sides]:
        """The folder beside two trees. Of `paths` (None: all) files are read where their size does not tell that they are unlike both."""
        yield from self.hash(
            path
            for path in (self.found if paths is None else paths)
            if (one := self.found.get(path)) is not None
            and one.kind in FILES
            and any((row := rows.get(path)) is not None and row.size == one.size for rows in (before, after))
        )
        return Sides(
            before=states_of(before),
            after=states_of(after),
            here=states_here(self.found, self.shas),
            rows=after,
            found=self.found,
            unknown=self.unknown,
        )

    def send(self, under: Upload, head: Snapshot) -> Op[tuple[Root, dict[str, Entry], dict[str, bytes]]]:
        """Send what `head` does not hold: the new tree, what is in it, and the bytes of its objects by name."""
        by_sha = head.by_sha
        entries = {path: EMPTY_FOLDER if row.kind is Kind.FOLDER else row for path, row in head.rows.items() if self.unknown(path)}
        new: list[Found] = []
        for path, one in self.found.items():
            if one.kind == "folder":
                entries[path] = EMPTY_FOLDER
            elif one.kind == "link":
                entries[path] = link_entry(one.target)
            elif blob := _blob(self.shas.get(path, ""), head.rows.get(path), by_sha):
                entries[path] = file_entry(blob, executable=one.kind == "exec")
            else:
                new.append(one)
        sent = yield from sending.send(under, folders.items_of(self.fd, new), by_sha)
        for path, entry in sent.items():
            blob = _blob(entry.sha, head.rows.get(path), {}) or entry.blob  # where it was: the same files make the same tree
            entries[path] = file_entry(blob, executable=entry.kind is Kind.EXEC)
            self.shas[path] = entry.sha
        bodies: dict[str, bytes] = {}
        root, _ = yield from trees.write(under, entries, head.known, bodies)
        return Root.of(root), entries, bodies

    def agree(self, workspace: Workspace, bodies: Mapping[str, bytes]) -> None:
        """Note that the folder holds this state of the workspace, and keep what was learned."""
        agree(self._session, self.path, workspace)
        self.keep(bodies)

    def keep(self, bodies: Mapping[str, bytes]) -> None:
        """Keep for the next look what was learned of files, and the objects of a tree."""
        keep(self._cache, {path: self.found[path] for path in self.shas}, self.shas, bodies)

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)


def cache_of(session: Session, folder: str) -> Cache:
    """What is known of a folder's files."""
    return Cache(session.settings.cache_dir, f"{session.url}\n{session.project}", folder)


def keep(cache: Cache, found: Mapping[str, Found], shas: Mapping[str, str], bodies: Mapping[str, bytes]) -> None:
    """Keep for the next look the SHA-256 of files, and the objects of a tree."""
    entries = {path: known(one, shas[path]) for path, one in found.items()}
    cache.save({**entries, "": known(_NO_FILE, {name: body.decode() for name, body in bodies.items()})})


def _bodies(kept: object) -> dict[str, bytes]:
    if not isinstance(kept, dict):
        return {}
    return {name: body.encode() for name, body in kept.items() if isinstance(name, str) and isinstance(body, str)}


def _blob(sha: str, row: Entry | None, by_sha: Mapping[str, Blob]) -> Blob | None:
    """Where a file's content lies already; None: send it."""
    if sha == EMPTY:
        return Blob(sha=EMPTY, size=0)
    if sha and row is not None and row.sha == sha:
        return row.blob
    return by_sha.get(sha)


def _root(mark: Mark, folder: str) -> Root:
    """The state of the workspace that a mark tells of. Raises Damaged."""
    tree, files, size = mark.base.get("tree"), mark.base.get("files"), mark.base.get("bytes")
    if isinstance(tree, str) and (not tree or is_blob_name(tree)) and isinstance(files, int) and isinstance(size, int):
        return Root(tree=tree, files=files, bytes=size)
    error = Damaged(f"{folder.rstrip('/')}/.windlass-workspace", "its base names no tree")
    error.hint = "remove it, then pull the workspace into the folder again; files that differ are named, not overwritten"
    raise error


def agree(session: Session, folder: str, workspace: Workspace) -> None:
    """Mark a folder as holding this state of a workspace. Raises WindlassError."""
    root = workspace.root
    base = {"tree": root.tree, "files": root.files, "bytes": root.bytes, "seq": workspace.seq}
    marks.write(folder, Mark(store=session.url, project=session.project, workspace=workspace.name, base=base))


def belongs_elsewhere(mark: Mark, folder: str, elsewhere: bool, name: str) -> UsageError:
    """The error of a folder that belongs to another workspace, or to one of another store or project."""
    of = f" of the project {mark.project[:128]} in {mark.store[:500]}" if elsewhere else ""
    return UsageError(
        f"{folder} belongs to the workspace {mark.workspace[:128]}{of}, not to {name}",
        "see --project and --store; or bind it anew: windlass workspace push or pull with --force"
        if elsewhere
        else f"name another folder, or bind this one to {name}: --force",
        folder=folder,
    )
