"""Keeps the agent of an open project alive from a thread of its own."""

from __future__ import annotations

import threading

from windlass.errors import Lost, Moved, WindlassError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LEAVING = 5.0
"""Seconds that the end waits for a sign of life under way."""


class Heartbeat:
    """Calls `beat` every so many seconds until it is ended; stops by itself where the incarnation is not the newest any more."""

    def __init__(self, beat: Callable[[], object]) -> None:
        self._beat = beat
        self._every = threading.TIMEOUT_MAX
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._loop, name="windlass-presence", daemon=True)
        self._thread.start()

    def at_least_every(self, seconds: float) -> None:
        """Beat so often from now on, or more often where that was asked for before."""
        if seconds < self._every:
            self._every = seconds
            self._wake.set()

    def _loop(self) -> None:
        while not self._over:
            if self._wake.wait(self._every):
                self._wake.clear()
                continue
            try:
                self._beat()
            except (Lost, Moved):  # the next claim or completion meets it and says so
                return
            except WindlassError:
                continue
            except Exception:
                if not self._over:  # a store that is closed under a beat may say anything
                    raise

    def end(self) -> None:
        """No more beats."""
        self._over = True
        self._wake.set()
        if self._thread is not threading.current_thread():
            self._thread.join(LEAVING)
