"""Lists as aligned columns, and the words and colours that all of them share."""

from __future__ import annotations

from windlass.surfaces.present import clean, duration, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.surfaces.present import Output, Piece

WIDTH = 80
"""Characters of a line."""
STATE_STYLES = {
    "complete": "green",
    "in_progress": "cyan",
    "needs_review": "yellow",
    "blocked": "red",
    "failed": "red",
    "cancelled": "dim",
}


def columns(out: Output, head: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = "") -> None:
    """A line for each row; the last column is cut so that the line fits, and words for states have their colour."""
    cells = [[clean(str(cell)).replace("\n", " ") for cell in row] for row in ([head, *rows] if head else rows)]
    if not cells:
        return
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)]
    room = max(20, WIDTH - len(indent) - sum(width + 2 for width in widths))
    for number, row in enumerate(cells):
        filled = max((i for i, cell in enumerate(row) if cell), default=0)
        last = one_line(row[filled], room) if filled == len(widths) else row[filled]
        pieces: list[Piece] = [_coloured(cell, width + 2) for cell, width in zip(row[:filled], widths, strict=False)]
        if head and number == 0:
            out.text(styled(out.render(indent, *pieces, last), "dim"))
        else:
            out.text(indent, *pieces, _coloured(last, 0))


def _coloured(cell: str, width: int) -> Piece:
    style = STATE_STYLES.get(cell)
    return styled(cell.ljust(width), style) if style else cell.ljust(width)


def more(out: Output, number: int, what: str, how: str) -> None:
    """That a list was cut, and how to see the rest."""
    if number > 0:
        out.text(styled(f"… {number:,} more {what}: {how}", "dim"))


def ago(at: float, now: float) -> str:
    """How long ago something was, by the clocks that were written down."""
    return f"{duration(now - at)} ago"
