"""Raw ends of HTTP connections: a server that answers with given bytes and keeps what it got, and a client that shows every byte."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

OK = b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nContent-Length: 4\r\n\r\nbody'


class Server:
    """Answers each request with what `answer(head, body)` gives; `seen` has each request as it came in, `connections` counts."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes] = lambda head, body: OK) -> None:
        self.answer = answer
        self.seen: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.hang_up = False
        """End each connection after one answer, without saying so."""
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.5)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._closing = False
        self._threads[0].start()

    def heads(self) -> list[bytes]:
        """The start lines of what came in."""
        return [head.partition(b"\r\n")[0] for head, _ in self.seen]

    def close(self) -> None:
        self._closing = True
        try:  # so that accept returns
            socket.create_connection(self._listener.getsockname(), 1).close()
        except OSError:  # it is closed already
            pass
        self._threads[0].join()
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            sock.settimeout(None)
            self.connections += 1
            self._open.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as stream:
            while True:
                try:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        line = stream.readline()
                        if not line:
                            return
                        head += line
                    body = b""
                    lowered = head.lower()
                    if b"transfer-encoding: chunked" in lowered:
                        while not body.endswith(b"\r\n\r\n"):
                            line = stream.readline()
                            if not line:
                                return
                            body += line
                    elif b"content-length:" in lowered:
                        body = stream.read(int(lowered.partition(b"content-length:")[2].split()[0]))
                    with self._lock:
                        self.seen.append((head, body))
                    sock.sendall(self.answer(head, body))
                except OSError:
                    return
                if self.hang_up:
                    return


class Client:
    """One connection to a proxy."""

    def __init__(self, url: str, seconds: float = 10.0) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._sock = socket.create_connection((host, int(port)), seconds)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer where the connection ends before. Raises OSError."""
        data = b""
        while len(data) < size and (piece := self._sock.recv(size - len(data))):
            data += piece
        return data

    def ask(self, request: bytes, size: int = len(OK)) -> bytes:
        """Send a request; so many bytes of the answer, or fewer where the connection ends before. Raises OSError."""
        self.send(request)
        return self.read(size)

    def rest(self) -> bytes:
        """All that still comes. Raises OSError."""
        return self.read(1 << 30)

    def close(self) -> None:
        self._sock.close()
