"""The mail of a project."""

from __future__ import annotations

from windlass.ops import mail, waiting
from windlass.project.calls import Awaiting, Blocking, acting, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.drivers.locks import Lock
    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.mail import Inbox
    from windlass.project.session import Session


def _look(actor: Actor, *, new: bool = False, limit: int = 20, wait: float | None = None, whole: bool = False) -> Op[Inbox]:
    """Messages, oldest first, the cursor stays: the newest `limit` of all, or what is unread (`new`), or everything (`whole`).

    With `new` and `wait`: up to that many seconds for something new. Raises TimedOut.
    """
    if new and wait is not None:
        return (yield from mail.wait_unread(actor, wait, limit))
    if new:
        return (yield from mail.unread(actor, limit))
    return (yield from (mail.all_(actor) if whole else mail.recent(actor, limit)))


def _one_reader(session: Session) -> Lock:
    from windlass.config import lock_file
    from windlass.drivers.locks import Lock

    agent = session.actor.agent
    return Lock(lock_file(session.settings.state_dir, session.url, session.project, agent), f"another reading of {agent}'s mail")


class _Calls:
    send = acting(mail.send, '>>> p.mail.send("developer", "see memory key design.contract", step="design", needs_ack=True)')
    look = acting(_look, ">>> p.mail.look(whole=True).mails[0].message.text\n'hello'")
    seen = acting(mail.seen, ">>> p.mail.seen(p.mail.look(new=True))")
    ack = acting(mail.ack, ">>> p.mail.ack(p.mail.look().mails[0].id)\nTrue")
    read = looking(mail.read, ">>> p.mail.read(\"designer:0\").message.text\n'hello'")
    receipts = looking(mail.receipts, ">>> [(one.agent, one.state) for one in p.mail.receipts(\"designer:0\")]\n[('designer', 'sent')]")


class MailPart(_Calls, Blocking):
    """`project.mail`, blocking."""

    def read_new(self, show: Callable[[Inbox], None], *, limit: int = 20, wait: float | None = None) -> None:
        """Give `show` what is unread, then advance the cursor past it; one reader of this agent at a time on this machine.

        Where `show` raises, nothing counts as read. `wait`: up to that many seconds for something new. Raises TimedOut.

        >>> p.mail.read_new(lambda inbox: print(*(one.message.text for one in inbox)))
        """
        session = self._session
        pace = session.run(waiting.begin())
        while True:
            with _one_reader(session):
                inbox = self.look(new=True, limit=limit)
                if inbox.mails or wait is None:
                    show(inbox)
                    self.seen(inbox)
                    return
            pace = session.run(mail.go_on_waiting(session.actor, inbox, pace, wait))

    def inbox(self, *, new: bool = False, limit: int = 20, wait: float | None = None) -> Inbox:
        """Messages, oldest first; `new`: only unread ones; `wait`: seconds to wait for one that is. Raises TimedOut.

        What an earlier call returned as new counts as read from the next one on, and at the end of the project's block
        unless an exception ends it: a program that dies while it works on a message sees it again.

        >>> for one in p.mail.inbox(new=True):
        ...     print(one.id, one.message.sender, one.message.text)
        """
        if not new and wait is None:
            return self.look(limit=limit)
        session = self._session
        pace = session.run(waiting.begin())
        while True:
            with session.reading:
                session.flush_seen()
                found = self.look(new=True, limit=limit)
                if found.mails or wait is None:
                    session.unseen = found
                    return found
            pace = session.run(mail.go_on_waiting(session.actor, found, pace, wait))


class AsyncMailPart(_Calls, Awaiting):
    """`project.mail`, for async programs: as `MailPart`, awaited."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        import asyncio

        self._reading = asyncio.Lock()

    async def inbox(self, *, new: bool = False, limit: int = 20, wait: float | None = None) -> Inbox:
        """Messages, oldest first; `new`: only unread ones; `wait`: seconds to wait for one that is. Raises TimedOut.

        What an earlier call returned as new counts as read from the next one on, and at the end of the project's block
        unless an exception ends it: a program that dies while it works on a message sees it again.

        >>> for one in await p.mail.inbox(new=True):
        ...     print(one.id, one.message.sender, one.message.text)
        """
        if not new and wait is None:
            return await self.look(limit=limit)
        session = self._session
        pace = await session.run_async(waiting.begin())
        while True:
            async with self._reading:
                await session.flush_seen_async()
                found = await self.look(new=True, limit=limit)
                if found.mails or wait is None:
                    session.unseen = found
                    return found
            pace = await session.run_async(mail.go_on_waiting(session.actor, found, pace, wait))
