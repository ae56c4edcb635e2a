"""The content store: blobs are found or sent, each once, and verified whenever they are read.

Content larger than one object is sent in parts, side by side. A part that is there already, from a killed upload or from
anybody's, is found and not sent.
"""

from __future__ import annotations

from _thread import allocate_lock

from windlass import effects as fx
from windlass.digest import sha256_large
from windlass.errors import Damaged, PutRefused, PutUnclear, Unavailable, UsageError, WindlassError
from windlass.ops import pending
from windlass.ops.registers import RESEND
from windlass.protocol import keys
from windlass.protocol.blobs import EMPTY, MAX_PARTS, PACK, PACKED, PART, Blob, Index, blob_name, digest_of, epoch_of
from windlass.protocol.codec import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from windlass.effects import Op
    from windlass.ops.pending import Upload

    class Source(Protocol):
        """Content to be sent, in parts of PART bytes."""

        @property
        def size(self) -> int | None:
            """Bytes; None where that is known only at the end."""

        def read(self, number: int) -> bytes:
            """Part `number`; where there is no size, in order. Nothing beyond the end."""
            ...

        def close(self) -> None:
            """Give it back."""


AT_ONCE = 8
"""Parts under way: each takes twice PART bytes of memory."""
SMALL_AT_ONCE = 32
"""Small objects under way."""
EPOCHS = 8
"""Objects looked for with one content. A store answers with whatever comes next; one not seen is sent again."""
FEW = 16
"""From so many new small files on they are packed: one by one they would cost a request each."""


def find(upload: Upload, digest: str) -> Op[str | None]:
    """The name of an object with that content, of the newest epoch, that the upload may refer to; None: send it."""
    page = yield from fx.page(keys.blobs(digest), limit=EPOCHS)
    names = [name for entry in page.entries if (name := keys.parse_blob(entry.key)) and upload.trusts(name)]
    return max(names, key=epoch_of, default=None)


def send(upload: Upload, digest: str, body: bytes) -> Op[str]:
    """Create the object with these bytes, or be sure that it is there; its name. Raises StoreError."""
    name = blob_name(digest, upload.epoch)
    key = keys.blob(name)
    put = fx.Put(key=key, body=body, condition=fx.IfAbsent())
    for wait in RESEND:
        if wait:
            yield from fx.sleep(wait)
        try:
            yield put
        except PutUnclear:
            continue  # the same bytes again: whichever attempt lands is right
        except PutRefused:
            page = yield from fx.page(key, limit=1)  # a proxy, or a store in trouble, refuses what stands in nobody's way
            if any(entry.key == key for entry in page.entries):
                return name
            continue
        return name
    raise Unavailable(f"the store did not take {key}", "run it again: what was sent before is found again")


def keep(upload: Upload, digest: str, load: Callable[[], bytes]) -> Op[str]:
    """The name of an object with that content, found or sent; `load` reads it where it must be sent. Raises Lost, StoreError."""
    yield from pending.alive(upload)
    name = yield from find(upload, digest)
    return name if name is not None else (yield from send(upload, digest, (yield from fx.call(load))))


