"""docs/protocol.md says what the code does: every key, document, field, event and figure, and nothing that is not there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from enum import Enum
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.world import Place

import windlass.protocol
from windlass.ops import agents as agent_ops
from windlass.ops import artifacts, mail, memory, plans, registers, steps, survey, waiting, work, workspaces
from windlass.ops.agents import act
from windlass.protocol import agents, board, codec, keys, transitions
from windlass.protocol import mail as mail_records
from windlass.protocol import survey as survey_records
from windlass.protocol.artifacts import MAX_META, Ref
from windlass.protocol.blobs import EMPTY, Blob
from windlass.protocol.codec import Document
from windlass.protocol.plans import build
from windlass.protocol.steps import Claim, Definition, Handoff, Status, Step
from windlass.protocol.transitions import Act
from windlass.protocol.trees import file_entry
from windlass.protocol.workspaces import KEPT, MAX_CHECKPOINTS, MAX_MERGED
from windlass.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = (Path(__file__).parent.parent / "docs/protocol.md").read_text(encoding="utf-8")
ROWS = re.compile(r"^\| (.+) \|$", re.MULTILINE)
MODULES = [importlib.import_module(f"windlass.protocol.{found.name}") for found in pkgutil.iter_modules(windlass.protocol.__path__)]


def sections() -> dict[str, str]:
    """Each heading with the text up to the next one."""
    parts = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    return [[cell.strip() for cell in found.split(" | ")] for found in ROWS.findall(text)][1:]


def first_cells(text: str) -> list[str]:
    """What the first column of a table names in backquotes."""
    return [name for row in table(text) for name in re.findall(r"`([^`]+)`", row[0])]


def defined(kind: type) -> dict[str, type[Any]]:
    """The classes of that kind that the protocol's modules (and presence's clock) define."""
    every = [found for module in [*MODULES, agent_ops] for found in vars(module).values() if isinstance(found, type)]
    wanted = [found for found in every if issubclass(found, kind) and found not in (kind, Document)]
    own = [found for found in wanted if found.__module__.startswith("windlass.protocol") or issubclass(found, Document)]
    return {found.__name__: found for found in own}


def headings() -> dict[str, tuple[str, list[list[str]]]]:
    """By class: the kind that its heading names, and its table of fields."""
    out = {}
    for heading, text in sections().items():
        found = re.fullmatch(r"(\w+)(?:, kind `(\w+)`|, .+)?", heading)
        if found and (text.lstrip().startswith("| Field") or "\n| Field" in text or found[2]):
            out[found[1]] = (found[2] or "", table(text))
    return out


RECORDS = defined(Record)
DOCUMENTED = headings()
TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "str | None": "text or nothing",
    "int | None": "whole number or nothing",
    "float | None": "number or nothing",
    "tuple[str, ...]": "list of text",
    "tuple[Mapping[str, Any], ...]": "list of objects",
    "Mapping[str, int]": "object of whole numbers",
    "Mapping[str, Any]": "object",
    "tuple[int, ...]": "list of whole numbers",
    "tuple[Any, ...]": "list of any JSON",
    "Any": "any JSON",
}


def documented_type(annotation: str) -> str:
    """An annotation in the document's words."""
    if annotation in TYPES:
        return TYPES[annotation]
    found = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", annotation)
    if found:
        return f"list of {found[1]}"
    found = re.fullmatch(r"Mapping\[str, (\w+)\]", annotation)
    if found:
        return f"object of {found[1]}"
    return annotation.replace(" | None", " or nothing")


def annotation(record: type[Record], field: str) -> str:
    """How the class that introduced a field wrote its type."""
    return next(
        str(base.__dict__["__annotations__"][field]) for base in record.__mro__ if field in base.__dict__.get("__annotations__", {})
    )


