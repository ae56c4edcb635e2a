"""Narrates the demo: one line of at most 80 columns an event."""

from __future__ import annotations

import re

from windlass.surfaces.demo.plan import AGENTS
from windlass.surfaces.present import clean, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.surfaces.present import Output

WIDTH = 80
COLOURS = dict(zip(AGENTS, ("cyan", "magenta", "green", "blue"), strict=True))
NARROW = 14
"""Columns before a command: seconds and a name."""


class Show:
    """Prints events as they come; `clock` gives seconds."""

    def __init__(self, out: Output, clock: Callable[[], float]) -> None:
        self._out, self._clock, self._start, self._begun = out, clock, clock(), False

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return max(0.0, self._clock() - self._start)

    def title(self, text: str) -> None:
        """A new part of the story."""
        if self._begun:
            self._out.text()
        self._begun = True
        self._out.text(styled(text, "bold"))
        self._out.flush()

    def plain(self, text: str, style: str = "dim") -> None:
        """A line about the demo itself."""
        self._out.text(styled(text, style))
        self._out.flush()

    def event(self, agent: str, what: str, style: str) -> None:
        """Something that happens to an agent."""
        self._line(agent, "", what, style)

    def command(self, agent: str, argv: Sequence[str], code: int, out: str, err: str) -> None:
        """A command of an agent, and what it came to."""
        style = "yellow" if code else "bold" if " taken over " in out else ""
        self._line(agent, "$ windlass " + _typed(argv), _came_to(agent, argv, code, out, err), style)

    def _line(self, agent: str, command: str, result: str, style: str) -> None:
        time = f"{self.seconds:5.1f}s "
        name = styled(f"{agent:<{NARROW - 8}} ", COLOURS.get(agent, "bold"))
        between = " → " if command else ""
        result = one_line(result, WIDTH - NARROW - len(command) - len(between))
        self._out.text(styled(time, "dim"), name, command, styled(between, "dim"), styled(result, style) if style else result)
        self._out.flush()

    def check(self, holds: bool, text: str) -> None:
        """One claim of the summary."""
        self._out.text(styled("  ✓ ", "green") if holds else styled("  ✗ ", "red"), text)


def _typed(argv: Sequence[str]) -> str:
    return " ".join('"…"' if " " in word else word for word in map(clean, argv))


def _came_to(agent: str, argv: Sequence[str], code: int, out: str, err: str) -> str:
    """The gist of what a command printed: its first line without what the narration says anyway."""
    first = clean(err if code else out).split("\n", 1)[0]
    subject = argv[1] if len(argv) > 1 and argv[0] != "next" else ""
    if code:
        return f"exit {code}: " + first.removeprefix("windlass: ").removeprefix(f"{subject} is ").split(" yet: ")[0]
    if argv[0] == "inbox":
        return _mail(out)
    if argv[0] == "plan":
        return first.partition(",")[0]
    if argv[0] == "workspace":
        gist = first.replace(f", as {agent}", "").partition(" (")[0]
        return gist.partition(": ")[2] or gist.partition(" of the")[0].partition(" from")[0]
    return re.sub(r" \(\S+:\d+\)$|, lease \w+(?=\))", "", first.replace(f", as {agent}", "").removeprefix(f"{subject} "))


def _mail(out: str) -> str:
    """How many messages, and the first of them."""
    said = re.findall(r"data from (\S+) · .*\n(.*)", clean(out))
    if not said:
        return "nothing new"
    return ("" if len(said) == 1 else f"{len(said)} new: ") + f"{said[0][0]}: {said[0][1]}"
