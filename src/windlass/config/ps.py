"""The processes above this one where there is no /proc: by the `ps` command."""

from __future__ import annotations

import os

from windlass.config.ancestors import Process

_COLUMNS = "pid=,ppid=,tty=,lstart=,command="


def _output(*command: str) -> str:
    import subprocess

    env = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin", "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(command, env=env, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout)


def processes_above() -> list[Process]:
    """The ancestors, nearest first; empty where `ps` cannot run."""
    table = parse(_output("ps", "-A", "-ww", "-o", _COLUMNS))
    above: list[Process] = []
    parent = os.getppid()
    while parent in table and len(above) < len(table):
        above.append(table[parent].but(session=_session(parent)))
        parent = above[-1].parent
    return above


def parse(output: str) -> dict[int, Process]:
    """The processes of `ps -o pid=,ppid=,tty=,lstart=,command=`; sessions are not asked there, since macOS prints none."""
    found = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) < 9 or not (words[0].isdigit() and words[1].isdigit()):
            continue
        argv = tuple(words[8:])
        found[int(words[0])] = Process(
            pid=int(words[0]),
            parent=int(words[1]),
            session=0,
            has_terminal=not words[2].startswith("?") and words[2] != "-",
            start=" ".join(words[3:8]),
            name=os.path.basename(argv[0]).lstrip("-"),
            argv=argv,
        )
    return found


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def boot_session() -> str:
    """What tells this boot of this machine from all others."""
    return _output("sysctl", "-n", "kern.bootsessionuuid").strip() or _output("sysctl", "-n", "kern.boottime").strip()
