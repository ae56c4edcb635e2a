"""Answers of an S3 server that is broken, confused or hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.stores.s3_double import Answer, Double, error

if TYPE_CHECKING:
    from tests.stores.s3_double import Seen

SECRET = "s3cr3t-in-an-answer"
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
HEAD = {"etag": '"abc"', "last-modified": DATE}


def listing(*inside: str, more: str = "", prefix: str = "") -> bytes:
    """A page of a listing."""
    truncated = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>"
        if more
        else "<IsTruncated>false</IsTruncated>"
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>{prefix}</Prefix>'
        f"<KeyCount>{len(inside)}</KeyCount><MaxKeys>1000</MaxKeys>{truncated}{''.join(inside)}</ListBucketResult>"
    ).encode("utf-8", "surrogatepass")


def entry(key: str, size: str = "3", etag: str = "&quot;abc&quot;", modified: str = "2026-11-20T12:00:00.000Z") -> str:
    """One object of a listing."""
    return f"<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><ListBucketResult><Name>&j;</Name></ListBucketResult>"
).encode()
XXE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ListBucketResult><Contents><Key>p/demo/steps/&e;</Key></Contents></ListBucketResult>'

LISTS: dict[str, Answer] = {
    "nothing": Answer(200),
    "no XML": Answer(200, b"hello"),
    "half an XML": Answer(200, listing(entry("p/demo/steps/a.json"))[:-40]),
    "another XML": Answer(200, b"<html><body>sign in</body></html>", {"content-type": "text/html"}),
    "an error with 200": Answer(200, error("InternalError")),
    "an entity bomb": Answer(200, BOMB),
    "an entity of a file": Answer(200, XXE),
    "deep XML": Answer(200, b"<a>" * 50_000),
    "NUL": Answer(200, b"\0" * 1000),
    "UTF-16": Answer(200, listing().decode().encode("utf-16")),
    "keys that were not asked for": Answer(200, listing(entry("other/x"), entry("p/demo/steps/a.json"), entry("zzz"), entry("q"))),
    "keys that climb": Answer(
        200, listing(entry("p/demo/steps/../../../x.json"), entry("../x"), entry("/etc/passwd"), entry("p//x"), entry("p/./x"))
    ),
    "keys with signs": Answer(
        200,
        listing(
            entry("p/demo/steps/a\x7f.json"),
            entry("p/demo/steps/\u202e.json"),
            entry("p/demo/steps/%1b[2J.json"),
            entry("p/demo/steps/&#10;.json"),
        ),
    ),
    "an empty key": Answer(200, listing(entry(""))),
    "a long key": Answer(200, listing(entry("p/demo/steps/" + "a" * 100_000))),
    "keys out of order": Answer(200, listing(entry("p/demo/steps/z.json"), entry("p/demo/steps/a.json"), entry("p/demo/steps/m.json"))),
    "a key twice": Answer(200, listing(*[entry("p/demo/steps/a.json")] * 3)),
    "a negative size": Answer(200, listing(entry("p/demo/steps/a.json", size="-1"))),
    "a huge size": Answer(200, listing(entry("p/demo/steps/a.json", size="9" * 40))),
    "a size that is none": Answer(200, listing(entry("p/demo/steps/a.json", size="x"))),
    "no ETag": Answer(200, listing(entry("p/demo/steps/a.json", etag=""))),
    "an odd ETag": Answer(200, listing(entry("p/demo/steps/a.json", etag='W/"a\nb"'))),
    "an odd time": Answer(200, listing(entry("p/demo/steps/a.json", modified="yesterday"))),
    "a time of another age": Answer(200, listing(entry("p/demo/steps/a.json", modified="0001-01-01T00:00:00.000Z"))),
    "a time to come": Answer(200, listing(entry("p/demo/steps/a.json", modified="9999-12-31T23:59:59.999Z"))),
    "an empty time": Answer(200, listing(entry("p/demo/steps/a.json", modified=""))),
    "the same page for ever": Answer(200, listing(entry("p/demo/steps/a.json"), more="again")),
    "empty pages for ever": Answer(200, listing(more="again")),
    "foreign pages for ever": Answer(200, listing(entry("a"), more="again")),
    "more without a token": Answer(200, listing(entry("p/demo/steps/a.json")).replace(b"false", b"true")),
    "a wrong length": Answer(200, listing(), {"content-length": "100000"}),
    "a negative length": Answer(200, listing(), {"content-length": "-5"}),
    "a length that is none": Answer(200, listing(), {"content-length": "many"}),
    "a huge header": Answer(200, listing(), {"x-odd": "a" * 300_000}),
    "many headers": Answer(200, listing(), {f"x-{n}": "a" for n in range(500)}),
    "a redirect to another host": Answer(307, b"", {"location": "http://127.0.0.1:9/elsewhere"}),
    "a redirect in a circle": Answer(307, b"", {"location": "/bucket"}),
    "a redirect to a file": Answer(302, b"", {"location": "file:///etc/passwd"}),
    "a redirect to nowhere": Answer(301, b""),
    "a status that is none": Answer(999, b""),
    "status 100": Answer(204, b""),
    "a refusal with signs": Answer(403, error("\x1b[2J", f"<Region>\x1b]0;x\x07</Region><Token>{SECRET}</Token>")),
    "a refusal of a million letters": Answer(400, b"x" * 1_000_000),
    "nonsense compressed": Answer(200, b"\x1f\x8b\x08nonsense", {"content-encoding": "gzip"}),
    "a hang-up": Answer(0, hang_up=True),
    "a reset": Answer(0, reset=True),
}
"""To a LIST."""

GETS: dict[str, Answer] = {
    **{
        name: LISTS[name]
        for name in (
            "nothing",
            "an error with 200",
            "a redirect to another host",
            "a redirect in a circle",
            "a redirect to a file",
            "a status that is none",
            "status 100",
            "a refusal with signs",
            "a hang-up",
            "a reset",
        )
    },
    "no ETag": Answer(200, b"{}", {"last-modified": DATE}),
    "an empty ETag": Answer(200, b"{}", {**HEAD, "etag": ""}),
    "quotes alone as ETag": Answer(200, b"{}", {**HEAD, "etag": '""'}),
    "a weak ETag": Answer(200, b"{}", {**HEAD, "etag": 'W/"abc"'}),
    "an ETag with signs": Answer(200, b"{}", {**HEAD, "etag": '"\x1b[2J"'}),
    "a long ETag": Answer(200, b"{}", {**HEAD, "etag": '"' + "a" * 100_000 + '"'}),
    "an ETag that is no ASCII": Answer(200, b"{}", {**HEAD, "etag": '"\xe9\xff"'}),
    "no time": Answer(200, b"{}", {"etag": '"abc"'}),
    "an odd time": Answer(200, b"{}", {**HEAD, "last-modified": "yesterday"}),
    "a time of another age": Answer(200, b"{}", {**HEAD, "last-modified": "Mon, 01 Jan 0001 00:00:00 GMT"}),
    "a time far to come": Answer(200, b"{}", {**HEAD, "last-modified": "Fri, 31 Dec 9999 23:59:59 GMT"}),
    "a shorter body": Answer(200, b"{}", {**HEAD, "content-length": "5000"}),
    "a longer body": Answer(200, b"{}" * 50, {**HEAD, "content-length": "2"}),
    "a negative length": Answer(200, b"{}", {**HEAD, "content-length": "-1"}),
    "a length of exabytes": Answer(200, b"{}", {**HEAD, "content-length": "9" * 18}),
    "304 unasked": Answer(304, b"", HEAD),
    "206 unasked": Answer(206, b"{}", {**HEAD, "content-range": "bytes 0-1/99999999999"}),
    "an odd range": Answer(206, b"{}", {**HEAD, "content-range": "nonsense"}),
    "a large body": Answer(200, b"x" * (5 * 1024 * 1024), HEAD),
    "a 404 without a word": Answer(404, b"", {}),
    "a 404 of a proxy": Answer(404, b"<html>no such page</html>", {"content-type": "text/html"}),
    "a 404 of another bucket": Answer(404, error("NoSuchBucket")),
    "a 404 with signs": Answer(404, error("NoSuchKey\x1b[2J")),
}
"""To a GET."""

PUTS: dict[str, Answer] = {
    **{
        name: LISTS[name]
        for name in (
            "an error with 200",
            "a redirect to another host",
            "a redirect in a circle",
            "a status that is none",
            "status 100",
            "a refusal with signs",
            "a hang-up",
            "a reset",
        )
    },
    "no ETag": Answer(200),
    "an empty ETag": Answer(200, b"", {"etag": ""}),
    "an ETag with signs": Answer(200, b"", {"etag": '"\x1b[2J\x7f"'}),
    "a weak ETag": Answer(200, b"", {"etag": 'W/"abc"'}),
    "412 without a word": Answer(412),
    "409 without a word": Answer(409),
    "412 in HTML": Answer(412, b"<html></html>"),
    "404 without a word": Answer(404),
    "304": Answer(304),
    "a clock that is off": Answer(
        403, error("RequestTimeTooSkewed", "<ServerTime>nonsense</ServerTime><RequestTime>9999-99-99</RequestTime>")
    ),
    "a clock that is off by ages": Answer(
        403, error("RequestTimeTooSkewed", "<ServerTime>0001-01-01T00:00:00Z</ServerTime><RequestTime>9999-12-31T23:59:59Z</RequestTime>")
    ),
    "500": Answer(500, error("InternalError")),
    "429": Answer(429),
}
"""To a PUT."""


class Server(Double):
    """Answers all requests of a kind with one answer; `most` requests, then it hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.to: dict[str, Answer] = {}
        self.most = 100_000
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is none of its business

    def be(self, **answers: Answer) -> Server:
        """What to answer to `list`, `get`, `put`, `head` and `delete` from now on."""
        self.to, self.seen = answers, []
        return self

    def decide(self, seen: Seen) -> Answer:
        kind = "list" if seen.method == "GET" and "list-type=2" in seen.path else seen.method.lower()
        if len(self.seen) > self.most:
            return Answer(0, hang_up=True)
        return self.to.get(
            kind,
            Answer(200, listing())
            if kind == "list"
            else Answer(404, error("NoSuchKey"))
            if kind in ("get", "head")
            else Answer(200, b"", {"etag": '"new"'}),
        )
