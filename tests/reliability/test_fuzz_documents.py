"""Whatever lies in the bucket: commands end with a documented code, print nothing that a terminal obeys, and overwrite no damage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.cli import Cli
from tests.reliability.fuzz_documents import COMMANDS, LOOKING, NEEDED, PLAN, TORN, mutations, needs
from tests.reliability.fuzz_text import SIGNS, budget, deep, encoded
from tests.reliability.fuzz_world import KINDS, Result, World, alone, is_damaged, judge, kind_of, small, swift

from windlass.effects import Always
from windlass.errors import Damaged, FormatTooNew
from windlass.protocol.codec import decode
from windlass.protocol.mail import SEGMENT
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One project for all tests of this module; each puts it back first."""
    with alone(tmp_path_factory.mktemp("documents")), swift():
        yield small(World())


def body(world: World, key: str, **fields: Any) -> bytes:
    """A document of the world with other fields."""
    return encoded({**json.loads(world.body(key)), **fields})


def try_all(world: World, changes: dict[str, bytes], commands: tuple[tuple[str, ...], ...], *modes: str, tty: bool = False) -> None:
    """Every one of some commands on a project with other bodies."""
    for argv in commands:
        world.restore(changes)
        result = world.run(*argv, *modes, stdin=PLAN, tty=tty)
        judge(result)
        world.check_writes(changes, result)


def one_of_each(world: World) -> list[str]:
    """A key of every kind, and more where their documents differ."""
    found = [next(key for key in world.keys if key.startswith(prefix)) for prefix in KINDS if prefix != "segments/"]
    found += ["artifacts/report.json", "artifacts/site.json", "versions/_shared/report/00000001.json"]
    return [*found, "steps/held.json", "steps/design.json", "memory/design/api.json", "mail/ann/0000000001.json", "cursors/ann.json"]


def test_a_damaged_document_stops_only_what_needs_it_and_is_named(world: World) -> None:
    usual = {}
    for argv in COMMANDS:
        world.restore()
        usual[argv] = world.run(*argv, stdin=PLAN).code
    for number, key in enumerate(one_of_each(world)):
        torn = list(TORN.values())[number % len(TORN)]
        for content in (torn, TORN["newer"]) if key.startswith(("memory/", "steps/held", "agents/")) else (torn,):
            for argv in COMMANDS:
                world.restore({key: content})
                result = world.run(*argv, stdin=PLAN)
                judge(result)
                world.check_writes({key: content}, result)
                if result.code != usual[argv]:
                    assert needs(argv, key), f"{key} is damaged\n{result}"
                    assert key in result.err or argv[0] == "next", result


def test_processes_say_the_same_of_a_hostile_store(world: World, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    store = LocalStore(cli.store)
    for number, key in enumerate(world.keys):
        content = (
            list(TORN.values())[number % len(TORN)] if number % 3 == 0 else encoded(everywhere(json.loads(world.body(key)), "".join(SIGNS)))
        )
        store.put(f"demo/{key}", world.body(key) if key == "windlass.json" else content, Always())
    for argv in (("status",), ("log", "--all"), ("inbox", "--all"), ("step", "list", "--json"), ("claim", "free"), ("memory", "list")):
        done = cli.run(*argv, agent="eve")
        judge(Result(argv, done.code, done.out, done.err))


@pytest.mark.parametrize("why", TORN)
def test_no_torn_document_is_a_traceback_or_overwritten(world: World, why: str) -> None:
    for key in ("steps/held.json", "memory/design/api.json", "mail/ann/0000000001.json", "agents/bob.json", "board.json", "survey.json"):
        assert is_damaged(key, TORN[why])
        try_all(world, {key: TORN[why]}, needed(key), "--json")


def needed(key: str) -> tuple[tuple[str, ...], ...]:
    """A few commands that read a key."""
    first = key.partition("/")[0]
    return NEEDED[first]


@budget(150)
@given(data=st.data())
def test_no_spoiled_document_is_a_traceback_or_steers_a_terminal(world: World, data: st.DataObject) -> None:
    prefix = data.draw(st.sampled_from([prefix for prefix in KINDS if prefix != "segments/"]))
    key = data.draw(st.sampled_from([key for key in world.keys if key.startswith(prefix)]))
    spoiled = data.draw(mutations(world.body(key), kind_of(key).__fields__))
    chosen = data.draw(st.lists(st.sampled_from(COMMANDS), min_size=6, max_size=6))
    try_all(world, {key: spoiled}, tuple(chosen), *data.draw(st.sampled_from([(), ("--json",)])))


@budget(60)
@given(data=st.data())
def test_several_spoiled_documents_at_once_are_no_worse(world: World, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(world.keys), min_size=2, max_size=6, unique=True))
    changes = {key: data.draw(mutations(world.body(key), kind_of(key).__fields__)) for key in keys}
    try_all(world, changes, tuple(data.draw(st.lists(st.sampled_from(COMMANDS), min_size=6, max_size=6))), "--json")


