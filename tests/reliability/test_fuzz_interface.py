"""The Python interface with arguments of any type: TypeError or an error of ours, and never a document that nobody can read."""

from __future__ import annotations

import decimal
import enum
from typing import TYPE_CHECKING, Any

import pytest
from tests.reliability.fuzz_text import NUMBERS, SIGNS, tried
from tests.reliability.fuzz_world import World, alone, is_damaged, small, swift

import windlass
from windlass.errors import WindlassError
from windlass.stores import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Odd(enum.Enum):
    """An enumeration of somebody else's."""

    ONE = "one"


class Text(str):
    """A text that is more than a text."""

    __slots__ = ()


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
ODD: tuple[Any, ...] = (
    None,
    True,
    5,
    1.5,
    float("nan"),
    float("inf"),
    b"bytes",
    bytearray(b"x"),
    [],
    ["a"],
    [5],
    [[]],
    {},
    {"a": 1},
    {5: 1},
    {"a": object()},
    set(),
    {"a"},
    object(),
    Odd.ONE,
    Text("ok"),
    decimal.Decimal(1),
    1j,
    range(3),
    iter("ab"),
    lambda: None,
    type,
    CIRCLE,
    *NUMBERS,
    *SIGNS,
)
"""Arguments of every type."""

Call = "Callable[[windlass.Project, Any], Any]"
CALLS: dict[str, Callable[[windlass.Project, Any], Any]] = {
    "claim": lambda p, odd: p.steps.try_claim(odd),
    "claim(lease)": lambda p, odd: p.steps.try_claim("free", lease=odd),
    "claim(git)": lambda p, odd: p.steps.try_claim("free", git=odd),
    "complete": lambda p, odd: p.steps.complete(odd),
    "complete(state)": lambda p, odd: p.steps.complete("held", state=odd),
    "complete(note)": lambda p, odd: p.steps.complete("held", note=odd),
    "complete(to)": lambda p, odd: p.steps.complete("held", to=odd),
    "complete(next_action)": lambda p, odd: p.steps.complete("held", next_action=odd),
    "complete(changed_files)": lambda p, odd: p.steps.complete("held", changed_files=odd),
    "complete(evidence)": lambda p, odd: p.steps.complete("held", evidence=odd),
    "complete(one evidence)": lambda p, odd: p.steps.complete("held", evidence=[{"a": odd}]),
    "complete(epoch)": lambda p, odd: p.steps.complete("held", epoch=odd),
    "release(note)": lambda p, odd: p.steps.release("held", note=odd),
    "approve(note)": lambda p, odd: p.steps.approve("review", odd, force=True),
    "reject(note)": lambda p, odd: p.steps.reject("review", odd),
    "cancel(note)": lambda p, odd: p.steps.cancel("free", odd),
    "add(title)": lambda p, odd: p.steps.add("fresh", title=odd),
    "add(needs)": lambda p, odd: p.steps.add("fresh", needs=odd),
    "add(priority)": lambda p, odd: p.steps.add("fresh", priority=odd),
    "add(max_hold)": lambda p, odd: p.steps.add("fresh", max_hold=odd),
    "edit(labels)": lambda p, odd: p.steps.edit("free", labels=odd),
    "edit(description)": lambda p, odd: p.steps.edit("free", description=odd),
    "wait_for": lambda p, odd: p.steps.wait_for(odd, timeout=0),
    "wait_for(timeout)": lambda p, odd: p.steps.wait_for(["held"], timeout=0.1 if odd is None else odd),
    "next(labels)": lambda p, odd: p.steps.try_next(labels=odd),
    "next(wait)": lambda p, odd: p.steps.try_next(labels=["none"], wait=odd),
    "plan.apply": lambda p, odd: p.plan.apply(odd),
    "plan.apply(steps)": lambda p, odd: p.plan.apply({"steps": odd}),
    "plan.apply(step)": lambda p, odd: p.plan.apply({"steps": {"fresh": odd}}),
    "plan.apply(title)": lambda p, odd: p.plan.apply({"steps": {"fresh": {"title": odd}}}),
    "memory.set(key)": lambda p, odd: p.memory.set(odd, 1),
    "memory.set(value)": lambda p, odd: p.memory.set("k", odd),
    "memory.set(inner value)": lambda p, odd: p.memory.set("k", {"a": [odd]}),
    "memory.set(if_version)": lambda p, odd: p.memory.set("k", 1, if_version=odd),
    "memory.list": lambda p, odd: p.memory.list(odd),
    "memory.history(limit)": lambda p, odd: p.memory.history("design.api", odd),
    "mail.send(to)": lambda p, odd: p.mail.send(odd, "x"),
    "mail.send(text)": lambda p, odd: p.mail.send("bob", odd),
    "mail.send(step)": lambda p, odd: p.mail.send("bob", "x", step=odd),
    "mail.send(reply_to)": lambda p, odd: p.mail.send("bob", "x", reply_to=odd),
    "mail.send(needs_ack)": lambda p, odd: p.mail.send("bob", "x", needs_ack=odd),
    "mail.send(id)": lambda p, odd: p.mail.send("bob", "x", ident=odd),
    "mail.inbox(limit)": lambda p, odd: p.mail.inbox(limit=odd),
    "mail.read": lambda p, odd: p.mail.read(odd),
    "mail.ack": lambda p, odd: p.mail.ack(odd),
    "log(since)": lambda p, odd: p.log(since=odd),
    "log(limit)": lambda p, odd: p.log(limit=odd),
}
"""What takes an argument from a program."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project that programs open."""
    with alone(tmp_path_factory.mktemp("interface")), swift():
        yield small(World())


@pytest.mark.parametrize("call", CALLS)
def test_no_argument_of_any_type_corrupts_a_document(world: World, call: str) -> None:
    registry._memories[World.URL] = world.store
    for odd in ODD:
        tried()
        world.restore()
        with windlass.open(World.URL, project="demo", agent="ann") as project:
            try:
                CALLS[call](project, odd)
            except (WindlassError, TypeError, KeyboardInterrupt):
                pass
        for key, found in world.store._objects.items():
            assert found is world.saved.get(key) or not is_damaged(key.partition("/")[2], found.body), (call, odd, found.body[-500:])


@pytest.mark.parametrize("what", ["store", "project", "agent", "lease"])
def test_a_project_is_opened_or_not(world: World, what: str) -> None:
    registry._memories[World.URL] = world.store
    for odd in ODD:
        if what == "store" and isinstance(odd, str):
            continue
        try:
            windlass.open(**{"store": World.URL, "project": "demo", "agent": "ann", what: odd}).close()
        except (WindlassError, TypeError):
            pass
