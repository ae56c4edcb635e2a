"""What an agent remembers of its way over the board: a hint that saves reads and keeps agents out of each other's way."""

from __future__ import annotations

from windlass import effects as fx
from windlass import jsons
from windlass.errors import WindlassError
from windlass.protocol.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from windlass.effects import Op
    from windlass.protocol.board import Board, Ready
    from windlass.protocol.steps import Step


class Trail:
    """The step taken last, and the `seq` at which steps that the board still offers were seen not to be pending."""

    def __init__(self, last: str = "", gone: dict[str, int] | None = None, *, blind: bool = False) -> None:
        self.last, self.gone = last, gone or {}
        self.blind = blind
        """Whether this store's listings show no versions."""

    def knows_gone(self, one: Ready) -> bool:
        """Whether a later state of the step than the board's was seen, and was not pending."""
        return self.gone.get(one.name, -1) > one.seq

    def behind(self, pool: Sequence[Ready]) -> int | None:
        """The place of the offer that follows the step taken last, in the order of names; None where none was taken or none follows.

        Agents that each go their own way from a random place rarely want the same step, and rarely read what another took.
        """
        if self.last:
            for at, one in enumerate(pool):
                if one.name > self.last:
                    return at
        return None

    def took(self, step: Step) -> None:
        """This step was claimed."""
        self.last = step.name
        self.gone[step.name] = step.seq


def recall(agent: str, board: Board) -> Op[Trail]:
    """What is remembered, as far as it is about steps on the board."""
    note = yield from fx.recall("trail:" + agent)
    try:
        values = parse("hint", note) if note else {}
        kept: dict[str, Any] = values.get("gone", {})
        gone = {one.name: kept[one.name] for one in board.ready if one.name in kept and type(kept[one.name]) is int}
        return Trail(str(values.get("last", "")), gone, blind=bool(values.get("blind")))
    except (WindlassError, TypeError):  # an odd hint is no hint
        return Trail()


def remember(agent: str, trail: Trail) -> Op[None]:
    """Keep it for the agent's next search."""
    yield from fx.remember("trail:" + agent, jsons.dumps({"last": trail.last, "gone": trail.gone, "blind": trail.blind}).encode())