@pytest.mark.parametrize("group", range(8))
def test_no_text_of_any_document_steers_a_terminal(world: World, group: int) -> None:
    text = "".join(SIGNS[group::8])
    hostile = {key: encoded(everywhere(json.loads(world.body(key)), text)) for key in world.keys}
    readable = {key: content for key, content in hostile.items() if not is_damaged(key, content)}
    assert len(readable) > len(hostile) / 2
    acting = (("next",), ("claim", "free"), ("inbox", "--new"), ("complete", "held"))
    try_all(world, readable, LOOKING + acting, tty=True)
    try_all(world, readable, LOOKING + acting)
    try_all(world, readable, LOOKING + acting, "--json")


def everywhere(value: Any, text: str, field: str = "", above: str = "") -> Any:
    """A document with this text behind whatever may be any text."""
    if isinstance(value, dict):
        return {name: everywhere(inner, text, name, field) for name, inner in value.items()}
    if isinstance(value, list):
        return value if field in ("needs", "needed_by") else [everywhere(inner, text, field, above) for inner in value]
    kept = ("kind", "write_id", "status", "state", "keeper", "event", "digest", "entry_id", "machine")
    if not isinstance(value, str) or field in kept or (above, field) in (("claim", "agent"), ("ready", "name")):
        return value
    return value + text


def test_every_length_of_every_document_is_a_document_or_damaged(world: World) -> None:
    for key in one_of_each(world):
        whole = world.body(key)
        for length in range(len(whole)):
            with pytest.raises((Damaged, FormatTooNew)) as caught:
                decode(kind_of(key), key, whole[:length])
            assert not isinstance(caught.value, Damaged) or caught.value.key == key


@budget(400)
@given(data=st.data())
def test_what_can_be_read_can_be_written_and_read_again(world: World, data: st.DataObject) -> None:
    from windlass.errors import UsageError
    from windlass.protocol.codec import encode

    key = data.draw(st.sampled_from(world.keys))
    spoiled = data.draw(mutations(world.body(key), kind_of(key).__fields__))
    try:
        document = decode(kind_of(key), key, spoiled)
        again = encode(document)
    except (Damaged, FormatTooNew, UsageError):
        return
    assert decode(kind_of(key), key, again) == document


# What was found, and must not come back.


def test_a_value_nested_too_deeply_does_not_hide_the_other_keys(world: World) -> None:
    for depth in (deep(300), deep(700), deep(960), deep(400, "{")):
        world.restore({"memory/notes.json": body(world, "memory/notes.json", value=depth)})
        listed = world.run("memory", "list", "--json")
        judge(listed)
        assert [one["key"] for one in json.loads(listed.out)["memory"]] == ["design.api"]
        assert "memory/notes.json is damaged" in listed.err
        judge(world.run("memory", "set", "notes", "x"))


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("steps/free.json", {"epoch": 2**53 - 1}),
        ("steps/free.json", {"seq": 2**53 - 1}),
        ("agents/ann.json", {"starts": [{"number": 2**53 - 1, "ended": True}]}),
        ("memory/design/api.json", {"seq": 2**53 - 1}),
    ],
)
def test_a_count_at_its_end_is_refused_not_written_so_that_nobody_can_read_it(world: World, key: str, fields: dict[str, Any]) -> None:
    changes = {key: body(world, key, **fields)}
    for argv in (("claim", "free"), ("memory", "set", "design.api", "v")):
        world.restore(changes)
        result = world.run(*argv)
        judge(result)
        world.check_writes(changes, result)
    assert not is_damaged(key, changes[key])


