"""The system's own watches of files and folders: inotify on Linux, kqueue on macOS and the BSDs. Errors are OSErrors."""

from __future__ import annotations

import os
import select
import struct
import sys
from _thread import start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Watch(Protocol):
        """Some files and folders. Raises OSError, also where the system has no more to give."""

        def add(self, path: str, folder: bool, sure: bool) -> bool:
            """Watch a file for being changed or replaced, or a folder for what comes into it; False where it is not there.

            `sure`: whatever happens to it is worth a look.
            """
            ...

        def fileno(self) -> int:
            """Readable once something happened."""
            ...

        def fired(self) -> bool | None:
            """What happened since the last call: None for nothing, False for something in a folder, True where it is worth a look."""
            ...

        def close(self) -> None: ...


_MODIFY, _ATTRIB, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x2, 0x4, 0x80, 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED, _ONLYDIR = 0x2000, 0x4000, 0x8000, 0x1000000
_IN_A_FOLDER = _ONLYDIR | _CREATE | _MOVED_TO | _DELETE | _DELETE_SELF | _MOVE_SELF
_OF_A_FILE = _MODIFY | _ATTRIB | _DELETE_SELF | _MOVE_SELF  # what a rename replaces loses a link: an attribute
_OVER = _UNMOUNT | _OVERFLOW | _IGNORED | _DELETE_SELF | _MOVE_SELF
_EVENT = struct.Struct("iIII")


class Inotify:
    """Three calls of Linux' C library; the packages that wrap them cost ten times as much to import."""

    def __init__(self) -> None:
        try:
            import ctypes

            self._errno = ctypes.get_errno
            libc = ctypes.CDLL(None, use_errno=True)
            self._add, self._remove = libc.inotify_add_watch, libc.inotify_rm_watch
            self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (ImportError, AttributeError) as error:
            raise OSError(f"no inotify here: {error}") from error
        if self._fd < 0:
            raise OSError(self._errno(), "inotify_init1")
        self._pid = os.getpid()
        self._all: set[int] = set()
        self._sure: set[int] = set()

    def add(self, path: str, folder: bool, sure: bool) -> bool:
        number = self._add(self._fd, os.fsencode(path), _IN_A_FOLDER if folder else _OF_A_FILE)
        if number < 0:
            try:
                raise OSError(self._errno(), path)
            except (FileNotFoundError, NotADirectoryError):
                return False
        self._all.add(number)
        if sure:
            self._sure.add(number)
        return True

    def fileno(self) -> int:
        number: int = self._fd
        return number

    def fired(self) -> bool | None:
        try:
            events = os.read(self._fd, 65536)
        except BlockingIOError:
            return None
        sure, at = False, 0
        while at < len(events):
            number, what, _, length = _EVENT.unpack_from(events, at)
            sure = sure or number in self._sure or bool(what & _OVER)
            at += _EVENT.size + length
        return sure

    def close(self) -> None:
        # The system takes 10 ms to forget a watch, for which a close waits, and the end of a process: nobody who was woken should.
        # To a process forked meanwhile, they are its parent's.
        for number in self._all if self._pid == os.getpid() else ():
            self._remove(self._fd, number)
        try:
            start_new_thread(os.close, (self._fd,))
        except RuntimeError:  # no more threads
            os.close(self._fd)


class Kqueue:
    """Each file watched costs a descriptor, so there are few."""

    MOST = 64

    def __init__(self, system: Any = select) -> None:
        if not hasattr(system, "kqueue"):
            raise OSError("no kqueue here")
        self._system = system
        self._queue = system.kqueue()
        self._open: dict[str, int] = {}
        self._sure: set[int] = set()

    def add(self, path: str, folder: bool, sure: bool) -> bool:
        if path not in self._open:
            if len(self._open) >= self.MOST:
                raise OSError("too many to watch")
            try:
                file = os.open(path, getattr(os, "O_EVTONLY", os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return False
            self._open[path] = file
            system = self._system
            notes = system.KQ_NOTE_WRITE | system.KQ_NOTE_EXTEND | system.KQ_NOTE_DELETE | system.KQ_NOTE_RENAME | system.KQ_NOTE_REVOKE
            if not folder:
                notes |= system.KQ_NOTE_ATTRIB | system.KQ_NOTE_LINK
            event = system.kevent(file, system.KQ_FILTER_VNODE, system.KQ_EV_ADD | system.KQ_EV_CLEAR, notes)
            self._queue.control([event], 0, 0)
        if sure:
            self._sure.add(self._open[path])
        return True

    def fileno(self) -> int:
        number: int = self._queue.fileno()
        return number

    def fired(self) -> bool | None:
        events = self._queue.control(None, self.MOST, 0)
        if not events:
            return None
        over = self._system.KQ_NOTE_DELETE | self._system.KQ_NOTE_RENAME | self._system.KQ_NOTE_REVOKE
        return any(event.ident in self._sure or event.fflags & over for event in events)

    def close(self) -> None:
        try:
            self._queue.close()
        finally:
            for file in self._open.values():
                os.close(file)


def open_watch() -> Watch:
    """What this system offers. Raises OSError where that is nothing."""
    return Inotify() if sys.platform.startswith("linux") else Kqueue()
