"""The `windlass` script, and `python -m windlass`: one command, then the process ends."""

import gc
import sys

YOUNG = 50_000
"""New objects after which garbage is looked for. What a command imports is none, so most commands end before; long ones stay small."""


def entry() -> None:
    """Run the command of sys.argv and exit with its code."""
    gc.set_threshold(YOUNG)
    from windlass.surfaces.cli import main

    code = main()
    gc.freeze()  # the interpreter would look through everything that was imported once more
    sys.exit(code)


if __name__ == "__main__":
    entry()
