"""Names, memory keys and message ids, legal and not, and everything of the interface that takes one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from tests.reliability.fuzz_text import texts

from windlass.protocol import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    import windlass

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?", re.ASCII)
"""As docs/protocol.md says it, written anew."""
_LETTERS = "aAbBkKzZ019_-"

names = st.one_of(
    st.from_regex(NAME, fullmatch=True),
    st.text(alphabet=_LETTERS + ".", min_size=1, max_size=128).filter(NAME.fullmatch),
    st.sampled_from(
        [
            "a",
            "A",
            "CON",
            "con.json",
            "nul",
            "a.json",
            "00000001",
            "0" * 128,
            "aux",
            "A" * 128,
            "a-",
            "a_",
            "a..b",
            "x.json.json",
            "windlass",
            "Z.z",
        ]
    ),
)
"""Legal ones."""
parts = st.text(alphabet=_LETTERS, min_size=1, max_size=20).filter(lambda text: text[0].isalnum())
memory_keys = st.lists(parts, min_size=1, max_size=6).map(".".join)
"""Legal ones."""
mailboxes = names | st.just(keys.BROADCAST)

CURSED = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/a",
    "a/",
    "a\\b",
    "a.",
    "-a",
    "_a",
    ".a",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\0",
    "a\0b",
    "é",
    "e\u0301",
    "ａ",
    "\u212a",
    "\u017f",
    "１",
    "٣",
    "a\u200d",
    "a" * 129,
    "a" * 5000,
    "%2e%2e",
    "a%2fb",
    "~",
    "a~1",
    "=",
    "a=",
    "*",
    "a:b",
    "a:0:1",
    "con:",
    "_broadcast",
    "__proto__",
    "\ud800",
    "\udcff",
    "a\ufeff",
    "İ",
    "$(id)",
    "`id`",
    "a;b",
    "a|b",
    "a'b",
    'a"b',
    "a#b",
    "a?b",
    "a&b",
    "a\tb",
    "\x1b[2J",
    "\u202ea",
)
"""None of these is a legal name."""
anything = st.one_of(
    st.sampled_from(CURSED), texts, st.text(max_size=12), st.tuples(names, st.sampled_from(CURSED)).map("".join), names, memory_keys
)

BUILDERS: dict[str, Callable[[str], str]] = {
    "agents/": keys.agent,
    "presence/": lambda name: keys.presence(name, 1),
    "clock/": keys.clock,
    "steps/": keys.step,
    "memory/": keys.memory,
    "history/": lambda key: keys.memory_version(key, 1),
    "mail/": lambda name: keys.slot(name, 1),
    "segments/": lambda name: keys.segment(name, 1),
    "cursors/": keys.cursor,
    "acks/": lambda name: keys.ack(name, 1, name if name != keys.BROADCAST else "a"),
    "sent/": lambda name: keys.sent("a", name),
}
"""Everything that makes a key of a text."""

Call = "Callable[[windlass.Project, str], Any]"
CALLS: dict[str, Callable[[windlass.Project, str], Any]] = {
    "steps.claim": lambda p, name: p.steps.try_claim(name),
    "steps.complete": lambda p, name: p.steps.complete(name),
    "steps.complete(to)": lambda p, name: p.steps.complete("design", to=name) if name else p.steps.show(name),
    "steps.release": lambda p, name: p.steps.release(name),
    "steps.approve": lambda p, name: p.steps.approve(name),
    "steps.reject": lambda p, name: p.steps.reject(name, "note"),
    "steps.cancel": lambda p, name: p.steps.cancel(name),
    "steps.reopen": lambda p, name: p.steps.reopen(name),
    "steps.show": lambda p, name: p.steps.show(name),
    "steps.add": lambda p, name: p.steps.add(name, title="t"),
    "steps.add(needs)": lambda p, name: p.steps.add("fresh", needs=[name]),
    "steps.add(labels)": lambda p, name: p.steps.add("fresh", labels=[name]),
    "steps.edit": lambda p, name: p.steps.edit(name, title="t"),
    "steps.wait_for": lambda p, name: p.steps.wait_for([name], timeout=0),
    "plan.apply": lambda p, name: p.plan.apply({"steps": {name: {}}}),
    "plan.apply(needs)": lambda p, name: p.plan.apply({"steps": {"fresh": {"needs": [name]}}}),
    "mail.send": lambda p, name: p.mail.send(name, "text"),
    "mail.send(id)": lambda p, name: p.mail.send("bob", "text", ident=name),
    "mail.send(step)": lambda p, name: p.mail.send("bob", "text", step=name) if name else p.steps.show(name),
}
"""What takes the name of an agent, a step, a label or an id."""
MEMORY_CALLS: dict[str, Callable[[windlass.Project, str], Any]] = {
    "memory.set": lambda p, key: p.memory.set(key, 1),
    "memory.get": lambda p, key: p.memory.get(key),
    "memory.delete": lambda p, key: p.memory.delete(key),
    "memory.history": lambda p, key: p.memory.history(key),
}
"""What takes a memory key."""
ID_CALLS: dict[str, Callable[[windlass.Project, str], Any]] = {
    "mail.read": lambda p, ident: p.mail.read(ident),
    "mail.ack": lambda p, ident: p.mail.ack(ident),
    "mail.receipts": lambda p, ident: p.mail.receipts(ident),
    "mail.send(reply_to)": lambda p, ident: p.mail.send("bob", "text", reply_to=ident) if ident else p.mail.read(ident),
}
"""What takes a message's id."""
