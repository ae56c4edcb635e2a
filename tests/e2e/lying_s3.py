"""A small S3 server over any store, above all over one that lies."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from windlass.effects import Always, Entry, IfAbsent, IfMatch, Unchanged
from windlass.errors import AccessDenied, PutRefused, StoreError
from windlass.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.effects import Condition
    from windlass.stores.base import Store


class LyingS3:
    """Serves `lie(an honest store)` on loopback until `close`; `objects` has what really is there.

    `rules` is its lifecycle configuration, `skew` seconds that its clock is ahead, `bare` that it takes ETags without quotes only.
    """

    def __init__(
        self, lie: Callable[[Store], Store] = lambda store: store, rules: str = "", skew: float = 0.0, *, bare: bool = False
    ) -> None:
        self._honest = MemoryStore(clock=lambda: time.time() + skew)
        self._store = lie(self._honest)
        self._rules = rules
        self._bare = bare
        s3 = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are sent apart

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def carry_out(self, work: Callable[[str, dict[str, str]], None]) -> None:
                parts = urlsplit(self.path)
                key = unquote(parts.path).lstrip("/").partition("/")[2]
                query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                try:
                    work(key, query)
                except PutRefused:
                    self.refuse(412, "PreconditionFailed")
                except AccessDenied:
                    self.refuse(403, "AccessDenied")
                except StoreError:
                    self.refuse(501, "NotImplemented")

            def refuse(self, status: int, code: str) -> None:
                self.answer(status, f"<Error><Code>{code}</Code></Error>".encode(), content_type="application/xml")

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                self.carry_out(lambda key, query: self.answer(200, ETag=f'"{s3._store.put(key, body, self.condition())}"'))

            def condition(self) -> Condition:
                wanted = self.headers.get("if-match")
                if self.headers.get("if-none-match") == "*":
                    return IfAbsent()
                if wanted is None:
                    return Always()
                return IfMatch(version=wanted if s3._bare else wanted.strip('"') if wanted.startswith('"') else f"no quotes: {wanted}")

            def do_GET(self) -> None:
                self.carry_out(self.look)

            def look(self, key: str, query: dict[str, str]) -> None:
                if "lifecycle" in query:
                    if s3._rules:
                        self.answer(200, s3._rules.encode())
                    else:
                        self.refuse(404, "NoSuchLifecycleConfiguration")
                    return
                if "list-type" in query:
                    self.answer(200, s3._listing(query), content_type="application/xml")
                    return
                unless = self.headers.get("if-none-match")
                found = s3._store.get(key, unless.strip('"') if unless else None)
                if found is None:
                    self.refuse(404, "NoSuchKey")
                elif isinstance(found, Unchanged):
                    self.answer(304)
                else:
                    self.answer(200, found.body, ETag=f'"{found.version}"', last_modified=formatdate(found.modified, usegmt=True))

            def do_DELETE(self) -> None:
                def remove(key: str, query: dict[str, str]) -> None:
                    s3._store.delete(key)
                    self.answer(204)

                self.carry_out(remove)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"s3://bucket/agents?endpoint=http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def objects(self) -> list[str]:
        """The keys that really are there."""
        return [entry.key for entry in self._honest.list("").entries]

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix, most = query.get("prefix", ""), int(query.get("max-keys", "1000"))
        after = query.get("continuation-token") or query.get("start-after", "")
        folders: tuple[str, ...] = ()
        page = self._store.list(prefix, after, most)
        entries, more = page.entries, page.more
        if query.get("delimiter"):
            folders = self._store.folders(prefix)
            entries, more = tuple(entry for entry in entries if "/" not in entry.key[len(prefix) :]), None
        parts = [_contents(entry) for entry in entries]
        parts += [f"<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>" for name in folders]
        token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        head = f"<Name>bucket</Name><Prefix>{prefix}</Prefix><KeyCount>{len(parts)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        cut = "true" if more else "false"
        return f"<ListBucketResult>{head}<IsTruncated>{cut}</IsTruncated>{token}{''.join(parts)}</ListBucketResult>".encode()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def _contents(entry: Entry) -> str:
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(entry.modified))
    etag = f'<ETag>"{entry.version}"</ETag>' if entry.version else ""
    return f"<Contents><Key>{entry.key}</Key><LastModified>{modified}</LastModified>{etag}<Size>{entry.size}</Size></Contents>"
