"""gc: takes away blobs that nothing refers to any more. docs/protocol.md, "Content store and gc", says why nobody ever misses one.

A run raises the epoch, waits for uploads that began before or gives them up, reads all that refers to blobs, and only then,
if no other run began meanwhile, deletes; and only blobs of earlier epochs, which nobody new relies on since it began.
"""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import AccessDenied, Damaged, Lost, StoreReadOnly, TimedOut, WindlassError
from windlass.ops import registers
from windlass.ops.agents import act, still_here
from windlass.ops.reachable import PAGE, Live, each
from windlass.protocol import keys
from windlass.protocol.artifacts import Artifact
from windlass.protocol.blobs import epoch_of
from windlass.protocol.pending import Pending, State, Sweep
from windlass.protocol.steps import Step
from windlass.protocol.transitions import Act, touched
from windlass.protocol.workspaces import Workspace, recorded
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.registers import Version, Write

GRACE = 24 * 3600.0
"""Seconds: younger blobs stay, so that a killed upload can be resumed."""
SILENT = 3600.0
"""Seconds without a sign of life after which an upload counts as dead. One that goes on gives a sign a minute."""
WAIT = 60.0
"""Seconds to wait for uploads under way."""
POLL = 2.0
KEPT = 30 * 24 * 3600.0
"""Seconds that the record of a given up upload stays: a request of its, sent before, may come late and must find it."""
AT_ONCE = 64
"""Deletions in flight."""


class Uploading(Record):
    """An upload: whose, and `since` when nothing was heard of it, by the store's clock."""

    agent: str
    since: float


class Swept(Record):
    """What a run deleted (of a dry run: would delete), and what stays: because something refers to it, or because it is young.

    `abandoned`: uploads taken for dead; `uploading`, of a dry run: those that a run would wait for. `names`: name and size of each blob to
    be deleted, of a dry run only.
    """

    epoch: int
    deleted: int = 0
    bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    young: int = 0
    young_bytes: int = 0
    abandoned: tuple[Uploading, ...] = ()
    uploading: tuple[Uploading, ...] = ()
    names: tuple[tuple[str, int], ...] = ()


class _Run(Record):
    """A run under way: its epoch, what was trusted before it, and the store's time when it began (`at`: by the client's clock)."""

    me: Me | None
    epoch: int
    floor: int
    now: float
    grace: float
    at: float = 0.0

    def is_newest(self, entry: Version[Sweep] | None) -> bool:
        """Whether no other run began since. The number alone does not tell: a project may come back from another store."""
        assert self.me is not None
        return entry is not None and (entry.doc.epoch, entry.doc.agent, entry.doc.at) == (self.epoch, self.me.agent, self.at)

    def is_old(self, modified: float) -> bool:
        """Whether the grace period is over."""
        return self.now - modified >= self.grace

    def is_silent(self, modified: float) -> bool:
        """Whether an upload shows no sign of life any more."""
        return self.now - modified >= min(self.grace, SILENT)


def gc(actor: Actor, *, grace: float = GRACE, wait: float = WAIT, dry_run: bool = False) -> Op[Swept]:
    """Delete the blobs that nothing refers to and that are older than `grace` seconds.

    Uploads silent for an hour, or for `grace`, are given up; for others it waits, `wait` seconds at most. `dry_run` changes nothing. Raises
    TimedOut, Lost where another gc began, Damaged where what is needed cannot be told, StoreError.
    """
    if dry_run:
        return (yield from _look(grace))
    me = yield from act(actor)
    run = yield from _begin(me, grace)
    deleting = False
    try:
        uploads = yield from _settle_uploads(run, wait)
        live = yield from _mark(run, uploads)
        deleting = True
        swept, unsure = yield from _sweep(run, live)
    except KeyboardInterrupt:
        yield from _end(run, run.epoch if deleting else run.floor)
        raise
    except _Unsure as failed:
        yield from _end(run, run.epoch)
        raise failed.error from None
    except WindlassError as error:
        overtaken = yield from _end(run, run.floor)
        if overtaken and isinstance(error, Damaged):  # what is missing may be what the other run deleted
            raise _overtaken() from None
        raise
    yield from _end(run, run.epoch if unsure else run.floor)
    yield from _tidy(run, uploads)
    return swept.but(abandoned=tuple(one.told for one in uploads if one.given_up))


