"""A look at all steps: a listing, and reads only of what neither this machine nor the shared snapshot knows."""

from __future__ import annotations

from windlass import effects as fx
from windlass import jsons
from windlass.errors import Damaged, FormatTooNew, UsageError, WindlassError
from windlass.ops import registers
from windlass.protocol import keys
from windlass.protocol.codec import decode
from windlass.protocol.steps import Status, Step
from windlass.protocol.survey import Snapshot, at, brief, check, columns, rows
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from windlass.effects import Op
    from windlass.protocol.survey import Brief, Rows

PAGE = 1000
"""Entries of a listing's page, where the store gives no more at once."""
WHOLE = 100_000
"""Entries that are asked for: a directory would be scanned again for each page."""
AT_ONCE = 512
AT_ONCE_BYTES = 32 * 1024 * 1024
"""Reads that are asked for together, and what they may bring."""
MANY, SHARE = 64, 32
"""Steps to read, and of how many listed ones one in so many, from which the snapshot is looked at first: it may be large."""
NEWS = 64
"""Steps that were read, and that the snapshot does not have as they are, from which it is written anew."""
_SEEN = "survey"
_SHAPE = 5


class Survey(Record):
    """All steps by name, and the keys of those that could not be read, each with the reason."""

    steps: Mapping[str, Brief]
    damaged: Mapping[str, str] = {}
    marks: Mapping[str, str] = {}
    """The version of each step's object as it was listed, as far as that is known; on a store that lists none, what stands for it."""


def survey() -> Op[Survey]:
    """Every step as it is now: pages of LIST, and a read of each that changed since the last survey from here.

    The pages are asked for at once where it is known where they begin. That changes nothing of what a listing promises: it
    is of no one moment, and each part is listed to its end, whatever is there by now. Who had to read many would be glad of
    the snapshot, and leaves one.
    """
    seen = yield from _recall()
    out = _Found(seen.rows)
    parts = _parts(list(seen.rows), seen.page)
    shared: _Shared | None = None
    wanted: list[tuple[str, fx.Entry]] = []
    longest = listed = 0
    while parts or wanted:
        looks = shared is None and len(wanted) >= max(MANY, listed / SHARE)
        some, wanted = ([], wanted) if looks else _some(wanted)
        asked = [
            *(fx.List(prefix=keys.STEPS, after=after, limit=WHOLE) for after, _ in parts),
            *(fx.Get(key=entry.key) for _, entry in some),
        ]
        found = yield from fx.gather([*asked, *([fx.Get(key=keys.SURVEY)] if looks else [])])
        if looks:
            shared = _Shared.of(found.pop())
            out.sources.append(shared.rows)
            wanted = [one for one in wanted if not out.knows(*one)]
        pages, parts = list(zip(parts, found, strict=False)), []
        for (name, entry), one in zip(some, found[len(pages) :], strict=True):
            out.learn(name, entry, one)
        if wanted or out.read > len(some):
            yield from fx.tell("reading steps", len(out.steps))
        for (_, until), page in pages:
            if isinstance(page, Exception):
                raise page
            if page.more is not None:
                longest = max(longest, len(page.entries))
            if page.more is not None and (until is None or page.more < until):
                parts += _parts(list(shared.rows), longest, page.more, until) if looks and shared is not None else [(page.more, until)]
            listed += len(page.entries)
            for entry in page.entries:
                step = keys.parse_step(entry.key)
                if step is not None and (until is None or entry.key <= until) and not out.knows(step, entry):
                    wanted.append((step, entry))
    if out.read or shared or len(out.marks) != len(seen.rows):
        yield from fx.remember(_SEEN, _packed(out, longest))
    if shared is not None and out.read >= NEWS:
        yield from _share(shared, out)
    return Survey(steps=dict(sorted(out.steps.items())), damaged=out.damaged, marks=out.marks)


class _Found:
    """What a survey has found so far: steps, the mark of each one's version, what is damaged. `sources`: rows that are known."""

    def __init__(self, known: Rows) -> None:
        self.sources = [known]
        self.steps: dict[str, Brief] = {}
        self.marks: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        self.read = 0

    def knows(self, name: str, entry: fx.Entry) -> bool:
        """Whether the step is known as it is listed; then that is what it is."""
        for known in self.sources:
            row = known.get(name)
            if row is not None and row[0] == entry.mark:
                self.marks[name] = entry.mark
                self.steps[name] = at(row[1], entry.modified)
                return True
        return False

    def learn(self, name: str, entry: fx.Entry, found: fx.Object | Exception | None) -> None:
        """Take in what a read gave. Raises StoreError."""
        self.read += 1
        step = _understood(entry.key, found, self.damaged)
        if step is None:
            return
        assert isinstance(found, fx.Object)
        same = found.version == entry.version
        self.steps[name] = brief(step.but(name=name), entry.modified if same else found.modified)
        if same or not entry.version:  # else it has changed since it was listed: no mark stands for what it was then
            self.marks[name] = entry.version or f"{found.modified:.9f}/{len(found.body)}"


