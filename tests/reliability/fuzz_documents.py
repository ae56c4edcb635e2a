"""Documents of a real project, damaged in every way, under every command that may read them."""

from __future__ import annotations

import copy
import gzip
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from tests.reliability.fuzz_text import NUMBERS, SIGNS, deep, encoded, texts, values

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKING: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("whoami",),
    ("agents",),
    ("log", "--all"),
    ("log",),
    ("step", "list"),
    ("step", "show", "design", "--all"),
    ("step", "show", "build"),
    ("step-status", "build"),
    ("handoff", "design"),
    ("handoff", "review"),
    ("plan", "graph"),
    ("plan", "graph", "--mermaid"),
    ("plan", "export"),
    ("memory", "list"),
    ("memory", "get", "design.api"),
    ("memory", "get", "notes", "--with-meta"),
    ("memory", "history", "design.api"),
    ("memory", "history", "gone"),
    ("inbox",),
    ("inbox", "--all"),
    ("message", "ann:0"),
    ("message", "ann:1"),
    ("message", "_broadcast:0"),
    ("receipts", "ann:1"),
    ("receipts", "_broadcast:0"),
    ("wait-for", "design", "--timeout", "0"),
    ("wait-for", "later", "--timeout", "0"),
    ("artifact", "list"),
    ("artifact", "list", "--step", "held"),
    ("artifact", "show", "report"),
    ("artifact", "show", "report@1"),
    ("artifact", "history", "report"),
    ("artifact", "lineage", "report@1"),
    ("artifact", "lineage", "site", "--graph"),
    ("artifact", "verify"),
    ("artifact", "download", "site", "-o", "out", "--force"),
    ("artifact", "download", "held/log", "-o", "log", "--force"),
    ("workspace", "list"),
    ("workspace", "show", "trial"),
    ("workspace", "checkpoints", "trial"),
    ("workspace", "diff", "trial@v1", "trial-1"),
)
"""Commands that change nothing that others see."""
ACTING: tuple[tuple[str, ...], ...] = (
    ("claim", "free"),
    ("claim", "check"),
    ("claim", "held"),
    ("claim", "build", "--force"),
    ("next",),
    ("next", "--label", "web"),
    ("complete", "held", "--note", "n"),
    ("complete", "held", "--to", "bob"),
    ("release", "held"),
    ("approve", "review", "--force"),
    ("reject", "review", "--note", "no"),
    ("step", "cancel", "free"),
    ("step", "reopen", "design"),
    ("step", "add", "fresh", "--needs", "check"),
    ("step", "edit", "free", "--title", "t", "--needs", "later"),
    ("plan", "apply", "-"),
    ("memory", "set", "design.api", "v"),
    ("memory", "set", "new", "v"),
    ("memory", "delete", "notes"),
    ("send", "bob", "hi"),
    ("send", "_broadcast", "hi", "--id", "k2"),
    ("send", "ann", "r", "--reply-to", "ann:0"),
    ("inbox", "--new"),
    ("inbox", "--wait", "0"),
    ("ack", "ann:0", "ann:1"),
    ("ack", "_broadcast:1"),
    ("beat",),
    ("artifact", "upload", "-", "--name", "report"),
    ("artifact", "upload", "-", "--name", "log", "--step", "held"),
    ("artifact", "upload", "site"),
    ("artifact", "delete", "report"),
    ("complete", "held", "--artifact", "site"),
    ("workspace", "checkpoint", "trial", "--label", "v2"),
    ("workspace", "restore", "trial-1", "v1"),
    ("workspace", "fork", "trial", "-n", "2", "--prefix", "fresh"),
    ("workspace", "merge", "trial-1", "trial"),
    ("workspace", "create", "copy", "--from", "trial@v1"),
    ("workspace", "teardown", "trial-2"),
    ("workspace", "expire"),
)
"""Commands that write."""
COMMANDS = LOOKING + ACTING
PLAN = b'{"steps": {"design": {"title": "Other"}, "extra": {"needs": ["design"]}}}'
"""What `plan apply -` reads."""

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "steps": (
        ("status",),
        ("step", "list"),
        ("log", "--all"),
        ("claim", "held"),
        ("complete", "held"),
        ("next",),
        ("plan", "graph"),
        ("plan", "apply", "-"),
    ),
    "memory": (
        ("memory", "list"),
        ("memory", "get", "design.api"),
        ("memory", "set", "design.api", "v"),
        ("memory", "history", "design.api"),
        ("log", "--all"),
    ),
    "mail": (
        ("inbox", "--all"),
        ("inbox", "--new"),
        ("message", "ann:1"),
        ("ack", "ann:1"),
        ("receipts", "ann:1"),
        ("send", "ann", "x"),
        ("status",),
    ),
    "artifacts": (
        ("artifact", "list"),
        ("artifact", "show", "report"),
        ("artifact", "upload", "-", "--name", "report"),
        ("artifact", "verify"),
    ),
    "workspaces": (
        ("workspace", "list"),
        ("workspace", "show", "trial"),
        ("workspace", "fork", "trial", "-n", "2", "--prefix", "fresh"),
        ("workspace", "merge", "trial-1", "trial"),
        ("workspace", "checkpoint", "trial", "--label", "v2"),
    ),
    "blobs": (("artifact", "verify"), ("artifact", "download", "site", "-o", "out", "--force"), ("artifact", "upload", "site")),
    "agents": (("agents",), ("status",), ("log", "--all"), ("send", "bob", "x"), ("receipts", "_broadcast:0")),
    "survey.json": (("status",), ("step", "list"), ("plan", "graph"), ("plan", "export"), ("next",), ("whoami",)),
    "board.json": (("next",), ("claim", "free"), ("complete", "held"), ("step", "cancel", "free")),
}
"""A few commands that read what lies in a folder."""


