"""Keys: every legal name makes a key that parses back, stays within what stores accept, and collides with no other."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from windlass.errors import UsageError
from windlass.protocol import keys
from windlass.stores.names import check_key, check_prefix

EDGE = string.ascii_letters + string.digits
names = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(EDGE),
    st.text(EDGE + "._-", max_size=126),
    st.sampled_from(EDGE + "_-"),
) | st.sampled_from([*EDGE, "a" * 128, "CON", "a..b", "a.json", "0", "x-._"])
parts = st.builds(lambda first, rest: first + rest, st.sampled_from(EDGE), st.text(EDGE + "_-", max_size=20))
memory_keys = st.lists(parts, min_size=1, max_size=12).map(".".join) | st.just(".".join(["a" * 127] * 4)) | st.just("a" * 128)
numbers = st.integers(0, 9_999_999_999)
incarnations = st.integers(1, 99_999_999)
mailboxes = names | st.just(keys.BROADCAST)

HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "../a",
    "a\\b",
    "a b",
    " a",
    "a\n",
    "a\0",
    "é",
    "ａ",
    "²",
    "-a",
    "_a",
    ".a",
    "a.",
    "a" * 129,
    "a%2F",
    "a:b",
    "a~b",
    "\udc80",
]


def every_key(name: str, other: str, memory_key: str, number: int, incarnation: int) -> list[str]:
    return [
        keys.agent(name),
        keys.presence(name, incarnation),
        keys.clock(name),
        keys.step(name),
        keys.memory(memory_key),
        keys.memory_version(memory_key, incarnation),
        keys.slot(name, number),
        keys.segment(name, incarnation),
        keys.cursor(name),
        keys.ack(name, number, other),
        keys.sent(name, other),
    ]


@given(names, names, memory_keys, numbers, incarnations)
def test_every_key_is_one_that_stores_accept(name: str, other: str, memory_key: str, number: int, incarnation: int) -> None:
    every = every_key(name, other, memory_key, number, incarnation)
    for key in every:
        check_key(key)
    assert len(set(every)) == len(every)


@given(names, mailboxes, memory_keys, numbers, incarnations)
def test_keys_parse_back(name: str, mailbox: str, memory_key: str, number: int, incarnation: int) -> None:
    assert keys.parse_agent(keys.agent(name)) == name
    assert keys.parse_step(keys.step(name)) == name
    assert keys.parse_memory(keys.memory(memory_key)) == memory_key
    assert keys.parse_presence(keys.presence(name, incarnation)) == (name, incarnation)
    assert keys.parse_slot(keys.slot(mailbox, number)) == (mailbox, number)
    assert keys.parse_message_id(keys.message_id(mailbox, number)) == (mailbox, number)


@given(
    st.text(max_size=60)
    | st.sampled_from(["agents/", "steps/", "memory/", "presence/", "mail/"]).flatmap(
        lambda head: st.text(EDGE + "._-/²é", max_size=40).map(lambda inner: f"{head}{inner}.json")
    )
)
@example("agents/a..json")
@example("steps/a..json")
@example("presence/a/²²²²²²²².json")
@example("presence/a/１１１１１１１１.json")
@example("presence/a./00000001.json")
@example("mail/a./0000000001.json")
@example("memory/" + "/".join(["a" * 100] * 8) + ".json")
def test_what_parses_is_what_was_built(key: str) -> None:
    """Whatever somebody else puts into the bucket is either not ours or exactly what we would have written."""
    if (agent := keys.parse_agent(key)) is not None:
        assert keys.agent(agent) == key
    if (step := keys.parse_step(key)) is not None:
        assert keys.step(step) == key
    if (memory := keys.parse_memory(key)) is not None:
        assert keys.memory(memory) == key
    if (presence := keys.parse_presence(key)) is not None:
        assert keys.presence(*presence) == key
    if (slot := keys.parse_slot(key)) is not None:
        assert keys.slot(*slot) == key


@given(memory_keys, memory_keys)
def test_no_memory_key_is_a_folder_of_anothers_object(one: str, two: str) -> None:
    assume(one != two)
    assert keys.memory(one) != keys.memory(two)
    assert not keys.memory(two).startswith(keys.memory(one) + "/")
    assert not keys.memory_version(two, 1).startswith(keys.memory_version(one, 1) + "/")
    assert keys.memory_version(one, 1) != keys.memory_version(two, 1)


@given(memory_keys, st.data())
def test_a_prefix_finds_its_keys(key: str, data: st.DataObject) -> None:
    prefix = key[: data.draw(st.integers(0, len(key)))]
    check_prefix(keys.memory_prefix(prefix))
    assert keys.memory(key).startswith(keys.memory_prefix(prefix))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_is_refused(name: str) -> None:
    for build in (
        keys.agent,
        keys.step,
        keys.cursor,
        keys.clock,
        lambda n: keys.slot(n, 0),
        lambda n: keys.presence(n, 1),
        lambda n: keys.sent("a", n),
        lambda n: keys.ack("a", 0, n),
        lambda n: keys.segment(n, 0),
    ):
        with pytest.raises(UsageError) as told:
            build(name)
        assert told.value.exit == 2
        assert len(told.value.message) < 120
        assert "\n" not in told.value.message


@example(some={"a"}, odd={"b\nc"})
@given(some=st.sets(names, max_size=5), odd=st.sets(st.sampled_from(HOSTILE) | st.text(EDGE + "._-\n", max_size=3), max_size=2))
def test_many_names_are_judged_as_each_of_them(some: set[str], odd: set[str]) -> None:
    assert keys.are_names(some)
    assert keys.are_names(some | odd) == all(map(keys.is_name, some | odd))


@pytest.mark.parametrize("key", [*HOSTILE, "a..b", "a.-b", "a._b", "a.b/c", ".".join(["abc"] * 129)])
def test_what_is_no_memory_key_is_refused(key: str) -> None:
    for build in (keys.memory, lambda k: keys.memory_version(k, 1)):
        with pytest.raises(UsageError):
            build(key)


@pytest.mark.parametrize(
    "ident", ["", "a", "a:", ":1", "a:b", "a:-1", "a:1.0", "a:²", "a:１", "a b:1", "a:12345678901", "_other:1", "a:1\n"]
)
def test_what_is_no_message_id_is_refused(ident: str) -> None:
    with pytest.raises(UsageError):
        keys.parse_message_id(ident)


def test_numbers_sort_as_they_count() -> None:
    counts = (1, 9, 10, 99, 100, 12345, 1_000_000)
    for build in (keys.slot, keys.segment, keys.memory_version, keys.presence):
        made = [build("a", n) for n in counts]
        assert made == sorted(made)
        assert len(set(map(len, made))) == 1


def test_only_the_broadcast_box_has_an_underscore() -> None:
    assert keys.check_mailbox("_broadcast") == keys.BROADCAST
    with pytest.raises(UsageError):
        keys.check_mailbox("_broadcasts")
