"""The Python interface for async programs: the same names as `windlass.open`, awaited.

>>> async with windlass.aio.open("s3://team/agents", project="demo", agent="designer") as p:
...     async with await p.steps.claim("design") as claim:
...         await claim.complete(note="API in api.py")
"""

from __future__ import annotations

from windlass.project import Keeper, open_session, settings_for
from windlass.project.agents import AsyncAgentsPart
from windlass.project.mail import AsyncMailPart
from windlass.project.memory import AsyncMemoryPart
from windlass.project.plan import AsyncPlanPart
from windlass.project.steps import AsyncSteps
from windlass.project.views import AsyncViews

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from windlass.project import Session

__all__ = ["Project", "open"]


def open(
    store: str | None = None, *, project: str | None = None, agent: str | None = None, lease: float | None = None, create: bool = False
) -> Project:
    """Open a project for async use; arguments and errors as `windlass.open`."""
    settings = settings_for({"store": store, "project": project, "agent": agent})
    if lease is not None:
        settings = settings.but(lease=lease)
    return Project(open_session(settings, keeper=Keeper.PYTHON, create=create))


class Project(AsyncViews):
    """One project of one store, as one agent; use it with `async with`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.steps = AsyncSteps(session)
        self.plan = AsyncPlanPart(session)
        self.memory = AsyncMemoryPart(session)
        self.mail = AsyncMailPart(session)
        self.agents = AsyncAgentsPart(session)

    @property
    def name(self) -> str:
        """The project's name."""
        return self._session.project

    @property
    def agent(self) -> str | None:
        """Who acts here."""
        return self._session.agent

    async def close(self) -> None:
        """End the heartbeat, note what was read, give connections back. Claims stay."""
        try:
            await self._session.flush_seen_async()
        finally:
            self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._session.unseen = None
        await self.close()
