"""Plan files as nobody should write them: YAML's traps, JSON's traps, and real plans spoiled."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.reliability.fuzz_text import SIGNS, encoded, texts, values

REAL = """\
# a comment
title: A plan
steps:
  design:
    title: Design the API
    description: |
      Two
      lines.
    priority: 10
  build:
    needs: [design]
    labels: [backend, "web"]
    max_hold: 14400
  release: {needs: [design, build], acceptance: 'it''s out'}
"""
BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)) + "steps: *u\n"

TRAPS: dict[str, bytes] = {
    "a bomb of references": BOMB.encode(),
    "a reference to itself": b"steps: &a {b: *a}\n",
    "a harmless reference": b"steps:\n  a: &x {title: t}\n  b: *x\n",
    "a harmless tag": b"steps:\n  a: {title: !!str 5}\n",
    "a merge key": b"steps:\n  a: &x {title: t}\n  b: {<<: *x}\n",
    "a merge key without a reference": b"steps:\n  a: {<<: {title: t}}\n",
    "a Python object": b"steps: !!python/object/apply:os.system ['touch windlass-fuzz-was-here']\n",
    "a Python tuple": b"steps: !!python/tuple [a]\n",
    "a tag of one's own": b"steps: !mine {a: {}}\n",
    "a binary": b"steps:\n  a: {title: !!binary aGVsbG8=}\n",
    "a set": b"steps: !!set {a, b}\n",
    "a time": b"steps:\n  a: {title: 2026-11-20}\n",
    "a time as a name": b"steps:\n  2026-11-20: {}\n",
    "a number as a name": b"steps:\n  1: {}\n  1.5: {}\n",
    "truth as a name": b"steps:\n  true: {}\n",
    "nothing as a name": b"steps:\n  ~: {}\n  : {}\n",
    "a list as a name": b"steps:\n  [a, b]: {}\n",
    "a mapping as a name": b"steps:\n  {a: b}: {}\n",
    "a name twice": b"steps:\n  a: {}\n  a: {}\n",
    "a name twice in JSON": b'{"steps": {"a": {}, "a": {}}}',
    "one name in two forms": b"steps:\n  1: {}\n  true: {}\n  1.0: {}\n",
    "not a number": b"steps:\n  a: {priority: .nan, max_hold: .inf}\n",
    "not a number in JSON": b'{"steps": {"a": {"max_hold": NaN}}}',
    "infinite in JSON": b'{"steps": {"a": {"max_hold": 1e999, "priority": -Infinity}}}',
    "a huge number": b"steps:\n  a: {priority: " + b"9" * 5000 + b"}\n",
    "a huge number in JSON": b'{"steps": {"a": {"priority": ' + b"9" * 5000 + b"}}}",
    "a huge exponent": b"steps:\n  a: {max_hold: 1.0e" + b"9" * 100 + b"}\n",
    "a circle": b"steps:\n  a: {needs: b}\n  b: {needs: c}\n  c: {needs: a}\n",
    "needs itself": b"steps:\n  a: {needs: a}\n",
    "a long chain": ("steps:\n" + "".join(f"  s{n}: {{needs: s{n + 1}}}\n" for n in range(3000)) + "  s3000: {}\n").encode(),
    "deep flow": b"steps: " + b"[" * 3000 + b"]" * 3000,
    "deep flow in JSON": b'{"steps": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep mappings": b"steps: " + b"{a: " * 500 + b"}" * 500,
    "deep blocks": b"".join(b" " * n + b"a:\n" for n in range(1000)),
    "open flow": b"steps: " + b"[" * 50_000,
    "a BOM": b"\xef\xbb\xbf" + REAL.encode(),
    "UTF-16": REAL.encode("utf-16"),
    "UTF-32": REAL.encode("utf-32"),
    "Latin-1": b"steps:\n  a: {title: \xe9}\n",
    "CRLF": REAL.replace("\n", "\r\n").encode(),
    "CR": REAL.replace("\n", "\r").encode(),
    "NUL": b"steps:\n  a: {title: 'x\0y'}\n",
    "NUL alone": b"\0",
    "escapes": b'steps:\n  a: {title: "\\x1b[2J\\u202e\\0\\ud800", description: "\\U0001f600 \\N \\L \\P"}\n',
    "escapes in JSON": b'{"steps": {"a": {"title": "\\u001b[2J\\ud800"}}}',
    "a hostile name": b'steps:\n  "\\e]0;x\\a": {}\n',
    "a name with a path": b"steps:\n  ../../x: {}\n",
    "a tab": b"steps:\n\ta: {}\n",
    "several documents": b"steps: {}\n---\nsteps: {}\n",
    "directives": b"%YAML 9.9\n%TAG ! tag:x,2000:\n---\nsteps: {}\n",
    "an unknown anchor": b"steps: *nobody\n",
    "a long anchor": b"steps: &" + b"a" * 100_000 + b" {}\n",
    "only an end": b"...\n",
    "a long line": b"steps: {a: {title: " + b"x" * 300_000 + b"}}\n",
    "many steps": b'{"steps": [' + b",".join(b'{"name": "s%d"}' % n for n in range(3000)) + b"]}",
    "a list without names": b"steps: [a, {b: c}, ~, 1]\n",
    "a list with odd names": b"steps: [{name: [a]}, {name: ~}, {name: 1}]\n",
    "steps of another type": b"steps: 1\n",
    "no steps": b"step: {}\n",
    "a text": b"hello\n",
    "odd fields": b"steps:\n  a: {1: 2, ~: 3, true: 4, title: [x]}\n",
    "odd top": b"steps: {}\n1: 2\n~: 3\n",
    "backslashes": b'steps:\n  a: {title: "\\',
    "quotes": b"steps: {a: {title: '''''''''}}",
}
"""Files that mean harm, or are no plan."""


_TEXT = (
    st.sampled_from(SIGNS)
    | texts
    | st.sampled_from(
        [
            "no",
            "on",
            "~",
            "null",
            "1",
            "1e3",
            "0x1f",
            "2026-11-20",
            "<<",
            "=",
            ": ",
            "- a",
            "a: b",
            "#",
            "|",
            ">",
            "&a",
            "*a",
            "!x",
            "%d",
            "@x",
            "`",
            "'",
            '"',
            " x ",
            "x\n\n",
            "\ny",
        ]
    )
)
_NEEDS = st.lists(st.sampled_from(["a", "b", "c", "d.e", "design", "build", "missing"]), max_size=3)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "title": _TEXT,
    "description": _TEXT,
    "acceptance": _TEXT,
    "needs": _NEEDS,
    "labels": st.lists(st.sampled_from(["x", "y.z", "no", "1"]), max_size=3),
    "priority": st.integers(-1_000_001, 1_000_001),
    "max_hold": st.sampled_from([1, 0.5, 1e300, 900, 0, -1, 1e14]),
}
"""What a plan says of a step, right and nearly right."""


@st.composite
def plans(draw: st.DrawFn) -> bytes:
    """A real plan with something wrong in it."""
    how = draw(st.integers(0, 4))
    if how == 0:
        text = REAL.encode()
        at = draw(st.integers(0, len(text)))
        return (
            text[:at]
            + draw(
                st.binary(max_size=6)
                | st.sampled_from(
                    ["&a ", "*a", "!!x ", "- ", ": ", "{", "[", "]", '"', "'", "|", ">", "%", "@", "`", "\t", "\r", "? ", "#", "---\n"]
                ).map(str.encode)
                | texts.map(lambda got: got.encode("utf-8", "surrogatepass"))
            )
            + text[at + draw(st.integers(0, 5)) :]
        )
    if how == 1:
        lines = draw(st.lists(st.sampled_from(REAL.splitlines()), max_size=14))
        return "\n".join(lines).encode()
    legal = st.sampled_from(["a", "b", "c", "d.e", "F_1"])
    names = legal if draw(st.integers(0, 3)) else legal | texts
    plan: dict[str, Any] = {"steps": {draw(names): {} for _ in range(draw(st.integers(0, 4)))}}
    for fields in plan["steps"].values():
        for field in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True)):
            fields[field] = draw(FIELDS[field] if draw(st.integers(0, 5)) else values)
    if how == 2:
        listed = [{**fields, "name": name} for name, fields in plan["steps"].items()]
        plan["steps"] = draw(st.sampled_from([listed, draw(values)]))
    if how == 3 and draw(st.booleans()):
        plan[draw(texts)] = draw(values)
    return encoded(plan)