class _Shared(Record):
    """The snapshot as it was read. `sealed`: what is there is not for this Windlass to replace."""

    rows: Rows = {}
    seq: int = 0
    version: str | None = None
    sealed: bool = False

    @classmethod
    def of(cls, found: fx.Object | Exception | None) -> Self:
        """It is only a cache: a damaged one counts as empty, and where it cannot be read the look goes on without."""
        if found is None:
            return cls()
        try:
            if isinstance(found, Exception):
                raise found
            there = decode(Snapshot, found.key, found.body)
        except Damaged:  # where no store reads it, nobody knows its version
            return cls(version=found.version) if isinstance(found, fx.Object) else cls(sealed=True)
        except WindlassError:
            return cls(sealed=True)
        return cls(rows=rows(there.marks, there.columns), seq=there.seq, version=found.version)


def _share(shared: _Shared, found: _Found) -> Op[None]:
    """Leave what is known now for other machines, in one attempt that may fail; as many steps as one object holds."""
    kept = [] if shared.sealed else sorted(found.marks, key=keys.step)
    write_id = yield from fx.new_id()
    while sum(found.marks[name] != shared.rows.get(name, ("",))[0] for name in kept) >= NEWS:
        marks, some = tuple(found.marks[name] for name in kept), columns([found.steps[name] for name in kept])
        try:
            put = registers.attempt(keys.SURVEY, Snapshot(write_id=write_id, seq=shared.seq + 1, marks=marks, columns=some), shared.version)
        except UsageError:  # too large
            kept = kept[: len(kept) * 3 // 4]
        else:
            yield from fx.gather([put])
            return


def _understood(key: str, found: fx.Object | Exception | None, damaged: dict[str, str]) -> Step | None:
    """The step in what a read gave; None where it is gone or `damaged`. Raises StoreError."""
    try:
        if isinstance(found, Exception):
            raise found
        return None if found is None else decode(Step, key, found.body)
    except Damaged as error:
        damaged[key] = str(error)
    except FormatTooNew as error:
        damaged[key] = f"{error}; {error.hint}"
    return None


def _some(wanted: list[tuple[str, fx.Entry]]) -> tuple[list[tuple[str, fx.Entry]], list[tuple[str, fx.Entry]]]:
    """What to read next, and the rest."""
    size = 0
    for number, (_, entry) in enumerate(wanted):
        size += entry.size
        if number == AT_ONCE or (number and size > AT_ONCE_BYTES):
            return wanted[:number], wanted[number:]
    return wanted, []


def _parts(names: list[str], page: int, after: str = "", until: str | None = None) -> list[tuple[str, str | None]]:
    """A part of the listing in parts, each (after, until), that end where pages of so many of these names do (0: it was one page);
    whatever the names are.
    """
    page = max(page, PAGE) if page else len(names) + 1
    ends = sorted({keys.step(name) for name in names[page - 1 :: page] if keys.is_name(name)})
    ends = [end for end in ends if after < end and (until is None or end < until)]
    return list(zip([after, *ends], [*ends, until], strict=True))


class _Seen(Record):
    """What this machine remembers: the steps in the order of keys, and the entries of a full page."""

    rows: Rows = {}
    page: int = 0


def _packed(found: _Found, page: int) -> bytes:
    kept = sorted(found.marks, key=keys.step)
    note = {
        "shape": _SHAPE,
        "page": page,
        "marks": [found.marks[name] for name in kept],
        "columns": columns([found.steps[name] for name in kept]),
    }
    return jsons.dumps(note, compact=True).encode()


def _recall() -> Op[_Seen]:
    note = yield from fx.recall(_SEEN)
    try:
        values = _read((note or b"{}").decode())
        if values["shape"] != _SHAPE or type(values["page"]) is not int:
            return _Seen()
        check(values["marks"], values["columns"])
        return _Seen(rows=rows(values["marks"], values["columns"]), page=values["page"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # an odd hint is no hint
        return _Seen()


def _odd(constant: str) -> None:
    raise ValueError(constant)


_read = jsons.reader(float, _odd)


def signs() -> Op[dict[tuple[str, int], float]]:
    """The store's time of every presence object by agent and incarnation, by listing alone."""
    out: dict[tuple[str, int], float] = {}
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.PRESENCE, after)
        for entry in page.entries:
            whose = keys.parse_presence(entry.key)
            if whose:
                out[whose] = entry.modified
        after = page.more
    return out


def ready(found: Survey) -> list[Brief]:
    """The steps that are pending with every need complete, highest priority first."""
    steps = found.steps
    out = [
        step
        for step in steps.values()
        if step.status is Status.PENDING and all(need in steps and steps[need].status is Status.COMPLETE for need in step.needs)
    ]
    return sorted(out, key=lambda step: (-step.priority, step.name))


def stale(found: Survey) -> dict[str, tuple[str, ...]]:
    """Steps built on a need that was reopened since, each with those needs."""
    out: dict[str, tuple[str, ...]] = {}
    for step in found.steps.values():
        late = tuple(
            need for need, seq in step.built_on.items() if need in found.steps and any(at > seq for at in found.steps[need].reopened)
        )
        if late:
            out[step.name] = late
    return out