class Progress:
    """How many bytes of how many, told as they come; of several threads."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._lock = allocate_lock()

    def more(self, size: int) -> Op[None]:
        """So many bytes are done."""
        with self._lock:
            self.done += size
            done = self.done
        yield fx.Tell(what=self.what, done=done, total=self.total, unit="B")


class _Pieces:
    """The parts of a source, each taken once and in order, whichever thread asks, and the SHA-256 of all."""

    def __init__(self, source: Source) -> None:
        from hashlib import sha256

        self._source, self._lock = source, allocate_lock()
        self._whole = sha256(usedforsecurity=False)
        self._ended = False
        self.size = self.taken = 0

    def take(self) -> tuple[int, bytes, str] | None:
        """Number, bytes and SHA-256 of the next one, or None after the last."""
        with self._lock:
            body = b"" if self._ended else self._source.read(self.taken)
            self._ended = len(body) < PART
            if not body:
                return None
            number = self.taken
            if number >= MAX_PARTS:
                raise UsageError(f"the content has more than {MAX_PARTS * PART // 2**30} GiB", "split it into several files")
            self.taken += 1
            self.size += len(body)
            self._whole.update(body)
        return number, body, sha256_large(body)

    @property
    def more(self) -> bool:
        """Whether it may be worth while to take one."""
        return not self._ended

    def digest(self) -> str:
        """The SHA-256 of all that was taken."""
        return self._whole.hexdigest()


def upload(under: Upload, source: Source, progress: Progress) -> Op[Blob]:
    """Send content of any size, as far as it is not there. Raises UsageError, StoreError and what `source` raises."""
    pieces = _Pieces(source)
    names: dict[int, str] = {}

    def part() -> Op[None]:
        taken = yield from fx.call(pieces.take)
        if taken is None:
            return
        number, body, digest = taken
        names[number] = yield from keep(under, digest, lambda: body)
        yield from progress.more(len(body))

    def parts() -> Iterator[Op[None]]:
        while pieces.more:
            yield part()

    yield from fx.spread(parts(), AT_ONCE)
    if source.size is not None and pieces.size != source.size:
        raise WindlassError("the file changed while it was read", "run it again when nobody writes it")
    if not names:
        return Blob(sha=EMPTY, size=0)
    if len(names) == 1:
        return Blob(sha=pieces.digest(), size=pieces.size, name=names[0])
    index = encode(Index(size=pieces.size, parts=tuple(names[number] for number in range(len(names)))))
    name = yield from keep(under, sha256_large(index), lambda: index)
    return Blob(sha=pieces.digest(), size=pieces.size, name=name)


def pack(under: Upload, files: Sequence[tuple[str, int, Callable[[], bytes]]], progress: Progress) -> Op[dict[str, Blob]]:
    """Send small files (SHA-256, size up to PACKED, how to read it) together; where each lies, by its SHA-256.

    The same files in the same order make the same packs, so those of a killed upload are found again. Raises as `upload`.
    """
    packs: list[list[tuple[str, int, Callable[[], bytes]]]] = []
    room = 0
    for one in {digest: (digest, size, load) for digest, size, load in files}.values():
        assert 0 < one[1] <= PACKED
        if one[1] > room:
            packs.append([])
            room = PACK
        packs[-1].append(one)
        room -= one[1]
    blobs: dict[str, Blob] = {}

    def together(some: list[tuple[str, int, Callable[[], bytes]]]) -> Op[None]:
        body, whole = yield from fx.call(lambda: hashed(b"".join(load() for _, _, load in some)))
        name = yield from keep(under, whole, lambda: body)
        offset = 0
        for digest, size, _ in some:
            blobs[digest] = Blob(sha=digest, size=size, name=name, offset=offset)
            offset += size
        yield from progress.more(len(body))

    yield from fx.spread(map(together, packs), AT_ONCE)
    return blobs


def hashed(body: bytes) -> tuple[bytes, str]:
    """Bytes with their SHA-256: worked out where it may block."""
    return body, sha256_large(body)


def verified(name: str, found: fx.Object | None) -> bytes:
    """An object's bytes. Raises Damaged where it is not there or not what it was named after."""
    key = keys.blob(name)
    if found is None:
        raise Damaged(key, "it is missing")
    if sha256_large(found.body) != digest_of(name):
        raise Damaged(key, "its bytes are not those that it was named after")
    return found.body


def fetch(name: str) -> Op[bytes]:
    """An object's bytes, verified. Raises Damaged, StoreError."""
    found = yield from fx.read(keys.blob(name))
    return (yield from fx.call(lambda: verified(name, found)))


def fetch_all(names: Sequence[str]) -> Op[list[bytes]]:
    """Several small objects, verified, 32 requests in flight. Raises the first error met: Damaged, StoreError."""
    out: list[bytes] = []
    for start in range(0, len(names), SMALL_AT_ONCE):
        some = names[start : start + SMALL_AT_ONCE]
        out += map(verified, some, (yield from fx.gather_reads([keys.blob(name) for name in some])))
    return out


def parts_of(blob: Blob) -> Op[tuple[str, ...]]:
    """The objects that hold some content, in order: all of PART bytes but the last. None of an empty one. Raises Damaged."""
    if not blob.in_parts:
        return (blob.name,) if blob.size else ()
    key = keys.blob(blob.name)
    index = decode(Index, key, (yield from fetch(blob.name)))
    if index.size != blob.size:
        raise Damaged(key, "it is an index of other content")
    return index.parts


def piece(blob: Blob, name: str, body: bytes) -> bytes:
    """What an object (`body`) holds of some content that is not in parts. Raises Damaged."""
    found = body if blob.offset is None else body[blob.offset : blob.offset + blob.size]
    if len(found) != blob.size or (blob.offset is not None and sha256_large(found) != blob.sha):
        raise Damaged(keys.blob(name), "a file that should lie in it does not")
    return found


def read(blob: Blob) -> Op[bytes]:
    """Content up to PART bytes, whole. Raises Damaged, StoreError."""
    assert not blob.in_parts
    return b"" if not blob.size else piece(blob, blob.name, (yield from fetch(blob.name)))
