"""Turns results into text or JSON and errors into exit codes, in one place.

Every plain string is printed with control characters removed, so nothing another agent wrote reaches a terminal as more
than text; only `Styled` pieces, made here, carry escape sequences.
"""

from __future__ import annotations

import os
import sys

from windlass import jsons
from windlass.errors import WindlassError
from windlass.record import Record, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO, TypeAlias

    Piece: TypeAlias = "str | Styled"

_CONTROLS = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SAFE = {**dict.fromkeys(_CONTROLS), **{sign: f"\\u{sign:04x}" for sign in _BIDI}}
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36"}
MAX_BODY = 2000
"""Characters of a message body, or of one text field, shown without being asked for the whole."""


class Styled(Record):
    """A piece of text in a colour or weight."""

    text: str
    style: str


def styled(text: object, style: str) -> Styled:
    """`style` is bold, dim, red, green, yellow, blue, magenta or cyan."""
    return Styled(text=str(text), style=style)


def clean(text: str) -> str:
    """Text from anywhere, safe for a terminal: no control characters but tab and newline, bidirectional ones as escapes."""
    if text.isprintable():
        return text
    whole = text.encode("utf-8", "ignore").decode("utf-8")  # without halves of characters
    return whole.replace("\r\n", "\n").translate(_SAFE)


def one_line(text: str, width: int = 72) -> str:
    """The text's first line, cut to `width` characters."""
    first, _, rest = clean(text).strip().partition("\n")
    first = " ".join(first.split())
    return first if len(first) <= width and not rest else first[: width - 1].rstrip() + "…"


def shortened(text: str, how: str, limit: int = MAX_BODY) -> str:
    """The text cut to `limit` characters, with how to see the rest."""
    text = clean(text)
    return text if len(text) <= limit else f"{text[:limit]}\n[… {len(text) - limit:,} more characters: {how}]"


def duration(seconds: float) -> str:
    """Seconds as people say them: 45s, 12m, 3h, 2d."""
    seconds = max(0.0, seconds)
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def sized(count: float) -> str:
    """Bytes as people say them: 512 B, 1.5 KiB, 12 MiB."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < 1000:
            break
        count, unit = count / 1024, larger
    return f"{count:.1f} {unit}" if unit != "B" and count < 9.95 else f"{count:.0f} {unit}"


def wants_colour(stream: TextIO, env: dict[str, str] | None = None) -> bool:
    """Whether escape sequences are welcome there."""
    env = dict(os.environ) if env is None else env
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def _room() -> int:
    """Characters of a line on stderr's terminal that is drawn again and again: a longer one would leave its first half behind."""
    try:
        wide = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        wide = 0
    return min(78, wide - 1) if wide > 1 else 78


def _unwritten(error: OSError) -> WindlassError:
    return WindlassError(f"the output could not be written: {error.strerror}", "look at where it goes: a full disk?")


class Output:
    """Data on stdout, the rest on stderr; text or JSON."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._colour = not as_json and wants_colour(sys.stdout)
        self._progress = sys.stderr.isatty() and not as_json
        self._drawn = False

    def text(self, *pieces: Piece) -> None:
        """One line of text; nothing with --json."""
        if not self.as_json:
            self._clear()
            self.exactly(self.render(*pieces) + "\n")

    def render(self, *pieces: Piece) -> str:
        """Pieces as one safe string."""
        out = []
        for piece in pieces:
            if isinstance(piece, Styled):
                inner = clean(piece.text)
                out.append(f"\x1b[{_CODES[piece.style]}m{inner}\x1b[0m" if self._colour and inner else inner)
            else:
                out.append(clean(piece))
        return "".join(out)

    def data(self, value: Any) -> None:
        """One JSON document (or JSON line) with --json; nothing otherwise."""
        if self.as_json:
            self.exactly(jsons.dumps(plain(value)) + "\n")

    def exactly(self, text: str) -> None:
        """Text on stdout as it is; the caller knows it to be safe. Raises WindlassError, BrokenPipeError."""
        try:
            sys.stdout.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from None

    def flush(self) -> None:
        """Be sure that what was printed is out. Raises WindlassError, BrokenPipeError."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from None

    def note(self, text: str) -> None:
        """A warning or remark on stderr, whatever the format."""
        self._clear()
        sys.stderr.write(clean(text) + "\n")

    @property
    def shows_progress(self) -> bool:
        """Whether anybody would see it."""
        return self._progress

    def progress(self, text: str) -> None:
        """How far long work is: one line on stderr, redrawn, only where that is a terminal."""
        if self._progress:
            sys.stderr.write(f"\r\x1b[K{clean(text)[: _room()]}")
            sys.stderr.flush()
            self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def error(self, error: WindlassError) -> int:
        """Say what happened and what to do next, on stderr; the exit code."""
        self._clear()
        if self.as_json:
            facts = {name: value for name, value in error.details.items() if name not in ("error", "message", "hint", "exit")}
            report = {"error": error.name, "message": error.message, "hint": error.hint, "exit": error.exit, **facts}
            sys.stderr.write(jsons.dumps(plain(report)) + "\n")
        else:
            first = " ".join(clean(error.message).split("\n"))
            sys.stderr.write(f"windlass: {first}\n" + (f"  {clean(error.hint)}\n" if error.hint else ""))
        return error.exit