def test_every_record_is_documented_and_no_other() -> None:
    assert set(DOCUMENTED) == set(RECORDS)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_field_of_a_record_is_documented_in_order_and_with_its_type(name: str) -> None:
    record = RECORDS[name]
    kind, rows = DOCUMENTED[name]
    assert kind == getattr(record, "KIND", "")
    assert all(row[2] for row in rows), "each field has a meaning"
    head = {"extra", *(Document.__fields__ if issubclass(record, Document) else ())}
    fields = [field for field in record.__fields__ if field not in head]
    written = {row[0].strip("`"): row[1] for row in rows}
    assert list(written) == fields
    for field in fields:
        assert written[field].removesuffix(", signed") == documented_type(annotation(record, field)), field


def test_signed_numbers_are_those_that_the_code_reads_with_a_sign() -> None:
    for name, (_, rows) in DOCUMENTED.items():
        if name == "Definition" or not hasattr(RECORDS[name], "load"):
            continue
        signed = set(re.findall(r'f\.signed\("(\w+)"\)', inspect.getsource(RECORDS[name].load)))
        assert {row[0].strip("`") for row in rows if row[1].endswith(", signed")} == signed, name


def test_the_fields_of_every_document_are_those_of_its_head() -> None:
    assert tuple(first_cells(sections()["Every document"])) == ("format", "kind", "write_id", "seq")
    assert set(codec._HEAD) == {"format", "kind", "write_id", "seq"}


def test_every_value_of_every_enumeration_is_documented() -> None:
    for name, found in defined(Enum).items():
        assert first_cells(sections()[name]) == [one.value for one in found], name


SAMPLES = {
    "name": "Ann",
    "step": "Ann",
    "artifact": "Ann",
    "workspace": "Ann",
    "agent": "Ann",
    "machine": "00c0ffee",
    "incarnation": 7,
    "key": "design.api",
    "version": 12,
    "mailbox": "bob",
    "number": 3,
    "ident": "build-1",
}


def spelled(template: str) -> str:
    """A key of the table with the samples in it."""
    place = {
        "agent": SAMPLES["agent"],
        "step": SAMPLES["name"],
        "id": SAMPLES["ident"],
        "upload": SAMPLES["ident"],
        "key/": str(SAMPLES["key"]).replace(".", "/"),
        "slot": SAMPLES["number"],
        **SAMPLES,
    }

    def value(found: re.Match[str]) -> str:
        name, _, width = found[1].partition(":")
        return f"{place[name]:0{width}d}" if width else str(place[name])

    return re.sub(r"\{([^}]+)\}", value, template)


def test_every_key_is_documented_as_it_is_built() -> None:
    rows = {row[1].strip("`"): row[0].strip("`") for row in table(sections()["Keys"])}
    functions = {
        name: found
        for name, found in vars(keys).items()
        if isinstance(found, FunctionType) and found.__annotations__["return"] == "str" and not name.startswith(("_", "check_"))
    }
    no_keys = {"memory_prefix", "slots", "message_id", "artifact_versions", "blobs"}
    assert set(rows) == functions.keys() - no_keys | {"MARKER", "BOARD", "SURVEY", "SWEEP"}
    for name, template in rows.items():
        if name.isupper():
            assert template == getattr(keys, name)
            continue
        if name == "blob":
            assert template == "blobs/{hash:2}/{rest of the hash}.{epoch}"
            assert keys.blob("ab" + "0" * 62 + ".3") == "blobs/ab/" + "0" * 62 + ".3"
            continue
        arguments = [SAMPLES[parameter] for parameter in inspect.signature(functions[name]).parameters]
        assert spelled(template) == functions[name](*arguments)


def test_every_key_names_a_document_that_exists() -> None:
    for row in table(sections()["Keys"]):
        found = re.match(r"\[(\w+)\]", row[2])
        assert found
        assert issubclass(RECORDS[found[1]], Document)


