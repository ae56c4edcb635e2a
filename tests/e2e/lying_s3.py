"""A small S3 server that lies in one way: "ignores" conditions, wants ETags "unquoted", or is "honest"."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Kept(NamedTuple):
    body: bytes
    etag: str
    modified: float


class LyingS3:
    """Serves on loopback until `close`; `rules` is its lifecycle configuration, `skew` seconds that its clock is ahead."""

    def __init__(self, mode: str, rules: str = "", skew: float = 0.0) -> None:
        self.mode = mode
        self.rules = rules
        self.skew = skew
        self.objects: dict[str, Kept] = {}
        self.lock = threading.Lock()
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def refuse(self, status: int, code: str) -> None:
                self.answer(status, f"<Error><Code>{code}</Code></Error>".encode(), content_type="application/xml")

            def key(self) -> str:
                return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                with liar.lock:
                    now = liar.objects.get(self.key())
                    if liar.mode != "ignores" and not self.allowed(now):
                        self.refuse(412, "PreconditionFailed")
                        return
                    etag = md5(body + str(time.time_ns()).encode()).hexdigest()
                    liar.objects[self.key()] = Kept(body, etag, time.time() + liar.skew)
                self.answer(200, ETag=f'"{etag}"')

            def allowed(self, now: Kept | None) -> bool:
                wanted = self.headers.get("if-match")
                if self.headers.get("if-none-match") == "*":
                    return now is None
                if wanted is None:
                    return True
                return now is not None and wanted == (now.etag if liar.mode == "unquoted" else f'"{now.etag}"')

            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
                if "lifecycle" in query:
                    if liar.rules:
                        self.answer(200, liar.rules.encode())
                    else:
                        self.refuse(404, "NoSuchLifecycleConfiguration")
                elif "list-type" in query:
                    self.list(query)
                else:
                    found = liar.objects.get(self.key())
                    if found is None:
                        self.refuse(404, "NoSuchKey")
                    else:
                        self.answer(200, found.body, ETag=f'"{found.etag}"', last_modified=formatdate(found.modified, usegmt=True))

            def list(self, query: dict[str, str]) -> None:
                prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
                after = max(query.get("start-after", ""), query.get("continuation-token", ""))
                most = int(query.get("max-keys", "1000"))
                with liar.lock:
                    every = sorted(liar.objects.items())
                keys = [(key, kept) for key, kept in every if key.startswith(prefix) and key > after]
                inner = {key: key[len(prefix) :] for key, _ in keys}
                folded = {key for key, rest in inner.items() if delimiter and delimiter in rest}
                folders = sorted({prefix + inner[key].split(delimiter)[0] + delimiter for key in folded})
                shown = [(key, kept) for key, kept in keys if key not in folded]
                more = len(shown) > most
                parts = [
                    f"<Contents><Key>{key}</Key><LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(kept.modified))}"
                    f'</LastModified><ETag>"{kept.etag}"</ETag><Size>{len(kept.body)}</Size></Contents>'
                    for key, kept in shown[:most]
                ]
                parts += [f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders]
                token = f"<NextContinuationToken>{shown[most - 1][0]}</NextContinuationToken>" if more else ""
                head = f"<Name>b</Name><Prefix>{prefix}</Prefix><KeyCount>{len(parts)}</KeyCount><MaxKeys>{most}</MaxKeys>"
                body = f"<ListBucketResult>{head}<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(parts)}</ListBucketResult>"
                self.answer(200, body.encode(), content_type="application/xml")

            def do_DELETE(self) -> None:
                liar.objects.pop(self.key(), None)
                self.answer(204)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"s3://bucket/agents?endpoint=http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
