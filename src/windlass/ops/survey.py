"""A look at all steps: a listing, and reads only of what changed since this machine last looked."""

from __future__ import annotations

import json

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew
from windlass.protocol import keys
from windlass.protocol.codec import decode
from windlass.protocol.steps import Status, Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from windlass.effects import Op

AT_ONCE = 64
"""Reads in flight."""
_SEEN = "survey"
_SHAPE = 2
_TITLE = 160
"""Characters of a title that a survey keeps, so that ten thousand steps fit into what a machine remembers."""


class Brief(Record):
    """What a survey keeps of a step. `modified` is the store's time of its last change."""

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
    """The `seq` of each reopening."""

    def left(self, signs: Mapping[tuple[str, int], float], now: float) -> float:
        """Seconds that a claim still lives without a sign of life (times by the store's clock); below zero where its time is over."""
        lease = max(self.modified, signs.get((self.agent, self.incarnation), 0.0)) + self.lease - now
        return lease if self.max_hold is None else min(lease, self.modified + self.max_hold - now)


class Survey(Record):
    """All steps by name, and the keys of those that could not be read, each with the reason."""

    steps: Mapping[str, Brief]
    damaged: Mapping[str, str] = {}


def brief(step: Step, modified: float) -> Brief:
    """What a survey keeps of a step."""
    claim = step.claim
    return Brief(
        name=step.name,
        status=step.status,
        modified=modified,
        seq=step.seq,
        title=step.title[:_TITLE],
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
    )


def survey() -> Op[Survey]:
    """Every step as it is now: pages of LIST, and a read of each that changed since the last survey from here."""
    seen = yield from _recall()
    steps: dict[str, Brief] = {}
    damaged: dict[str, str] = {}
    kept: dict[str, list[Any]] = {}
    fresh = False
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.STEPS, after)
        after = page.more
        wanted: list[tuple[str, fx.Entry]] = []
        for entry in page.entries:
            name = keys.parse_step(entry.key)
            if name is None:
                continue
            mark = entry.version or f"{entry.modified:.9f}/{entry.size}"
            row = seen.get(name)
            known = _unpack(name, row, mark)
            if known is not None and row is not None:
                steps[name], kept[name] = known, row
            else:
                wanted.append((name, entry))
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            found = yield from fx.gather([fx.Get(key=entry.key) for _, entry in some])
            for (name, entry), one in zip(some, found, strict=True):
                if one is None:
                    continue
                try:
                    if isinstance(one, Exception):
                        raise one
                    step = decode(Step, one.key, one.body)
                except Damaged as error:
                    damaged[entry.key] = str(error)
                    continue
                except FormatTooNew as error:
                    damaged[entry.key] = f"{error}; {error.hint}"
                    continue
                steps[name] = brief(step.but(name=name), one.modified)
                kept[name] = _pack(steps[name], entry.version or f"{one.modified:.9f}/{len(one.body)}")
                fresh = True
            if len(wanted) > AT_ONCE:
                yield from fx.tell("reading steps", len(steps))
    if fresh or len(kept) != len(seen):
        yield from fx.remember(_SEEN, json.dumps({"shape": _SHAPE, "steps": kept}, separators=(",", ":")).encode())
    return Survey(steps=dict(sorted(steps.items())), damaged=damaged)


def _recall() -> Op[dict[str, list[Any]]]:
    note = yield from fx.recall(_SEEN)
    try:
        values = json.loads(note or b"{}", parse_constant=_odd)
        steps = values["steps"] if values["shape"] == _SHAPE else {}
        return steps if isinstance(steps, dict) else {}
    except (ValueError, KeyError, TypeError, RecursionError):  # an odd hint is no hint
        return {}


def _odd(constant: str) -> None:
    raise ValueError(constant)


def _pack(one: Brief, mark: str) -> list[Any]:
    values = [getattr(one, field) for field in Brief.__fields__[1:]]
    values[0] = one.status.value
    return [mark, *values]


_KINDS = {
    "status": (str,), "modified": (float, int), "seq": (int,), "title": (str,), "priority": (int,), "labels": (list,), "needs": (list,),
    "worker": (str,), "agent": (str,), "incarnation": (int,), "epoch": (int,), "lease": (float, int), "max_hold": (float, int, type(None)),
    "built_on": (dict,), "reopened": (list,),
}  # fmt: skip
_INNER = {"labels": str, "needs": str, "reopened": int}


def _unpack(name: str, row: object, mark: str) -> Brief | None:
    """A row of the hint, or None where it is of another version of the step, or odd in any way."""
    if not isinstance(row, list) or len(row) != len(Brief.__fields__) or row[0] != mark:
        return None
    values = dict(zip(Brief.__fields__[1:], row[1:], strict=True))
    if any(type(values[field]) not in kinds for field, kinds in _KINDS.items()):
        return None
    for field, kind in _INNER.items():
        if any(type(item) is not kind for item in values[field]):
            return None
        values[field] = tuple(values[field])
    if any(type(seq) is not int for seq in values["built_on"].values()):
        return None
    try:
        values["status"] = Status(values["status"])
    except ValueError:
        return None
    return Brief(name=name, **values)


def signs() -> Op[dict[tuple[str, int], float]]:
    """The store's time of every presence object by agent and incarnation, by listing alone."""
    out: dict[tuple[str, int], float] = {}
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.PRESENCE, after)
        for entry in page.entries:
            whose = keys.parse_presence(entry.key)
            if whose:
                out[whose] = entry.modified
        after = page.more
    return out


def ready(found: Survey) -> list[Brief]:
    """The steps that are pending with every need complete, highest priority first."""
    steps = found.steps
    out = [
        step
        for step in steps.values()
        if step.status is Status.PENDING and all(need in steps and steps[need].status is Status.COMPLETE for need in step.needs)
    ]
    return sorted(out, key=lambda step: (-step.priority, step.name))


def stale(found: Survey) -> dict[str, tuple[str, ...]]:
    """Steps built on a need that was reopened since, each with those needs."""
    out: dict[str, tuple[str, ...]] = {}
    for step in found.steps.values():
        late = tuple(
            need for need, seq in step.built_on.items() if need in found.steps and any(at > seq for at in found.steps[need].reopened)
        )
        if late:
            out[step.name] = late
    return out
