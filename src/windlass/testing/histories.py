"""Histories: what concurrent processes asked of a store and what it answered, recorded as JSON lines, merged and judged.

A file begins with a line that names the model. Then each operation has a line written before its request is sent, and one
after its answer: whoever is killed in between leaves an operation of unknown outcome. Times are the machine's monotonic
clock in ns, which all its processes share.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_right

from windlass.effects import Object
from windlass.errors import Indeterminate, PutUnclear, WindlassError
from windlass.record import Record
from windlass.testing.linearizable import STEPS, Finding, Operation, Verdict, check_each
from windlass.testing.models import ANY, MODELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

ALL = "*"
"""The key of a listing, of the keys behind `after` up to `upto` where it says so: it is judged as a look at each of them."""


class Recorder:
    """One process's history, a line at a time into `keep`, which must not hold lines back."""

    def __init__(self, process: str, keep: Callable[[bytes], object]) -> None:
        self.process = process
        self._keep = keep
        self._count = 0

    @classmethod
    def into(cls, path: str, process: str, model: str, **facts: Any) -> Recorder:
        """Record into a file, line by line, so that all of it survives the process. `facts` go into the first line."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        recorder = cls(process, lambda line: os.write(file, line))
        recorder.begin(model, **facts)
        return recorder

    def begin(self, model: str, **facts: Any) -> None:
        """The first line of a file."""
        self._write({"history": 1, "model": model, **facts})

    def ask(self, key: str, do: str, args: Any, act: Callable[[], Any]) -> Any:
        """Carry out one operation and record it; its answer as JSON, None where there is none.

        PutUnclear and Indeterminate are unknown outcomes, other errors of ours sure not to have had an effect. Raises all others.
        """
        self._count += 1
        number = self._count
        self._write({"n": number, "p": self.process, "at": time.monotonic_ns(), "key": key, "do": do, "in": args})
        end, answer, why = "unknown", None, ""
        try:
            answer = act()
            end = "ok"
        except (PutUnclear, Indeterminate) as error:
            why = f"{type(error).__name__}: {error}"
        except WindlassError as error:
            end, why = "fail", f"{type(error).__name__}: {error}"
        finally:
            self._write({"n": number, "p": self.process, "at": time.monotonic_ns(), "end": end, "out": answer, "why": why})
        return answer

    def _write(self, line: Mapping[str, Any]) -> None:
        self._keep(json.dumps({name: value for name, value in line.items() if value not in (None, "")}).encode() + b"\n")


class History(Record):
    """Operations of one model; `failed` counts those that surely had no effect, by what they said. They are left out."""

    model: str
    operations: tuple[Operation, ...]
    failed: Mapping[str, int]
    facts: Mapping[str, Any] = {}


class Report(Record):
    """What a history came to. `trouble`: why it proves nothing, or worse, besides what was found by key."""

    model: str
    operations: int
    unknown: int
    failed: int
    done: Mapping[str, int]
    """Operations that were answered, by kind."""
    findings: tuple[Finding, ...]
    seconds: float
    """Spent on judging."""
    hidden: int = 0
    """Keys that are linearizable only if a refusal hid a write that landed; only `judge_twice` finds them."""
    trouble: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What else there is to know, which proves nothing."""

    @property
    def fine(self) -> bool:
        """Whether every key is linearizable and nothing else was wrong."""
        return not self.trouble and all(one.verdict is Verdict.LINEARIZABLE for one in self.findings)

    def count(self, verdict: Verdict) -> int:
        """Keys with that verdict."""
        return sum(one.verdict is verdict for one in self.findings)

    def text(self) -> str:
        """The report in lines for people, with the violations that are explained."""
        done = ", ".join(f"{count} {do}" for do, count in sorted(self.done.items()))
        first = (
            f"{self.model}: {self.operations} operations on {len(self.findings)} keys ({done}), {self.unknown} of unknown outcome, "
            f"{self.failed} without effect; judged in {self.seconds:.2f} s: {self.count(Verdict.VIOLATION)} violations, "
            f"{self.count(Verdict.UNDECIDED)} undecided"
        )
        wrong = [one for one in self.findings if one.verdict is not Verdict.LINEARIZABLE]
        explained = [f"{one.key} is {one.verdict.value}:\n{one.why}" for one in wrong if one.why]
        hidden = [f"keys linearizable only if a refusal hid a write that landed: {self.hidden}"] if self.hidden else []
        return "\n".join([first, *explained, *hidden, *self.trouble, *self.notes])


def load(*paths: str) -> History:
    """The histories in files, and in folders of `.jsonl` files, merged. Raises ValueError where they are not of one model."""
    names = [
        os.path.join(path, name) for path in paths if os.path.isdir(path) for name in sorted(os.listdir(path)) if name.endswith(".jsonl")
    ]
    names += [path for path in paths if not os.path.isdir(path)]
    lines: list[bytes] = []
    for name in names:
        with open(name, "rb") as file:
            lines += file.read().split(b"\n")[:-1]  # the last line of a killed process may be torn
    return merge(lines)


