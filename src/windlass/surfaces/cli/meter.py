"""How far a transfer of bytes is: a bar, the rate, and the time that is left."""

from __future__ import annotations

from _thread import allocate_lock

from windlass.surfaces.present import duration, one_line, sized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from windlass.surfaces.present import Output

EVERY = 0.1
"""Seconds between two drawings."""
LONGEST = 100 * 86400.0
"""Seconds: of a longer time nobody knows anything."""
BAR = 16
"""Characters of the bar."""


class Meter:
    """Draws what threads tell, in one line of at most 78 characters."""

    def __init__(self, out: Output, now: Callable[[], float]) -> None:
        self._out, self._now = out, now
        self._lock = allocate_lock()
        self._what = ""
        self._began = self._drawn = 0.0
        self._done = self._first = 0

    def tell(self, step: Any) -> None:
        """So many bytes are done, of so many (0: nobody knows how many)."""
        now = self._now()
        with self._lock:
            if step.what != self._what or step.done < self._first:
                self._what, self._began, self._drawn, self._first, self._done = step.what, now, 0.0, step.done, 0
            self._done = max(self._done, step.done)
            if now - self._drawn < EVERY and self._done != step.total:
                return
            self._drawn = now
            self._out.progress(line(step.what, self._done, step.total, self._done - self._first, now - self._began))


def line(what: str, done: int, total: int, lately: int, seconds: float) -> str:
    """`lately` bytes took so many seconds."""
    rate = lately / max(seconds, 0.001) if seconds > 0 else 0.0
    pace = f", {sized(rate)}/s" if rate else ""
    if not total:
        return f"{one_line(what, 12)} {sized(done)}{pace}"
    full = min(BAR, BAR * done // total)
    ahead = (total - done) / rate if rate else 0.0
    left = f", {duration(round(ahead))} left" if 0 < ahead < LONGEST else ""
    return f"{one_line(what, 12):<9} [{'#' * full}{' ' * (BAR - full)}] {sized(done)} of {sized(total)}{pace}{left}"
