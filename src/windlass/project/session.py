"""The composition root: settings become a store, hints, a world and somebody who acts."""

from __future__ import annotations

import os
from _thread import allocate_lock

from windlass import effects as fx
from windlass.config import settle
from windlass.drivers.sync import World, run
from windlass.errors import Unidentified
from windlass.ops.agents import Actor, act
from windlass.protocol import keys
from windlass.protocol.agents import FRESH, LEASE_BEATING, Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, TypeVar

    from windlass.config import Settings
    from windlass.effects import Op, Tell
    from windlass.ops.mail import Inbox
    from windlass.project.heartbeat import Heartbeat
    from windlass.stores.base import Store

    T = TypeVar("T")


class Session:
    """One open project: a world to run operations in, and who acts there."""

    def __init__(self, settings: Settings, world: World, base: Store, actor: Actor | None) -> None:
        self.settings = settings
        self.world = world
        self.base = base
        """The store without the project's prefix."""
        self._actor = actor
        self.unseen: Inbox | None = None
        """What was returned as new and is not yet noted as read."""
        self.reading = allocate_lock()
        """Held while new mail is fetched: threads share one reader."""
        self._lock = allocate_lock()
        self._heartbeat: Heartbeat | None = None

    @property
    def actor(self) -> Actor:
        """Who acts. Raises Unidentified."""
        if self._actor is None:
            raise Unidentified("nobody knows which agent is acting", "say who: --agent NAME, or export WINDLASS_AGENT=NAME")
        return self._actor

    @property
    def agent(self) -> str | None:
        """The agent's name, or None where nobody knows it."""
        return self._actor.agent if self._actor else None

    @property
    def project(self) -> str:
        """The project's name."""
        return self.settings.project

    @property
    def url(self) -> str:
        """The store, as a user names it."""
        return self.base.url

    def run(self, op: Op[T]) -> T:
        """Run an operation, blocking."""
        return run(op, self.world)

    def now(self) -> float:
        """The client's clock, seconds since 1970: to show how long ago something was."""
        return self.run(fx.now())

    def fresh_id(self) -> str:
        """20 random characters of [a-z0-9]."""
        return self.run(fx.new_id())

    def run_async(self, op: Op[T]) -> Coroutine[Any, Any, T]:
        """Run an operation on the event loop."""
        from windlass.drivers import aio

        return aio.run(op, self.world)

    def settle_async(self, op: Op[T], undo: Callable[[T], Op[object]] | None = None) -> Coroutine[Any, Any, T]:
        """As `run_async`, but never left half done: where the caller is cancelled, its result is undone first."""
        from windlass.drivers import aio

        return aio.settle(op, self.world, undo)

    def become(self, **changes: Any) -> None:
        """Act with other facts from now on, such as an incarnation just taken."""
        self._actor = self.actor.but(**changes)

    def keep_fresh(self, lease: float | None = None) -> None:
        """Refresh presence from a thread until the session is closed, so that claims live as long as the program does.

        Four times in the shortest lease there was, in seconds, and at least twice a minute.
        """
        with self._lock:
            if self._heartbeat is None:
                from windlass.project.heartbeat import Heartbeat

                self._heartbeat = Heartbeat(lambda: self.run(act(self.actor, renew=True)))
        self._heartbeat.at_least_every(min(FRESH / 2, (lease or self.actor.lease or LEASE_BEATING) / 4))

    def flush_seen(self) -> None:
        """Note as read what was returned as new."""
        inbox = self.unseen
        if inbox is not None:
            from windlass.ops.mail import seen

            self.run(seen(self.actor, inbox))
            self.unseen = None

    async def flush_seen_async(self) -> None:
        """As `flush_seen`, on the event loop."""
        inbox = self.unseen
        if inbox is not None:
            from windlass.ops.mail import seen

            await self.run_async(seen(self.actor, inbox))
            self.unseen = None

    def close(self) -> None:
        """Give threads and connections back."""
        if self._heartbeat is not None:
            self._heartbeat.end()
        self.world.close()


def settings_for(flags: Mapping[str, str | None], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Settings:
    """Settings from flags, environment, files and defaults. Raises UsageError."""
    settings = settle(flags, os.environ if env is None else env, os.getcwd() if cwd is None else cwd)
    keys.check_name(settings.project, "project")
    if settings.agent:
        keys.check_name(settings.agent, "agent")
    return settings


def open_session(
    settings: Settings,
    *,
    keeper: Keeper = Keeper.COMMANDS,
    create: bool = False,
    tell: Callable[[Tell], None] = lambda _: None,
) -> Session:
    """Open the store that the settings name. Raises StoreError, UsageError."""
    from windlass.drivers.hints import FileHints, MemoryHints
    from windlass.stores.wrappers import Prefix

    if settings.lease is not None:
        from windlass.ops.steps import check_lease

        check_lease(settings.lease)
    base = open_base(settings, create=create)
    scope = f"{base.url}\n{settings.project}"
    hints = FileHints(settings.cache_dir, scope) if settings.cache_dir else MemoryHints()
    world = World(Prefix(base, settings.project + "/"), hints, tell)
    actor = None
    if settings.agent:
        actor = Actor(
            agent=settings.agent,
            machine=_machine(),
            host=os.uname().nodename,
            pid=os.getpid(),
            keeper=Keeper.RUN if settings.incarnation is not None else keeper,
            incarnation=settings.incarnation,
            lease=settings.lease,
            project=settings.project,
        )
    return Session(settings, world, base, actor)


def open_base(settings: Settings, *, create: bool = False) -> Store:
    """The store itself, all projects. The embedded one comes into being at its first use."""
    from windlass.stores.registry import open_store

    if settings.embedded:
        from windlass.stores.embedded import prepare_embedded

        prepare_embedded(settings.embedded, settings.git_common_dir)
    options = {key: value for key, value in settings.options.items() if isinstance(value, str)}
    default = settings.store_why.startswith("the default")
    return open_store(settings.store, create=create or default, options=options)


def _machine() -> str:
    from windlass.config.places import machine_id

    return machine_id()
