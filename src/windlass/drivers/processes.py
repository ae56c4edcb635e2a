"""What can be seen of other processes: whether a tree of them works, and when one is gone."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Table = dict[int, tuple[int, str, float]]

WORKING = 0.005
"""Share of one CPU from which a tree counts as at work: an event loop with nothing to do stays below."""
LONGEST = 86400.0
"""Seconds of one wait for a process to end: the system counts milliseconds, and not far."""


class Activity:
    """Whether a process or anything that it started uses the CPU. Once seen below it, a process counts also when it moves away."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid = pid
        self._clock = clock
        self._seen: dict[int, tuple[str, float]] = {}
        self._at = self._worked = clock()
        self.idle()

    def idle(self) -> float:
        """Seconds since a look last showed work; look often."""
        table, now = processes(), self._clock()
        tree = {pid for pid, (start, _) in self._seen.items() if pid in table and table[pid][1] == start} | {self._pid} & table.keys()
        grown = True
        while grown:
            below = {pid for pid, (parent, _, _) in table.items() if parent in tree}
            grown = not below <= tree
            tree |= below
        used = 0.0
        for pid in tree:
            _, start, cpu = table[pid]
            known, before = self._seen.get(pid, ("", 0.0))
            used += cpu - before if known == start else cpu
        self._seen = {pid: table[pid][1:] for pid in tree}
        if used > WORKING * (now - self._at):
            self._worked = now
        self._at = now
        return now - self._worked


def processes() -> Table:
    """All processes: parent, what tells it from an earlier one with its id, seconds of CPU with its children that have ended."""
    return _from_proc() if os.path.exists("/proc/self/stat") else _from_ps()


def _from_proc() -> Table:
    table: Table = {}
    tick = os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read(4096).rpartition(b")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if len(fields) > 19:
            table[int(name)] = int(fields[1]), fields[19].decode(), sum(map(int, fields[11:15])) / tick
    return table


def _from_ps() -> Table:
    import subprocess

    columns = ["-o", "pid=,ppid=,time=,lstart="]
    done = subprocess.run(["ps", "-A", *columns], capture_output=True, text=True, check=False, env={"PATH": "/bin:/usr/bin", "LC_ALL": "C"})
    table: Table = {}
    for words in map(str.split, done.stdout.splitlines()):
        if len(words) > 3:
            seconds = 0.0
            for part in words[2].replace("-", ":").split(":"):
                seconds = seconds * 60 + float(part)
            table[int(words[0])] = int(words[1]), " ".join(words[3:]), seconds
    return table


class Watched:
    """A process that somebody else started. Raises ProcessLookupError where there is none of that id."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1
        if pid <= 0:  # to the system these mean groups of processes
            raise ProcessLookupError(pid)
        if hasattr(os, "pidfd_open"):
            self._fd = os.pidfd_open(pid)
        elif not _alive(pid):
            raise ProcessLookupError(pid)

    def gone(self, seconds: float) -> bool:
        """Whether it has ended, waiting for that at most so long."""
        if self._fd >= 0:
            import select

            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            return bool(poll.poll(min(seconds, LONGEST) * 1000))
        until = time.monotonic() + seconds
        while _alive(self._pid):
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.5))
        return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so there is one
        return True
    return True
