"""The artifacts of a project: files and folders go in and come out, versions are looked at."""

from __future__ import annotations

import os

from windlass import effects as fx
from windlass.errors import UsageError
from windlass.ops import artifacts, blobs, lineage, receiving, trees
from windlass.ops.artifacts import left_in
from windlass.project.calls import Awaiting, Blocking, acting, looking
from windlass.project.uploads import upload
from windlass.protocol.artifacts import Published, Ref, parse_ref
from windlass.protocol.blobs import PART
from windlass.protocol.keys import check_name
from windlass.protocol.trees import Kind
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from windlass.effects import Op
    from windlass.files.placing import FileStaging
    from windlass.ops.agents import Actor
    from windlass.ops.artifacts import ArtifactListed
    from windlass.ops.lineage import Checked, Lineage
    from windlass.protocol.blobs import Blob
    from windlass.protocol.trees import Entry

__all__ = ["ArtifactsPart", "AsyncArtifactsPart", "Downloaded", "left_in", "reference", "reference_to"]

MAX_READ = 64 * 1024 * 1024
"""Bytes of an artifact that is read into memory as a whole."""


class Downloaded(Record):
    """Where a version was put, and what it is."""

    path: str
    ref: Ref
    artifact: Published


def _ref(ref: str | Ref, step: str = "") -> Ref:
    return ref if isinstance(ref, Ref) else parse_ref(ref, step)


def reference(name: str, step: str) -> Ref:
    """The artifact of that name, of a step or (empty) of none."""
    return Ref(step=step, name=name)


def reference_to(ref: str, step: str = "") -> Ref:
    """What a text such as `STEP/NAME@3` stands for. Raises UsageError."""
    return parse_ref(ref, step)