def test_listing_prefixes_and_message_ids_are_those_of_the_code() -> None:
    said = re.search(r"Listing prefixes: ([^.]+)\.", sections()["Keys"])
    assert said
    assert set(re.findall(r"`([^`]+)`", said[1])) == {
        keys.AGENTS, keys.PRESENCE, keys.STEPS, keys.MEMORY, keys.HISTORY, keys.ARTIFACTS, keys.VERSIONS,
        keys.WORKSPACES, keys.BLOBS, keys.PENDING, keys.MAIL,
    }  # fmt: skip
    assert f"`{keys.message_id('designer', 12)}`" in TEXT


def test_every_event_of_a_step_is_documented() -> None:
    source = inspect.getsource(transitions)
    made = set(re.findall(r'_record\(\s*step,\s*act,\s*"(\w+)"', source)) | set(re.findall(r'event(?:, of)? = "(\w+)"', source))
    made |= set(re.findall(r'event = "(\w+)" if [^\n]* else "(\w+)"', source)[0])
    made |= {"complete", "blocked", "needs_review", "failed"}
    assert set(first_cells(sections()["States of a step"])) >= made
    said = {name for row in table(sections()["States of a step"]) for name in re.findall(r"`(\w+)`", row[0])}
    assert said == made


def step(status: Status) -> Step:
    """A step of another worker in a state, needs review by Ann."""
    claim = Claim(agent="bob", incarnation=1, epoch=4, lease=60.0) if status is Status.IN_PROGRESS else None
    return Step(name="s", status=status, epoch=4, claim=claim, worker="bob", seq=9)


ANN = Act(agent="ann", incarnation=1, at=1.0, write_id="w")
BOB = Act(agent="bob", incarnation=1, at=1.0, write_id="w")


def handoff(state: str) -> Handoff:
    """An empty one."""
    return Handoff(agent="", state=Status(state), at=0.0)


MOVES: dict[str, Any] = {
    "claim": lambda s: transitions.claimed(s, "s", ANN, 60.0),
    "takeover": lambda s: transitions.claimed(s, "s", ANN, 60.0, dead_seq=9),
    "complete": lambda s: transitions.finished(s, "s", BOB, handoff("complete")),
    "blocked": lambda s: transitions.finished(s, "s", BOB, handoff("blocked")),
    "needs_review": lambda s: transitions.finished(s, "s", BOB, handoff("needs_review")),
    "failed": lambda s: transitions.finished(s, "s", BOB, handoff("failed")),
    "the same, forced": lambda s: transitions.finished(s, "s", ANN, handoff("failed"), force=True),
    "release": lambda s: transitions.released(s, "s", BOB),
    "release, forced": lambda s: transitions.released(s, "s", ANN, force=True),
    "approve": lambda s: transitions.approved(s, ANN, ""),
    "reject": lambda s: transitions.rejected(s, ANN, ""),
    "cancel": lambda s: transitions.cancelled(s, ANN, ""),
    "reopen": lambda s: transitions.reopened(s, ANN, ""),
    "move": lambda s: transitions.frozen(s, ANN, "s3://elsewhere"),
    "edit": lambda s: transitions.defined(s, "s", ANN, Definition(title="t")),
    "link": lambda s: transitions.linked(s, ANN, "other"),
    "publish": lambda s: transitions.published(s, "s", BOB, {"a": 1}),
    "unpublish": lambda s: transitions.unpublished(s, BOB, {}, "a@2"),
    "touch": lambda s: transitions.touched(s, ANN),
}


def rows_of_states() -> dict[str, list[str]]:
    """The table of states by event, one row for each event that it names together with others."""
    out: dict[str, list[str]] = {}
    for row in table(sections()["States of a step"]):
        names = re.findall(r"`(\w+)`", row[0]) or [row[0]]
        forced = ", forced" if row[0].endswith(", forced") and "`" in row[0] else ""
        out |= {name + forced: row for name in names}
    return out


