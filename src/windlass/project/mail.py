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


def _inbox(actor: Actor, *, new: bool = False, limit: int = 20, wait: float | None = None, whole: bool = False) -> Op[Inbox]:
    """Messages, oldest first: the newest `limit` of all, or what is unread (`new`), or everything (`whole`).

    With `new` the cursor stays until `seen(inbox)`; with `wait`, up to that many seconds for something new. Raises TimedOut.
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
    send = acting(mail.send)
    look = acting(_inbox)
    seen = acting(mail.seen)
    ack = acting(mail.ack)
    read = looking(mail.read)
    receipts = looking(mail.receipts)


class MailPart(_Calls, Blocking):
    """`project.mail`, blocking."""

    def read_new(self, show: Callable[[Inbox], None], *, limit: int = 20, wait: float | None = None) -> None:
        """Give `show` what is unread, then advance the cursor past it; one reader of this agent at a time on this machine.

        Where `show` raises, nothing counts as read. `wait`: up to that many seconds for something new. Raises TimedOut.
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
            _, pace = session.run(mail.go_on_waiting(session.actor, pace, wait, 1))

    def inbox(self, *, new: bool = False, limit: int = 20, wait: float | None = None) -> Inbox:
        """Messages, oldest first; `new`: only unread ones, `wait`: seconds to wait for one.

        What an earlier call returned as new counts as read from now on: a program that dies while it works on a message sees it again.
        """
        self._session.flush_seen()
        found = self.look(new=new, limit=limit, wait=wait)
        if new:
            self._session.unseen = found
        return found


class AsyncMailPart(_Calls, Awaiting):
    """`project.mail`, for async programs."""

    async def inbox(self, *, new: bool = False, limit: int = 20, wait: float | None = None) -> Inbox:
        """As `MailPart.inbox`."""
        await self._session.flush_seen_async()
        found = await self.look(new=new, limit=limit, wait=wait)
        if new:
            self._session.unseen = found
        return found
