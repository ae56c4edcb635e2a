"""Every legal name has a place of its own in every store; every other one is refused before anything is sent."""

from __future__ import annotations

import contextlib
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.reliability.fuzz_names import BUILDERS, CALLS, CURSED, ID_CALLS, MEMORY_CALLS, NAME, anything, mailboxes, memory_keys, names
from tests.reliability.fuzz_text import budget
from tests.reliability.fuzz_world import World, alone

import windlass
from windlass.effects import Always
from windlass.errors import UsageError, WindlassError
from windlass.protocol import keys
from windlass.stores import registry
from windlass.stores.local import LocalStore
from windlass.stores.names import check_key, decode, encode
from windlass.stores.wrappers import Counting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@budget(300)
@given(name=anything)
@example("a\n")
@example("_broadcast")
def test_a_text_makes_a_key_in_its_own_folder_or_is_refused(name: str) -> None:
    for folder, build in BUILDERS.items():
        try:
            key = build(name)
        except UsageError:
            continue
        assert key.startswith(folder)
        check_key("project/" + key)
        assert not {"", ".", ".."} & set(key.split("/"))
        by_rule = (
            all(NAME.fullmatch(part) for part in name.split("."))
            if folder in ("memory/", "history/")
            else NAME.fullmatch(name) or name == keys.BROADCAST
        )
        assert by_rule, f"{name!r} has no legal form, and still is {key}"


@budget(300)
@given(name=names, mailbox=mailboxes, memory=memory_keys, number=st.integers(0, 9_999_999_999), version=st.integers(0, 99_999_999))
@example("a", "_broadcast", "a", 0, 0)
@example("A" * 128, "Z" * 128, ".".join(["a" * 128] * 3), 9_999_999_999, 99_999_999)
def test_legal_names_come_back_out_of_their_keys(name: str, mailbox: str, memory: str, number: int, version: int) -> None:
    assert keys.parse_agent(keys.agent(name)) == keys.parse_step(keys.step(name)) == name
    assert keys.parse_memory(keys.memory(memory)) == memory
    assert keys.parse_slot(keys.slot(mailbox, number)) == (mailbox, number)
    assert keys.parse_presence(keys.presence(name, version)) == (name, version)
    assert keys.parse_message_id(keys.message_id(mailbox, number)) == (mailbox, number)
    for key in (keys.agent(name), keys.memory(memory), keys.slot(mailbox, number), keys.sent(name, name), keys.ack(mailbox, number, name)):
        assert all(decode(encode(segment)) == segment for segment in key.split("/"))


def folded(key: str) -> str:
    """A path as the least careful file system tells it from others."""
    path = "/".join(encode(segment) for segment in key.split("/")) + "="
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", path).casefold())


@budget(300)
@given(one=anything, other=anything)
@example("Design", "design")
@example("A.b", "a.B")
@example("k", "K")
def test_two_names_never_share_a_file_whatever_the_file_system_makes_of_case(one: str, other: str) -> None:
    every: dict[str, str] = {}
    for name in {one, other, one.upper(), other.lower(), one.swapcase()}:
        for build in BUILDERS.values():
            try:
                key = build(name)
            except UsageError:
                continue
            assert every.setdefault(folded(key), key) == key
    for path in every:  # and no object lies where another one needs a folder
        assert not any(longer.startswith(path + "/") for longer in every)


@budget(40)
@given(chosen=st.lists(names, min_size=1, max_size=5), memory=st.lists(memory_keys, min_size=1, max_size=4))
def test_objects_of_any_legal_names_live_side_by_side_in_a_directory(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[str], memory: list[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    store = LocalStore(str(root))
    wanted = {f"p/{build(name)}" for name in chosen for build in (keys.step, keys.agent)} | {f"p/{keys.memory(key)}" for key in memory}
    for key in wanted:
        store.put(key, key.encode(), Always())
    assert {entry.key for entry in store.list("p/", "", 1000).entries} == wanted
    assert all((found := store.get(key)) is not None and getattr(found, "body", None) == key.encode() for key in wanted)
    assert {path.name for path in root.iterdir()} <= {"p", ".tmp", ".locks"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[windlass.Project]:
    """An empty project of an agent that has acted, counting its requests."""
    with alone(tmp_path_factory.mktemp("work")):
        registry._memories.pop("memory://names", None)
        with windlass.open("memory://names", project="demo", agent="ann") as opened:
            opened.memory.set("seen", 1)
            counting = Counting(opened.session.world.store)
            opened.session.world.store = counting
            yield opened


@pytest.mark.parametrize("call", [*CALLS, *MEMORY_CALLS, *ID_CALLS])
def test_whatever_is_no_legal_name_is_refused_before_a_request(project: windlass.Project, call: str) -> None:
    counting = project.session.world.store
    assert isinstance(counting, Counting)
    do = {**CALLS, **MEMORY_CALLS, **ID_CALLS}[call]
    for text in CURSED:
        if (text == keys.BROADCAST and call in ("mail.send", "steps.complete(to)")) or (call in MEMORY_CALLS and NAME.fullmatch(text)):
            continue
        counting.reset()
        with pytest.raises(WindlassError) as caught:
            do(project, text)
        assert caught.value.exit == 2, (call, text, caught.value)
        assert counting.counts() == {}, (call, text)


@budget(100)
@given(text=anything, call=st.sampled_from([*CALLS, *MEMORY_CALLS, *ID_CALLS]))
def test_no_text_that_is_taken_for_a_name_is_a_traceback(project: windlass.Project, text: str, call: str) -> None:
    with contextlib.suppress(WindlassError):
        {**CALLS, **MEMORY_CALLS, **ID_CALLS}[call](project, text)
    store = registry._memories["memory://names"]
    assert all(entry.key.startswith("demo/") for entry in store.list("", "", 1000).entries)


def test_the_same_holds_for_project_and_agent_names(tmp_path: Path) -> None:
    with alone(tmp_path):
        for text in CURSED:
            for project_name, agent in ((text, "ann"), ("demo", text)):
                with pytest.raises(UsageError):
                    windlass.open("memory://other", project=project_name, agent=agent)
    assert World().store.list("", "", 10).entries == ()
