"""Keeps an agent alive from outside: around a command (`windlass run`), or beside a process (`windlass beat --while-pid`)."""

from __future__ import annotations

import os
import signal
import sys
import threading

from windlass.drivers.child import Child
from windlass.drivers.processes import Activity, Watched
from windlass.errors import Lost, Moved, NotFound, StoreError, WindlassError
from windlass.ops import agents, work
from windlass.ops.steps import check_lease
from windlass.project.session import open_session
from windlass.protocol.agents import LEASE_BEATING, Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.config import Settings
    from windlass.project.session import Session

PERIOD = 30.0
"""Seconds between signs of life at most; a quarter of the lease where that is less."""
LOOK = 5.0
"""Seconds between looks at whether the command works, at most."""
LEAVING = 20.0
"""Seconds that the end may take when the store does not answer."""
CANNOT_RUN, NOT_FOUND = 126, 127


def run(settings: Settings, argv: Sequence[str], *, max_idle: float | None, say: Callable[[str], None]) -> int:
    """Run a command as a new incarnation of the agent, kept alive while it lives; its exit code.

    With `max_idle`, only until it has done nothing for so many seconds. At its end its claims are released. `say` gets
    warnings. Raises WindlassError where it cannot begin.
    """
    lease = check_lease(LEASE_BEATING if settings.lease is None else settings.lease)
    child = Child()
    session = open_session(settings.but(incarnation=None, lease=lease), keeper=Keeper.RUN)
    me = session.run(agents.start_new(session.actor))
    session.become(incarnation=me.incarnation)
    env = {
        **os.environ,
        "WINDLASS_STORE": settings.store,
        "WINDLASS_PROJECT": settings.project,
        "WINDLASS_AGENT": me.agent,
        "WINDLASS_INCARNATION": str(me.incarnation),
        "WINDLASS_LEASE": f"{lease:g}",
    }
    try:
        pid = child.spawn(argv, env)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        say(f"windlass run: {argv[0]}: {(error.strerror if isinstance(error, OSError) else '') or error}")
        _leave(session, me.incarnation, "windlass run: the command could not be started", say)
        return NOT_FOUND if missing else CANNOT_RUN
    keeping = _Keeping(session, min(PERIOD, lease / 4), say)
    keeping.start(lambda: not child.stopped, Activity(pid) if max_idle is not None else None, max_idle or 0.0)
    code = child.wait()
    if keeping.end():
        how = f"signal {_signal(code)}" if code > 128 else f"exit {code}"
        if not _leave(session, me.incarnation, f"windlass run: {os.path.basename(argv[0])} ended with {how}", say):
            _end_at_once(code)
    return code


def beside(settings: Settings, pid: int, *, every: float | None, say: Callable[[str], None], told: Callable[[int], None]) -> None:
    """Refresh the agent's presence while a process lives. `told` gets the incarnation once it is fresh.

    Raises NotFound where there is no such process, Fenced, Moved, StoreError where it cannot begin.
    """
    try:
        process = Watched(pid)
    except (ProcessLookupError, OverflowError, ValueError):
        raise NotFound(f"there is no process {pid}", "start the sidecar while its agent runs", pid=pid) from None
    session = open_session(settings, keeper=Keeper.SIDECAR)
    try:
        told(session.run(agents.act(session.actor, renew=True)).incarnation)
        keeping = _Keeping(session, every or PERIOD, say)
        while not process.gone(keeping.period):
            keeping.beat()
    finally:
        session.close()


class _Keeping:
    """Refreshes presence; warns once of a store that does not answer, and stops where the incarnation is not the newest any more."""

    def __init__(self, session: Session, period: float, say: Callable[[str], None]) -> None:
        self._session, self.period, self._say = session, period, say
        self._over = threading.Event()
        self._warned = False
        self._lost = False

    def beat(self) -> None:
        """One sign of life. Raises Lost, Moved."""
        try:
            self._session.run(agents.act(self._session.actor, renew=True))
        except (Lost, Moved):
            raise
        except WindlassError as error:
            if not self._warned:
                self._warned = True
                what = "the store does not answer" if isinstance(error, StoreError) else "no sign of life could be given"
                self._say(f"windlass: {what} ({error.message}); trying on, the command goes on")

    def start(self, awake: Callable[[], bool], activity: Activity | None, max_idle: float) -> None:
        """Beat from a thread until `end`."""
        threading.Thread(target=self._loop, args=(awake, activity, max_idle), name="windlass-presence", daemon=True).start()

    def _loop(self, awake: Callable[[], bool], activity: Activity | None, max_idle: float) -> None:
        tick = min(self.period, LOOK, max_idle / 4) if activity else self.period
        since, was = 0.0, True
        while not self._over.wait(tick):
            since += tick
            now = (activity is None or activity.idle() < max_idle) and awake()
            if now and (since >= self.period or not was):
                since = 0.0
                try:
                    self.beat()
                except WindlassError as error:
                    self._lost = True
                    self._say(f"windlass: {error.message}; no more signs of life from here, the command goes on")
                    return
            was = now

    def end(self) -> bool:
        """No more beats; whether the incarnation was still the newest."""
        self._over.set()
        return not self._lost


def _leave(session: Session, incarnation: int, note: str, say: Callable[[str], None]) -> bool:
    """Release what the incarnation holds and end it; False where the store has not answered for too long."""

    def leave() -> None:
        try:
            session.run(work.leave(session.actor, incarnation, note))
        except WindlassError as error:
            say(f"windlass: claims were not released ({error.message}); they run out with their lease")
        session.close()

    thread = threading.Thread(target=leave, name="windlass-leave", daemon=True)
    thread.start()
    thread.join(LEAVING)
    if thread.is_alive():
        say("windlass: the store does not answer, so claims were not released; they run out with their lease")
        return False
    return True


def _signal(code: int) -> str:
    try:
        return signal.Signals(code - 128).name.removeprefix("SIG")
    except ValueError:
        return str(code - 128)


def _end_at_once(code: int) -> None:
    """End this process; Python's own end would wait for the requests in flight."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
