"""The timeline: every change of every kind of record, derived from the records themselves. Nothing is written for it."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew, Unavailable
from windlass.ops import waiting
from windlass.ops.survey import survey
from windlass.protocol import keys
from windlass.protocol.agents import Agent
from windlass.protocol.artifacts import Artifact
from windlass.protocol.codec import decode
from windlass.protocol.mail import Message
from windlass.protocol.memory import Memory
from windlass.protocol.steps import Step
from windlass.protocol.workspaces import Workspace
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from windlass.effects import Op


class Event(Record):
    """One change. `at` is the writer's clock: within one `subject` the order is exact, across subjects it is by time as recorded."""

    at: float
    kind: str
    """"step", "message", "memory", "artifact", "workspace" or "agent"."""
    event: str
    by: str
    subject: str
    seq: int
    text: str = ""
    epoch: int | None = None


LIVE = (keys.STEPS, keys.MAIL, keys.MEMORY, keys.ARTIFACTS, keys.WORKSPACES, keys.AGENTS)
FOLDERS = (*LIVE, keys.HISTORY, keys.SHARED_VERSIONS)
"""After the live versions: one that is archived meanwhile is met twice, not never. Of a step's artifacts its history tells."""
AT_ONCE = 64
"""Reads in flight."""
WATCHED = 1000
"""Folders watched at once by one who follows."""
SLACK = 86400.0
"""Seconds that a writer's clock may be ahead of the store's before `since` misses what it wrote."""


FOREVER = 1e15
"""Seconds that no recorded time is from 1970."""


class View(Record):
    """A stretch of the timeline, newest last; `latest` is the newest modification seen, by the store's clock."""

    events: tuple[Event, ...]
    latest: float
    more: bool = False
    marks: Mapping[str, str] = {}
    """The version of every object listed: what changed since is what `follow` reads."""
    seqs: Mapping[str, int] | None = None
    """The newest `seq` of every register; None until something is followed."""


def timeline(*, since: float = 0.0, limit: int | None = 20) -> Op[View]:
    """The newest `limit` events not before `since` (by the recorded clocks).

    Costs a listing of everything and reads of the newest `limit` objects of each kind (without a limit, of all since then).
    """
    since = max(-FOREVER, min(since, FOREVER))
    marks: dict[str, str] = {}
    events: list[Event] = []
    latest, more = 0.0, False
    for folder in FOLDERS:
        entries = yield from _list([folder])
        marks |= {entry.key: entry.mark for entry in entries}
        latest = max([latest, *(entry.modified for entry in entries)])
        found = sorted((entry for entry in entries if entry.modified >= since - SLACK), key=lambda entry: entry.modified)
        if limit is not None and len(found) > limit:
            found, more = found[len(found) - limit :], True
        for one in (yield from _read([entry.key for entry in found])):
            events += _events(one)
    events = [event for event in _ordered(events) if event.at >= since]
    if limit is not None and len(events) > limit:
        events, more = events[len(events) - limit :], True
    return View(events=tuple(events), latest=latest, more=more, marks=marks)


def follow(view: View, seen: AbstractSet[tuple[str, str, int]], timeout: float | None = None) -> Op[View]:
    """Wait for events after a view, each once; `seen`: (kind, subject, seq) of those shown. Without events where `timeout` ran out.

    The first call reads every memory key, artifact, workspace and agent, and every step that this machine does not remember. Each poll
    lists all of these and mail, so it costs more than waiting for steps or mail.
    """
    pace = yield from waiting.begin()
    if view.seqs is None:
        view = view.but(seqs=(yield from _begin(view, seen)))
    while True:
        try:
            view = yield from _go_on(view, seen)
        except Unavailable:
            if not pace.waited:
                raise
            view = view.but(events=())
        if view.events or (timeout is not None and pace.waited >= timeout):
            return view
        # what comes within a moment is listed together: a look costs the more the larger the project is
        pace = yield from waiting.pause(pace, timeout, until=_folders(view.marks), least=waiting.FIRST)


