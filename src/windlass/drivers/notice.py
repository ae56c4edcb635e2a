"""Ends a pause early when a file that is waited for changes. Only a hint: what is never told is met by the next poll."""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock

from windlass.drivers import watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.drivers.watches import Watch

MOST = 16
"""Watches of one process at once; a system gives a user few (Linux 128), and not all are for us. Further waits poll."""
SETTLE = 0.02
"""Seconds that what others do in a folder is let gather, so that a busy store does not keep all who wait busy too."""
AGAIN = 3
"""Times that folders may come and go while a watch is set up."""

_lock = allocate_lock()
_places = [None] * MOST


class Notice:
    """Of one wait: one thread or task uses it, and closes it.

    A watch is in place before the read that decides to wait on: the first pause sets it up and ends at once, so that
    whoever waits looks once more, and so does the first one after each change.
    """

    def __init__(self, file_of: Callable[[str], str]) -> None:
        self._file_of = file_of
        self._keys: Sequence[str] = ()
        self._missing: list[str] = []
        self._watch: Watch | None = None
        self._pid = 0
        self._over = False

    def pause(self, keys: Sequence[str], seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Until one of the objects (below a key that ends in "/": any) may have changed, or for so long."""
        if self.set_up(keys):
            return
        if self._watch is None:
            sleep(seconds)
            return
        poll = select.poll()
        poll.register(self._watch.fileno(), select.POLLIN)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not poll.poll(left * 1000) or self.changed():
                return
            time.sleep(min(SETTLE, left))

    def set_up(self, keys: Sequence[str]) -> bool:
        """Watch for these, unless that is done: then False. Also False where there is no watching them: `fileno` is -1."""
        if self._watch is not None and self._keys == keys and self._pid == os.getpid():
            return False
        self._drop()
        watch, missing = _watch_files([self._file_of(key) for key in keys])
        if watch is None:
            return False
        self._watch, self._missing, self._keys, self._pid = watch, missing, keys, os.getpid()
        if self._over:  # closed meanwhile, from another thread
            self._drop()
        return True

    def fileno(self) -> int:
        """Readable once something happened near the objects; -1 where nothing can be watched."""
        return self._watch.fileno() if self._watch is not None else -1

    def changed(self) -> bool:
        """Whether what happened is worth a look; then the next pause sets up the watch anew."""
        watch = self._watch
        if watch is None:
            return True
        sure = watch.fired()
        if not sure and (sure is None or not any(map(os.path.lexists, self._missing))):
            return False
        self._drop()
        return True

    def close(self) -> None:
        """Give the watch back."""
        self._over = True
        self._drop()

    def _drop(self) -> None:
        with _lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            _release(watch)


def _watch_files(files: Sequence[str]) -> tuple[Watch | None, list[str]]:
    """A watch of the files, and for those that are not there the first missing thing on the way to each."""
    try:
        _places.pop()
    except IndexError:
        return None, []
    try:
        watch = watches.open_watch()
    except OSError:
        _places.append(None)
        return None, []
    missing: dict[str, None] = {}
    try:
        for file in files:
            found = _place(watch, file)
            if found:
                missing[found] = None
    except OSError:
        _release(watch)
        return None, []
    except BaseException:
        _release(watch)
        raise
    return watch, list(missing)


def _place(watch: Watch, file: str) -> str:
    """Watch a file, or the deepest folder that is there on the way to it; what is missing in that, if anything."""
    file, whole = (file.rstrip("/"), file.endswith("/"))
    for _ in range(AGAIN):
        node, missing = file, ""
        while not watch.add(node, folder=bool(missing) or whole, sure=not missing):
            node, missing = os.path.dirname(node), node
            if node == missing:
                raise OSError(f"no way to {file}")
        if not missing or not os.path.lexists(missing):  # else it came before its folder was watched
            return missing
    return missing


def _release(watch: Watch) -> None:
    try:
        watch.close()
    except OSError:  # it is given back all the same
        pass
    finally:
        _places.append(None)
