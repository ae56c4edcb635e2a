"""The board: a small cache of ready steps, so that finding work costs the same at any size. Truth is in the step registers."""

from __future__ import annotations

from windlass.protocol.codec import MAX_WHOLE, Document, Fields
from windlass.protocol.keys import is_name, step
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, ClassVar, Self

SIZE = 512
"""Ready steps on the board at most."""


class Ready(Record):
    """A step that looked ready when it was written here."""

    name: str
    priority: int = 0
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seq: int = 0
    """The step's `seq` when it was written here: who knows a later state of the step need not look at it."""
    mark: str = ""
    """The end of the version that the step's object had: a listing that shows another one shows that it changed. Empty: not known."""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            name=f.one_name("name"),
            priority=f.signed("priority"),
            labels=f.texts("labels"),
            needs=f.names("needs"),
            seq=f.whole("seq"),
            mark=f.text("mark", ""),
            extra=f.rest(),
        )


class Over(Record):
    """All was finished when the listing of the steps had this digest; how many steps were in which state."""

    listing: str
    counts: Mapping[str, int] = {}
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(listing=f.text("listing"), counts=f.counts("counts"), extra=f.rest())


class Board(Document):
    """Register `board.json`: at most 512 ready steps, highest priority first."""

    KIND: ClassVar[str] = "board"

    ready: tuple[Ready, ...] = ()
    at: float = 0.0
    """The last writer's clock: only paces tidying."""
    rest: str | None = None
    """Ready steps found no room here: they are listed after `steps/` and this. None: all that were known did."""
    looks: int = 0
    """How often somebody who waits looked at every step: the others need not."""
    over: Over | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            ready=_rows(f),
            at=f.number("at"),
            rest=f.maybe_text("rest"),
            looks=f.whole("looks"),
            over=f.record("over", Over.load),
        )

    def changed(self, add: Iterable[Ready], remove: Iterable[str], at: float) -> Board:
        """With steps added and removed, cut to size; itself where nothing changes."""
        gone = set(remove)
        steps = {one.name: one for one in self.ready if one.name not in gone}
        new = {one.name: one for one in add}
        for name, one in new.items():
            known = steps.get(name)  # perhaps with a mark, where nobody knows one now
            steps[name] = known if known is not None and not one.mark and one == known.but(mark="", extra={}) else one
        ready = tuple(sorted(steps.values(), key=lambda one: (-one.priority, one.name)))
        if ready == self.ready:
            return self
        rest = self.rest
        if len(ready) > SIZE:
            first = min((one.name for one in ready[SIZE:]), key=step)
            rest = first if rest is None else min(rest, first)
        return self.but(ready=ready[:SIZE], at=at, rest=rest, over=None if new else self.over)


def _rows(f: Fields) -> tuple[Ready, ...]:
    """As `f.records("ready", Ready.load)`, in a fraction of the time where every row is plain: whoever looks for work reads 512 of them."""
    rows = f.anything("ready")
    if isinstance(rows, list):
        made: list[Ready] = []
        names: set[str] = set()
        for row in rows:
            one = _plain(row)
            if one is None:
                break
            names.add(one.name)
            names.update(one.needs)
            made.append(one)
        else:
            if all(map(is_name, names)):
                return tuple(made)
    return Fields({"ready": rows}).records("ready", Ready.load)


def _plain(row: Any) -> Ready | None:
    """A row of nothing but what this version knows, its names unchecked; None where it must be read with more care."""
    if not isinstance(row, dict):
        return None
    fields: dict[str, Any] = {**_ABSENT, **row}
    name, priority, seq, needs, labels = fields["name"], fields["priority"], fields["seq"], fields["needs"], fields["labels"]
    mark = fields["mark"]
    if len(fields) != len(_ABSENT) or type(name) is not str or type(priority) is not int or type(seq) is not int or type(mark) is not str:
        return None
    if not (-MAX_WHOLE < priority < MAX_WHOLE and 0 <= seq < MAX_WHOLE) or type(needs) is not list or type(labels) is not list:
        return None
    for text in (*needs, *labels):
        if type(text) is not str:
            return None
    return Ready(name=name, priority=priority, labels=tuple(labels), needs=tuple(needs), seq=seq, mark=mark)


_ABSENT: dict[str, Any] = {"name": None, "priority": 0, "labels": [], "needs": [], "seq": 0, "mark": ""}
