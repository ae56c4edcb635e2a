"""Who acts: incarnations, presence, and the store's own clock as evidence that a lease ran out."""

from __future__ import annotations

from windlass import effects as fx
from windlass import jsons
from windlass.errors import Fenced, WindlassError
from windlass.ops import registers
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, LEASE_BARE, LEASE_BEATING, MARGIN, Agent, Keeper, Presence, Start
from windlass.protocol.codec import Document, parse
from windlass.protocol.project import Marker, refuse_moved
from windlass.protocol.transitions import fenced
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar, Self

    from windlass.effects import Op
    from windlass.ops.registers import Version, Write
    from windlass.protocol.codec import Fields
    from windlass.protocol.steps import Step


class Actor(Record):
    """Who wants to act, as the program knows it. `incarnation` is given where a parent process took it (`windlass run`)."""

    agent: str
    machine: str
    host: str
    pid: int = 0
    keeper: Keeper = Keeper.COMMANDS
    incarnation: int | None = None
    lease: float | None = None
    project: str = ""


class Me(Record):
    """Who acts, settled: the incarnation may act as far as the last look showed. `planned`: the project has a plan."""

    agent: str
    incarnation: int
    keeper: Keeper
    lease: float
    planned: bool
    seen_at: float
    """The client's clock when presence was last refreshed."""
    own_modified: float
    """The store's time of that refresh."""
    short: Mapping[str, float] = {}
    """Steps held from this machine under leases so short that presence is due sooner, each with its lease in seconds."""

    @property
    def due(self) -> float:
        """Seconds after a refresh until the next."""
        return min([FRESH, *(lease / 4 for lease in self.short.values())])


class Clock(Document):
    """What a machine overwrites to learn the store's time."""

    KIND: ClassVar[str] = "clock"

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls()


def act(actor: Actor, *, renew: bool = False) -> Op[Me]:
    """Settle who acts and refresh presence when it is due (or at once with `renew`).

    No request while what this machine remembers is fresh. Raises Fenced, Moved, FormatTooNew, StoreError.
    """
    keys.check_name(actor.agent, "agent")
    me = yield from _recall(actor)
    now = yield from fx.now()
    if me is not None and not renew and 0 <= now - me.seen_at < me.due:
        return me
    try:
        again = (yield from _again(actor, me)) if me is not None else None
        return again or (yield from _look(actor))
    except Fenced:
        yield from _forget(actor)
        raise


def _lease(actor: Actor, keeper: Keeper) -> float:
    if actor.lease is not None:
        return actor.lease
    return LEASE_BARE if keeper is Keeper.COMMANDS else LEASE_BEATING


def _again(actor: Actor, me: Me) -> Op[Me | None]:
    """Refresh the presence of the incarnation that this machine remembers; None where the agent's register has moved on.

    The sign of life is shown first and the marker read after it: whoever moves the project either sees the sign and waits
    for this agent, or has written the marker before it is read here.
    """
    fresh = yield from beat(actor, me.incarnation, short=me.short)
    start = fresh.start
    if start is None or start.number != me.incarnation or start.ended:
        return None
    if actor.incarnation is None and (start.machine != actor.machine or start.keeper is Keeper.RUN):
        return None
    return fresh.me


def _look(actor: Actor) -> Op[Me]:
    """Read the marker and the agent register, take an incarnation where there is none, and refresh presence."""
    found = yield from fx.gather_reads([keys.MARKER, keys.agent(actor.agent)])
    marker = registers.of(found[0], Marker)
    if marker is None:
        marker = yield from open_project(actor)
    refuse_moved(marker.doc)
    register = registers.of(found[1], Agent)
    start = register.doc.current if register else None
    wanted = actor.incarnation
    if wanted is not None:
        if start is None or start.number != wanted or start.ended:
            raise fenced(actor.agent)
        return (yield from beat(actor, wanted)).me
    while start is None or start.ended or start.machine != actor.machine or start.keeper is Keeper.RUN:
        if register is not None and start is not None and not start.ended:
            yield from _refuse_if_fresh(actor, start, register.modified)
        try:
            start = yield from begin(actor, register, unless_passed=True)
        except _Passed as passed:  # another shell was first: act as it does, or be refused by its sign of life
            register = passed.register
            start = register.doc.current
    return (yield from beat(actor, start.number)).me


class _Passed(WindlassError):
    """Somebody else was handed the next number first."""

    def __init__(self, register: Version[Agent]) -> None:
        super().__init__("passed")
        self.register = register


