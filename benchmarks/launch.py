"""Starts commands for the benchmarks: a process of its own, so small that its memory does not count as theirs.

Linux hands the largest memory of whoever starts a process on to it (`ru_maxrss` survives exec). Reads marshalled
(arguments, environment, folder, output file) from standard input, answers (wall, CPU in seconds, memory in bytes, exit code).
"""

import marshal
import os
import sys
from time import perf_counter

source, sink = sys.stdin.buffer, sys.stdout.buffer
unit = 1 if sys.platform == "darwin" else 1024
while True:
    try:
        arguments, environment, folder, output = marshal.load(source)
    except EOFError:
        break
    os.chdir(folder)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    began = perf_counter()
    pid = os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    wall = perf_counter() - began
    marshal.dump((wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit, os.waitstatus_to_exitcode(status)), sink)
    sink.flush()
