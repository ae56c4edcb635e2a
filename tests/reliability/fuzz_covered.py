"""Coverage-guided fuzzing of the parsers by atheris: `python -m tests.reliability.fuzz_covered TARGET [libFuzzer options]`.

For a Python that has atheris; `tests.reliability.fuzz` starts it. Nothing of the tests is imported here: that Python has no more.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["windlass"]):
    from windlass.errors import Damaged, FormatTooNew, PutRefused, PutUnclear, UsageError, WindlassError
    from windlass.ops.agents import Clock
    from windlass.project.planfile import dump, parse
    from windlass.protocol import keys
    from windlass.protocol.agents import Agent, Presence
    from windlass.protocol.board import Board
    from windlass.protocol.codec import decode, encode
    from windlass.protocol.mail import Ack, Cursor, Message, Segment, Sent
    from windlass.protocol.memory import Memory
    from windlass.protocol.plans import build, exported
    from windlass.protocol.project import Marker
    from windlass.protocol.steps import Step
    from windlass.protocol.survey import Snapshot
    from windlass.stores import answers, location, names, registry
    from windlass.surfaces.present import clean

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = (Marker, Board, Agent, Presence, Clock, Step, Memory, Message, Segment, Cursor, Ack, Sent, Snapshot)
"""In the order of `fuzz_world.KINDS`: the first byte of an input chooses."""
PLACE = location.Location(url="s3://bucket/p", bucket="bucket", prefix="p")


def documents(data: bytes) -> None:
    """What is read is written and reads the same."""
    if not data:
        return
    kind: Any = KINDS[data[0] % len(KINDS)]
    body = data[1:]
    try:
        fields: Any = json.loads(body)
        if isinstance(fields, dict):  # help it past the first checks
            body = json.dumps({"format": 1, "kind": kind.KIND, **fields}).encode()
    except (ValueError, RecursionError):
        pass
    try:
        document = decode(kind, "k", body)
        again = encode(document)
    except (Damaged, FormatTooNew, UsageError):
        return
    assert decode(kind, "k", again) == document


def texts(data: bytes) -> str:
    """Bytes as Python carries them from a command line."""
    return data.decode("utf-8", "surrogateescape")


def all_keys(data: bytes) -> None:
    """A text makes a key that every store takes, or is refused."""
    text = texts(data)
    for make in (keys.agent, keys.step, keys.memory, keys.clock, keys.cursor, keys.slots):
        try:
            key = make(text)
        except UsageError:
            continue
        names.check_key(key.rstrip("/"))
        assert all(names.decode(names.encode(segment)) == segment for segment in key.rstrip("/").split("/"))
    for read in (keys.parse_agent, keys.parse_step, keys.parse_memory, keys.parse_presence, keys.parse_slot):
        read(text)
    found = names.decode(text)
    assert found is None or names.encode(found) == text
    shown = clean(text)
    assert clean(shown) == shown
    assert not set(shown) & set("\x00\x1b\x7f\x9b\u202e")


def plans(data: bytes) -> None:
    """A plan that is read is written and reads the same."""
    try:
        text = data.decode("utf-8")
        plan = build(parse(text))
        json.dumps(exported(plan.steps), ensure_ascii=False).encode()
    except (UnicodeError, UsageError):
        return
    assert build(parse(dump(exported(plan.steps)))) == plan


def urls(data: bytes) -> None:
    """A URL is understood or refused; its canonical form is the same."""
    text = texts(data)
    for url in (text, "s3://bucket/p?" + text, "s3://" + text, "file:///" + text):
        try:
            shown = registry.describe(url)
            if "://" in shown:
                assert registry.describe(shown) == shown
        except UsageError:
            continue


def all_answers(data: bytes) -> None:
    """Whatever a library says, it becomes one of our errors."""
    answer = answers.understand(Exception(data.decode("utf-8", "replace")))
    for error in (
        answers.of_read(answer, PLACE, None, "k"),
        answers.of_put(answer, PLACE, None, "k", True),
        answers.of_put(answer, PLACE, None, "k", False),
    ):
        assert isinstance(error, (WindlassError, PutRefused, PutUnclear))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "documents": documents,
    "keys": all_keys,
    "plans": plans,
    "urls": urls,
    "answers": all_answers,
}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