def needs(argv: tuple[str, ...], key: str) -> bool:
    """Whether a command cannot go on where this object is damaged. What is not here must come to the same as ever."""
    name, folder = argv[0], key.partition("/")[0]
    step = key.removeprefix("steps/").removesuffix(".json")
    match folder:
        case "windlass.json":  # it says whether the project is here at all
            return name not in ("step-status", "handoff", "message", "receipts", "wait-for") and argv[:2] not in (
                ("step", "show"), ("memory", "get"), ("memory", "list"), ("memory", "history"),
            )  # fmt: skip
        case "agents":  # its own register says whether it may act
            return key == "agents/ann.json" and (argv in ACTING or name in ("whoami", "inbox"))
        case "cursors":
            return name in ("inbox", "receipts")
        case "acks":
            return name in ("ack", "receipts")
        case "mail":
            return name in ("message", "ack", "receipts") or "--reply-to" in argv
        case "sent":
            return "--to" in argv or "--id" in argv
        case "memory" | "history":
            asked = argv[2] if name == "memory" and len(argv) > 2 else None
            return asked is not None and key.removeprefix(f"{folder}/").startswith(asked.replace(".", "/"))
        case "artifacts" | "versions":
            named = key.split("/")[-1 if folder == "artifacts" else 2].removesuffix(".json")
            return name == "artifact" and (argv[1] in ("lineage", "verify") or any(named in word for word in argv[2:]))
        case "blobs":
            return argv[:2] in (("artifact", "verify"), ("artifact", "download"), ("workspace", "diff"), ("workspace", "merge"))
        case "gc.json":
            return argv[:2] in (("artifact", "upload"), ("workspace", "fork"), ("workspace", "merge"), ("workspace", "create")) or (
                "--artifact" in argv
            )
        case "workspaces":
            return name == "workspace" and argv[1] != "list"
        case "steps":
            if name == "artifact":
                return step == "held" and (argv[1] in ("lineage", "verify") or "held" in " ".join(argv) or argv[2:3] == ("site",))
            about = {word for word in argv if word in ("design", "build", "review", "free", "held", "check", "later")}
            needed = {
                "build": ("design",),
                "check": ("design",),
                "held": ("design",),
                "fresh": ("check", "design"),
                "free": ("later", "build", "stuck", "design"),
            }
            behind = {one for word in about | ({"fresh"} & set(argv)) for one in needed.get(word, ())}
            changing = argv in ACTING
            return step in about or (changing and step in behind) or name == "next" or argv[:2] == ("plan", "apply")
    return False


