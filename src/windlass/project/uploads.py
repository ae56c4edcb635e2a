"""What becomes an artifact: the user's files, folders, bytes and streams, opened, sent and published."""

from __future__ import annotations

import os

from windlass import effects as fx
from windlass.errors import UsageError
from windlass.ops import artifacts, blobs, sending, trees
from windlass.protocol.keys import check_name, is_name
from windlass.protocol.trees import EMPTY_FOLDER, file_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO, TypeAlias

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.artifacts import Draft, Uploaded
    from windlass.ops.blobs import Source
    from windlass.ops.pending import Upload
    from windlass.ops.steps import Changed
    from windlass.protocol.steps import Git, Handoff
    from windlass.protocol.trees import Entry

    What: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"


class _Local:
    """Something of the user's, open to be sent; to be closed."""

    media_type = ""
    left: tuple[tuple[str, str], ...] = ()
    odd: tuple[tuple[str, str], ...] = ()

    def content(self, under: Upload) -> Op[Entry]:
        """Send it."""
        raise NotImplementedError

    def close(self) -> None:
        """Give it back."""
        raise NotImplementedError


class _File(_Local):
    def __init__(self, source: Source, name: str, *, executable: bool = False) -> None:
        self._source, self._executable = source, executable
        self.media_type = media_type_of(name)

    def content(self, under: Upload) -> Op[Entry]:
        blob = yield from blobs.upload(under, self._source, blobs.Progress("sending", self._source.size or 0))
        return file_entry(blob, executable=self._executable)

    def close(self) -> None:
        self._source.close()


class _Folder(_Local):
    media_type = "inode/directory"

    def __init__(self, path: str) -> None:
        from windlass.files.paths import open_root
        from windlass.files.scan import scan

        found = scan(path, ignored=False)
        self._found = found.found
        self.left = tuple((one.path, one.why) for one in found.left)
        self.odd = tuple((one.path, one.why) for one in found.odd)
        self._root = open_root(path)

    def content(self, under: Upload) -> Op[Entry]:
        from windlass.project.folders import items_of

        entries = yield from sending.send(under, items_of(self._root, self._found), {})
        if not entries:
            return EMPTY_FOLDER
        root, _ = yield from trees.write(under, entries)
        return root

    def close(self) -> None:
        os.close(self._root)


def media_type_of(name: str) -> str:
    """By the name's ending, the same on every machine."""
    from mimetypes import MimeTypes

    kind, encoding = MimeTypes().guess_type(name)
    if encoding is not None:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}.get(
            encoding, "application/octet-stream"
        )
    return kind or "application/octet-stream"


def name_of(what: object) -> str:
    """The name that an artifact gets from its path. Raises UsageError where that is no name."""
    if not isinstance(what, (str, os.PathLike)):
        raise UsageError("what is no path has no name of its own", "give one: --name NAME; in Python, name=")
    path = os.path.abspath(os.fspath(what))
    name = os.path.basename(path)
    if is_name(name):
        return name
    near = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in name).lstrip("._-").rstrip(".")[:100]
    raise UsageError(f"{name!r} is no artifact name", f"give another: --name {near or 'NAME'}", name=name)


def _open(what: What, name: str) -> _Local:
    """Raises UsageError where it cannot be read."""
    from windlass.files.source import BytesSource, FileSource, StreamSource

    if isinstance(what, (bytes, bytearray, memoryview)):
        return _File(BytesSource(bytes(what)), name)
    if isinstance(what, (str, os.PathLike)):
        path = os.fspath(what)
        if not isinstance(path, str):
            raise UsageError("a path must be text", "decode it: os.fsdecode(path)")
        if os.path.isdir(path):
            return _Folder(path)
        source = FileSource(path, follow=True)
        return _File(source, name, executable=source.exec)
    if hasattr(what, "read"):
        return _File(StreamSource(what), name)
    raise UsageError("this is neither a path nor bytes nor a file", "pass a path, bytes, or a file opened for reading bytes")


def upload(
    actor: Actor,
    what: What,
    *,
    name: str | None = None,
    step: str = "",
    epoch: int | None = None,
    media_type: str = "",
    meta: Mapping[str, Any] = {},
    inputs: Sequence[str] = (),
    git: Git | None = None,
    command: str = "",
) -> Op[Uploaded]:
    """Publish a file or folder (a path), bytes, or a file object that is read to its end, as a new version of an artifact.

    `name`: by default the path's last part. `step`: published under the agent's claim of it, which `epoch` may name. `inputs`: what it was
    made from, "NAME@N" or "STEP/NAME@N". All of a folder goes along but `.git`. Content that the project has already is not sent.
    Raises ClaimLost, Fenced, NotFound, UsageError, Indeterminate, and WindlassError where a file changes meanwhile.
    """
    if isinstance(inputs, str):
        raise UsageError("inputs is one text, not a list", f'write: inputs=["{inputs}"]')
    named = check_name(name if name is not None else name_of(what), "artifact")
    local = yield from fx.call(lambda: _open(what, named))
    try:
        done = yield from artifacts.upload(
            actor,
            named,
            local.content,
            step=step,
            epoch=epoch,
            media_type=media_type or local.media_type,
            meta=meta,
            inputs=inputs,
            git=git,
            command=command,
        )
    finally:
        local.close()
    return done.but(left=local.left, odd=local.odd)


def finish(
    actor: Actor,
    name: str,
    handoff: Handoff,
    paths: Sequence[str | os.PathLike[str]],
    *,
    git: Git | None = None,
    epoch: int | None = None,
    force: bool = False,
) -> Op[Changed]:
    """Finish a step with these files and folders as its results: sent first, then published by the very write that finishes it."""
    if isinstance(paths, (str, os.PathLike)):
        raise UsageError("artifacts is one path, not a list", f'write: artifacts=["{os.fspath(paths)}"]')
    found: list[_Local] = []
    drafts: list[Draft] = []
    try:
        for path in paths:
            named = name_of(path)
            local = yield from fx.call(lambda path=path, named=named: _open(path, named))  # type: ignore[misc]
            found.append(local)
            drafts.append(artifacts.Draft(name=named, content=local.content, media_type=local.media_type, git=git))
        return (yield from artifacts.finish(actor, name, handoff, drafts, epoch=epoch, force=force))
    finally:
        for local in found:
            local.close()
