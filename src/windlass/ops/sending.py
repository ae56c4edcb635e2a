"""Files on their way into the content store: what is known stays where it is, small ones go together, large ones in parts."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_large
from windlass.errors import WindlassError
from windlass.ops import blobs
from windlass.protocol.blobs import EMPTY, PACKED, PART, Blob
from windlass.protocol.trees import Entry, Kind, file_entry, link_entry
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.blobs import Source
    from windlass.ops.pending import Upload


class Item(Record):
    """Something to be sent: a file, an executable one, a link with its `target`, or an empty folder.

    `size` as it was seen. `load` reads a file up to PART bytes whole, `open` gives a larger one's parts; both raise where it changed since.
    """

    path: str
    kind: Kind
    size: int = 0
    target: str = ""
    load: Callable[[], bytes] = lambda: b""
    open: Callable[[], Source] | None = None


def send(under: Upload, items: Sequence[Item], by_sha: Mapping[str, Blob]) -> Op[dict[str, Entry]]:
    """Send what is not there; the entry of each item by its path. `by_sha`: content that is there to stay. Raises as `blobs.upload`."""
    progress = blobs.Progress("sending", sum(item.size for item in items))
    found: dict[str, Blob] = {}
    small = [item for item in items if _is_file(item) and 0 < item.size <= PACKED]
    digests = yield from _digests(small)
    new = [(digest, item) for digest, item in zip(digests, small, strict=True) if digest not in by_sha]
    if len({digest for digest, _ in new}) >= blobs.FEW:
        sent = yield from blobs.pack(under, [(digest, item.size, _checked(item, digest)) for digest, item in new], progress)
    else:
        sent = yield from _each(under, new, progress)
    for digest, item in zip(digests, small, strict=True):
        found[item.path] = by_sha.get(digest) or sent[digest]

    def whole(item: Item) -> Op[None]:
        body, digest = yield from fx.call(lambda: blobs.hashed(item.load()))
        known = by_sha.get(digest)
        found[item.path] = known or Blob(sha=digest, size=len(body), name=(yield from blobs.keep(under, digest, lambda: body)))
        yield from progress.more(len(body))

    middle = [item for item in items if _is_file(item) and PACKED < item.size <= PART]
    yield from fx.spread(map(whole, middle), blobs.AT_ONCE)
    for item in items:
        if _is_file(item) and item.size > PART:
            assert item.open is not None
            source = yield from fx.call(item.open)
            try:
                found[item.path] = yield from blobs.upload(under, source, progress)
            finally:
                source.close()
    return {item.path: _entry(item, found.get(item.path)) for item in items}


def _is_file(item: Item) -> bool:
    return item.kind in (Kind.FILE, Kind.EXEC)


def _entry(item: Item, blob: Blob | None) -> Entry:
    if item.kind is Kind.LINK:
        return link_entry(item.target)
    if item.kind is Kind.FOLDER:
        return Entry(kind=Kind.FOLDER, files=0)
    return file_entry(blob or Blob(sha=EMPTY, size=0), executable=item.kind is Kind.EXEC)


def _digests(items: Sequence[Item]) -> Op[list[str]]:
    """The SHA-256 of small files, hashed a hundred at a time side by side: one at a time would cost more than the hashing."""

    def some(start: int) -> Op[list[str]]:
        return fx.call(lambda: [sha256_large(item.load()) for item in items[start : start + 100]])

    return [digest for each in (yield from fx.spread(map(some, range(0, len(items), 100)), 4)) for digest in each]


def _checked(item: Item, digest: str) -> Callable[[], bytes]:
    """Reads a file that was hashed before. Raises where it changed since."""

    def load() -> bytes:
        body = item.load()
        if sha256_large(body) != digest:
            raise WindlassError(f"{item.path} changed while it was read", "run it again when nobody writes it", path=item.path)
        return body

    return load


def _each(under: Upload, new: Sequence[tuple[str, Item]], progress: blobs.Progress) -> Op[dict[str, Blob]]:
    """Few small files: an object each."""
    out: dict[str, Blob] = {}

    def one(digest: str, item: Item) -> Op[None]:
        name = yield from blobs.keep(under, digest, _checked(item, digest))
        out[digest] = Blob(sha=digest, size=item.size, name=name)
        yield from progress.more(item.size)

    first = dict(new)
    yield from fx.spread((one(digest, item) for digest, item in first.items()), blobs.SMALL_AT_ONCE)
    return out
