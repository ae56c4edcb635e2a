"""The one backoff of everything that polls."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import UsageError
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op

FIRST = 0.15
"""Seconds between polls at first."""
SHARE = 0.05
"""Of the time waited so far."""
MOST = 60.0
"""Seconds between polls at most."""
FOREVER = 1e12
"""Seconds: nobody waits longer, and what is larger may be too large to count with."""


class Pace(Record):
    """How long something was waited for, in seconds, and the client's clock at the last poll."""

    waited: float
    last: float


def begin() -> Op[Pace]:
    """Start waiting."""
    return Pace(waited=0.0, last=(yield from fx.now()))


def pause(pace: Pace, limit: float | None, most: float = MOST, *, until: tuple[str, ...] = (), least: float = 0.0) -> Op[Pace]:
    """Sleep until the next poll is due: at most `most` seconds, never beyond `limit` in all. A clock that jumps does not end the wait.

    Earlier where one of the objects `until` (as in `Sleep`) is seen to change, but not before `least` seconds.
    """
    delay = min(MOST, most, max(FIRST, SHARE * pace.waited))
    if limit is not None:
        limit = min(limit, FOREVER)
        if limit != limit:  # noqa: PLR0124 (not a number: no wait would ever reach it)
            raise UsageError("that is no number of seconds to wait", "use a number of seconds")
        delay = max(0.0, min(delay, limit - pace.waited))
    if least:
        yield from fx.sleep(min(least, delay))
    yield from fx.sleep_until(max(0.0, delay - least), until)
    now = yield from fx.now()
    passed = now - pace.last
    return Pace(waited=pace.waited + (passed if 0 < passed < delay + 5.0 else delay), last=now)
