"""An HTTP proxy in front of an S3 server that fails on purpose, for tests of any S3 client.

    python -m windlass.testing.proxy http://127.0.0.1:9000 --odds lose_answer=0.1,503=0.05 --delay 0.03 --seed 7

prints its own address, to be used as the client's endpoint, and at Ctrl-C what went wrong on the way. Path-style addresses only.
Every byte is passed on unchanged, the Host header too, since signatures cover it: a server that checks signatures must accept the
proxy's host and port. What a lie changes is no longer as signed, so that lies need a server that does not check.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections import deque
from random import Random
from threading import Condition, Event, Lock, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from windlass.errors import UsageError
from windlass.testing.troubles import ONLY_FOR, XML, Trouble, cut_xml, refusal, seeded, shorten
from windlass.testing.wire import Answer, Broken, Request, Wire, compose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self


KEPT = 1000
"""Entries of the log, and answers remembered for stale reads."""
SMALL = 1 << 20
"""Bytes: larger bodies are not remembered."""


class Entry(NamedTuple):
    """One request as it went: seconds since 1970, and the status that the client was sent (0 where none was)."""

    time: float
    method: str
    kind: str
    key: str
    trouble: str
    """Empty where all went well."""
    status: int


class Proxy:
    """Serves on loopback from its making until `close`. `plan(kind, key)` decides about each request and may be swapped at any time.

    Kinds: "get", "head", "put", "delete", "post" of an object, "list"; requests about a bucket always go well.
    `delay`: seconds that every request takes longer. `fired` counts by trouble. Raises UsageError for targets that are not http://.
    """

    def __init__(
        self,
        target: str,
        odds: Mapping[str, float] = {},
        seed: int = 0,
        delay: float = 0.0,
        *,
        port: int = 0,
        hold: float = 1.0,
        lateness: float | None = 1.0,
        patience: float = 60.0,
    ) -> None:
        place = urlsplit(target)
        if place.scheme != "http" or not place.hostname or place.path.strip("/"):
            raise UsageError(f"{target} is no address of an S3 server", "write it as http://127.0.0.1:9000")
        self._target = (place.hostname, place.port or 80)
        self._random = Random(seed)
        self.plan = seeded(self._random, odds)
        self.delay = delay
        self.hold = hold
        """Seconds of DELAY_REQUEST."""
        self.lateness = lateness
        """Seconds at most of LATE; None: only `land_late` lets them land."""
        self.patience = patience
        """Seconds that a hanging request hangs, and that the server has for an answer."""
        self.fired: dict[str, int] = {trouble.value: 0 for trouble in Trouble}
        self.landed_late = 0
        """Late requests that reached the server."""
        self.never_landed = 0
        """Late requests that were still on their way at `close`."""
        self.log: deque[Entry] = deque(maxlen=KEPT)
        self._closing = Event()
        self._lock = Lock()
        self._wires: set[Wire] = set()
        self._late: list[tuple[float, Request]] = []
        self._due = Condition(self._lock)
        self._seen: dict[str, tuple[str, bytes]] = {}
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._listener.settimeout(0.5)
        self._threads = [self._start(self._deliver)]
        self._accepting = self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def set_odds(self, odds: Mapping[str, float]) -> None:
        """Draw with other odds from now on. Raises UsageError."""
        self.plan = seeded(self._random, odds)

    def land_late(self, most: int | None = None) -> list[str]:
        """Let late requests (the oldest `most`, or all) reach the server now; the keys of those that it accepted."""
        with self._lock:
            cut = len(self._late) if most is None else most
            due, self._late = self._late[:cut], self._late[cut:]
        return [request.key for _, request in due if self._land(request)]

    def close(self) -> None:
        """Hang up on everybody and end all threads. Late requests never land then."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self.never_landed += len(self._late)
            self._late = []
            self._due.notify_all()
            for wire in self._wires:
                wire.wake()
        try:  # so that accept returns
            socket.create_connection(self._listener.getsockname(), 1).close()
        except OSError:
            pass
        self._accepting.join()
        for thread in self._threads:  # no more are started
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: object) -> Thread:
        thread = Thread(target=work, args=args, name="windlass-proxy", daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            near.settimeout(None)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(self._start(self._serve, near))

    def _open(self, sock: socket.socket) -> Wire:
        wire = Wire(sock)
        with self._lock:
            self._wires.add(wire)
            if self._closing.is_set():
                wire.wake()
        return wire

    def _shut(self, wire: Wire, *, reset: bool = False) -> None:
        with self._lock:
            self._wires.discard(wire)
            wire.close(reset=reset)

    def _serve(self, sock: socket.socket) -> None:
        near, far = self._open(sock), _Far(self)
        reset = False
        try:
            while request := near.request():
                exchange = _Exchange(self, request, near, far)
                if not exchange.carry_out():
                    reset = exchange.reset
                    break
        except (Broken, OSError):  # the client hung up
            pass
        finally:
            far.close()
            self._shut(near, reset=reset)

    def _decide(self, request: Request) -> Trouble | None:
        if request.kind == "other":
            return None
        trouble = self.plan(request.kind, request.key)
        return trouble if trouble is not None and request.kind in ONLY_FOR.get(trouble, (request.kind,)) else None

    def _note(self, request: Request, trouble: Trouble | None, status: int) -> None:
        with self._lock:
            if trouble is not None:
                self.fired[trouble.value] += 1
            name = "" if trouble is None else trouble.value
            self.log.append(Entry(time.time(), request.method, request.kind, request.key, name, status))

    def _remember(self, request: Request, etag: str, answer: bytes) -> None:
        """For stale reads."""
        with self._lock:
            self._seen.pop(request.path, None)
            self._seen[request.path] = (etag, answer)
            if len(self._seen) > KEPT:
                del self._seen[next(iter(self._seen))]

    def _remembered(self, request: Request) -> tuple[str, bytes]:
        with self._lock:
            return self._seen.get(request.path, ("", b""))

    def _keep_for_later(self, request: Request) -> None:
        with self._lock:
            wait = float("inf") if self.lateness is None else self._random.uniform(0, self.lateness)
            self._late.append((time.monotonic() + wait, request))
            self._due.notify_all()

    def _deliver(self) -> None:
        """Let late requests land when they are due."""
        while True:
            with self._lock:
                if self._closing.is_set():
                    return
                now = time.monotonic()
                due = [request for at, request in self._late if at <= now]
                self._late = [(at, request) for at, request in self._late if at > now]
                if not due:
                    soonest = min((at for at, _ in self._late), default=float("inf"))
                    self._due.wait(None if soonest == float("inf") else soonest - now)
            for request in due:
                self._land(request)

    def _land(self, request: Request) -> bool:
        far = _Far(self)
        try:
            answer = far.send(request)
            answer.content()
        except (Broken, OSError):
            with self._lock:
                self.never_landed += 1
            return False
        finally:
            far.close()
        with self._lock:
            self.landed_late += 1
            self.log.append(Entry(time.time(), request.method, request.kind, request.key, "landed late", answer.status))
        return answer.status < 300


class _Far:
    """The connection to the server that belongs to one client's connection; opened when it is needed."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._wire: Wire | None = None

    def send(self, request: Request) -> Answer:
        """Send a request once; its answer, of which only the head was read. Raises Broken, OSError."""
        if self._wire is not None and self._wire.over():
            self.close()
        if self._wire is None:
            sock = socket.create_connection(self._proxy._target, self._proxy.patience)
            self._wire = self._proxy._open(sock)
        self._wire.send(request.head.raw + request.body)
        return self._wire.answer(request.method)

    def close(self) -> None:
        if self._wire is not None:
            self._proxy._shut(self._wire)
            self._wire = None


class _Exchange:
    """One request on its way, with what goes wrong."""

    def __init__(self, proxy: Proxy, request: Request, near: Wire, far: _Far) -> None:
        self.proxy = proxy
        self.request = request
        self.near = near
        self.far = far
        self.trouble = proxy._decide(request)
        self.told = False
        """Whether it is known, and noted, what the client is told."""
        self.reset = False
        """End the client's connection by a TCP reset."""

    def carry_out(self) -> bool:
        """Whether the client's connection goes on. Raises Broken, OSError where the client is gone."""
        try:
            return self._before_it_is_sent() and self._to_the_server()
        finally:
            if not self.told:
                self._told(0)

    def _before_it_is_sent(self) -> bool:
        proxy, trouble = self.proxy, self.trouble
        if trouble is Trouble.DELAY_REQUEST:
            proxy._closing.wait(proxy.hold)
        if proxy.delay:
            proxy._closing.wait(proxy.delay)
        if trouble is Trouble.LATE:
            proxy._keep_for_later(self.request)
        elif trouble is Trouble.HANG:
            self.near.wait_until_it_ends(proxy.patience)
        return trouble not in (Trouble.DROP, Trouble.LATE, Trouble.HANG) and not proxy._closing.is_set()

    def _to_the_server(self) -> bool:
        trouble, request = self.trouble, self.request
        if trouble is not None and trouble.value.isdigit():
            return self._tell(*refusal(int(trouble.value)))
        if trouble is Trouble.STALE_READS:
            return self._answer_as_before()
        if trouble is Trouble.STRIP_CONDITIONS:
            request = request.but(head=request.head.without("if-match", "if-none-match"))
            if request.head == self.request.head:
                self.trouble = None
        done = False
        try:
            answer = self.far.send(request)
            if trouble is Trouble.DUPLICATE:
                self._finish(answer)
                answer = self.far.send(request)
            done = self._pass_on(answer)
        except (Broken, OSError):  # whichever side is gone, the other one is told the same way
            pass
        finally:
            if not done:  # what else comes from there belongs to nothing any more
                self.far.close()
        return done

    def _pass_on(self, answer: Answer) -> bool:
        trouble = self.trouble
        if trouble in (Trouble.LOSE_ANSWER, Trouble.HANG_AFTER):
            self._finish(answer)
            if trouble is Trouble.HANG_AFTER:
                self.near.wait_until_it_ends(self.proxy.patience)
            return False
        if trouble is not None and trouble.value.endswith("_after"):
            self._finish(answer)
            return self._tell(*refusal(int(trouble.value[:3])))
        if trouble in (Trouble.CUT, Trouble.RESET):
            head, body = answer.head.raw, b"".join(answer.pieces())
            whole, part = (head + body, len(head) + len(body) // 2) if body else (head, len(head) // 2)
            self._told(0)
            self.near.send(whole[:part])
            self.reset = trouble is Trouble.RESET
            return False
        if trouble in (Trouble.TRUNCATE_LIST, Trouble.SHORTEN_LIST):
            if answer.status == 200:
                change = cut_xml if trouble is Trouble.TRUNCATE_LIST else shorten
                return self._tell(200, change(self._finish(answer)), ("Content-Type", "application/xml"))
            self.trouble = None
        self._stream(answer)
        return not answer.closes and not self.request.head.closes

    def _finish(self, answer: Answer) -> bytes:
        """Read an answer to its end; its body."""
        body = answer.content()
        if answer.closes:
            self.far.close()
        return body

    def _stream(self, answer: Answer) -> None:
        keep = self.request.kind == "get" and answer.status == 200 and 0 <= (answer.head.length or 0) <= SMALL
        self._told(answer.status)
        waiting, body = answer.head.raw, b""
        for piece in answer.pieces():
            self.near.send(waiting + piece)
            waiting = b""
            keep = keep and len(body) <= SMALL
            if keep:
                body += piece
        if waiting:
            self.near.send(waiting)
        if keep and not self.request.head.get("range") and not answer.closes:
            self.proxy._remember(self.request, answer.head.get("etag"), answer.head.raw + body)

    def _answer_as_before(self) -> bool:
        etag, answer = self.proxy._remembered(self.request)
        if not answer:
            return self._tell(404, XML.format("NoSuchKey").encode(), ("Content-Type", "application/xml"))
        if etag and etag == self.request.head.get("if-none-match"):
            return self._tell(304, b"", ("ETag", etag))
        self._told(200)
        self.near.send(answer)
        return not self.request.head.closes

    def _tell(self, status: int, body: bytes, *fields: tuple[str, str]) -> bool:
        """Answer in the server's place."""
        self._told(status)
        self.near.send(compose(status, body, *fields, method=self.request.method))
        return not self.request.head.closes

    def _told(self, status: int) -> None:
        """Note how it went, before the client can know."""
        self.told = True
        self.proxy._note(self.request, self.trouble, status)


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="python -m windlass.testing.proxy", description="a proxy in front of an S3 server that fails on purpose")
    parser.add_argument("target", help="the server: http://127.0.0.1:9000")
    parser.add_argument("--odds", default="", help=f"TROUBLE=ODDS,… of: {', '.join(one.value for one in Trouble)}")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="how much longer every request takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="where to serve; a free port where not given")
    given = parser.parse_args(arguments)
    try:
        odds = {name: float(chance) for name, _, chance in (one.partition("=") for one in given.odds.split(",") if one)}
        proxy = Proxy(given.target, odds, given.seed, given.delay, port=given.port)
    except (UsageError, ValueError) as error:
        parser.error(f"{error}; {getattr(error, 'hint', 'write the odds as lose_answer=0.1,503=0.05')}")
    over = Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: over.set())
    with proxy:
        sys.stdout.write(f"{proxy.url}\n")
        sys.stdout.flush()
        over.wait()
    for name, count in proxy.fired.items():
        if count:
            sys.stdout.write(f"{count:8} {name}\n")
    sys.stdout.write(f"{proxy.landed_late:8} landed late, {proxy.never_landed} never\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