def begin(actor: Actor, known: Version[Agent] | None = None, *, unless_passed: bool = False) -> Op[Start]:
    """Hand out the next incarnation of an agent. It fences the ones before at every step they hold.

    Raises _Passed with `unless_passed`, where the newest number is not the `known` one any more.
    """
    newest = known.doc.current if known else None

    def decide(entry: Version[Agent] | None, write: Write) -> Agent:
        agent = entry.doc if entry else Agent(name=actor.agent)
        if unless_passed and entry is not None and agent.current != newest:
            raise _Passed(entry)
        keeper = Keeper.RUN if actor.keeper is Keeper.RUN else Keeper.COMMANDS
        return agent.started(actor.machine, actor.host, keeper, write.at, write.id)

    now = yield from registers.update(keys.agent(actor.agent), Agent, decide, known=known)
    assert now is not None
    mine = next(start for start in now.doc.starts if start.write_id == now.doc.write_id)
    for keeper in Keeper:  # what commands of the incarnation before remember here would let them go on for a minute
        for before in (None, mine.number - 1):
            yield from fx.remember(_name(actor.but(incarnation=before, keeper=keeper)), None)
    if mine.number > 1:
        yield from fx.gather(
            [fx.Delete(key=keys.presence(actor.agent, mine.number - 1))]
        )  # a missing one is no sign of life, which is right
    return mine


def start_new(actor: Actor) -> Op[Me]:
    """Take a new incarnation on purpose (`run`, `init --new`), whoever acts under this name now."""
    keys.check_name(actor.agent, "agent")
    found = yield from fx.gather_reads([keys.MARKER, keys.agent(actor.agent)])
    marker = registers.of(found[0], Marker) or (yield from open_project(actor))
    refuse_moved(marker.doc)
    start = yield from begin(actor, registers.of(found[1], Agent))
    return (yield from beat(actor, start.number)).me


def end(actor: Actor, incarnation: int) -> Op[None]:
    """Mark an incarnation as over, so that the next bare command takes a new number."""

    def decide(entry: Version[Agent] | None, write: Write) -> Agent | None:
        return entry.doc.ended(incarnation) if entry else None

    yield from registers.update(keys.agent(actor.agent), Agent, decide)
    yield from fx.gather([fx.Delete(key=keys.presence(actor.agent, incarnation))])
    yield from _forget(actor)


def open_project(actor: Actor) -> Op[Version[Marker]]:
    """The project's marker, made where it is missing."""
    marker = Marker(name=actor.project, created_at=(yield from fx.now()), created_by=actor.agent)
    return (yield from registers.create(keys.MARKER, marker, Marker))


class _Beat(Record):
    """A refreshed presence, and what the agent's register says since: its newest incarnation."""

    me: Me
    start: Start | None


def beat(actor: Actor, incarnation: int, *, short: Mapping[str, float] = {}) -> Op[_Beat]:
    """Overwrite the incarnation's presence object, then read back the store's time of it, the marker and the register.

    Raises Moved, FormatTooNew, StoreError.
    """
    now = yield from fx.now()
    own = yield from _show(actor, incarnation)
    found, marked, registered = yield from fx.gather_reads([own, keys.MARKER, keys.agent(actor.agent)])
    marker, register = registers.of(marked, Marker), registers.of(registered, Agent)
    if marker is not None:
        refuse_moved(marker.doc)
    me = Me(
        agent=actor.agent,
        incarnation=incarnation,
        keeper=actor.keeper,
        lease=_lease(actor, actor.keeper),
        planned=marker is not None and marker.doc.planned,
        seen_at=now,
        own_modified=found.modified if found else 0.0,
        short=short,
    )
    yield from _note(actor, me)
    return _Beat(me=me, start=register.doc.current if register else None)


def _show(actor: Actor, incarnation: int) -> Op[str]:
    """Overwrite the incarnation's presence object; its key."""
    key = keys.presence(actor.agent, incarnation)
    now = yield from fx.now()
    sign = Presence(agent=actor.agent, incarnation=incarnation, host=actor.host, pid=actor.pid, keeper=actor.keeper, at=now)
    yield from registers.overwrite(key, sign)
    return key


def _refuse_if_fresh(actor: Actor, start: Start, since: float) -> Op[None]:
    """Raises Fenced while the incarnation that holds the name shows signs of life, by the store's clock.

    `since`: when the store saw its number handed out; its presence may not be written yet.
    """
    mine = keys.clock(actor.machine)
    yield from registers.overwrite(mine, Clock())
    own, sign = yield from fx.gather_reads([mine, keys.presence(actor.agent, start.number)])
    lease = LEASE_BARE if start.keeper is Keeper.COMMANDS else LEASE_BEATING
    if own is None or own.modified - max(since, sign.modified if sign else 0.0) <= lease + MARGIN:
        where = f"on {start.host}" if start.machine != actor.machine else f"under windlass {start.keeper.value}"
        raise Fenced(
            f"{actor.agent} is active {where}",
            "choose another name (--agent), or take it over: windlass init --new",
            agent=actor.agent,
            host=start.host,
        )


