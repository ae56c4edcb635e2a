"""Looking: agents, status, whoami. Nothing here refreshes anybody's presence."""

from __future__ import annotations

import json

from windlass import effects as fx
from windlass.errors import WindlassError
from windlass.ops import mail, registers
from windlass.ops.agents import read_presence
from windlass.ops.survey import ready, stale, survey
from windlass.protocol import keys
from windlass.protocol.agents import LEASE_BARE, LEASE_BEATING, MARGIN, Agent, Keeper
from windlass.protocol.project import Marker
from windlass.protocol.steps import Status
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.survey import Brief, Survey


class Seen(Record):
    """An agent as others see it. `age` in seconds since its last sign of life, None where it left none."""

    agent: str
    incarnation: int
    host: str
    keeper: Keeper
    age: float | None
    active: bool
    holds: tuple[str, ...] = ()
    ran_out: tuple[str, ...] = ()
    """Claims whose lease ran out: anybody may take them over."""


class Overview(Record):
    """The whole project at a glance. `now` is the store's time as far as it is known here."""

    project: str
    now: float
    agents: tuple[Seen, ...]
    survey: Survey
    counts: Mapping[str, int]
    ready: tuple[Brief, ...]
    stale: Mapping[str, tuple[str, ...]]
    unread: int | None
    moved_to: str | None = None


class Standing(Record):
    """Where one agent stands: what `whoami` tells."""

    agent: str
    incarnation: int | None
    host: str
    keeper: Keeper | None
    age: float | None
    ended: bool
    holds: tuple[Brief, ...]
    ran_out: tuple[str, ...]
    unread: int
    review: tuple[str, ...]
    ready: int
    project: str
    left: Mapping[str, float] = {}
    """Seconds that each claim still lives without a sign of life; below zero where its lease ran out."""
    moved_to: str | None = None


def _store_now(agent: str | None) -> Op[float]:
    """The store's time, as well as it is known without a write: by the client's clock, put right by the last presence of ours."""
    now = yield from fx.now()
    for keeper in Keeper if agent else ():
        note = yield from fx.recall(f"me:{agent}::{keeper.value}")
        try:
            values = json.loads(note or b"{}")
            own, seen = float(values["own_modified"]), float(values["seen_at"])
        except (ValueError, KeyError, TypeError):
            continue
        if own and seen:
            return now + own - seen
    return now


def agents(actor_name: str | None = None, found: Survey | None = None, *, now: float | None = None) -> Op[list[Seen]]:
    """Every agent by name, with its newest incarnation, what keeps it alive and what it holds."""
    if found is None:
        found = yield from survey()
    if now is None:
        now = yield from _store_now(actor_name)
    names = yield from mail.agent_names()
    signs = yield from _signs()
    kept = yield from _registers(names, signs)
    out = []
    for name in names:
        number = max((n for agent, n in signs if agent == name), default=kept[name]["incarnation"])
        sign = signs.get((name, number))
        facts = kept[name]
        keeper = Keeper(facts["keeper"])
        holds = [one for one in found.steps.values() if one.agent == name]
        over = tuple(one.name for one in holds if _over(one, signs.get((name, one.incarnation)), now))
        lease = LEASE_BARE if keeper is Keeper.COMMANDS else LEASE_BEATING
        age = None if sign is None else max(0.0, now - sign)
        out.append(
            Seen(
                agent=name,
                incarnation=number,
                host=facts["host"],
                keeper=keeper,
                age=age,
                active=age is not None and age <= lease and not facts["ended"],
                holds=tuple(one.name for one in holds),
                ran_out=over,
            )
        )
    return out


def _over(one: Brief, sign: float | None, now: float) -> bool:
    return _left(one, sign, now) < -MARGIN


def _left(one: Brief, sign: float | None, now: float) -> float:
    """Seconds until a claim's lease, or the step's longest hold, is over."""
    lease = max(one.modified, sign or 0.0) + one.lease - now
    return lease if one.max_hold is None else min(lease, one.modified + one.max_hold - now)


def _signs() -> Op[dict[tuple[str, int], float]]:
    """The modification time of every presence object, by listing alone."""
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


