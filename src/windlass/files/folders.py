"""Downloads of a folder: prepared beside the target, put in place whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from windlass.errors import UsageError, WindlassError
from windlass.files.building import Building, remove
from windlass.files.paths import FOLDER, PRIVATE, TEMPORARY, is_temporary, open_root, said
from windlass.files.placing import umask


def sweep(folder: str, start: str) -> None:
    """Remove staging folders that killed tries left in a folder, of those whose names begin like this and that nobody is at."""
    fd = open_root(folder)
    try:
        for name in os.listdir(fd):
            if name.startswith(start) and is_temporary(name):
                _sweep_one(os.fsencode(name), fd)
    except (OSError, WindlassError):  # then a later one does
        pass
    finally:
        os.close(fd)


def _sweep_one(name: bytes, folder: int) -> None:
    inner = os.open(name, FOLDER, dir_fd=folder)
    try:
        fcntl.flock(inner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(name, folder)
    finally:
        os.close(inner)


class FolderStaging(Building):
    """For one folder: `open_folder`, then add to it, then `publish`."""

    def _check_target(self) -> None:
        facts = self._facts()
        if facts is None:
            return
        if not stat.S_ISDIR(facts.st_mode):
            if not self._force:
                raise self._exists()
            return
        try:
            fd = os.open(self._name, FOLDER, dir_fd=self._above)
            try:
                inside = set(os.listdir(fd))
            finally:
                os.close(fd)
        except OSError as error:
            raise UsageError(f"cannot look into {self.target}: {said(error)}", "make it readable, or name another place") from None
        if inside and not self._force:
            raise self._exists()
        private = sorted(inside & PRIVATE)
        if private:
            raise UsageError(f"{self.target} holds {private[0]}: it is not replaced as a whole", "name another place")
        self._refuse_homes()

    def _refuse_homes(self) -> None:
        """Somebody's own place is never replaced, and an empty one never moved away from under them."""
        real = os.path.realpath(self.target).rstrip("/") + "/"
        for ours in (".", os.path.expanduser("~")):
            if (os.path.realpath(ours) + "/").startswith(real):
                raise UsageError(f"{self.target} is or holds the folder you are in, or your home", "name another place")

    def open_folder(self) -> None:
        """Begin, or go on with what a killed download left."""
        try:
            for _ in range(100):
                fd = self._take()
                if fd >= 0 and self._lock_or_close(fd):
                    self._fd = fd
                    self._recover()
                    os.fchmod(fd, 0o700)
                    if self._resumed:
                        self._remove_others(None)
                    return
        except OSError as error:
            raise self._failed(error) from None
        raise self._in_the_way()

    def _lock_or_close(self, fd: int) -> bool:
        held = False
        try:
            held = self._lock(fd)
        finally:
            if not held:
                os.close(fd)
        return held

    def _take(self) -> int:
        """A descriptor of the staging folder; -1 to try again."""
        try:
            os.mkdir(self._temporary, 0o700, dir_fd=self._above)
            self._resumed = False
        except FileExistsError:
            self._resumed = True
        try:
            fd = os.open(self._temporary, FOLDER, dir_fd=self._above)
        except FileNotFoundError:
            return -1
        except OSError:  # a link or a file
            try:
                os.unlink(self._temporary, dir_fd=self._above)
            except OSError:
                raise self._in_the_way() from None
            return -1
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            os.close(fd)
            raise self._in_the_way()
        return fd

    def _aside(self) -> bytes:
        """Where what is replaced waits for its removal."""
        return self._temporary.removesuffix(TEMPORARY.encode()) + f".old{TEMPORARY}".encode()

    def _recover(self) -> None:
        """Mend what a kill left while a target was being replaced."""
        if self._facts() is None:
            try:
                os.rename(self._aside(), self._name, src_dir_fd=self._above, dst_dir_fd=self._above)
            except FileNotFoundError:
                pass
        else:
            remove(self._aside(), self._above)
        self._check_target()

    def publish(self, *, sync: bool = False) -> None:
        """Put the whole folder in place. `sync` first waits until all of it is on the disk, which a power cut asks for, not a kill.

        Raises UsageError where something is there by now.
        """
        self._check_target()
        if self._open:
            raise WindlassError(f"{next(iter(self._open))} in {self.target} is not whole yet", "run it again")
        try:
            if self._resumed:
                self._remove_others(self._kinds)
            self._make_links()
            if sync:
                os.sync()
            if not self._is_ours(self._fd):
                raise self._in_the_way()
            os.fchmod(self._fd, 0o755 & ~umask())
            self._swap()
            os.fsync(self._above)
        except OSError as error:
            raise self._failed(error) from None

    def discard(self) -> None:
        """Remove what was prepared: it is not going to be published."""
        remove(self._temporary, self._above)

    def _swap(self) -> None:
        above = self._above
        aside = self._force and self._facts() is not None
        if aside:
            os.rename(self._name, self._aside(), src_dir_fd=above, dst_dir_fd=above)
        try:
            os.rename(self._temporary, self._name, src_dir_fd=above, dst_dir_fd=above)
        except OSError as error:
            if aside:
                os.rename(self._aside(), self._name, src_dir_fd=above, dst_dir_fd=above)
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise self._exists() from None
            raise
        if aside:
            remove(self._aside(), above)
