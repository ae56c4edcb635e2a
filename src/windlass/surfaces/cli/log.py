"""log."""

from __future__ import annotations

import re
import sys

from windlass.errors import UsageError
from windlass.record import plain
from windlass.surfaces.cli.arguments import add_limit
from windlass.surfaces.cli.columns import WIDTH
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import clean, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from windlass.ops.timeline import Event
    from windlass.surfaces.cli.context import Context

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EVENT_STYLES = {
    "claim": "cyan",
    "takeover": "yellow",
    "complete": "green",
    "approve": "green",
    "needs_review": "yellow",
    "blocked": "red",
    "failed": "red",
    "reject": "yellow",
    "damaged": "red",
}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="T", help="10m, 2h, 3d (ago); 2026-11-20 or 2026-11-20T14:30; seconds since 1970")
    add_limit(parser, "events")
    parser.add_argument("--all", action="store_true", help="the same as --limit 0")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on, until Ctrl-C. Each look lists the project, in five LIST requests: every 0.15 s after an event, then less often, "
        "down to once a minute. On S3 that is a cent an hour when all is quiet, 60 when busy; wait-for and inbox --wait cost far less",
    )


def _log(context: Context, args: Namespace) -> int:
    if args.follow and not context.out.as_json and not sys.stdout.isatty():
        raise UsageError("--follow draws on a terminal, and this is none", "leave it out, or add --json for a line an event")
    since = _since(context, args.since) if args.since is not None else 0.0
    view = context.project.log(since=since, limit=None if args.all or args.limit == 0 else args.limit)
    shown = _Days(context)
    if view.more and not context.out.as_json:
        context.out.text(styled(f"… earlier events: windlass log --limit {max(100, args.limit * 5)}, or --all", "dim"))
    shown.lines(view.events)
    if not view.events and not args.follow:
        context.out.text("nothing has happened here" + (" since then" if args.since else " yet"))
    seen = {(event.kind, event.subject, event.seq) for event in view.events}
    while args.follow:
        sys.stdout.flush()
        view = context.project.views.follow(view, seen)
        seen |= {(event.kind, event.subject, event.seq) for event in view.events}
        shown.lines(view.events)
    return 0


class _Days:
    """Prints events a line each, under the day that they happened on."""

    def __init__(self, context: Context) -> None:
        self.out = context.out
        self.day = ""

    def lines(self, events: Iterable[Event]) -> None:
        """Print them in the order given."""
        from datetime import datetime

        for event in events:
            if self.out.as_json:
                self.out.data(plain(event))
                continue
            try:
                at = datetime.fromtimestamp(event.at)
            except (OverflowError, ValueError, OSError):  # a clock that nobody has
                at = datetime.fromtimestamp(0)
            day = at.strftime("%Y-%m-%d")
            if day != self.day:
                self.out.text(styled(day, "dim"))
                self.day = day
            self.line(at.strftime("%H:%M:%S"), event)

    def line(self, at: str, event: Event) -> None:
        by, verb = _cut(event.by, 14), f"{event.event.replace('_', ' '):<12}"
        subject = "" if event.subject == event.by else _cut(event.subject, 16) + "  "
        text = one_line(event.text, WIDTH - 39 - len(subject)) if event.text else ""
        style = EVENT_STYLES.get(event.event)
        rest = subject + text if text else subject.rstrip()
        self.out.text(styled(at, "dim"), f"  {by}  ", styled(verb, style) if style else verb, " " if rest else "", rest)


def _cut(text: str, width: int) -> str:
    text = clean(text).replace("\n", " ")
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def _since(context: Context, text: str) -> float:
    """Seconds since 1970. Raises UsageError."""
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text)
    if ago:
        return context.project.session.now() - float(ago[1]) * UNITS[ago[2]]
    if re.fullmatch(r"\d{1,11}(\.\d+)?", text):
        return float(text)
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no time", "write 10m, 2h or 3d, or 2026-11-20T14:30, or seconds since 1970") from None


COMMANDS = {
    "log": Command(
        options=_options, run=_log, examples="  windlass log\n  windlass log --since 2h --limit 100\n  windlass log --follow --json"
    ),
}
