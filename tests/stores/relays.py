"""What may stand between a client and its store on real networks: something that ends TLS, and a proxy. On loopback only."""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from socketserver import BaseServer

HOP = ("connection", "proxy-connection", "keep-alive", "transfer-encoding")


class Certificates(NamedTuple):
    """Paths of PEM files: an authority that nobody knows, and a certificate of its making for 127.0.0.1 with its key."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Skips the test where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (folder / "ca.cnf").write_text(
        "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN=Test CA\n"
        "[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
    )
    (folder / "leaf.cnf").write_text("[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nCN=127.0.0.1\n")
    (folder / "leaf.ext").write_text("basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -sha256 -days 2 -config ca.cnf -keyout ca.key -out ca.pem",
        "req -new -newkey rsa:2048 -nodes -sha256 -config leaf.cnf -keyout leaf.key -out leaf.csr",
        "x509 -req -sha256 -days 2 -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 2 -extfile leaf.ext -out leaf.pem",
    ):
        done = subprocess.run([openssl, *command.split()], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    return Certificates(authority=folder / "ca.pem", certificate=folder / "leaf.pem", key=folder / "leaf.key")


def pump(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until one side has no more, or both are idle for long."""
    while True:
        pending = isinstance(one, ssl.SSLSocket) and one.pending()
        ready = [one] if pending else select.select([one, other], [], [], 10)[0]
        if not ready:
            return
        for side in ready:
            try:
                data = side.recv(65536)
            except OSError:
                return
            if not data:
                return
            (other if side is one else one).sendall(data)


class _Served:
    """A server on a free port, on threads of its own."""

    def __init__(self, server: BaseServer) -> None:
        self.server = server
        self.port: int = server.server_address[1]  # type: ignore[index, assignment]
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class TlsRelay(_Served):
    """Ends TLS and passes everything on to a port in clear."""

    def __init__(self, certificates: Certificates, target: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                try:
                    with (
                        context.wrap_socket(self.request, server_side=True) as near,
                        socket.create_connection(("127.0.0.1", target)) as far,
                    ):
                        pump(near, far)
                except OSError:  # a client that does not trust us hangs up
                    pass

        class Server(ThreadingTCPServer):
            daemon_threads = True

        super().__init__(Server(("127.0.0.1", 0), Handler))
        self.endpoint = f"https://127.0.0.1:{self.port}"


class Proxy(_Served):
    """Forwards requests with a full address, and tunnels by CONNECT; `seen` holds each as "METHOD target". With `status`, refuses all."""

    def __init__(self, status: int = 0) -> None:
        self.seen: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Quiet."""

            def refused(self) -> bool:
                proxy.seen.append(f"{self.command} {self.path}")
                if not status:
                    return False
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                return True

            def do_CONNECT(self) -> None:
                self.close_connection = True
                if self.refused():
                    return
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port))) as far:
                    self.send_response(200)
                    self.end_headers()
                    pump(self.connection, far)

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.refused():
                    return
                target = urlsplit(self.path)
                far = HTTPConnection(target.hostname or "", target.port, timeout=10)
                kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                far.request(self.command, target._replace(scheme="", netloc="").geturl(), body, kept)
                answer = far.getresponse()
                content = answer.read()
                far.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in (*HOP, "content-length"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        for method in ("GET", "PUT", "HEAD", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.forward)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        super().__init__(server)
        self.url = f"http://127.0.0.1:{self.port}"


class SlowLine(_Served):
    """A line to an HTTP server that carries so many bytes a second each way, for each connection."""

    def __init__(self, target: int, rate: int) -> None:
        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", target)) as server:
                    back = threading.Thread(target=crawl, args=(server, self.request, rate), daemon=True)
                    back.start()
                    crawl(self.request, server, rate)
                    back.join(10)

        class Server(ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        super().__init__(Server(("127.0.0.1", 0), Handler))
        self.url = f"http://127.0.0.1:{self.port}"


def crawl(one: socket.socket, other: socket.socket, rate: int) -> None:
    """Pass bytes on one way, twenty times a second."""
    try:
        while data := one.recv(rate // 20):
            other.sendall(data)
            time.sleep(len(data) / rate)
        other.shutdown(socket.SHUT_WR)
    except OSError:  # one of both has gone
        return