def _registers(names: list[str], signs: Mapping[tuple[str, int], float]) -> Op[dict[str, dict[str, Any]]]:
    """What each agent's register says; kept on this machine as long as its newest incarnation is the same."""
    note = yield from fx.recall("agents")
    try:
        old = json.loads(note or b"{}")
    except ValueError:
        old = {}
    out: dict[str, dict[str, Any]] = {}
    wanted = []
    for name in names:
        number = max((n for agent, n in signs if agent == name), default=0)
        row = old.get(name) if isinstance(old, dict) else None
        if (
            isinstance(row, dict)
            and row.get("incarnation") == number
            and not row.get("ended")
            and row.keys() == {"incarnation", "host", "keeper", "ended"}
        ):
            out[name] = row
        else:
            wanted.append(name)
    for start in range(0, len(wanted), 32):
        some = wanted[start : start + 32]
        found = yield from fx.gather([fx.Get(key=keys.agent(name)) for name in some])
        newest = {name: max((n for agent, n in signs if agent == name), default=0) for name in some}
        looks = [fx.Get(key=keys.presence(name, newest[name])) for name in some if newest[name]]
        signs_found = dict(zip([name for name in some if newest[name]], (yield from fx.gather(looks)), strict=True))
        for name, one in zip(some, found, strict=True):
            out[name] = _facts(one, signs_found.get(name))
    yield from fx.remember("agents", json.dumps(out).encode())
    return out


def _facts(register: object, sign: object) -> dict[str, Any]:
    facts: dict[str, Any] = {"incarnation": 0, "host": "", "keeper": Keeper.COMMANDS.value, "ended": False}
    if isinstance(register, fx.Object):
        try:
            found = registers.of(register, Agent)
        except WindlassError:  # damaged: its presence still tells
            found = None
        if found is not None and found.doc.current is not None:
            start = found.doc.current
            facts = {"incarnation": start.number, "host": start.host, "keeper": start.keeper.value, "ended": start.ended}
    presence = read_presence(sign) if isinstance(sign, fx.Object) else None
    if presence is not None:
        facts["keeper"] = presence.keeper.value
    return facts


def status(actor_name: str | None, project: str) -> Op[Overview]:
    """Everything that one screen shows: pages of LIST, and reads of what changed since the last look from this machine."""
    now = yield from _store_now(actor_name)
    found = yield from survey()
    marker = yield from registers.fetch(keys.MARKER, Marker)
    who = yield from agents(actor_name, found, now=now)
    counts = {state.value: 0 for state in Status}
    for one in found.steps.values():
        counts[one.status.value] += 1
    unread = (yield from mail.count_unread(actor_name)) if actor_name else None
    return Overview(
        project=project,
        now=now,
        agents=tuple(who),
        survey=found,
        counts=counts,
        ready=tuple(ready(found)),
        stale=stale(found),
        unread=unread,
        moved_to=marker.doc.moved_to if marker else None,
    )


def whoami(actor: Actor, project: str) -> Op[Standing]:
    """Where the caller stands, without a sign of life."""
    now = yield from _store_now(actor.agent)
    register = yield from registers.fetch(keys.agent(actor.agent), Agent)
    start = register.doc.current if register else None
    found = yield from survey()
    seen = [one for one in (yield from agents(actor.agent, found, now=now)) if one.agent == actor.agent]
    marker = yield from registers.fetch(keys.MARKER, Marker)
    unread = yield from mail.count_unread(actor.agent)
    signs = yield from _signs()
    holds = tuple(one for one in found.steps.values() if one.agent == actor.agent)
    return Standing(
        agent=actor.agent,
        incarnation=start.number if start else None,
        host=start.host if start else "",
        keeper=seen[0].keeper if seen else None,
        age=seen[0].age if seen else None,
        ended=bool(start and start.ended),
        holds=holds,
        left={one.name: _left(one, signs.get((one.agent, one.incarnation)), now) for one in holds},
        ran_out=seen[0].ran_out if seen else (),
        unread=unread,
        review=tuple(one.name for one in found.steps.values() if one.status is Status.NEEDS_REVIEW and one.worker != actor.agent),
        ready=len(ready(found)),
        project=project,
        moved_to=marker.doc.moved_to if marker else None,
    )