TORN: dict[str, bytes] = {
    "empty": b"",
    "a brace": b"{",
    "NUL": b"\0" * 64,
    "not an object": b"[]",
    "null": b"null",
    "a number": b"1",
    "nested too deeply": b"[" * 200_000,
    "objects nested too deeply": b'{"a":' * 100_000,
    "an error page": b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>\x1b[2J</Message></Error>',
    "a web page": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "compressed": gzip.compress(b'{"format":1}', mtime=0),
    "UTF-16": '{"format":1}'.encode("utf-16"),
    "Latin-1": b'{"format":1,"kind":"\xe9"}',
    "no format": b"{}",
    "format of another type": b'{"format":"1"}',
    "format 0": b'{"format":0}',
    "format true": b'{"format":true}',
    "no kind": b'{"format":1}',
    "a hostile kind": b'{"format":1,"kind":"\\u001b[2J\\u202e"}',
    "a number of 10,000 digits": b'{"format":1,"seq":' + b"9" * 10_000 + b"}",
    "infinite": b'{"format":1,"seq":1e999}',
    "not a number": b'{"format":1,"seq":NaN}',
    "newer": b'{"format":2,"kind":"newer","write_id":"x","seq":1}',
    "far newer": b'{"format":' + b"9" * 300 + b"}",
}
"""Bodies that are no document of any kind."""


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself first."""
    yield at
    if isinstance(value, dict):
        for name in value:
            yield from paths(value[name], (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*at, number))


def inside(value: Any, where: tuple[Any, ...]) -> Any:
    """What is in that place."""
    for one in where:
        value = value[one]
    return value


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The value with another one in that place."""
    if not at:
        return new
    value = copy.deepcopy(value)
    inner = value
    for one in at[:-1]:
        inner = inner[one]
    inner[at[-1]] = new
    return value


def drop(value: Any, at: tuple[Any, ...]) -> Any:
    """The value without that place."""
    value = copy.deepcopy(value)
    inner = value
    for one in at[:-1]:
        inner = inner[one]
    del inner[at[-1]]
    return value


FIELDS: dict[str, list[Any]] = {
    "status": ["pending", "in_progress", "blocked", "needs_review", "failed", "complete", "cancelled"],
    "moved_to": ["memory://elsewhere", "\x1b[2J'$(id)`", "", "s3://b/p?endpoint=http://u:p@h", "../../x"],
    "arriving_from": ["\x1b]0;x\x07"],
    "claim": [None, {}, {"agent": "ann", "incarnation": 1, "epoch": 1, "lease": 900}, {"agent": "\x1b", "epoch": 2**53 - 1, "lease": -5}],
    "history": [[], [{}], [{"event": "\x1b[2J\u202e", "by": "x\ny", "note": "a" * 3000, "of": "\x9b"}] * 3],
    "handoff": [
        None,
        {},
        {"evidence": [{"\x1b[2J": "\u202e"}, {"deep": deep(90)}], "changed_files": ["a\nb", "\x1b"], "git": {"head": "\x9b"}},
    ],
    "needs": [["design", "design"], ["build"], ["later"], ["missing"], ["../x"], ["a" * 200], [""]],
    "needed_by": [["check"], ["missing"], ["free"] * 600],
    "starts": [[], [{}], [{"number": 2**53 - 1}], [{"number": 99_999_999}], [{"number": 5, "ended": True}]],
    "ready": [[], [{}], [{"name": "missing"}], [{"name": "free"}] * 3, [{"name": "later"}], [{"name": "../x"}]],
    "epoch": [2**53 - 1, 0, 7],
    "seq": [2**53 - 1, 0, 7],
    "incarnation": [2**53 - 1, 0, 99_999_999],
    "slot": [-1, 0, 1.5, 3, 1e14, 10**10],
    "value": [deep(99), deep(300), deep(700), deep(960), deep(300, "{"), "\ud800", 10**400, [list(SIGNS)]],
    "built_on": [{"design": 0}, {"\x1b": 1}, {"missing": 2**53 - 1}],
    "key": ["\x1b[2J", "other", ""],
    "name": ["\x1b[2J", "other", "", "a" * 500],
}
"""Values that are of the right type and still odd, by field."""


def place(draw: st.DrawFn, body: bytes) -> int:
    """A place in some bytes, drawn so that it depends on their length only in the end: times are not always as long."""
    return len(body) * draw(st.integers(0, 1000)) // 1000


@st.composite
def mutations(draw: st.DrawFn, body: bytes, own: tuple[str, ...]) -> bytes:
    """The bytes of a real document, spoiled: its text, its structure, or both. `own` are the fields of its kind."""
    how = draw(st.integers(0, 12))
    if how == 0:
        return body[: place(draw, body)]
    if how == 1:
        at = min(place(draw, body), len(body) - 1)
        return body[:at] + bytes([body[at] ^ (1 << draw(st.integers(0, 7)))]) + body[at + 1 :]
    if how == 2:
        at = place(draw, body)
        return (
            body[:at]
            + draw(st.binary(max_size=8) | st.sampled_from([b"\x00", b"\xff", b"\\ud800", b"\x1b[2J", b"}", b'"', b","]))
            + body[at:]
        )
    if how == 3:
        return draw(
            st.sampled_from([b"\xef\xbb\xbf" + body, body + body, b"\n" + body + b"\n\n", body[:-1] + b',"seq":7,"text":1}', body + b"\0"])
        )
    value: Any = json.loads(body)
    for _ in range(draw(st.integers(1, 3))):
        if how in (4, 5, 6, 9, 10):  # a field of the right type, but for what it says
            field = draw(st.sampled_from(sorted(FIELDS.keys() & set(own)) or ["name"]))
            value = {**value, field: draw(st.sampled_from(FIELDS[field]))}
            continue
        where = draw(st.sampled_from(sorted(paths(value), key=repr)))
        if not where:
            value = {**value, draw(st.sampled_from(["zzz", "\x1b[2J", "seq", "write_id", "format", *FIELDS])): draw(values)}
        elif how == 7:
            value = drop(value, where)
        elif how == 8 and isinstance(inside(value, where), str):
            value = put(value, where, draw(texts))
        else:
            value = put(value, where, draw(st.sampled_from(NUMBERS) | values))
    return encoded(value)
