"""What a look at all steps keeps of each, and the object that shares it, so that not every machine reads every step."""

from __future__ import annotations

from itertools import chain

from windlass.protocol.codec import MAX_WHOLE, Document
from windlass.protocol.keys import are_names
from windlass.protocol.steps import Status
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields
    from windlass.protocol.steps import Step

    Rows = Mapping[str, tuple[str, Mapping[str, Any]]]

TITLE = 160
"""Characters of a title that are kept, so that ten thousand steps fit into one object."""


class Brief(Record):
    """What a survey keeps of a step. `modified` is the store's time of its last change, `reopened` the `seq` of each reopening."""

    name: str
    status: Status
    modified: float
    seq: int
    title: str = ""
    priority: int = 0
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    worker: str = ""
    agent: str = ""
    """The holder, empty where nobody holds it."""
    incarnation: int = 0
    epoch: int = 0
    lease: float = 0.0
    max_hold: float | None = None
    built_on: Mapping[str, int] = {}
    reopened: tuple[int, ...] = ()
    artifacts: int = 0
    """How many have been published under it, deleted ones too."""

    def left(self, signs: Mapping[tuple[str, int], float], now: float) -> float:
        """Seconds that a claim still lives without a sign of life (times by the store's clock); below zero where its time is over."""
        lease = max(self.modified, signs.get((self.agent, self.incarnation), 0.0)) + self.lease - now
        return lease if self.max_hold is None else min(lease, self.modified + self.max_hold - now)


class Snapshot(Document):
    """Object `survey.json`: a cache of what surveys read. What it says of a step counts where a listing shows that very version."""

    KIND: ClassVar[str] = "survey"

    marks: tuple[str, ...] = ()
    """The version of each step, as it was listed."""
    columns: Mapping[str, Any] = {}
    """By field of a Brief: one value for each step."""

    @classmethod
    def load(cls, f: Fields) -> Self:
        marks, found = f.texts("marks"), f.mapping("columns")
        check(marks, found)
        return cls(marks=marks, columns=found)


def brief(step: Step, modified: float) -> Brief:
    """What a survey keeps of a step."""
    claim = step.claim
    return Brief(
        name=step.name,
        status=step.status,
        modified=modified,
        seq=step.seq,
        title=step.title[:TITLE],
        priority=step.priority,
        labels=step.labels,
        needs=step.needs,
        worker=step.worker,
        agent=claim.agent if claim else "",
        incarnation=claim.incarnation if claim else 0,
        epoch=step.epoch,
        lease=claim.lease if claim else 0.0,
        max_hold=step.max_hold,
        built_on=claim.needs if claim else step.built_on if step.status is Status.COMPLETE else {},
        reopened=tuple(i + 1 for i, line in enumerate(step.history) if line.event == "reopen"),
        artifacts=len(step.artifacts),
    )


_NUMBERS: set[type] = {float, int}
_KINDS: dict[str, set[type]] = {
    "name": {str}, "status": {str}, "seq": {int}, "title": {str}, "priority": {int}, "labels": {list}, "needs": {list}, "worker": {str},
    "agent": {str}, "incarnation": {int}, "epoch": {int}, "lease": _NUMBERS, "max_hold": _NUMBERS | {type(None)}, "built_on": {dict},
    "reopened": {list}, "artifacts": {int},
}  # fmt: skip
"""Of each column, as JSON: all fields of a Brief but `modified`, which a listing tells."""
_COUNTS = ("seq", "incarnation", "epoch", "artifacts")
_STATES = {state.value: state for state in Status}


def columns(steps: Sequence[Brief]) -> dict[str, list[Any]]:
    """Steps by columns: what is the same of all is then looked at once."""
    out: dict[str, list[Any]] = {field: [getattr(one, field) for one in steps] for field in _KINDS}
    out["status"] = [state.value for state in out["status"]]
    return out


def check(marks: Sequence[object], found: Mapping[str, Any]) -> None:
    """Raises ValueError unless these columns, one row for each mark, hold what a survey may write."""
    for field, kinds in _KINDS.items():
        column = found.get(field)
        if type(column) is not list or len(column) != len(marks) or not kinds.issuperset(map(type, column)):
            raise ValueError(f"columns.{field} is not as it should be")
    labels, needs, built_on, reopened = (list(chain.from_iterable(found[one])) for one in ("labels", "needs", "built_on", "reopened"))
    counts = [*reopened, *chain.from_iterable(one.values() for one in found["built_on"])]
    if not ({str}.issuperset(map(type, labels + needs)) and {int}.issuperset(map(type, counts))):
        raise ValueError("columns has something of the wrong type in a list")
    counts += chain.from_iterable(found[field] for field in _COUNTS)
    if min(counts, default=0) < 0 or max(chain(counts, map(abs, found["priority"])), default=0) >= MAX_WHOLE:
        raise ValueError("columns has a number out of range")
    if not are_names({*found["name"], *needs, *built_on} | (set(found["agent"]) - {""})) or not _STATES.keys() >= set(found["status"]):
        raise ValueError("columns has something that is no name or no state")


def rows(marks: Sequence[str], found: Mapping[str, Any]) -> Rows:
    """By step, its mark and the fields of its Brief but `modified`, out of columns that were checked."""
    made = {field: found[field] for field in _KINDS}
    made["status"] = [_STATES[value] for value in made["status"]]
    for field in ("labels", "needs", "reopened"):
        made[field] = map(tuple, made[field])
    return {row[0]: (mark, dict(zip(_KINDS, row, strict=True))) for mark, row in zip(marks, zip(*made.values(), strict=True), strict=True)}


def at(row: Mapping[str, Any], modified: float) -> Brief:
    """The Brief of a row, last changed at that time."""
    one = Brief.__new__(Brief)  # its fields are whole: checking them again would cost as much as all the rest
    vars(one).update(row, modified=modified)
    return one