@pytest.mark.parametrize("event", sorted(MOVES))
def test_the_table_of_states_is_that_of_the_state_machine(event: str) -> None:
    row = rows_of_states()[event]
    named = set(re.findall(r"`(\w+)`", row[1]))
    states = {one.value for one in Status}
    froms = states - named if row[1].startswith("any but") else states if row[1] == "any" else named & states
    for status in Status:
        before = step(status)
        try:
            after = MOVES[event](before)
        except windlass.WindlassError:
            after = before
        allowed = status.value in froms
        wrote = "failed" if event == "the same, forced" else event.removesuffix(", forced")
        changed = after is not before and after.history[-1].event == wrote
        assert changed == allowed or (event == "cancel" and status is Status.CANCELLED), status
        if not changed:
            continue
        to = re.findall(r"`(\w+)`", row[2])
        expected = to[0] if to else status.value if row[2].startswith("the same") else "failed" if "forced" in event else event
        assert after.status.value == expected
        grown = after.epoch - before.epoch
        assert grown == {"+ 1": 1, "–": 0, "+ 1 if claimed": int(status is Status.IN_PROGRESS)}[row[4]], status


class Team:
    """Two agents at work on one plan; each cost is counted once they are known and fresh."""

    def __init__(self) -> None:
        self.place = Place()
        self.ann, self.bob = self.place.agent("ann").warm(), self.place.agent("bob").warm()
        self.me = self.ann.actor

    def finish(self, name: str) -> Any:
        """Complete a step of Ann's."""
        return steps.finish(self.me, name, handoff("complete"))

    def planned(self) -> Any:
        """The claim of a step of a plan, with one need that is complete."""
        self.ann.do(plans.apply(self.me, build({"steps": {"a": {}, "b": {"needs": ["a"]}}})))
        return steps.claim(self.me, "a")

    def late(self, *, force: bool = False) -> Any:
        """The claim of a step whose holder has been silent for longer than its lease."""
        self.bob.do(steps.claim(self.bob.actor, "s", lease=60.0))
        self.ann.warm()
        self.place.pass_(0 if force else 59)
        self.ann.do(act(self.me, renew=True))
        self.place.pass_(0 if force else 10)
        return steps.claim(self.me, "s", force=force)

    def done(self, op: Any) -> None:
        """Something done before."""
        self.ann.do(op)


def held(world: Team) -> Any:
    """A claim of what Bob holds, alive."""
    world.bob.do(steps.claim(world.bob.actor, "s"))
    return steps.claim(world.me, "s")


def mine(world: Team) -> Any:
    """A completion from what this machine remembers."""
    world.done(steps.claim(world.me, "s"))
    return world.finish("s")


def ready(world: Team) -> Any:
    """The next step of a plan."""
    world.planned()
    return work.next_(world.me)


def again(op: Callable[[Team], Any]) -> Callable[[Team], Any]:
    """The same, the second time."""

    def second(world: Team) -> Any:
        world.done(op(world))
        return op(world)

    return second


def received(world: Team) -> Any:
    """An acknowledgement of a message of Bob's."""
    world.bob.do(mail.send(world.bob.actor, "ann", "x"))
    return mail.ack(world.me, "ann:0")


def minute(world: Team) -> Any:
    """A look for new mail a minute after the last one."""
    world.done(mail.unread(world.me))
    world.place.pass_(60)
    world.done(act(world.me))
    return mail.unread(world.me)


def shown(world: Team) -> Any:
    """A look at an artifact."""
    world.done(artifacts.upload(world.me, "a", empty))
    return artifacts.show(Ref(step="", name="a"))


def empty(_: Any) -> Any:
    """An empty file."""
    yield from ()
    return file_entry(Blob(sha=EMPTY, size=0))


def begun(world: Team) -> Any:
    """A checkpoint of a workspace."""
    world.done(workspaces.create(world.me, "w"))
    return workspaces.checkpoint(world.me, "w", "v1")