def own_time(actor: Actor) -> Op[float]:
    """The store's time: that of an object of this machine's own, just written. What is read afterwards can be judged by it."""
    mine = keys.clock(actor.machine)
    yield from registers.overwrite(mine, Clock())
    own = yield from fx.read(mine)
    return own.modified if own else 0.0


def ran_out(me: Me, actor: Actor, step: Version[Step]) -> Op[bool]:
    """Whether the store's own clock shows that the lease of a step's claim (or its longest hold) ran out.

    The order is what makes it evidence: an object of our own is written and read back first, and only then the holder's.
    A first look with the time that this machine remembers spares a holder that is plainly alive the rest.
    """
    claim = step.doc.claim
    assert claim is not None
    theirs = keys.presence(claim.agent, claim.incarnation)
    if me.own_modified:
        since = (yield from fx.now()) - me.seen_at
        found = yield from fx.read(theirs)
        if _dead(me.own_modified, step, found):
            return True
        if not _dead(me.own_modified + max(0.0, since), step, found):
            return False
    now = yield from fx.now()
    own = yield from fx.read((yield from _show(actor, me.incarnation)))
    if own is None:
        return False
    yield from _note(actor, me.but(seen_at=now, own_modified=own.modified))
    return _dead(own.modified, step, (yield from fx.read(theirs)))


def _dead(own: float, step: Version[Step], presence: fx.Object | None) -> bool:
    """Sign of life is the holder's presence or the step's own change, whichever is later; all three by the store's clock."""
    claim, held = step.doc.claim, own - step.modified
    assert claim is not None
    if step.doc.max_hold is not None and held > step.doc.max_hold + MARGIN:
        return True
    sign = max(step.modified, presence.modified if presence else 0.0)
    return own - sign > claim.lease + MARGIN


def read_presence(found: fx.Object) -> Presence | None:
    """A presence object, or None where it is damaged: then only its time counts."""
    from windlass.protocol.codec import decode

    try:
        return decode(Presence, found.key, found.body)
    except WindlassError:
        return None


def _name(actor: Actor) -> str:
    return f"me:{actor.agent}:{'' if actor.incarnation is None else actor.incarnation}:{actor.keeper.value}"


def _recall(actor: Actor) -> Op[Me | None]:
    note = yield from fx.recall(_name(actor))
    if not note:
        return None
    try:
        values = parse("hint", note)
        return Me(
            agent=actor.agent,
            incarnation=int(values["incarnation"]),
            keeper=actor.keeper,
            lease=_lease(actor, actor.keeper),
            planned=bool(values["planned"]),
            seen_at=float(values["seen_at"]),
            own_modified=float(values["own_modified"]),
            short={str(step): float(lease) for step, lease in values["short"].items()},
        )
    except (WindlassError, AttributeError, KeyError, TypeError, ValueError):  # an odd hint is no hint
        return None


def _note(actor: Actor, me: Me) -> Op[None]:
    note = {
        "incarnation": me.incarnation,
        "planned": me.planned,
        "seen_at": me.seen_at,
        "own_modified": me.own_modified,
        "short": dict(me.short),
    }
    yield from fx.remember(_name(actor), jsons.dumps(note).encode())
    if me.own_modified:  # for those who look from this machine, whoever they are
        yield from fx.remember("clock", jsons.dumps({"own_modified": me.own_modified, "seen_at": me.seen_at}).encode())


def _forget(actor: Actor) -> Op[None]:
    yield from fx.remember(_name(actor), None)


def note_lease(actor: Actor, me: Me, step: str, lease: float | None) -> Op[None]:
    """Remember that a step is held under a lease so short that presence is due sooner; None: it is not held any more."""
    short = {name: seconds for name, seconds in me.short.items() if name != step}
    if lease is not None and lease / 4 < FRESH:
        short[step] = lease
    if short != me.short:
        yield from _note(actor, me.but(short=short))


def note_planned(actor: Actor, me: Me) -> Op[None]:
    """Remember that the project has a plan now."""
    yield from _note(actor, me.but(planned=True))


def look(actor: Actor) -> Op[Version[Agent] | None]:
    """The agent's register, without a sign of life. Raises Moved, FormatTooNew."""
    found = yield from fx.gather_reads([keys.MARKER, keys.agent(actor.agent)])
    marker = registers.of(found[0], Marker)
    if marker is not None:
        refuse_moved(marker.doc)
    return registers.of(found[1], Agent)


def known(name: str) -> Op[bool]:
    """Whether an agent of that name ever acted here."""
    return (yield from fx.read(keys.agent(name))) is not None


def still_here() -> Op[None]:
    """For those who only look. Raises Moved where the project lives elsewhere now."""
    marker = yield from registers.fetch(keys.MARKER, Marker)
    if marker is not None and marker.doc.moved_to is not None:
        refuse_moved(marker.doc)