def merge(lines: Iterable[bytes]) -> History:
    """A history out of its lines, those of one process in their order. Raises ValueError."""
    model = ""
    facts: dict[str, Any] = {}
    calls: dict[tuple[str, int], Operation] = {}
    ended: list[Operation] = []
    failed: dict[str, int] = {}
    for line in lines:
        event = json.loads(line)
        if "history" in event:
            if event["history"] != 1 or event["model"] not in MODELS or model not in ("", event["model"]):
                raise ValueError(f"not histories of one known model: {event}")
            model, facts = event["model"], {**facts, **event}
            continue
        which = event["p"], event["n"]
        if "do" in event:
            if which in calls:
                raise ValueError(f"{which} was called twice: histories of several runs do not mix")
            key, do = event.get("key", ""), event["do"]
            calls[which] = Operation(process=event["p"], key=key, do=do, args=event.get("in"), called=event["at"])
        elif event["end"] == "fail":
            del calls[which]
            why = event.get("why", "").partition(":")[0]
            failed[why] = failed.get(why, 0) + 1
        elif event["end"] == "ok":
            ended.append(calls.pop(which).but(returned=event["at"], answer=event.get("out")))
    if not model:
        raise ValueError("no history: the line that names the model is missing")
    return History(model=model, operations=(*ended, *calls.values()), failed=failed, facts=facts)


def judge(history: History, most: int = STEPS, enough: Mapping[str, int] | int = 0) -> Report:
    """Check every key by itself. `enough`: how many operations must have been answered, in all or by kind, for it to mean anything."""
    began = time.monotonic()
    findings = tuple(check_each(MODELS[history.model], _apart(history.operations), most))
    done: dict[str, int] = {}
    for one in history.operations:
        if one.known:
            done[one.do] = done.get(one.do, 0) + 1
    floors = {"": enough} if isinstance(enough, int) else enough
    counts = {**done, "": sum(done.values())}
    trouble = tuple(
        f"too few to mean anything: {counts.get(do, 0)} of at least {floor} operations {do} were answered".replace("  ", " ")
        for do, floor in floors.items()
        if counts.get(do, 0) < floor
    )
    return Report(
        model=history.model,
        operations=len(history.operations),
        unknown=sum(not one.known for one in history.operations),
        failed=sum(history.failed.values()),
        done=done,
        findings=findings,
        seconds=time.monotonic() - began,
        trouble=trouble,
    )


def judge_twice(history: History, most: int = STEPS, enough: Mapping[str, int] | int = 0) -> Report:
    """As `judge`, for bare objects on any network: a violation counts only if it is one too where refusals may hide writes that landed.

    Such a refusal is what a client hears whose request was sent twice on its way. Even then nothing lands whose condition failed,
    and a refusal without cause is a violation.
    """
    sure = judge(history, most, enough)
    if not sure.count(Verdict.VIOLATION):
        return sure
    unsure = judge(history.but(operations=tuple(_unsure(one) for one in history.operations)), most)
    findings = tuple(
        second if first.verdict is Verdict.VIOLATION else first for first, second in zip(sure.findings, unsure.findings, strict=True)
    )
    settled = sum(one.verdict is Verdict.LINEARIZABLE for one in findings) - sure.count(Verdict.LINEARIZABLE)
    return sure.but(findings=findings, hidden=settled, seconds=sure.seconds + unsure.seconds)


def _unsure(one: Operation) -> Operation:
    """An operation whose refusal, if it was refused, does not say whether it landed."""
    return one.but(answer={**one.answer, "won": None}) if (one.answer or {}).get("won") is False else one


def _apart(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Each listing as a look at each key of its range that anybody used: a listing promises no more than that."""
    looks: list[Operation] = []
    keys: set[str] = set()
    values: dict[tuple[str, str], str] = {}
    for one in operations:
        if one.key == ALL:
            if one.answer is not None:
                looks.append(one)
                keys |= one.answer["found"].keys()
            continue
        yield one
        keys.add(one.key)
        version = (one.answer or {}).get("version")
        if isinstance(version, str):
            value = one.answer["value"] if one.do == "get" else one.args["value"]
            values[one.key, version] = value if values.get((one.key, version), value) == value else ANY
    names = sorted(keys)
    for one in looks:
        found, reach = one.answer["found"], one.args or {}
        last = bisect_right(names, reach["upto"]) if "upto" in reach else len(names)
        for key in names[bisect_right(names, reach.get("after", "")) : last]:
            value = values.get((key, found[key]), ANY) if key in found else None
            yield one.but(key=key, args=None, answer={"value": value})


def content(found: object) -> str | None:
    """The value in an object as `body` made it; a text that nobody wrote where it is torn."""
    if not isinstance(found, Object):
        return None
    value, _, rest = found.body.decode(errors="replace").partition(" ")
    size, _, filling = rest.partition(" ")
    return value if size.isdigit() and filling == "x" * int(size) + "." else f"torn: {found.body[:80]!r}"


def body(value: str, size: int) -> bytes:
    """An object that holds a value and shows whether all of it is there."""
    return f"{value} {size} {'x' * size}.".encode()
