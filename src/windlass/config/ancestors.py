"""Finds the host tool or the terminal shell that a command descends from, and names the agent after that process.

A name is made of the boot, the process id and its start time: two processes never share one, and every command below
a process gets the same. Where processes above may be hidden, the answer is None, never a guess.
"""

from __future__ import annotations

import os
import sys

from windlass.digest import sha256_hex
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TOOLS = frozenset(("claude", "codex", "gemini", "opencode", "cursor-agent", "aider", "goose", "copilot", "hermes", "openclaw"))
SHELLS = frozenset(("sh", "bash", "dash", "zsh", "fish", "ksh", "tcsh", "nu", "xonsh", "pwsh"))

_INTERPRETERS = ("node", "bun", "deno", "python", "pypy", "tsx", "uv")
_PACKAGES = (
    ("/@anthropic-ai/claude-code/", "claude"),
    ("/@google/gemini-cli/", "gemini"),
    ("/@github/copilot/", "copilot"),
    ("/cursor-agent/versions/", "cursor-agent"),
)
_WITH_VALUE = frozenset(("--rcfile", "--init-file", "-o", "+o", "-O", "+O", "-C", "--init-command", "--config", "--env-config", "--rc"))
_INIT_NAMESPACE = "pid:[4026531836]"  # the kernel's PROC_PID_INIT_INO
_DEEPEST = 256


class Process(Record):
    """One process; `start` tells it from an earlier one with the same id."""

    pid: int
    parent: int
    session: int
    has_terminal: bool
    start: str
    name: str
    argv: tuple[str, ...]


def from_ancestors() -> tuple[str | None, str]:
    """A name for the agent and how it was found, or None and why not (empty: nothing to say)."""
    platform: str = sys.platform  # or the type checker would skip what its own platform never reaches
    if platform == "linux":
        return _from_proc()
    from windlass.config.ps import boot_session, processes_above

    return _named(find(processes_above()), boot_session())


def _named(found: tuple[str, Process] | None, boot: str, namespace: str = "") -> tuple[str | None, str]:
    if found is None or not boot:
        return None, ""
    kind, process = found
    told = "\n".join((boot, namespace, str(process.pid), process.start))
    what = f"the terminal's {process.name}" if kind == "shell" else f"the {kind} process"
    return f"{kind}-{sha256_hex(told.encode())[:8]}", f"{what}, pid {process.pid}"


def find(above: list[Process]) -> tuple[str, Process] | None:
    """The nearest host tool among ancestors (nearest first), else the nearest shell that leads a terminal's session."""
    for process in above:
        tool = host_tool(process)
        if tool:
            return tool, process
    for process in above:
        if process.pid == process.session and process.has_terminal and is_interactive_shell(process):
            return "shell", process
    return None


def host_tool(process: Process) -> str | None:
    """The host tool that this process is, also when an interpreter runs it."""
    if process.name in TOOLS:
        return process.name
    if not process.argv:
        return None
    first = os.path.basename(process.argv[0])
    if first in TOOLS:
        return first
    if not first.rstrip("0123456789.").startswith(_INTERPRETERS):
        return None
    script = _script(process.argv)
    name = os.path.splitext(os.path.basename(script))[0]
    if name in TOOLS:
        return name
    return next((tool for part, tool in _PACKAGES if part in script), None)


def _script(argv: tuple[str, ...]) -> str:
    after_m = False
    for argument in argv[1:]:
        if after_m or not argument.startswith("-"):
            return argument
        if argument in ("-c", "-e", "-p", "--eval", "--print"):
            return ""
        after_m = argument == "-m"
    return ""


def is_interactive_shell(process: Process) -> bool:
    """Whether this is a shell that reads commands from its terminal: neither `-c COMMAND` nor a script."""
    if not process.argv or not {process.name, os.path.basename(process.argv[0]).lstrip("-")} & SHELLS:
        return False
    arguments = iter(process.argv[1:])
    for argument in arguments:
        if argument in _WITH_VALUE:
            next(arguments, "")
        elif not argument.startswith(("-", "+")) or argument.startswith("--command="):
            return False  # an operand is a script, or what `-c` runs
    return True


def _from_proc() -> tuple[str | None, str]:
    hidden = "host tools and shells above this command are hidden by a private process namespace"
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read(64).strip()
        namespace = os.readlink("/proc/self/ns/pid")
        foreign = _proc_is_foreign()
        above = _proc_above()
    except (OSError, ValueError, IndexError):
        return None, "cannot read /proc, so nothing is known of what is above this command"
    found = find(above)
    if foreign and _is_kthreadd():
        return _named(found, boot)
    if foreign:
        if found is None:
            return None, hidden
        try:
            return _named(found, boot, os.readlink(f"/proc/{found[1].pid}/ns/pid"))
        except OSError:
            return None, hidden
    if namespace == _INIT_NAMESPACE:
        return _named(found, boot)
    # A container, or the sandbox of one command. In a sandbox the session is another namespace's (0), or process 1 is
    # only a supervisor; neither outlives the command.
    if found is None or found[1].session == 0 or (found[1].pid == 1 and not (found[1].session == 1 and found[1].has_terminal)):
        return None, hidden
    return _named(found, boot, namespace)


def _proc_is_foreign() -> bool:
    """Whether /proc shows an outer namespace: then this process has an id in each namespace down to its own."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"NSpid:"):
                return len(line.split()) > 2
    with open("/proc/self/stat", "rb") as file:
        return int(file.read(4096).split(None, 1)[0]) != os.getpid()


def _is_kthreadd() -> bool:
    """Whether /proc shows the first namespace of all, the only one with kernel threads."""
    try:
        return _proc_process("2", lambda _: ()).name == "kthreadd"
    except (OSError, ValueError, IndexError):
        return False


def _proc_above() -> list[Process]:
    """The ancestors, nearest first, as far up as they can be seen. Raises OSError where not even this process can."""
    for _ in range(3):  # again where an ancestor ends meanwhile
        above: list[Process] = []
        parent = _proc_process("self", lambda _: ()).parent
        try:
            while parent and len(above) < _DEEPEST:
                above.append(_proc_process(str(parent), _proc_argv))
                parent = above[-1].parent
        except (OSError, ValueError, IndexError):
            continue
        return above
    return above


def _proc_process(pid: str, argv: Callable[[str], tuple[str, ...]]) -> Process:
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = os.fsdecode(file.read(4096))
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 1 :].split()
    return Process(
        pid=int(text[:opening]),
        parent=int(fields[1]),
        session=int(fields[3]),
        has_terminal=fields[4] != "0",
        start=fields[19],
        name=text[opening + 1 : closing],
        argv=argv(pid),
    )


def _proc_argv(pid: str) -> tuple[str, ...]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return tuple(os.fsdecode(file.read(16384)).rstrip("\0").split("\0"))