COSTS: dict[str, list[Callable[[Team], Any]]] = {
    "claim an undeclared step, won": [lambda w: steps.claim(w.me, "s")],
    "claim where a plan was applied, won": [Team.planned],
    "claim, lost, the holder plainly alive": [held],
    "claim, taken over": [Team.late, lambda w: w.late(force=True)],
    "complete, release": [mine],
    "memory get": [lambda w: memory.get("k")],
    "memory set": [lambda w: memory.set_(w.me, "k", 1), again(lambda w: memory.set_(w.me, "k", 1))],
    "artifact show": [shown],
    "workspace checkpoint": [begun],
    "send": [again(lambda w: mail.send(w.me, "bob", "x"))],
    "send --id": [
        lambda w: again(lambda w: mail.send(w.me, "bob", "x"))(w) and mail.send(w.me, "bob", "x", ident="k"),
        again(lambda w: mail.send(w.me, "bob", "x", ident="k")),
    ],
    "inbox --new, nothing new": [again(lambda w: mail.unread(w.me)), minute],
    "ack": [received],
    "next, any number of steps": [ready],
    "presence": [lambda w: act(w.me, renew=True)],
}


@pytest.mark.parametrize("operation", sorted(COSTS))
def test_requests_are_those_that_are_counted(operation: str) -> None:
    """Each figure of the row, in its order, for each case."""
    row = next(row for row in table(sections()["Requests"]) if row[0] == operation)
    figures = [found[0] for found in re.finditer(r"(?:\d (?:PUT|GET)(?: \+ )?)+", row[1])]
    for case, figure in zip(COSTS[operation], figures, strict=False):
        said = {kind.lower(): int(count) for count, kind in re.findall(r"(\d) (PUT|GET)", figure)}
        world = Team()
        assert world.ann.cost(case(world)) == said


@pytest.mark.parametrize(
    "said",
    [
        f"**format {codec.FORMAT}**",
        f"at most {codec.MAX_DOCUMENT // 2**20} MiB",
        f"has at most {codec.MAX_TEXT // 1024} KiB",
        f"The margin is {agents.MARGIN:g} s",
        f"the shortest lease is {agents.LEASE_MIN:g} s",
        f"Default leases: {agents.LEASE_BARE:,.0f} s for bare commands, {agents.LEASE_BEATING:g} s where",
        f"when the last refresh is {agents.FRESH:g} s old",
        f"the newest {agents.KEPT_STARTS} incarnations",
        f"at most {board.SIZE} steps",
        f"where {survey.MANY} steps or more would be read otherwise, and at least one in {survey.SHARE} of those listed",
        f"who had to read {survey.NEWS} steps or more even so",
        f"its first {survey_records.TITLE} characters",
        f"at most {artifacts.MAX_INPUTS:,} |",
        f"by label, at most {MAX_CHECKPOINTS:,} |",
        f"that is part of this one, at most {MAX_MERGED} |",
        f"the newest {KEPT} changes |",
        f"with the inputs at most {MAX_META // 1024} KiB",
        f"where somebody said so; at most {artifacts.MAX_COMMAND // 1024} KiB",
        f"a copy of {mail_records.SEGMENT} consecutive full slots",
        f"at most {mail_records.SEGMENT_BYTES // 2**20} MiB",
        f"{mail_records.NEWCOMER} broadcasts before the end",
        f"1 to {keys.MAX_NAME} of",
        f"{keys.MAX_MEMORY_KEY} bytes in all",
        f"max({waiting.FIRST * 1000:g} ms, {waiting.SHARE * 100:g} % of the time waited), at most {waiting.MOST:g} s",
        "(after " + ", ".join(f"{wait:g}" for wait in registers.RESEND[:-1]) + f" and {registers.RESEND[-1]:g} s)",
    ],
)
def test_figures_are_those_of_the_code(said: str) -> None:
    assert said in " ".join(TEXT.split())
