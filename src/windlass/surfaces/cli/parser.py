"""The parser of a command for what is not a plain call: help, mistakes, unusual options."""

from __future__ import annotations

import argparse
import os

from windlass.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", f"see: {self.prog} -h")


def _formatter(prog: str) -> argparse.HelpFormatter:
    """The width comes from here: asking the terminal for it would import shutil at every start."""
    columns = os.environ.get("COLUMNS", "")
    return argparse.RawDescriptionHelpFormatter(prog, width=min(int(columns), 120) if columns.isdigit() and int(columns) > 40 else 80)


def make(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser without options yet."""
    return _Parser(
        prog=prog,
        description=description,
        epilog=f"examples:\n{examples.rstrip()}" if examples else None,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
