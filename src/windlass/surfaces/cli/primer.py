"""primer."""

from __future__ import annotations

import os

from windlass.surfaces.cli.context import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    """Those that every command has are enough."""


def _primer(context: Context, args: Namespace) -> int:
    import windlass

    with open(os.path.join(os.path.dirname(windlass.__file__), "primer.md"), encoding="utf-8") as file:
        text = file.read()
    context.out.data({"primer": text})
    context.out.text(text.rstrip("\n"))
    return 0


COMMANDS = {
    "primer": Command(options=_options, run=_primer, examples="  windlass primer\n  windlass primer >> AGENTS.md"),
}
