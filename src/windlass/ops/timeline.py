"""The timeline: every change of every kind of record, derived from the records themselves. Nothing is written for it."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import WindlassError
from windlass.ops import waiting
from windlass.protocol import keys
from windlass.protocol.agents import Agent
from windlass.protocol.codec import decode
from windlass.protocol.mail import Message
from windlass.protocol.memory import Memory
from windlass.protocol.steps import Step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from windlass.effects import Op


class Event(Record):
    """One change. `at` is the writer's clock: within one `subject` the order is exact, across subjects it is by time as recorded."""

    at: float
    kind: str
    """"step", "message", "memory" or "agent"."""
    event: str
    by: str
    subject: str
    seq: int
    text: str = ""
    epoch: int | None = None


FOLDERS = (keys.STEPS, keys.MAIL, keys.MEMORY, keys.HISTORY, keys.AGENTS)


class View(Record):
    """A stretch of the timeline, newest last; `latest` is the newest modification seen, by the store's clock, to go on from."""

    events: tuple[Event, ...]
    latest: float
    more: bool = False


def timeline(*, since: float = 0.0, limit: int | None = 20, changed_after: float = 0.0) -> Op[View]:
    """The newest `limit` events not before `since` (by the recorded clocks), from objects changed after `changed_after`.

    Costs a listing of everything and reads of the newest `limit` objects of each kind (all of them without a limit).
    """
    events: list[Event] = []
    latest, more = changed_after, False
    for folder in FOLDERS:
        found: list[fx.Entry] = []
        after: str | None = ""
        while after is not None:
            page = yield from fx.page(folder, after)
            found += [entry for entry in page.entries if entry.modified >= changed_after]
            after = page.more
        found.sort(key=lambda entry: entry.modified)
        if found:
            latest = max(latest, found[-1].modified)
        if limit is not None and len(found) > limit:
            found, more = found[-limit:], True
        for start in range(0, len(found), 64):
            some = found[start : start + 64]
            for one in (yield from fx.gather([fx.Get(key=entry.key) for entry in some])):
                if isinstance(one, fx.Object):
                    events += _events(one)
            if len(found) > 64:
                yield from fx.tell("reading the timeline", start + len(some), len(found))
    events = [event for event in events if event.at >= since]
    events.sort(key=lambda event: (event.at, event.subject, event.seq))
    if limit is not None and len(events) > limit:
        events, more = events[-limit:], True
    return View(events=tuple(events), latest=latest, more=more)


def follow(view: View, seen: set[tuple[str, str, int]], timeout: float | None = None) -> Op[View]:
    """Wait for events after a view; each event once. Polls by listing, so it costs more than waiting for steps or mail."""
    pace = yield from waiting.begin()
    while timeout is None or pace.waited < timeout:
        try:
            new = yield from timeline(limit=None, changed_after=max(0.0, view.latest - 3.0))
        except WindlassError:
            if pace.waited == 0.0:
                raise
            pace = yield from waiting.pause(pace, timeout)
            continue
        events = tuple(event for event in new.events if (event.kind, event.subject, event.seq) not in seen)
        if events:
            return new.but(events=events)
        view = new.but(latest=max(view.latest, new.latest))
        pace = yield from waiting.pause(pace, timeout)
    return view.but(events=())


def _events(found: fx.Object) -> Iterator[Event]:
    try:
        if found.key.startswith(keys.STEPS):
            yield from _of_step(decode(Step, found.key, found.body))
        elif found.key.startswith(keys.MAIL):
            yield from _of_message(found)
        elif found.key.startswith(keys.AGENTS):
            yield from _of_agent(decode(Agent, found.key, found.body))
        else:
            yield from _of_memory(decode(Memory, found.key, found.body))
    except WindlassError as error:
        yield Event(at=found.modified, kind="damage", event="damaged", by="", subject=found.key, seq=0, text=str(error))


def _of_step(step: Step) -> Iterator[Event]:
    for i, line in enumerate(step.history):
        if line.event == "link":
            continue
        text = f"from {line.of}" if line.event == "takeover" else line.note
        yield Event(at=line.at, kind="step", event=line.event, by=line.by, subject=step.name, seq=i + 1, text=text, epoch=line.epoch)


def _of_message(found: fx.Object) -> Iterator[Event]:
    slot = keys.parse_slot(found.key)
    message = decode(Message, found.key, found.body)
    if slot is not None and not message.void:
        ident = keys.message_id(*slot)
        yield Event(at=message.at, kind="message", event="send", by=message.sender, subject=ident, seq=slot[1] + 1, text=message.text)


def _of_memory(memory: Memory) -> Iterator[Event]:
    event = "delete" if memory.deleted else "set"
    text = memory.value if isinstance(memory.value, str) else ""
    yield Event(at=memory.set_at, kind="memory", event=event, by=memory.set_by, subject=memory.key, seq=memory.version, text=text)


def _of_agent(agent: Agent) -> Iterator[Event]:
    for start in agent.starts:
        text = f"incarnation {start.number} on {start.host}, kept by {start.keeper.value}"
        yield Event(at=start.at, kind="agent", event="start", by=agent.name, subject=agent.name, seq=start.number, text=text)