class _FileSink:
    """The parts of one file, in its staging place."""

    def __init__(self, staging: FileStaging) -> None:
        self._staging = staging

    def have(self, path: str, offset: int, size: int) -> bytes | None:
        return self._staging.have(offset // PART, size)

    def write(self, path: str, offset: int, body: bytes) -> None:
        self._staging.write(offset // PART, body)


def _download(
    ref: str, to: str | os.PathLike[str] | None = None, *, step: str = "", force: bool = False, links: str = "inside"
) -> Op[Downloaded]:
    """Put a version (`NAME`, `NAME@N`, `STEP/NAME@N`) into a file or folder: verified, whole or not at all; a killed one is gone on with.

    `to`: by default its name; with a slash at the end, the folder that it is put into. Never over something unless `force`. `links`:
    "all" allows symbolic links that lead out of a folder. Raises Damaged naming the object, NotFound, UsageError, TimedOut where
    another process downloads the same to there.
    """
    if links not in ("inside", "all"):
        raise UsageError(f"{links!r} says nothing of links", 'use "inside" or "all"')
    where = _ref(ref, step)
    found = yield from artifacts.show(where)
    target = os.fspath(to) if to is not None else where.name
    if target.endswith("/") and to is not None:
        target += where.name
    entry = found.entry
    if entry.kind is Kind.FOLDER:
        yield from _folder_to(entry, target, force, outside=links == "all")
    elif entry.kind is Kind.LINK:
        raise UsageError(f"{where} is a symbolic link by itself", f"look at it: windlass artifact show {where}")
    else:
        yield from _file_to(entry, target, force)
    return Downloaded(path=target, ref=where.but(version=found.version), artifact=found)


def _file_to(entry: Entry, target: str, force: bool) -> Op[None]:
    from windlass.files.placing import FileStaging

    staging = yield from fx.call(lambda: FileStaging(target, entry.sha, force=force))
    try:
        yield from fx.call(lambda: staging.open_file(entry.size))
        yield from receiving.receive({target: entry.blob}, _FileSink(staging))
        yield from fx.call(lambda: staging.publish(exec=entry.kind is Kind.EXEC))
    finally:
        staging.close()


def _folder_to(entry: Entry, target: str, force: bool, *, outside: bool) -> Op[None]:
    from windlass.files.folders import FolderStaging
    from windlass.project.folders import fill

    everything = (yield from trees.walk(entry.name)) if entry.name else {}
    ident = entry.name.partition(".")[0] or "0" * 64
    staging = yield from fx.call(lambda: FolderStaging(target, ident, force=force, outside=outside))
    try:
        yield from fx.call(staging.open_folder)
        yield from fill(staging, everything)
        yield from fx.call(staging.publish)
    finally:
        staging.close()


def _stream(ref: str, file: BinaryIO, *, step: str = "") -> Op[Published]:
    """Write a version's content, a file, to an open file, part by part in order. Each part is verified before it is written; where one is
    damaged, those before it have been written. Raises Damaged, NotFound, UsageError for a folder.
    """
    where = _ref(ref, step)
    found = yield from artifacts.show(where)
    blob = _content_of(found, where)

    def write(body: bytes) -> None:
        file.write(body)

    yield from _in_order(blob, write)
    return found


def _content_of(found: Published, where: Ref) -> Blob:
    if found.entry.kind not in (Kind.FILE, Kind.EXEC):
        raise UsageError(f"{where} is a folder", "download it to a path")
    return found.entry.blob


def _in_order(blob: Blob, write: Callable[[bytes], None]) -> Op[None]:
    if not blob.in_parts:
        body = yield from blobs.read(blob)
        yield from fx.call(lambda: write(body))
        return
    progress = blobs.Progress("receiving", blob.size)
    names = yield from blobs.parts_of(blob)
    for start in range(0, len(names), blobs.AT_ONCE):
        bodies = yield from fx.spread(_fetched(names[start : start + blobs.AT_ONCE]), blobs.AT_ONCE)
        while bodies:  # each is let go of as soon as it is written
            size = len(bodies[0])
            yield from fx.call(lambda bodies=bodies: write(bodies.pop(0)))  # type: ignore[misc]
            yield from progress.more(size)


def _fetched(names: Sequence[str]) -> Iterator[Op[bytes]]:
    return (blobs.fetch(name) for name in names)


def _read(ref: str, *, step: str = "") -> Op[bytes]:
    """A version's content, a file of up to 64 MiB. Raises Damaged, NotFound, UsageError for a folder or a larger file."""
    where = _ref(ref, step)
    found = yield from artifacts.show(where)
    blob = _content_of(found, where)
    if blob.size > MAX_READ:
        raise UsageError(f"{where} has {blob.size:,} bytes, at most {MAX_READ:,} are read at once", "download it to a file")
    out: list[bytes] = []
    yield from _in_order(blob, out.append)
    return b"".join(out)


def _show(ref: str, *, step: str = "") -> Op[Published]:
    """One version, the current one where none is named. Raises NotFound, Damaged, Moved."""
    return (yield from artifacts.show(_ref(ref, step)))


def _list(step: str | None = None) -> Op[list[ArtifactListed]]:
    """The current versions, those of one `step`, or all: costs a look at all steps. Damaged ones say why. Raises NotFound, Moved."""
    return (yield from artifacts.list_(check_name(step, "step") if step is not None else None))


def _history(ref: str, limit: int = 20, *, step: str = "") -> Op[list[Published]]:
    """The newest versions, newest first. Versions before the `first` of the newest were deleted. Raises NotFound, Damaged, Moved."""
    return (yield from artifacts.history(_ref(ref, step).bare, limit))


def _lineage(ref: str, *, step: str = "", forth: bool = True) -> Op[Lineage]:
    """What a version was made from and, with `forth`, what was made from it, over any number of versions: at most a thousand each way.

    Back costs a read or two for each; forth reads every version of every artifact. Raises NotFound, Damaged, Moved.
    """
    return (yield from lineage.lineage(_ref(ref, step), forth=forth))


def _verify(refs: Sequence[str] = (), *, step: str | None = None) -> Op[Checked]:
    """Read and verify all content of these artifacts, or of the current versions of all (of a `step`). Raises NotFound, StoreError."""
    if isinstance(refs, str):
        raise UsageError("refs is one text, not a list", f'write: ["{refs}"]')
    return (yield from lineage.verify([_ref(one, step or "") for one in refs], step))


def _delete(actor: Actor, ref: str, *, step: str = "") -> Op[Published]:
    """Delete an artifact with all its versions; who deleted it stays on record. A step's not while somebody else holds the step.

    What nothing else refers to is freed by gc. Raises NotFound, ClaimLost, Moved.
    """
    return (yield from artifacts.delete(actor, _ref(ref, step)))


class _Calls:
    upload = acting(upload, '>>> p.artifacts.upload("dist/app.tar.gz", step="build", inputs=["schema@2"]).ref.version\n1')
    download = looking(_download, '>>> p.artifacts.download("schema@1", "old.json").path\n\'old.json\'')
    stream = looking(_stream, '>>> with open("copy", "wb") as file:\n...     p.artifacts.stream("schema@2", file).size\n2')
    read = looking(_read, ">>> p.artifacts.read(\"schema\")\nb'{}'")
    show = looking(_show, '>>> p.artifacts.show("schema").version\n2')
    list = looking(_list, ">>> [str(one.ref) for one in p.artifacts.list()]\n['schema']")
    history = looking(_history, '>>> [one.version for one in p.artifacts.history("schema")]\n[2, 1]')
    lineage = looking(_lineage, '>>> p.artifacts.lineage("schema@2").edges\n()')
    verify = looking(_verify, ">>> p.artifacts.verify().damaged\n()")
    delete = acting(_delete, '>>> p.artifacts.delete("schema").version\n3')


class ArtifactsPart(_Calls, Blocking):
    """`project.artifacts`, blocking."""


class AsyncArtifactsPart(_Calls, Awaiting):
    """`project.artifacts`, for async programs: as `ArtifactsPart`, awaited."""
