"""A seeded bug: one small change of one place, what it would do to a user, and the tests that notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Stale(Exception):
    """The code has moved on: the bug must be written anew."""


class Bug(NamedTuple):
    """`old` occurs exactly once in `path` (below src/windlass). Each test of `caught_by` fails, by itself, once it reads `new`."""

    name: str
    harm: str
    """What goes wrong for a user."""
    path: str
    old: str
    new: str
    caught_by: tuple[str, ...]
    """Node ids of tests."""

    def spoil(self, source: str) -> str:
        """The file's text with the bug in it. Raises Stale, SyntaxError."""
        times = source.count(self.old)
        if times != 1 or self.old == self.new:
            raise Stale(f"{self.name}: its text is {times} times in {self.path}, not once: mend its entry in tests/reliability/bugs")
        spoilt = source.replace(self.old, self.new)
        compile(spoilt, self.path, "exec", dont_inherit=True)
        return spoilt

    def file(self, src: Path) -> Path:
        """Its file below a folder `src`."""
        return src / "windlass" / self.path
