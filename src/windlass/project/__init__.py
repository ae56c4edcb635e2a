"""The facade: a project of agents in a store. `windlass.open(...)` and `windlass.aio.open(...)` give one."""

from __future__ import annotations

from windlass.ops.agents import Actor, Me
from windlass.project.session import Session, open_session, settings_for
from windlass.protocol.agents import Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from windlass.ops.gc import Swept
    from windlass.ops.status import Overview, Standing
    from windlass.ops.timeline import View
    from windlass.project.agents import AgentsPart
    from windlass.project.artifacts import ArtifactsPart
    from windlass.project.mail import MailPart
    from windlass.project.memory import MemoryPart
    from windlass.project.plan import PlanPart
    from windlass.project.steps import Steps
    from windlass.project.views import Views
    from windlass.project.workspaces import WorkspacesPart

__all__ = ["Actor", "Keeper", "Me", "Project", "Session", "open_project", "open_session", "settings_for"]


def open_project(
    store: str | None = None, *, project: str | None = None, agent: str | None = None, lease: float | None = None, create: bool = False
) -> Project:
    """Open a project, blocking; what is not given is found as the command line finds it.

    `lease`: seconds that claims live without a sign of life (default 600; from the first claim on, presence is kept fresh
    while the project is open). `create` makes a missing directory or bucket. Raises UsageError, StoreError. A project may be
    used from several threads, and a program may have several open.

    >>> with windlass.open("s3://team/agents", project="demo", agent="designer") as p:
    ...     p.memory.set("design.contract", "api.py", if_version=0)
    """
    settings = settings_for({"store": store, "project": project, "agent": agent})
    if lease is not None:
        settings = settings.but(lease=lease)
    return Project(open_session(settings, keeper=Keeper.PYTHON, create=create))


class Project:
    """One project of one store, as one agent. Close it, or use it as a context manager."""

    def __init__(self, session: Session) -> None:
        self._session = session

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

    @property
    def steps(self) -> Steps:
        """Units of work."""
        from windlass.project.steps import Steps

        return Steps(self._session)

    @property
    def plan(self) -> PlanPart:
        """Steps from a file."""
        from windlass.project.plan import PlanPart

        return PlanPart(self._session)

    @property
    def memory(self) -> MemoryPart:
        """Shared values."""
        from windlass.project.memory import MemoryPart

        return MemoryPart(self._session)

    @property
    def artifacts(self) -> ArtifactsPart:
        """Files and folders that are results: named, with versions."""
        from windlass.project.artifacts import ArtifactsPart

        return ArtifactsPart(self._session)

    @property
    def workspaces(self) -> WorkspacesPart:
        """Trees of files that agents push and pull, fork and merge."""
        from windlass.project.workspaces import WorkspacesPart

        return WorkspacesPart(self._session)

    @property
    def mail(self) -> MailPart:
        """Messages."""
        from windlass.project.mail import MailPart

        return MailPart(self._session)

    @property
    def agents(self) -> AgentsPart:
        """Who is here."""
        from windlass.project.agents import AgentsPart

        return AgentsPart(self._session)

    @property
    def views(self) -> Views:
        """Status, whoami and the timeline."""
        from windlass.project.views import Views

        return Views(self._session)

    def status(self) -> Overview:
        """Everything at a glance.

        >>> p.status().counts["complete"]
        1
        """
        return self.views.status()

    def whoami(self) -> Standing:
        """Where this agent stands. Raises Unidentified.

        >>> p.whoami().unread
        1
        """
        return self.views.whoami()

    def log(self, *, since: float = 0.0, limit: int | None = 20) -> View:
        """The timeline, newest last; `since` in seconds since 1970, `limit` in events (None: all). Raises Moved.

        >>> for event in p.log().events:
        ...     print(event.by, event.event, event.subject)
        """
        return self.views.log(since=since, limit=limit)

    def gc(self, *, grace: float = 86400.0, wait: float = 60.0, dry_run: bool = False) -> Swept:
        """Delete the content that nothing refers to and that is older than `grace` seconds; uploads older than that are given up.

        For younger uploads it waits, `wait` seconds at most. `dry_run` changes nothing. Raises TimedOut, Lost where another gc began,
        Damaged where it cannot tell what is needed, StoreError.

        >>> p.gc().deleted
        0
        """
        from windlass.project.gc import sweep

        return self._session.run(sweep(self._session, grace, wait, dry_run))

    def close(self) -> None:
        """End the heartbeat, note what was read, give connections back. Claims stay.

        >>> p.close()
        """
        try:
            self._session.flush_seen()
        finally:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._session.unseen = None
        self.close()
