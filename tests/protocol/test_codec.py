"""Documents: what is written is read again, unknown fields survive, and nothing hostile does more than be called damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import Damaged, FormatTooNew, UsageError
from windlass.protocol.agents import Agent, Keeper, Presence, Start
from windlass.protocol.board import Board, Ready
from windlass.protocol.codec import FORMAT, MAX_DOCUMENT, MAX_TEXT, Document, check_text, check_value, decode, encode
from windlass.protocol.keys import is_name
from windlass.protocol.mail import Ack, Cursor, Message, Segment, Sent
from windlass.protocol.memory import Memory
from windlass.protocol.project import Marker
from windlass.protocol.steps import Claim, Git, Handoff, Status, Step, Transition

text = st.text(max_size=20)
whole = st.integers(0, 2**53 - 1)
when = st.floats(-1e14, 1e14, allow_nan=False)
texts = st.lists(text, max_size=3).map(tuple)
name = st.text("aZ0._-", min_size=1, max_size=5).filter(is_name)
names = st.lists(name, max_size=3).map(tuple)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
extras = st.dictionaries(st.text(min_size=1, max_size=6).map(lambda name: "x" + name), values.filter(lambda v: v is not None), max_size=2)
head: dict[str, Any] = {"write_id": text, "seq": whole, "extra": extras}


def records(kind: Any, **fields: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fields).map(lambda chosen: kind(**chosen))


gits = records(Git, head=text, branch=text, worktree=text, extra=extras)
objects = st.lists(st.dictionaries(text, values, max_size=2), max_size=2).map(tuple)
claims = records(
    Claim,
    agent=name,
    incarnation=whole,
    epoch=whole,
    lease=when,
    at=when,
    needs=st.dictionaries(text, whole, max_size=2),
    git=st.none() | gits,
    extra=extras,
)
handoffs = records(
    Handoff,
    agent=text,
    state=st.sampled_from(Status),
    at=when,
    note=text,
    to=text,
    next_action=text,
    changed_files=texts,
    evidence=objects,
    git=st.none() | gits,
    extra=extras,
)
lines = records(
    Transition,
    event=text,
    by=text,
    incarnation=whole,
    at=when,
    write_id=text,
    status=st.sampled_from(Status),
    epoch=whole,
    note=text,
    of=text,
    extra=extras,
)
begun = records(
    Start, number=whole, machine=text, host=text, keeper=st.sampled_from(Keeper), at=when, write_id=text, ended=st.booleans(), extra=extras
)
DOCUMENTS: dict[type[Document], st.SearchStrategy[Any]] = {
    Step: records(
        Step,
        name=text,
        title=text,
        description=text,
        acceptance=text,
        needs=names,
        priority=st.integers(-5, 5),
        labels=texts,
        max_hold=st.none() | when,
        needed_by=names,
        status=st.sampled_from(Status),
        epoch=whole,
        claim=st.none() | claims,
        worker=text,
        handoff=st.none() | handoffs,
        built_on=st.dictionaries(text, whole, max_size=2),
        moved_to=st.none() | text,
        history=st.lists(lines, max_size=3).map(tuple),
        **head,
    ),
    Agent: records(Agent, name=text, starts=st.lists(begun, max_size=3).map(tuple), **head),
    Presence: records(
        Presence, agent=text, incarnation=whole, host=text, pid=whole, keeper=st.sampled_from(Keeper), at=when, doing=text, **head
    ),
    Memory: records(Memory, key=text, value=values, set_by=text, set_at=when, deleted=st.booleans(), moved_to=st.none() | text, **head),
    Message: records(
        Message,
        sender=text,
        incarnation=whole,
        to=text,
        text=text,
        at=when,
        step=text,
        reply_to=text,
        thread=text,
        needs_ack=st.booleans(),
        void=st.booleans(),
        moved_to=st.none() | text,
        **head,
    ),
    Segment: records(Segment, first=whole, slots=objects, **head),
    Cursor: records(Cursor, direct=whole, broadcast=whole, **head),
    Ack: records(Ack, agent=text, at=when, **head),
    Sent: records(Sent, to=text, entry_id=text, digest=text, start=whole, slot=st.none() | st.integers(0, 2**40), **head),
    Marker: records(Marker, name=text, created_at=when, created_by=text, planned=st.booleans(), moved_to=st.none() | text, **head),
}
documents = st.one_of(*DOCUMENTS.values())


@given(documents)
def test_what_is_written_is_read_again(document: Document) -> None:
    body = encode(document)
    assert body.isascii()
    assert decode(type(document), "k", body) == document
    said = json.loads(body)
    assert (said["format"], said["kind"]) == (FORMAT, document.KIND)
    assert {"write_id", "seq"} <= said.keys(), "always in the body, even where empty"


@given(documents, extras)
def test_unknown_fields_survive_a_rewrite_wherever_they_are(document: Document, extra: dict[str, Any]) -> None:
    said = json.loads(encode(document))
    inner = [value for name in ("claim", "handoff") if isinstance(value := said.get(name), dict)]
    inner += [value for one in inner if isinstance(value := one.get("git"), dict)]
    inner += [line for name in ("history", "starts") for line in said.get(name, [])]
    for target in (said, *inner):
        target.update(extra)
    again = json.loads(encode(decode(type(document), "k", json.dumps(said).encode()).but(write_id="new", seq=1)))
    for key in ("write_id", "seq"):
        said.pop(key), again.pop(key)
    assert again == said


def test_unknown_fields_survive_in_every_record_within_a_document() -> None:
    git = Git(head="abc")
    line = Transition(event="claim", by="ann", incarnation=1, at=1.0, write_id="w", status=Status.IN_PROGRESS, epoch=1)
    start = Start(number=1, machine="m", host="h", keeper=Keeper.RUN, at=1.0, write_id="w")
    full: list[tuple[Document, list[str]]] = [
        (
            Step(
                name="s",
                claim=Claim(agent="ann", incarnation=1, epoch=1, lease=60.0, git=git),
                handoff=Handoff(agent="ann", state=Status.BLOCKED, at=1.0, git=git),
                history=(line,),
            ),
            ["claim", "claim.git", "handoff", "handoff.git", "history.0"],
        ),
        (Agent(name="ann", starts=(start,)), ["starts.0"]),
        (Board(ready=(Ready(name="s"),)), ["ready.0"]),
    ]
    for document, inner in full:
        said = json.loads(encode(document))
        for path in ("", *inner):
            target = said
            for name in path.split(".") if path else ():
                target = target[int(name) if name.isdigit() else name]
            target["mood"] = {"deep": [1, None]}
        assert json.loads(encode(decode(type(document), "k", json.dumps(said).encode()))) == said


@given(documents)
def test_another_kind_is_damaged(document: Document) -> None:
    for kind in DOCUMENTS:
        if kind is not type(document):
            with pytest.raises(Damaged):
                decode(kind, "k", encode(document))


@given(st.sampled_from(list(DOCUMENTS)), st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_document_or_damaged(kind: type[Document], body: bytes) -> None:
    try:
        decode(kind, "k", body)
    except (Damaged, FormatTooNew) as error:
        said = error.message
    else:
        return
    assert said
    assert "\n" not in said


@given(st.sampled_from(list(DOCUMENTS)), st.data())
def test_any_field_of_any_type_is_a_document_or_damaged(kind: type[Document], data: st.DataObject) -> None:
    """Fields of the right names and arbitrary values; what is taken can be written again."""
    said = json.loads(encode(data.draw(DOCUMENTS[kind])))
    name = data.draw(st.sampled_from(sorted(said)))
    said[name] = data.draw(values | st.just([{}]) | st.just({"a": -1}) | st.just(1e300) | st.just(2**70))
    try:
        document = decode(kind, "k", json.dumps(said).encode())
    except (Damaged, FormatTooNew):
        return
    assert decode(kind, "k", encode(document)) == document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"nul",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"format":1,"kind":"step","a":' + b"9" * 5000 + b"}",
        b'{"kind":"step"}',
        b'{"format":"1","kind":"step"}',
        b'{"format":true,"kind":"step"}',
        b'{"format":0,"kind":"step"}',
        b'{"format":1.0,"kind":"step"}',
        b'{"format":null,"kind":"step"}',
        b'{"format":1}',
        b'{"format":1,"kind":["step"]}',
        b'{"format":1,"kind":{}}',
        b'{"format":1,"kind":"step","seq":-1}',
        b'{"format":1,"kind":"step","seq":9007199254740992}',
        b'{"format":1,"kind":"step","seq":true}',
        b'{"format":1,"kind":"step","seq":1.5}',
        b'{"format":1,"kind":"step","write_id":5}',
        b'{"format":1,"kind":"step","claim":[]}',
        b'{"format":1,"kind":"step","claim":{"lease":1e300}}',
        b'{"format":1,"kind":"step","needs":"abc"}',
        b'{"format":1,"kind":"step","needs":[1]}',
        b'{"format":1,"kind":"step","needs":["../../agents/a"]}',
        b'{"format":1,"kind":"step","needed_by":[""]}',
        b'{"format":1,"kind":"step","claim":{"agent":"a/../b","incarnation":1,"epoch":1,"lease":9}}',
        b'{"format":1,"kind":"step","built_on":{"a":-1}}',
        b'{"format":1,"kind":"step","history":{}}',
        b'{"format":1,"kind":"step","status":"x"}',
    ],
    ids=lambda body: repr(body[:44]),
)
def test_hostile_documents_are_damaged_and_named(body: bytes) -> None:
    with pytest.raises(Damaged) as told:
        decode(Step, "steps/a.json", body)
    assert told.value.key == "steps/a.json"
    assert len(told.value.message) < 200


def test_a_newer_major_format_is_refused_and_says_so() -> None:
    with pytest.raises(FormatTooNew) as told:
        decode(Step, "steps/a.json", b'{"format":2,"kind":"anything","claim":17}')
    assert "format 2" in told.value.message
    assert "upgrade" in told.value.hint


@pytest.mark.parametrize("depth", [50, 400, 900, 3000])
def test_deep_values_are_kept_or_refused(depth: int) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    try:
        check_value(value)
        body = encode(Memory(value=value))
    except UsageError:
        assert depth > 100
        return
    assert decode(Memory, "k", body).value == value


def test_nothing_is_written_that_no_store_would_read() -> None:
    with pytest.raises(UsageError):
        encode(Step(description="x" * MAX_DOCUMENT))
    assert len(encode(Message(text="\0" * MAX_TEXT))) < MAX_DOCUMENT, "the longest message in its worst form"


def test_texts_are_measured_in_bytes() -> None:
    assert check_text("é" * (MAX_TEXT // 2), "message")
    with pytest.raises(UsageError):
        check_text("é" * (MAX_TEXT // 2 + 1), "message")
    with pytest.raises(UsageError):
        check_text("\ud800", "message")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object(), {"a": (1, {3})}, {(1, 2): 3}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        check_value(value)
