"""Looking: agents, status, whoami. Nothing here refreshes anybody's presence."""

from __future__ import annotations

from windlass import effects as fx
from windlass import jsons
from windlass.errors import StoreError, WindlassError
from windlass.ops import mail, registers
from windlass.ops.agents import read_presence
from windlass.ops.survey import AT_ONCE, ready, signs, stale, survey
from windlass.ops.together import together
from windlass.protocol import keys
from windlass.protocol.agents import LEASE_BARE, LEASE_BEATING, MARGIN, Agent, Keeper
from windlass.protocol.codec import parse
from windlass.protocol.project import Marker
from windlass.protocol.steps import Status
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.survey import Survey
    from windlass.protocol.survey import Brief


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


class _Facts(Record):
    """What an agent's register and its newest presence say, and of which versions of the two."""

    register: str
    sign: str
    incarnation: int = 0
    host: str = ""
    ended: bool = False
    keeper: str = Keeper.COMMANDS.value


def _store_now() -> Op[float]:
    """The store's time, as well as it is known without a write: by the client's clock, put right by what an agent on this
    machine last learned.
    """
    now = yield from fx.now()
    note = yield from fx.recall("clock")
    try:
        values = parse("hint", note or b"{}")
        now += float(values["own_modified"]) - float(values["seen_at"])
    except (WindlassError, KeyError, TypeError, ValueError):  # nobody acted here yet, or the hint is odd
        pass
    return now


def agents(found: Survey | None = None) -> Op[list[Seen]]:
    """Every agent by name, with its newest incarnation, what keeps it alive and what it holds."""
    if found is None:
        found, life = yield from together(survey(), _life())
    else:
        life = yield from _life()
    return _seen(found, life)


class _Life(Record):
    """The store's time of each sign of life by agent and incarnation, and what is known of each agent, sorted.

    `now`: the store's time when the signs were read, never before the newest of them. Who reads steps for long after that
    judges no claim by a later one: its holder may have given another sign meanwhile.
    """

    now: float
    alive: Mapping[tuple[str, int], float]
    facts: Mapping[str, _Facts]


def _life() -> Op[_Life]:
    now = yield from _store_now()
    alive, registered = yield from together(signs(), _listed(keys.AGENTS))
    return _Life(now=max([now, *alive.values()]), alive=alive, facts=(yield from _facts(registered, alive)))


def _listed(prefix: str) -> Op[list[fx.Entry]]:
    out: list[fx.Entry] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(prefix, after)
        after = page.more
        out += page.entries
    return out


def _seen(found: Survey, life: _Life) -> list[Seen]:
    now, newest = life.now, _newest(life.alive)
    holds: dict[str, list[Brief]] = {}
    for one in found.steps.values():
        if one.agent:
            holds.setdefault(one.agent, []).append(one)
    out = []
    for name, facts in life.facts.items():
        number = max(facts.incarnation, newest.get(name, 0))
        keeper = Keeper(facts.keeper)
        sign = life.alive.get((name, number))
        age = None if sign is None else max(0.0, now - sign)
        ended = facts.ended and number == facts.incarnation
        mine = holds.get(name, [])
        out.append(
            Seen(
                agent=name,
                incarnation=number,
                host=facts.host,
                keeper=keeper,
                age=age,
                active=age is not None and age <= (LEASE_BARE if keeper is Keeper.COMMANDS else LEASE_BEATING) and not ended,
                holds=tuple(one.name for one in mine),
                ran_out=tuple(one.name for one in mine if one.left(life.alive, now) < -MARGIN),
            )
        )
    return out