def _folders(listed: Iterable[str]) -> tuple[str, ...]:
    """Where changes show: the folders of what was listed and those above; none where they are more than are worth watching."""
    folders = set(LIVE)
    for key in listed:
        folder = key[: key.rfind("/") + 1]
        while folder.startswith(LIVE) and folder not in folders:
            folders.add(folder)
            folder = folder[: folder.rfind("/", 0, -1) + 1]
    return tuple(sorted(folders)) if len(folders) <= WATCHED else ()


def _begin(view: View, seen: AbstractSet[tuple[str, str, int]]) -> Op[dict[str, int]]:
    """The newest `seq` of every register at the time of the view."""
    shown: dict[tuple[str, str], int] = {}
    for kind, subject, seq in seen:
        shown[kind, subject] = max(seq, shown.get((kind, subject), 0))
    now = [(keys.step(one.name), "step", one.name, one.modified, one.seq) for one in (yield from survey()).steps.values()]
    for found in (
        yield from _read([key for key in view.marks if key.startswith((keys.MEMORY, keys.ARTIFACTS, keys.WORKSPACES, keys.AGENTS))])
    ):
        last = max(_events(found), key=lambda event: event.seq, default=None)
        if isinstance(found, fx.Object) and last is not None:
            now.append((found.key, last.kind, last.subject, found.modified, last.seq))
    out = {}
    for key, kind, subject, modified, seq in now:
        if key in view.marks:
            # What changed in the moment since then has this one new event, as far as anybody can tell.
            out[key] = shown.get((kind, subject), seq - (modified > view.latest))
    return out


def _go_on(view: View, seen: AbstractSet[tuple[str, str, int]]) -> Op[View]:
    """What changed since the view was taken."""
    marks, seqs = dict(view.marks), dict(view.seqs or {})
    entries = [entry for entry in (yield from _list(LIVE)) if marks.get(entry.key) != entry.mark]
    events: list[Event] = []
    for entry, found in zip(entries, (yield from _read([entry.key for entry in entries])), strict=True):
        marks[entry.key] = entry.mark
        known = seqs.get(entry.key, 0)
        new = [event for event in _events(found) if event.seq > known or event.kind == "damage"]
        seqs[entry.key] = max([known, *(event.seq for event in new)])
        for archived in (yield from _read(_archived(entry.key, known + 1, seqs[entry.key]))):  # set several times since
            new += _events(archived)
        events += new
    events = [event for event in _ordered(events) if (event.kind, event.subject, event.seq) not in seen]
    return view.but(events=tuple(events), marks=marks, seqs=seqs, latest=max([view.latest, *(entry.modified for entry in entries)]))


def _archived(key: str, first: int, beyond: int) -> list[str]:
    """Where the earlier versions of what lies under a key are kept, as far as it has any."""
    memory, artifact = keys.parse_memory(key), keys.parse_artifact(key)
    if memory is not None:
        return [keys.memory_version(memory, number) for number in range(first, beyond)]
    return [keys.artifact_version("", artifact, number) for number in range(first, beyond)] if artifact is not None else []


def _list(folders: Iterable[str]) -> Op[list[fx.Entry]]:
    out: list[fx.Entry] = []
    for folder in folders:
        after: str | None = ""
        while after is not None:
            page = yield from fx.page(folder, after)
            out += page.entries
            after = page.more
    return out


def _read(names: Sequence[str]) -> Op[list[fx.Object | Damaged | None]]:
    """Objects by key; those that no store would read as their error. Raises StoreError."""
    out: list[fx.Object | Damaged | None] = []
    for start in range(0, len(names), AT_ONCE):
        for one in (yield from fx.gather([fx.Get(key=key) for key in names[start : start + AT_ONCE]])):
            if isinstance(one, Exception) and not isinstance(one, Damaged):
                raise one
            out.append(one)
        if len(names) > AT_ONCE:
            yield from fx.tell("reading the timeline", len(out), len(names))
    return out


def _ordered(events: Iterable[Event]) -> list[Event]:
    """Each event once; by time as recorded, except that nothing comes before what came before it in the same object."""
    lanes: dict[tuple[str, str], dict[int, Event]] = {}
    for event in events:
        of = event.subject.rpartition(":")[0] if event.kind == "message" else event.subject
        lanes.setdefault((event.kind, of), {}).setdefault(event.seq, event)
    timed: list[tuple[float, tuple[str, str], int, Event]] = []
    for lane, by_seq in lanes.items():
        at = float("-inf")
        for seq in sorted(by_seq):
            at = max(at, by_seq[seq].at)
            timed.append((at, lane, seq, by_seq[seq]))
    timed.sort(key=lambda one: one[:3])
    return [event for *_, event in timed]


