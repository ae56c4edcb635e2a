"""The Python interface for async programs: the same names as `windlass.open`, awaited.

>>> async with windlass.aio.open("s3://team/agents", project="demo", agent="designer") as p:
...     async with await p.steps.claim("design") as claim:
...         await claim.complete(note="API in api.py")
"""

from __future__ import annotations

from windlass.project import Keeper, open_session, settings_for
from windlass.project.agents import AsyncAgentsPart
from windlass.project.artifacts import AsyncArtifactsPart
from windlass.project.mail import AsyncMailPart
from windlass.project.memory import AsyncMemoryPart
from windlass.project.plan import AsyncPlanPart
from windlass.project.steps import AsyncSteps
from windlass.project.views import AsyncViews
from windlass.project.workspaces import AsyncWorkspacesPart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from windlass.project import Session
    from windlass.records import Overview, Standing, Swept, View

__all__ = ["Project", "open"]


def open(
    store: str | None = None, *, project: str | None = None, agent: str | None = None, lease: float | None = None, create: bool = False
) -> Project:
    """Open a project for async use, with `async with`; arguments and errors as `windlass.open`."""
    settings = settings_for({"store": store, "project": project, "agent": agent})
    if lease is not None:
        settings = settings.but(lease=lease)
    return Project(open_session(settings, keeper=Keeper.PYTHON, create=create))


class Project:
    """One project of one store, as one agent; use it with `async with`. Every method is as that of `windlass.Project`, awaited.

    A call that is cancelled may still take effect; a claim or `next` that is cancelled leaves no claim behind.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.steps = AsyncSteps(session)
        """Units of work."""
        self.plan = AsyncPlanPart(session)
        """Steps from a file."""
        self.memory = AsyncMemoryPart(session)
        """Shared values."""
        self.artifacts = AsyncArtifactsPart(session)
        """Files and folders that are results: named, with versions."""
        self.workspaces = AsyncWorkspacesPart(session)
        """Trees of files that agents push and pull, fork and merge."""
        self.mail = AsyncMailPart(session)
        """Messages."""
        self.agents = AsyncAgentsPart(session)
        """Who is here."""
        self.views = AsyncViews(session)
        """Status, whoami and the timeline."""

    @property
    def name(self) -> str:
        """The project's name."""
        return self._session.project

    @property
    def agent(self) -> str | None:
        """Who acts here."""
        return self._session.agent

    @property
    def store(self) -> str:
        """The store's URL, free of secrets."""
        return self._session.url

    @property
    def session(self) -> Session:
        """The session, for those who build a surface."""
        return self._session

    async def status(self) -> Overview:
        """Everything at a glance.

        >>> (await p.status()).counts["complete"]
        1
        """
        return await self.views.status()

    async def whoami(self) -> Standing:
        """Where this agent stands. Raises Unidentified.

        >>> (await p.whoami()).unread
        1
        """
        return await self.views.whoami()

    async def log(self, *, since: float = 0.0, limit: int | None = 20) -> View:
        """The timeline, newest last; `since` in seconds since 1970, `limit` in events (None: all). Raises Moved.

        >>> for event in (await p.log()).events:
        ...     print(event.by, event.event, event.subject)
        """
        return await self.views.log(since=since, limit=limit)

    async def gc(self, *, grace: float = 86400.0, wait: float = 60.0, dry_run: bool = False) -> Swept:
        """Delete the content that nothing refers to and that is older than `grace` seconds; uploads older than that are given up.

        For younger uploads it waits, `wait` seconds at most. `dry_run` changes nothing. Raises TimedOut, Lost where another gc began,
        Damaged where it cannot tell what is needed, StoreError.

        >>> (await p.gc()).deleted
        0
        """
        from windlass.project.gc import sweep

        return await self._session.run_async(sweep(self._session, grace, wait, dry_run))

    async def close(self) -> None:
        """End the heartbeat, note what was read, give connections back. Claims stay.

        >>> await p.close()
        """
        import asyncio

        try:
            await self._session.flush_seen_async()
        finally:
            await asyncio.to_thread(self._session.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._session.unseen = None
        await self.close()