def _newest(alive: Mapping[tuple[str, int], float]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for name, number in alive:
        newest[name] = max(number, newest.get(name, 0))
    return newest


def _facts(registered: Sequence[fx.Entry], alive: Mapping[tuple[str, int], float]) -> Op[dict[str, _Facts]]:
    """By agent, sorted: from what this machine remembers where neither object changed since, else read."""
    old, newest = (yield from _recall()), _newest(alive)
    out: dict[str, _Facts] = {}
    wanted: list[tuple[str, fx.Get]] = []
    for entry in registered:
        name = keys.parse_agent(entry.key)
        if name is None:
            continue
        number = newest.get(name, 0)
        fresh = _Facts(register=entry.version or f"{entry.modified}/{entry.size}", sign=f"{number}/{alive.get((name, number))}")
        known = old.get(name, fresh.but(register="", sign=""))
        out[name] = known.but(register=fresh.register, sign=fresh.sign)
        if known.register != fresh.register:
            wanted.append((name, fx.Get(key=entry.key)))
        if known.sign != fresh.sign and number:
            wanted.append((name, fx.Get(key=keys.presence(name, number))))
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        for (name, _), one in zip(some, (yield from fx.gather([effect for _, effect in some])), strict=True):
            if isinstance(one, StoreError):
                raise one
            out[name] = _learn(out[name], one)
    if wanted or len(out) != len(old):
        rows = {name: [getattr(facts, field) for field in _Facts.__fields__] for name, facts in out.items()}
        yield from fx.remember("agents", jsons.dumps(rows, compact=True).encode())
    return dict(sorted(out.items()))


def _learn(facts: _Facts, found: object) -> _Facts:
    if not isinstance(found, fx.Object):
        return facts
    if found.key.startswith(keys.PRESENCE):
        presence = read_presence(found)
        return facts if presence is None else facts.but(keeper=presence.keeper.value)
    try:
        register = registers.of(found, Agent)
    except WindlassError:  # damaged: its presence still tells
        return facts
    start = register.doc.current if register else None
    return facts if start is None else facts.but(incarnation=start.number, host=start.host, ended=start.ended)


def _recall() -> Op[dict[str, _Facts]]:
    note = yield from fx.recall("agents")
    out = {}
    try:
        for name, row in parse("hint", note or b"{}").items():
            facts = _Facts(**dict(zip(_Facts.__fields__, row, strict=True)))
            if [type(getattr(facts, field)) for field in _Facts.__fields__] == [str, str, int, str, bool, str]:
                out[name] = facts.but(keeper=Keeper(facts.keeper).value)
    except (WindlassError, TypeError, ValueError):  # an odd hint is no hint
        return {}
    return out


def status(actor_name: str | None, project: str) -> Op[Overview]:
    """Everything that one screen shows: pages of LIST, and reads of what changed since the last look from this machine."""
    looks = [survey(), _life(), registers.fetch(keys.MARKER, Marker), *([mail.count_unread(actor_name)] if actor_name else [])]
    found, life, marker, *unread = yield from together(*looks)
    states = [one.status for one in found.steps.values()]
    return Overview(
        project=project,
        now=max([life.now, *(one.modified for one in found.steps.values())]),
        agents=tuple(_seen(found, life)),
        survey=found,
        counts={state.value: states.count(state) for state in Status},
        ready=tuple(ready(found)),
        stale=stale(found),
        unread=unread[0] if unread else None,
        moved_to=marker.doc.moved_to if marker else None,
    )


def whoami(actor: Actor, project: str) -> Op[Standing]:
    """Where the caller stands, without a sign of life."""
    registered = fx.gather_reads([keys.MARKER, keys.agent(actor.agent)])
    found, life, (marker, register), unread = yield from together(survey(), _life(), registered, mail.count_unread(actor.agent))
    seen = next((one for one in _seen(found, life) if one.agent == actor.agent), None)
    start = known.doc.current if (known := registers.of(register, Agent)) else None
    project_marker = registers.of(marker, Marker)
    holds = tuple(one for one in found.steps.values() if one.agent == actor.agent)
    return Standing(
        agent=actor.agent,
        incarnation=start.number if start else None,
        host=start.host if start else "",
        keeper=seen.keeper if seen else None,
        age=seen.age if seen else None,
        ended=bool(start and start.ended),
        holds=holds,
        left={one.name: one.left(life.alive, life.now) for one in holds},
        ran_out=seen.ran_out if seen else (),
        unread=unread,
        review=tuple(one.name for one in found.steps.values() if one.status is Status.NEEDS_REVIEW and one.worker != actor.agent),
        ready=len(ready(found)),
        project=project,
        moved_to=project_marker.doc.moved_to if project_marker else None,
    )