class _Unsure(Exception):
    """A blob may still be deleted by a request on its way: whoever finds one of an earlier epoch must not rely on it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _anew(write_id: str, seq: int, doc: object) -> Op[bool | None]:
    """What became of a write that others replaced: each change here is decided anew on what is there, so it may be made twice."""
    yield from ()
    return False


class _Known(Record):
    """An upload that began before this run, as it stands. `given_up`: by this run."""

    key: str
    doc: Pending
    modified: float
    given_up: bool = False

    @property
    def told(self) -> Uploading:
        """For people."""
        return Uploading(agent=self.doc.agent, since=self.modified)


def _begin(me: Me, grace: float) -> Op[_Run]:
    floor = 0

    def decide(entry: Version[Sweep] | None, write: Write) -> Sweep:
        nonlocal floor
        before = entry.doc if entry else Sweep()
        floor = before.floor
        return before.but(epoch=before.epoch + 1, sweeping=True, agent=me.agent, at=write.at)

    made = yield from registers.update(keys.SWEEP, Sweep, decide, landed=_anew)
    assert made is not None
    found = yield from fx.read(keys.SWEEP)
    now = found.modified if found else 0.0
    return _Run(me=me, epoch=made.doc.epoch, floor=floor, now=now, grace=grace, at=made.doc.at)


def _end(run: _Run, floor: int) -> Op[bool]:
    """Say that the run is over: blobs of epochs from `floor` on are trusted again. True: another one began, and says so itself."""
    overtaken = False

    def decide(entry: Version[Sweep] | None, write: Write) -> Sweep | None:
        nonlocal overtaken
        overtaken = not run.is_newest(entry)
        return entry.doc.but(sweeping=False, floor=floor) if entry is not None and not overtaken else entry.doc if entry else None

    try:
        yield from registers.update(keys.SWEEP, Sweep, decide, landed=_anew)
    except WindlassError:  # then uploads send anew what is there from earlier epochs, until a gc comes to its end
        return overtaken
    return overtaken


def _overtaken() -> Lost:
    return Lost("another gc began meanwhile; nothing was deleted", "leave it to that one, or run it again")


def _uploads() -> Op[list[_Known]]:
    found: list[_Known] = []

    def take(key: str, one: Version[Pending]) -> None:
        found.append(_Known(key=key, doc=one.doc, modified=one.modified))

    yield from each(keys.PENDING, keys.parse_pending, Pending, take)
    return found


def _settle_uploads(run: _Run, wait: float) -> Op[list[_Known]]:
    """Every upload that began before this run: published, or given up. Raises TimedOut, Damaged."""
    left = yield from _uploads()
    settled: list[_Known] = []
    waited = 0.0
    while True:
        young: list[_Known] = []
        for one in left:
            if one.doc.state is State.OPEN and not run.is_silent(one.modified):
                young.append(one)
            else:
                settled.append((yield from _settled(run, one)))
        if not young:
            return settled
        if waited >= wait:
            raise _still_uploading(young, run.now + waited)
        pause = min(POLL, wait - waited)
        yield from fx.tell(f"waiting for {len(young)} uploads under way")
        yield from fx.sleep_until(pause, tuple(one.key for one in young))
        waited += pause
        again = yield from fx.gather_reads([one.key for one in young])
        now = [registers.of(found, Pending) for found in again]
        left = [one.but(doc=found.doc, modified=found.modified) for one, found in zip(young, now, strict=True) if found is not None]


def _still_uploading(young: Sequence[_Known], now: float) -> TimedOut:
    first = min(young, key=lambda one: one.modified)
    others = f", and {len(young) - 1} more" if len(young) > 1 else ""
    return TimedOut(
        f"{first.doc.agent or 'somebody'} is uploading, heard of {max(0.0, now - first.modified):.0f} s ago{others}; nothing was deleted",
        "run it again later, or with a longer --wait; if that upload was killed, give it up: windlass gc --grace 10m",
        agent=first.doc.agent,
        since=first.modified,
    )


def _settled(run: _Run, one: _Known) -> Op[_Known]:
    """An upload that is not waited for: where it did not publish, it never will from now on.

    Its record says so first, and then each register that it was going to change is changed: what it builds on is gone.
    """

    def abandon(entry: Version[Pending] | None, write: Write) -> Pending | None:
        if entry is None or entry.doc.state is not State.OPEN:
            return entry.doc if entry else None
        return entry.doc.but(state=State.ABANDONED)

    def fenced(entry: Version[Pending] | None, write: Write) -> Pending | None:
        return entry.doc.but(fenced=True) if entry is not None and not entry.doc.fenced else entry.doc if entry else None

    was_open = one.doc.state is State.OPEN
    if was_open:
        now = yield from registers.update(one.key, Pending, abandon, landed=_anew)
        if now is None:
            return one.but(doc=one.doc.but(state=State.DONE))
        one = one.but(doc=now.doc)
    if one.doc.state is not State.ABANDONED or one.doc.fenced:
        return one
    for target in one.doc.targets:
        yield from _touch(run, one.key, target)
    yield from registers.update(one.key, Pending, fenced, landed=_anew)
    return one.but(given_up=was_open)


def _touch(run: _Run, key: str, target: str) -> Op[None]:
    """Change a register so that a write which builds on what it was fails. Raises Damaged where the record names no register."""
    assert run.me is not None
    me = run.me

    def artifact(entry: Version[Artifact] | None, write: Write) -> Artifact:
        return entry.doc.but() if entry else Artifact(name=keys.parse_artifact(target) or "")

    def workspace(entry: Version[Workspace] | None, write: Write) -> Workspace:
        before = entry.doc if entry else Workspace(name=keys.parse_workspace(target) or "", deleted=True)
        return recorded(before, "touch", me.agent, write.at, write.id)

    def step(entry: Version[Step] | None, write: Write) -> Step | None:  # what is published under a claim finds a step
        act_ = Act(agent=me.agent, incarnation=me.incarnation, at=write.at, write_id=write.id)
        return touched(entry.doc, act_) if entry else None

    if keys.parse_artifact(target):
        yield from registers.update(target, Artifact, artifact, landed=_anew)
    elif keys.parse_workspace(target):
        yield from registers.update(target, Workspace, workspace, landed=_anew)
    elif keys.parse_step(target):
        yield from registers.update(target, Step, step, landed=_anew)
    else:
        raise Damaged(key, f"{target[:80]!r} is no register that refers to blobs")


def _mark(run: _Run, uploads: Sequence[_Known]) -> Op[Live]:
    """What is referred to, after forks that were cut short are settled. Raises Damaged, FormatTooNew, StoreError."""
    states = {keys.parse_pending(one.key) or "": one.doc.state for one in uploads}

    def settle(key: str, doc: Workspace) -> Op[Workspace | None]:
        ident = doc.forming
        state = states.get(ident) or (yield from _state(ident))
        if state is State.OPEN:  # of an upload that began beside this run, and holds what it refers to
            return doc

        def decide(entry: Version[Workspace] | None, write: Write) -> Workspace | None:
            if entry is None or entry.doc.forming != ident:
                return entry.doc if entry else None
            assert run.me is not None
            event = "touch" if state is State.DONE else "teardown"
            gone = entry.doc.deleted or state is not State.DONE
            return recorded(entry.doc, event, run.me.agent, write.at, write.id, forming="", deleted=gone)

        now = yield from registers.update(key, Workspace, decide, landed=_anew)
        return now.doc if now else None

    live = Live()
    yield from live.registers(settle)
    yield from live.held()
    return live


def _state(ident: str) -> Op[State | None]:
    found = yield from registers.fetch(keys.pending(ident), Pending)
    return found.doc.state if found else None


def _sweep(run: _Run, live: Live) -> Op[tuple[Swept, bool]]:
    """Delete what is not live, old and of an earlier epoch; whether some of the deletions may be on their way still."""
    swept = Swept(epoch=run.epoch)
    begun = unsure = False
    after: str | None = ""
    try:
        while after is not None:
            page = yield from fx.page(keys.BLOBS, after, PAGE)
            swept, doomed = _sorted(run, live, page.entries, swept)
            if doomed and not begun:
                yield from _begin_deleting(run)
                begun = True
            for start in range(0, len(doomed), AT_ONCE):
                some = doomed[start : start + AT_ONCE]
                unsure = (yield from _delete(some)) or unsure
                swept = swept.but(deleted=swept.deleted + len(some), bytes=swept.bytes + sum(entry.size for entry in some))
                yield from fx.tell("deleting", swept.deleted)
            after = page.more
    except WindlassError as error:  # whatever hinders the rest, a deletion without an answer may still come
        if unsure:
            raise _Unsure(error) from None
        raise
    return swept, unsure


def _sorted(run: _Run, live: Live, entries: Sequence[fx.Entry], swept: Swept) -> tuple[Swept, list[fx.Entry]]:
    """Some blobs: counted with those that stay, or to be deleted."""
    doomed: list[fx.Entry] = []
    kept: list[int] = []
    young: list[int] = []
    for entry in entries:
        name = keys.parse_blob(entry.key)
        if name is None:
            continue
        if name in live.names:
            kept.append(entry.size)
        elif epoch_of(name) >= run.epoch or not run.is_old(entry.modified):
            young.append(entry.size)
        else:
            doomed.append(entry)
    return swept.but(
        kept=swept.kept + len(kept),
        kept_bytes=swept.kept_bytes + sum(kept),
        young=swept.young + len(young),
        young_bytes=swept.young_bytes + sum(young),
    ), doomed


def _begin_deleting(run: _Run) -> Op[None]:
    """Make sure that no other run began since this one did, and from here on that all know of its deletions. Raises Lost, Moved."""

    def decide(entry: Version[Sweep] | None, write: Write) -> Sweep:
        if entry is None or not run.is_newest(entry):
            raise _overtaken()
        return entry.doc.but(floor=run.epoch)

    yield from still_here()
    yield from registers.update(keys.SWEEP, Sweep, decide, landed=_anew)


def _delete(entries: Sequence[fx.Entry]) -> Op[bool]:
    """Delete blobs; whether one of the requests that got no answer may come late. Raises StoreError, _Unsure."""
    left = [entry.key for entry in entries]
    unsure = False
    for wait in registers.RESEND:
        if wait:
            yield from fx.sleep(wait)
        answers = yield from fx.gather([fx.Delete(key=key) for key in left])
        failed = [(key, answer) for key, answer in zip(left, answers, strict=True) if isinstance(answer, Exception)]
        refused = [error for _, error in failed if isinstance(error, (AccessDenied, StoreReadOnly))]
        unsure = unsure or len(failed) > len(refused)
        if refused and not unsure:
            raise refused[0]
        if not failed or refused:
            break
        left = [key for key, _ in failed]
    if failed:
        raise _Unsure(failed[0][1])
    return unsure


def _tidy(run: _Run, uploads: Sequence[_Known]) -> Op[None]:
    """Take away the records of uploads that are over; those given up only when no request of theirs can still be on its way."""
    over = [
        one.key
        for one in uploads
        if one.doc.state is State.DONE or (one.doc.state is State.ABANDONED and one.doc.fenced and run.now - one.modified > KEPT)
    ]
    for start in range(0, len(over), AT_ONCE):
        yield from fx.gather([fx.Delete(key=key) for key in over[start : start + AT_ONCE]])  # the next run finds those that stay


def _look(grace: float) -> Op[Swept]:
    """What a run now would delete, by this machine's clock. Writes nothing."""
    yield from still_here()
    found = yield from registers.fetch(keys.SWEEP, Sweep)
    epoch = found.doc.epoch + 1 if found else 1
    run = _Run(me=None, epoch=epoch, floor=0, now=(yield from fx.now()), grace=grace)
    uploads = yield from _uploads()
    open_ = [one for one in uploads if one.doc.state is State.OPEN]
    states = {keys.parse_pending(one.key) or "": one for one in uploads}

    def settle(key: str, doc: Workspace) -> Op[Workspace | None]:
        yield from ()
        under = states.get(doc.forming)
        return doc if under is not None and (under.doc.state is State.DONE or under in young) else None

    young = [one for one in open_ if not run.is_silent(one.modified)]
    old = [one for one in open_ if run.is_silent(one.modified)]
    live = Live()
    yield from live.registers(settle)
    yield from live.held({one.key for one in old})
    swept = Swept(epoch=epoch, abandoned=tuple(one.told for one in old), uploading=tuple(one.told for one in young))
    names: list[tuple[str, int]] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.BLOBS, after, PAGE)
        swept, doomed = _sorted(run, live, page.entries, swept)
        names += [(keys.parse_blob(entry.key) or "", entry.size) for entry in doomed]
        after = page.more
    return swept.but(deleted=len(names), bytes=sum(size for _, size in names), names=tuple(names))
