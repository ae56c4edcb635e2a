"""Files on their way out of the content store: each object is read once, verified, and written where it belongs."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_large
from windlass.errors import Damaged
from windlass.ops import blobs
from windlass.protocol import keys
from windlass.protocol.blobs import PART, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from windlass.effects import Op
    from windlass.protocol.blobs import Blob

    class Sink(Protocol):
        """Where content goes; its methods are called from several threads, each place of each file once."""

        def have(self, path: str, offset: int, size: int) -> bytes | None:
            """What an earlier attempt left there, for the caller to verify; None for nothing."""

        def write(self, path: str, offset: int, body: bytes) -> None:
            """Keep these bytes of a file. Raises WindlassError."""


def receive(wanted: Mapping[str, Blob], sink: Sink) -> Op[None]:
    """Write all content where it is wanted, by path. Parts that are there already are not read again. Raises Damaged, StoreError."""
    progress = blobs.Progress("receiving", sum(blob.size for blob in wanted.values()))
    objects: dict[str, list[tuple[str, Blob]]] = {}
    for path, blob in wanted.items():
        if blob.size and not blob.in_parts:
            objects.setdefault(blob.name, []).append((path, blob))

    def whole(name: str, files: list[tuple[str, Blob]]) -> Op[None]:
        left = yield from fx.call(lambda: [(path, blob) for path, blob in files if not _there(sink, path, 0, blob.size, blob.sha)])
        if left:
            found = yield from fx.read(keys.blob(name))

            def place() -> None:
                body = blobs.verified(name, found)
                for path, blob in left:
                    sink.write(path, 0, blobs.piece(blob, name, body))

            yield from fx.call(place)
        yield from progress.more(sum(blob.size for _, blob in files))

    few = [one for one in objects.items() if max(blob.size for _, blob in one[1]) > 2**20]
    many = [one for one in objects.items() if max(blob.size for _, blob in one[1]) <= 2**20]
    yield from fx.spread((whole(name, files) for name, files in many), blobs.SMALL_AT_ONCE)
    yield from fx.spread((whole(name, files) for name, files in few), blobs.AT_ONCE)
    for path, blob in wanted.items():
        if blob.in_parts:
            yield from _in_parts(path, blob, sink, progress)


def _there(sink: Sink, path: str, offset: int, size: int, digest: str) -> bool:
    body = sink.have(path, offset, size)
    return body is not None and sha256_large(body) == digest


def _in_parts(path: str, blob: Blob, sink: Sink, progress: blobs.Progress) -> Op[None]:
    names = yield from blobs.parts_of(blob)

    def part(number: int, name: str) -> Op[None]:
        offset = number * PART
        size = min(PART, blob.size - offset)
        if not (yield from fx.call(lambda: _there(sink, path, offset, size, digest_of(name)))):
            found = yield from fx.read(keys.blob(name))

            def place() -> None:
                body = blobs.verified(name, found)
                if len(body) != size:
                    raise Damaged(keys.blob(name), "it is no part of this length")
                sink.write(path, offset, body)

            yield from fx.call(place)
        yield from progress.more(size)

    def parts() -> Iterator[Op[None]]:
        for number, name in enumerate(names):
            yield part(number, name)

    yield from fx.spread(parts(), blobs.AT_ONCE)


def check(wanted: Mapping[str, Blob], each: Callable[[str, Damaged], None]) -> Op[int]:
    """Read and verify all content without keeping it; `each` is told of every damaged object and a path that it breaks. How many bytes
    are well. Raises StoreError other than Damaged.
    """
    progress = blobs.Progress("verifying", sum(blob.size for blob in wanted.values()))
    well: list[int] = []
    objects: dict[str, list[tuple[str, Blob | None, int]]] = {}
    for path, blob in wanted.items():
        try:
            names = yield from blobs.parts_of(blob)
        except Damaged as error:
            each(path, error)
            continue
        for number, name in enumerate(names):
            size = min(PART, blob.size - number * PART)
            objects.setdefault(name, []).append((path, None if blob.in_parts else blob, size))

    def one(name: str, uses: list[tuple[str, Blob | None, int]]) -> Op[None]:
        path = uses[0][0]
        try:
            body = yield from blobs.fetch(name)
            for use in uses:
                path, blob, size = use
                if blob is not None:
                    blobs.piece(blob, name, body)
                elif len(body) != size:
                    raise Damaged(keys.blob(name), "it is no part of this length")
            well.append(len(body))
        except Damaged as error:
            each(path, error)
        yield from progress.more(sum(size for _, _, size in uses))

    yield from fx.spread((one(name, uses) for name, uses in objects.items()), blobs.AT_ONCE)
    return sum(well)
