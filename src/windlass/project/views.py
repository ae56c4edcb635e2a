"""Looking at a whole project: status, whoami, timeline."""

from __future__ import annotations

from windlass import effects as fx
from windlass.ops import status, timeline
from windlass.ops.agents import still_here
from windlass.project.calls import Awaiting, Blocking, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op
    from windlass.ops.status import Overview, Standing
    from windlass.ops.timeline import View
    from windlass.project.session import Session


def _log(*, since: float = 0.0, limit: int | None = 20) -> Op[View]:
    """The timeline, newest last, from `since` (seconds since 1970, by the recorded clocks), at most `limit` events (None: all).

    Costs a listing of everything. Raises Moved.
    """
    yield from still_here()
    return (yield from timeline.timeline(since=since, limit=limit))


class _Calls:
    log = looking(_log, ">>> [(one.kind, one.event, one.by) for one in p.views.log(limit=1).events]\n[('step', 'claim', 'designer')]")
    follow = looking(timeline.follow, ">>> p.views.follow(p.views.log(limit=None), seen=set(), timeout=0.1).events and None")
    pause = looking(fx.sleep, ">>> p.views.pause(0.01)")

    if TYPE_CHECKING:
        _session: Session


def overview(session: Session) -> Op[Overview]:
    """The whole project at a glance."""
    return status.status(session.agent, session.project)


def standing(session: Session) -> Op[Standing]:
    """Where the session's agent stands. Raises Unidentified."""
    return status.whoami(session.actor, session.project)


class Views(_Calls, Blocking):
    """`project.views`, blocking."""

    def status(self) -> Overview:
        """Everything at a glance: agents, steps by state, what is ready. Reads only what changed since this machine last looked.

        >>> p.views.status().counts["complete"]
        1
        """
        return self._session.run(overview(self._session))

    def whoami(self) -> Standing:
        """Where this agent stands: what it holds and how long (seconds), what is unread. Raises Unidentified.

        >>> [one.name for one in p.views.whoami().holds]
        ['build']
        """
        return self._session.run(standing(self._session))


class AsyncViews(_Calls, Awaiting):
    """`project.views`, for async programs: as `Views`, awaited."""

    async def status(self) -> Overview:
        """Everything at a glance: agents, steps by state, what is ready. Reads only what changed since this machine last looked.

        >>> (await p.views.status()).counts["complete"]
        1
        """
        return await self._session.run_async(overview(self._session))

    async def whoami(self) -> Standing:
        """Where this agent stands: what it holds and how long (seconds), what is unread. Raises Unidentified.

        >>> [one.name for one in (await p.views.whoami()).holds]
        ['build']
        """
        return await self._session.run_async(standing(self._session))
