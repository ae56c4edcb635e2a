"""The command line: finds the command, loads only that, runs it, and turns every error into an exit code."""

from __future__ import annotations

import os
import sys

from windlass.errors import StoreReadOnly, Unavailable, UsageError, WindlassError
from windlass.surfaces.cli.table import COMMANDS, GROUPS
from windlass.surfaces.present import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.surfaces.cli.context import Context

VALUED = ("--store", "--project", "--agent")
FLAGS = ("--json", "--debug")
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _print_anything()
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    output = Output("--json" in ours)
    debug = "--debug" in ours
    context: Context | None = None
    try:
        before, name, rest = split(arguments)
        if name is None:
            return _top(before)
        if name not in COMMANDS:
            if name in GROUPS and ("-h" in rest or "--help" in rest):
                return _group(name)
            raise _unknown(name)
        from windlass.surfaces.cli.context import Context, load, read

        command = load(name)
        args = read(name, command, [*before, *rest])
        context = Context(args, output)
        code = command.run(context, args)
        output.flush()
        return code or 0
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:
        return INTERRUPTED
    except WindlassError as error:
        if debug:
            raise
        _flush()
        return output.error(_with_setting(error, context))
    except RecursionError:
        if debug:
            raise
        return output.error(WindlassError("the input is nested too deeply", "make it flatter"))
    finally:
        if context is not None:
            context.close()


def _print_anything() -> None:
    """Where the locale has no sign for a character, its escape is printed."""
    from io import TextIOWrapper

    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Global options before the command, the command (one or two words) or None, and everything after it."""
    before: list[str] = []
    i = 0
    while i < len(arguments):
        word = arguments[i]
        if word in VALUED and i + 1 < len(arguments):
            before += arguments[i : i + 2]
            i += 2
        elif word.startswith("-"):
            before.append(word)
            i += 1
        elif word in GROUPS:
            after = i + 1
            if after < len(arguments) and f"{word} {arguments[after]}" in COMMANDS:
                return before, f"{word} {arguments[after]}", arguments[after + 1 :]
            return before, word, arguments[after:]
        else:
            return before, word, arguments[i + 1 :]
    return before, None, []


def _top(options: list[str]) -> int:
    from windlass.surfaces.cli.help import top

    if "--version" in options:
        from windlass import __version__

        sys.stdout.write(f"windlass {__version__}\n")
        return 0
    if "-h" in options or "--help" in options:
        sys.stdout.write(top())
        return 0
    odd = [word for word in options if word.startswith("-") and word not in VALUED + FLAGS]
    if odd:
        raise UsageError(f"no such option: {odd[0]}", "see: windlass -h")
    sys.stderr.write(top())
    return 2


def _group(name: str) -> int:
    from windlass.surfaces.cli.help import group

    sys.stdout.write(group(name))
    return 0


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    if name in GROUPS:
        inner = ", ".join(command.split(" ", 1)[1] for command in COMMANDS if command.startswith(name + " "))
        return UsageError(f"windlass {name} needs a command of its own", f"one of: {inner}")
    near = get_close_matches(name, list(COMMANDS), n=1)
    return UsageError(f"there is no command {name!r}", f"did you mean: windlass {near[0]}?" if near else "see: windlass -h")


def _with_setting(error: WindlassError, context: Context | None) -> WindlassError:
    """Where a sandbox denies the write or the network, the exact setting that allows it."""
    if context is not None and context.settings is not None:
        if isinstance(error, StoreReadOnly):
            from windlass.config import sandbox_hint

            error.hint = sandbox_hint(context.settings.embedded or context.settings.store, os.environ)
        elif isinstance(error, Unavailable) and "://" in context.settings.store and not error.hint:
            from windlass.config import network_hint

            error.hint = network_hint(context.settings.store, os.environ)
    return error


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _closed_pipe()


def _closed_pipe() -> int:
    """Whoever read us has gone: end quietly, also when Python flushes at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    return 0
