"""HTTP/1.1 messages as they are on the wire: read whole, passed on byte by byte. For proxies, which must change nothing unasked."""

from __future__ import annotations

import select
import socket
import struct
from urllib.parse import parse_qs, unquote

from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 65536
"""Bytes read at once."""
MAX_HEAD = 65536
"""Bytes: no head of a message is longer."""
REASONS = {
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Slow Down",
    504: "Gateway Timeout",
}


class Broken(Exception):
    """The other side hung up in the middle, or what it sent is no HTTP/1.1."""


class Head(Record):
    """The start line and the header lines of a message, as bytes and taken apart."""

    raw: bytes
    start: tuple[str, str, str]
    """Of a request: method, target, version. Of an answer: version, status, reason."""
    fields: tuple[tuple[str, str], ...]
    """Names in lower case, in the order that they came in."""

    def get(self, name: str) -> str:
        """The values of a header, joined; empty where there is none."""
        return ", ".join(value for known, value in self.fields if known == name)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.get("transfer-encoding").lower().endswith("chunked")

    @property
    def length(self) -> int | None:
        """Bytes of the body; None where that is not said. Raises Broken."""
        text = self.get("content-length")
        if not text:
            return None
        if not (text.isascii() and text.isdigit()):
            raise Broken(f"Content-Length: {text}")
        return int(text)

    @property
    def closes(self) -> bool:
        """Whether the connection ends after this message."""
        return "close" in self.get("connection").lower() or "HTTP/1.0" in self.start

    def without(self, *names: str) -> Head:
        """The same head with some headers left out."""
        start, *lines = self.raw[:-4].split(b"\r\n")
        kept = [line for line in lines if line.partition(b":")[0].strip().lower().decode("latin-1") not in names]
        return parse_head(b"\r\n".join([start, *kept]) + b"\r\n\r\n")


class Request(Record):
    """A request, whole: its body as on the wire, in chunks where it came in chunks."""

    head: Head
    body: bytes
    kind: str
    """"get", "head", "put", "delete" or "post" of an object, "list", or "other" (of the bucket)."""
    key: str
    """The object's key, or the prefix that is listed."""

    @property
    def method(self) -> str:
        """As it was sent."""
        return self.head.start[0]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.head.start[1].partition("?")[0]


def parse_head(raw: bytes) -> Head:
    """A head, which ends with an empty line. Raises Broken."""
    start, *lines = raw[:-4].decode("latin-1").split("\r\n")
    parts = start.split(" ", 2)
    if len(parts) < 2 or not any(part.startswith("HTTP/1.") for part in parts):
        raise Broken(f"no HTTP/1.1: {start[:60]!r}")
    fields = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    return Head(raw=raw, start=(parts[0], parts[1], parts[2] if len(parts) > 2 else ""), fields=fields)


def sort_out(method: str, target: str) -> tuple[str, str]:
    """The kind of an S3 request and its key or prefix. The bucket stands in the path, as it does with every server on loopback."""
    path, _, query = target.partition("?")
    key = unquote(path).lstrip("/").partition("/")[2]
    asked = parse_qs(query, keep_blank_values=True)
    if method == "GET" and not key and ("list-type" in asked or not asked or "prefix" in asked):
        return "list", asked.get("prefix", [""])[0]
    return (method.lower() if key and method in ("GET", "HEAD", "PUT", "DELETE", "POST") else "other"), key


class Answer:
    """An answer whose head has come; `pieces` passes the body on while it comes."""

    def __init__(self, head: Head, wire: Wire, method: str) -> None:
        self.head = head
        self.status = int(head.start[1])
        self.bodiless = method == "HEAD" or self.status in (204, 304)
        self._wire = wire

    @property
    def closes(self) -> bool:
        """Whether nothing more can come on that connection."""
        return self.head.closes or not (self.bodiless or self.head.chunked or self.head.length is not None)

    def pieces(self) -> Iterator[bytes]:
        """The body as on the wire. Raises Broken."""
        if not self.bodiless:
            yield from self._wire.body(self.head, to_the_end=self.closes)

    def content(self) -> bytes:
        """The whole body, out of its chunks. Raises Broken."""
        raw = b"".join(self.pieces())
        return _joined(raw) if self.head.chunked and raw else raw


class Wire:
    """One end of a connection. Its owner closes it; `wake` may come from another thread."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stream = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        self._sock.sendall(data)

    def request(self) -> Request | None:
        """The next request, with its body; None where no more comes. Raises Broken, OSError."""
        head = self._head()
        if head is None:
            return None
        method, target, _ = head.start
        if head.get("expect").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        kind, key = sort_out(method, target)
        return Request(head=head, body=b"".join(self.body(head)), kind=kind, key=key)

    def answer(self, method: str) -> Answer:
        """The next answer that is more than "go on". Raises Broken, OSError."""
        while True:
            head = self._head()
            if head is None:
                raise Broken("no answer came")
            if not head.start[1].isdigit():
                raise Broken(f"no HTTP status: {head.start[1][:20]!r}")
            if not head.start[1].startswith("1"):
                return Answer(head, self, method)

    def body(self, head: Head, *, to_the_end: bool = False) -> Iterator[bytes]:
        """The body that belongs to a head, piece by piece as on the wire. Raises Broken, OSError."""
        if head.chunked:
            yield from self._chunks()
        elif head.length is not None:
            yield from self._exactly(head.length)
        elif to_the_end:
            while piece := self._stream.read1(PIECE):
                yield piece

    def over(self) -> bool:
        """Whether the other side has hung up, or sent something that nobody asked for."""
        poll = select.poll()  # select itself takes no file above 1,023
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def wait_until_it_ends(self, seconds: float) -> None:
        """Return when the other side hangs up, or after so many seconds."""
        self._sock.settimeout(seconds)
        try:
            while self._sock.recv(PIECE):
                pass
        except OSError:
            pass

    def wake(self) -> None:
        """End both directions, so that whoever reads from it goes on."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended already
            pass

    def close(self, *, reset: bool = False) -> None:
        """Give the socket back; with a reset, what was sent may never be read."""
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self._sock.close()

    def _line(self) -> bytes:
        line = self._stream.readline(MAX_HEAD)
        if not line.endswith(b"\n"):
            raise Broken("hung up in the middle of a message")
        return line

    def _head(self) -> Head | None:
        raw = self._stream.readline(MAX_HEAD)
        if not raw:
            return None
        while not raw.endswith(b"\r\n\r\n"):
            raw += self._line()
            if len(raw) > MAX_HEAD:
                raise Broken("a head without an end")
        return parse_head(raw)

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._stream.read1(min(length, PIECE))
            if not piece:
                raise Broken("hung up in the middle of a body")
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._line()
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                raise Broken("a chunk without a size") from None
            yield line
            if size == 0:
                break
            yield from self._exactly(size + 2)
        while True:  # trailers
            line = self._line()
            yield line
            if line == b"\r\n":
                return


def _joined(raw: bytes) -> bytes:
    """A body out of its chunks."""
    parts: list[bytes] = []
    while True:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[:size])
        raw = raw[size + 2 :]


def compose(status: int, body: bytes, *fields: tuple[str, str], method: str = "GET") -> bytes:
    """An answer of our own making; to a HEAD it is sent without its body."""
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'OK')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in (*fields, ("Content-Length", str(len(body)))))
    return head.encode("latin-1") + b"\r\n" + (b"" if method == "HEAD" else body)
