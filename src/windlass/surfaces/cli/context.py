"""What a command gets: its options, an output, and a project opened when it is first asked for."""

from __future__ import annotations

import os
import sys

from windlass.errors import UsageError
from windlass.record import Record
from windlass.surfaces.cli.options import Reader
from windlass.surfaces.cli.table import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence
    from typing import Any

    from windlass.config import Settings
    from windlass.project import Project
    from windlass.surfaces.cli.meter import Meter
    from windlass.surfaces.present import Output

MAX_INPUT = 8 * 1024 * 1024
"""Bytes read from stdin or @FILE for one argument."""


class Command(Record):
    """One command: its options and what it does; `run` returns an exit code or None for 0."""

    options: Callable[[ArgumentParser], None]
    run: Callable[[Context, Namespace], int | None]
    examples: str = ""


def load(name: str) -> Command:
    """The command's code; nothing else is imported."""
    module = f"windlass.surfaces.cli.{COMMANDS[name][0]}"
    __import__(module)
    command: Command = sys.modules[module].COMMANDS[name]
    return command


def read(name: str, command: Command, words: Sequence[str]) -> Namespace:
    """What a call of a command gave. Raises UsageError; SystemExit after `--help`."""
    reader: Any = Reader()
    command.options(reader)
    _everywhere(reader)
    found: Namespace | None = reader.read(words)
    return found if found is not None else parser_for(name, command).parse_args(words)


def parser_for(name: str, command: Command) -> ArgumentParser:
    """The parser of one command, with the options that every command has."""
    from windlass.surfaces.cli.parser import make

    parser = make(f"windlass {name}", COMMANDS[name][1], command.examples)
    command.options(parser)
    _everywhere(parser)
    return parser


def _everywhere(parser: ArgumentParser) -> None:
    everywhere = parser.add_argument_group("everywhere")
    everywhere.add_argument("--store", metavar="URL", help="a directory or s3://bucket/prefix")
    everywhere.add_argument("--project", metavar="P", help="the project in the store")
    everywhere.add_argument("--agent", metavar="A", help="who acts")
    everywhere.add_argument("--json", action="store_true", help="JSON on stdout, errors as JSON on stderr")
    everywhere.add_argument("--debug", action="store_true", help="tracebacks")


class Context:
    """One run of one command."""

    def __init__(self, args: Namespace, output: Output) -> None:
        self.args = args
        self.out = output
        self.settings: Settings | None = None
        self._project: Project | None = None
        self._stdin_taken = False
        self._meter: Meter | None = None
        self.tell: Callable[[Any], None] = self._progress
        """What becomes of an operation's remarks on how far it is; to be chosen before the project is opened."""

    def settle(self) -> Settings:
        """Store, project and agent, and why. Raises UsageError."""
        if self.settings is None:
            from windlass.project import settings_for

            self.settings = settings_for({"store": self.args.store, "project": self.args.project, "agent": self.args.agent})
        return self.settings

    @property
    def project(self) -> Project:
        """The project, opened once. Raises StoreError, UsageError."""
        if self._project is None:
            from windlass.project import Project, open_session

            self._project = Project(open_session(self.settle(), tell=self.tell))
        return self._project

    @property
    def agent(self) -> str:
        """Who acts. Raises Unidentified, saying what was looked for."""
        settings = self.settle()
        if settings.agent is None:
            from windlass.errors import Unidentified

            raise Unidentified(
                f"nobody knows which agent is acting ({settings.agent_why})", "say who: --agent NAME, or export WINDLASS_AGENT=NAME"
            )
        return settings.agent

    def _progress(self, step: Any) -> None:
        if step.unit == "B":
            if self.out.shows_progress:
                if self._meter is None:
                    from windlass.surfaces.cli.meter import Meter

                    self._meter = Meter(self.out, self.project.session.now)
                self._meter.tell(step)
            return
        how_far = f" {step.done:,}/{step.total:,}" if step.total else f" {step.done:,}" if step.done else ""
        self.out.progress(step.what + how_far)

    def text(self, value: str) -> str:
        """A text argument: `-` is stdin, `@FILE` a file's content, `@@…` a text that starts with @. Raises UsageError."""
        if value == "-":
            if self._stdin_taken:
                raise UsageError("stdin (-) can be read for one argument only", "use @FILE for the other")
            self._stdin_taken = True
            return _decode(sys.stdin.buffer.read(MAX_INPUT + 1), "stdin").removesuffix("\n")
        if value.startswith("@@"):
            return value[1:]
        if value.startswith("@") and len(value) > 1:
            return self.file(value[1:]).removesuffix("\n")
        return value

    def file(self, path: str) -> str:
        """A file's text; `-` is stdin. Raises UsageError."""
        if path == "-":
            return self.text("-")
        try:
            with open(path, "rb") as stream:
                return _decode(stream.read(MAX_INPUT * 4 + 1), path)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path", path=path) from None
        except ValueError:  # NUL, or half a character
            raise UsageError(f"{path!r} is no path", "check the path", path=path) from None

    def json_value(self, text: str, what: str) -> Any:
        """A JSON argument. Raises UsageError with the place of the mistake."""
        import json

        try:
            return json.loads(text, parse_constant=_no_constant)
        except RecursionError:
            raise UsageError(f"{what} is nested too deeply", "make it flatter") from None
        except ValueError as error:
            raise UsageError(f"{what} is not JSON: {error}", "quote it for your shell, like '{\"tests\": 12}'") from None

    def close(self) -> None:
        """Give the project's connections back."""
        if self._project is not None:
            self._project.session.close()


def _decode(content: bytes, source: str) -> str:
    if len(content) > MAX_INPUT:
        raise UsageError(
            f"{source} has more than {MAX_INPUT // 2**20} MiB", "put large content in a file or a bucket, and send its address"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8 text", "convert it first") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


def environment(name: str) -> str | None:
    """An environment variable, None where it is unset or empty."""
    return os.environ.get(name) or None