def _events(found: fx.Object | Damaged | None) -> list[Event]:
    if found is None:
        return []
    try:
        if isinstance(found, Damaged):
            raise found
        return list(_of(found))
    except (Damaged, FormatTooNew) as error:
        at = found.modified if isinstance(found, fx.Object) else 0.0
        return [Event(at=at, kind="damage", event="damaged", by="", subject=found.key, seq=0, text=str(error))]


def _of(found: fx.Object) -> Iterator[Event]:
    if found.key.startswith(keys.STEPS):
        name = keys.parse_step(found.key)
        yield from _of_step(decode(Step, found.key, found.body).but(name=name)) if name else ()
    elif found.key.startswith(keys.MAIL):
        yield from _of_message(found)
    elif found.key.startswith(keys.WORKSPACES):
        name = keys.parse_workspace(found.key)
        yield from _of_workspace(decode(Workspace, found.key, found.body).but(name=name)) if name else ()
    elif found.key.startswith(keys.AGENTS):
        name = keys.parse_agent(found.key)
        yield from _of_agent(decode(Agent, found.key, found.body).but(name=name)) if name else ()
    elif found.key.startswith((keys.ARTIFACTS, keys.VERSIONS)):
        archived = keys.parse_artifact_version(found.key)
        name = archived[1] if archived else keys.parse_artifact(found.key)
        yield from _of_artifact(name, decode(Artifact, found.key, found.body)) if name else ()
    else:
        yield from _of_memory(decode(Memory, found.key, found.body))


def _of_step(step: Step) -> Iterator[Event]:
    for i, line in enumerate(step.history):
        if line.event in ("link", "touch"):
            continue
        text = f"from {line.of}" if line.event == "takeover" else line.note
        yield Event(at=line.at, kind="step", event=line.event, by=line.by, subject=step.name, seq=i + 1, text=text, epoch=line.epoch)


def _of_message(found: fx.Object) -> Iterator[Event]:
    slot = keys.parse_slot(found.key)
    message = decode(Message, found.key, found.body)
    if slot is not None and not message.void and message.moved_to is None:
        ident = keys.message_id(*slot)
        yield Event(at=message.at, kind="message", event="send", by=message.sender, subject=ident, seq=slot[1] + 1, text=message.text)


def _of_memory(memory: Memory) -> Iterator[Event]:
    if memory.moved_to is not None:  # frozen by a move: the version before is the one that was set
        return
    event = "delete" if memory.deleted else "set"
    text = memory.value if isinstance(memory.value, str) else ""
    yield Event(at=memory.set_at, kind="memory", event=event, by=memory.set_by, subject=memory.key, seq=memory.version, text=text)


def _of_artifact(name: str, artifact: Artifact) -> Iterator[Event]:
    now = artifact.current
    if now is not None:
        event = "delete" if now.deleted else "publish"
        text = f"{name}@{now.version}"
        yield Event(at=now.at, kind="artifact", event=event, by=now.agent, subject=name, seq=now.version, text=text)


def _of_workspace(workspace: Workspace) -> Iterator[Event]:
    for line in workspace.history:
        if line.event in ("touch", "move") or (workspace.forming and line.seq >= workspace.born):  # of a fork that may come to nothing
            continue
        text = f"of {line.note}" if line.event == "fork" else f"of {line.note} into it" if line.event == "merge" else line.note
        yield Event(at=line.at, kind="workspace", event=line.event, by=line.by, subject=workspace.name, seq=line.seq, text=text)


def _of_agent(agent: Agent) -> Iterator[Event]:
    for start in agent.starts:
        text = f"incarnation {start.number} on {start.host}, kept by {start.keeper.value}"
        yield Event(at=start.at, kind="agent", event="start", by=agent.name, subject=agent.name, seq=start.number, text=text)
