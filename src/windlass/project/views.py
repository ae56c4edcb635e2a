"""Looking at a whole project: status, whoami, timeline."""

from __future__ import annotations

from windlass import effects as fx
from windlass.ops import status, timeline
from windlass.project.calls import Awaiting, Blocking, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op
    from windlass.ops.status import Overview, Standing
    from windlass.project.session import Session


class _Calls:
    log = looking(timeline.timeline)
    follow = looking(timeline.follow)
    pause = looking(fx.sleep)

    if TYPE_CHECKING:
        _session: Session


def overview(session: Session) -> Op[Overview]:
    """The whole project at a glance."""
    return status.status(session.agent, session.project)


def standing(session: Session) -> Op[Standing]:
    """Where the session's agent stands. Raises Unidentified."""
    return status.whoami(session.actor, session.project)


class Views(_Calls, Blocking):
    """The looking methods of a blocking project."""

    def status(self) -> Overview:
        """Everything at a glance."""
        return self._session.run(overview(self._session))

    def whoami(self) -> Standing:
        """Where this agent stands. Raises Unidentified."""
        return self._session.run(standing(self._session))


class AsyncViews(_Calls, Awaiting):
    """The looking methods of an async project."""

    async def status(self) -> Overview:
        """Everything at a glance."""
        return await self._session.run_async(overview(self._session))

    async def whoami(self) -> Standing:
        """Where this agent stands. Raises Unidentified."""
        return await self._session.run_async(standing(self._session))
