"""Programs that put a command where nobody of the test run is above it, or into a terminal of its own."""

from __future__ import annotations

ORPHAN = """
import os, sys, time
starter = os.getpid()
if os.fork():
    os._exit(0)
os.setsid()
while os.getppid() == starter:
    time.sleep(0.001)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Leaves the ancestors of the test run behind, which may be a host tool."""

TERMINAL = """
import os, pty, sys
pid, fd = pty.fork()
if not pid:
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
os.write(fd, sys.argv[1].encode() + b"\\nexit\\n")
try:
    while chunk := os.read(fd, 65536):
        os.write(1, chunk)
except OSError:
    pass
os.waitpid(pid, 0)
"""
"""A terminal in which somebody types a line into an interactive bash."""