def test_a_held_step_without_a_history_can_be_claimed_again(world: World) -> None:
    try_all(world, {"steps/held.json": body(world, "steps/held.json", history=[])}, (("claim", "held"), ("complete", "held")))


def test_a_wait_does_not_stop_at_a_damaged_need_of_a_need(world: World) -> None:
    world.restore({"steps/build.json": b"{"})
    assert world.run("wait-for", "later", "--timeout", "0").code == 5


def test_a_slot_that_is_no_whole_number_is_damaged(world: World) -> None:
    for slot in (-1, 1.5, 1e14, "3"):
        assert is_damaged("sent/bob/k1.json", body(world, "sent/bob/k1.json", slot=slot)), slot


def test_a_damaged_segment_costs_requests_and_nothing_else(world: World) -> None:
    from windlass.protocol.codec import encode, parse
    from windlass.protocol.mail import Message, Segment

    world.restore()
    for number in range(5, SEGMENT + 3):
        message = Message(sender="bob", to="ann", text=f"number {number}", at=float(number), write_id=f"w{number}")
        world.store.put(f"demo/mail/ann/{number - 2:010d}.json", encode(message), Always())
    whole = world.run("inbox", "--all", "--json").out
    key = "segments/ann/00000000.json"
    good = world.now(key)
    assert good is not None, "the reader left a copy"
    assert len(json.loads(whole)["messages"]) > SEGMENT
    slots = json.loads(good)["slots"]
    odd: list[bytes] = [
        *TORN.values(),
        encode(Segment(first=1, slots=tuple(slots))),
        encode(Segment(first=0, slots=tuple(slots[:-1]))),
        encode(Segment(first=0, slots=({**slots[0], "format": 2}, *slots[1:]))),
        encode(Segment(first=0, slots=({**slots[0], "text": 5}, *slots[1:]))),
        encode(Segment(first=0, slots=({}, *slots[1:]))),
        good[:-1],
    ]
    for content in odd:
        world.store.put(f"demo/{key}", content, Always())
        result = world.run("inbox", "--all", "--json")
        judge(result)
        assert result.out == whole
        assert world.now(key) == content
    assert parse(key, good)["kind"] == "segment"


def test_a_text_of_several_lines_cannot_be_taken_for_lines_of_ours(world: World) -> None:
    """But for texts that were asked for: a message between its marks, the value of one memory key."""
    fake = {key: encoded(everywhere(json.loads(world.body(key)), "\nFAKE")) for key in world.keys}
    readable = {key: content for key, content in fake.items() if not is_damaged(key, content)}
    assert {"steps/design.json", "steps/free.json", "steps/held.json", "agents/bob.json", "presence/bob/00000001.json"} <= readable.keys()
    for argv in COMMANDS:
        if argv[0] not in ("inbox", "message") and argv[:2] != ("memory", "get"):
            world.restore(readable)
            result = world.run(*argv, stdin=PLAN)
            assert "\nFAKE" not in result.out + result.err, result


def test_a_step_is_called_as_its_key_says_whatever_it_says_itself(world: World) -> None:
    changes = {"steps/free.json": body(world, "steps/free.json", name="x; touch y #")}
    for argv in (
        ("claim", "free"),
        ("next",),
        ("step", "show", "free"),
        ("step", "edit", "free", "--title", "t"),
        ("step", "cancel", "free"),
        ("status",),
    ):
        for modes in ((), ("--json",)):
            world.restore(changes)
            result = world.run(*argv, *modes)
            assert "touch" not in result.out + result.err, result
            assert "free" in result.out, result
