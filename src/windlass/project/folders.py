"""Between the user's folders and the content store: what a scan found as things to send, what a tree holds as files in place."""

from __future__ import annotations

import os
from _thread import allocate_lock
from hashlib import sha256

from windlass import effects as fx
from windlass.errors import UsageError
from windlass.files.paths import check_path, leads_out, open_folder
from windlass.files.scan import found_at
from windlass.files.source import FileSource, read_file
from windlass.ops import receiving
from windlass.ops.sending import Item
from windlass.protocol.blobs import PACKED, PART
from windlass.protocol.trees import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windlass.effects import Op
    from windlass.files.folders import FolderStaging
    from windlass.files.scan import Found
    from windlass.protocol.blobs import Blob
    from windlass.protocol.trees import Entry

SOME = 100
"""Small files hashed or placed at a time."""


def items_of(root: int, found: Iterable[Found]) -> list[Item]:
    """Things of a scan, to be sent; `root` is the folder's descriptor, open until they are."""
    return [_item(root, one) for one in found]


def _item(root: int, found: Found) -> Item:
    kind = Kind(found.kind)
    if kind in (Kind.LINK, Kind.FOLDER):
        return Item(path=found.path, kind=kind, target=found.target)
    if found.size > PART:
        return Item(path=found.path, kind=kind, size=found.size, open=lambda: FileSource.of(root, found))
    return Item(path=found.path, kind=kind, size=found.size, load=lambda: read_file(root, found))


def hashes(root: int, files: Iterable[Found]) -> Op[dict[str, str]]:
    """The SHA-256 of files of a scan, by path. Raises WindlassError where one changed since."""
    small: list[Found] = []
    large: list[Found] = []
    for one in files:
        (small if one.size <= PACKED else large).append(one)
    out: dict[str, str] = {}

    def some(start: int) -> Op[None]:
        out.update((yield from fx.call(lambda: {one.path: _sha(read_file(root, one)) for one in small[start : start + SOME]})))

    def whole(one: Found) -> Op[None]:
        out[one.path] = yield from fx.call(lambda: _hash(root, one))

    yield from fx.spread(map(some, range(0, len(small), SOME)), 4)
    yield from fx.spread(map(whole, large), 4)
    return out


def _sha(body: bytes) -> str:
    return sha256(body, usedforsecurity=False).hexdigest()


def _hash(root: int, found: Found) -> str:
    whole = sha256(usedforsecurity=False)
    with FileSource.of(root, found) as source:
        number = 0
        while body := source.read(number):
            whole.update(body)
            number += 1
    return whole.hexdigest()


def look(root: int, path: str) -> Found | None:
    """What lies at one path below a folder's descriptor, through no link; None for nothing, or nothing that a tree holds."""
    *folders, name = check_path(path)
    try:
        folder = open_folder(root, folders)
    except OSError:
        return None
    try:
        return found_at(name, folder, path)
    except OSError:
        return None
    finally:
        os.close(folder)


class _Sink:
    """Writes what is received into a staging folder; small files as a whole, large ones one after the other in parts."""

    def __init__(self, staging: FolderStaging, files: Mapping[str, Entry]) -> None:
        self._staging, self._files = staging, files
        self._lock = allocate_lock()
        self._large = ""

    def have(self, path: str, offset: int, size: int) -> bytes | None:
        entry = self._files[path]
        if entry.blob.in_parts:
            self._begin(path, entry)
            return self._staging.have(path, offset, size)
        body = self._staging.left(path, size)
        if body is None or _sha(body) != entry.sha:
            return None
        self.write(path, offset, body)
        return body

    def write(self, path: str, offset: int, body: bytes) -> None:
        entry = self._files[path]
        if entry.blob.in_parts:
            self._begin(path, entry)
            self._staging.write(path, offset, body)
        else:
            self._staging.put_file(path, body, exec=entry.kind is Kind.EXEC)

    def _begin(self, path: str, entry: Entry) -> None:
        with self._lock:
            if self._large == path:
                return
            self._end()
            self._staging.add_file(path, entry.size, exec=entry.kind is Kind.EXEC)
            self._large = path

    def _end(self) -> None:
        if self._large:
            self._staging.finish_file(self._large)
            self._large = ""

    def close(self) -> None:
        """All was received."""
        with self._lock:
            self._end()


def check_links(entries: Mapping[str, Entry], outside: bool) -> None:
    """Raises UsageError for a link that could lead out of its folder, unless that is allowed: before anything is fetched."""
    for path, entry in entries.items():
        if entry.kind is Kind.LINK and not outside and leads_out(path, entry.target):
            raise UsageError(
                f"the link {path} could lead out of the folder: {entry.target}", "allow it with --links all, if you trust its author"
            )


def fill(staging: FolderStaging, entries: Mapping[str, Entry]) -> Op[None]:
    """Write all that a tree holds, by path, into a staging folder that is open, verified. What a killed try left is not read again.

    Raises Damaged, UsageError for a link that could lead out, StoreError. Nothing is in place until the staging is published.
    """
    yield from fx.call(lambda: _add_all_but_content(staging, entries))
    files = {path: entry for path, entry in entries.items() if entry.size and entry.kind in (Kind.FILE, Kind.EXEC)}
    sink = _Sink(staging, files)
    wanted: dict[str, Blob] = {path: entry.blob for path, entry in files.items()}
    yield from receiving.receive(wanted, sink)
    yield from fx.call(sink.close)


def _add_all_but_content(staging: FolderStaging, entries: Mapping[str, Entry]) -> None:
    for path, entry in entries.items():
        if entry.kind is Kind.FOLDER:
            staging.add_folder(path)
        elif entry.kind is Kind.LINK:
            staging.add_link(path, entry.target)
        elif not entry.size:
            staging.put_file(path, b"", exec=entry.kind is Kind.EXEC)
