"""A lock between the processes of one account on one machine."""

from __future__ import annotations

import fcntl
import os
import time

from windlass.errors import TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 30.0
"""Seconds after which its holder is taken to hang."""


class Lock:
    """Held from `with` to its end, by one at a time; where the file cannot be locked there is no lock. Raises TimedOut.

    `what` names in an error what the holder does.
    """

    def __init__(self, path: str | None, what: str, patience: float = PATIENCE) -> None:
        self._path = path
        self._what = what
        self._patience = patience
        self._file: int | None = None

    def __enter__(self) -> None:
        if self._path is None:
            return
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        give_up = time.monotonic() + self._patience
        while not self._try():
            if time.monotonic() >= give_up:
                self._leave()
                raise TimedOut(f"{self._what} has not ended for {self._patience:.0f} s", "end that process, or try again")
            time.sleep(0.01)

    def _try(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def _leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()
