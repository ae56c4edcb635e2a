"""What differs between a folder, the tree that it last agreed with, and the tree that it shall agree with: three-way, path by path."""

from __future__ import annotations

from windlass.files.scan import Left, folded, why_odd
from windlass.files.update import Delete, MakeFolder, MakeLink, SetExec, Write
from windlass.protocol.trees import Kind
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from windlass.files.scan import Found
    from windlass.files.update import Change
    from windlass.protocol.trees import Entry

    State: TypeAlias = tuple[str, str]
    """Kind, and the SHA-256 of a file or the target of a link."""
    States: TypeAlias = Mapping[str, State]

FOLDER = ("folder", "")
FILES = ("file", "exec")


def states_of(rows: Mapping[str, Entry]) -> dict[str, State]:
    """Of all that is in a tree, by path."""
    return {path: (row.kind.value, row.sha or row.target) for path, row in rows.items()}


def states_here(found: Mapping[str, Found], shas: Mapping[str, str]) -> dict[str, State]:
    """Of all that is in a folder. A file whose SHA-256 nobody needed to know is unlike any other."""
    return {path: (one.kind, shas.get(path, "?") if one.kind in FILES else one.target) for path, one in found.items()}


class Apart(Record):
    """Paths that differ, of files, links and empty folders; those of folders end in a slash."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def tell_apart(before: States, after: States) -> Apart:
    """What one has and the other has not, or otherwise."""
    above = {path.rpartition("/")[0] for states in (before, after) for path in states}

    def shown(paths: Iterable[str], states: States) -> tuple[str, ...]:
        return tuple(
            sorted(f"{path}/" if states[path] == FOLDER else path for path in paths if states[path] != FOLDER or path not in above)
        )

    differ = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    replaced = {path for path in differ if after[path] == FOLDER}  # a file or link gave way to a folder
    return Apart(
        added=shown((after.keys() - before.keys()) | replaced, after),
        changed=shown(differ - replaced, after),
        removed=shown((before.keys() - after.keys()) | replaced, before),
    )


def odd_in(paths: Iterable[str]) -> tuple[Left, ...]:
    """Names in a tree that could not exist on another system."""
    odd: list[Left] = []
    seen: dict[tuple[str, str], str] = {}
    for path in sorted(paths):
        above, _, name = path.rpartition("/")
        if why := why_odd(name):
            odd.append(Left(path=path, why=why))
        other = seen.setdefault((above, folded(name)), name)
        if other != name:
            odd.append(Left(path=path, why=f"it differs from {other} only in case or Unicode form"))
    return tuple(odd)


class Clash(Record):
    """A path that changed on both sides, each in its own way, in words."""

    path: str
    ours: str
    theirs: str


class Plan(Record):
    """How a folder becomes what a tree says: paths whose content is needed, and how to make all changes once it is there."""

    clashes: tuple[Clash, ...] = ()
    writes: tuple[str, ...] = ()
    others: tuple[Change, ...] = ()
    rows: Mapping[str, Entry] = {}
    found: Mapping[str, Found] = {}

    @property
    def touched(self) -> set[str]:
        """Paths that change."""
        return {*self.writes, *(one.path for one in self.others)}

    @property
    def empty(self) -> bool:
        """Whether the folder is so already."""
        return not self.writes and not self.others

    def changes(self, content: Callable[[str], Iterable[bytes]]) -> list[Change]:
        """All changes; `content` gives a file's bytes, piece by piece."""
        out = list(self.others)
        for path in self.writes:
            here = self.found.get(path)
            expected = None if here is None or here.kind == "folder" else here
            out.append(Write(path=path, content=content(path), exec=self.rows[path].kind is Kind.EXEC, expected=expected))
        return out


class Sides(Record):
    """All that a plan looks at: the tree before, the tree to come, and the folder; `unknown` tells what could not be looked at."""

    before: States
    after: States
    here: States
    rows: Mapping[str, Entry]
    found: Mapping[str, Found]
    unknown: Callable[[str], bool]

    @property
    def differing(self) -> list[str]:
        """Paths that are not the same in both trees."""
        return sorted(path for path in self.before.keys() | self.after.keys() if self.before.get(path) != self.after.get(path))


def plan(sides: Sides, *, force: bool) -> Plan:
    """What the second tree changed is to be changed here, where the folder is as the first has it. `force`: wherever it is not."""
    before, after, here = sides.before, sides.after, sides.here
    todo: dict[str, None] = {}
    clashes: dict[str, Clash] = {}
    for path in sides.differing:
        if here.get(path) == after.get(path):
            continue
        todo[path] = None
        if sides.unknown(path):
            clashes[path] = Clash(path=path, ours="it cannot be read", theirs=_said(before.get(path), after.get(path)))
        elif here.get(path) != before.get(path):
            clashes[path] = _clash(path, sides)
    for path in [path for path in todo if path in after]:
        for above in _above(path):
            if above in here and here[above] != FOLDER and above not in todo:
                todo[above] = None
                clashes[above] = Clash(
                    path=above, ours=_said(before.get(above), here[above]), theirs=f"{path} is {_said(before.get(path), after[path])}"
                )
        if after[path] != FOLDER and here.get(path) == FOLDER:
            for inner in _below(path, here):
                if inner not in todo:
                    todo[inner] = None
                    if here[inner] != FOLDER:
                        clashes[inner] = Clash(
                            path=inner,
                            ours=_said(before.get(inner), here[inner]),
                            theirs=f"{path} is {_said(before.get(path), after[path])}",
                        )
    if clashes and not force:
        return Plan(clashes=tuple(clashes[path] for path in sorted(clashes)))
    if any(sides.unknown(path) for path in todo):
        return Plan(clashes=tuple(clashes[path] for path in sorted(clashes) if sides.unknown(path)))
    writes: list[str] = []
    others: list[Change] = []
    for path in todo:
        _decide(path, sides, writes, others)
    return Plan(writes=tuple(writes), others=tuple(others), rows=sides.rows, found=sides.found)


def _decide(path: str, sides: Sides, writes: list[str], others: list[Change]) -> None:
    row, one = sides.rows.get(path), sides.found.get(path)
    if row is None or (one is not None and (one.kind == "folder") != (row.kind is Kind.FOLDER)):
        if one is not None:
            others.append(Delete(path=path, expected=one))
            one = None
    if row is None:
        return
    if row.kind is Kind.FOLDER:
        others.append(MakeFolder(path=path))
    elif row.kind is Kind.LINK:
        others.append(MakeLink(path=path, target=row.target, expected=one))
    elif one is not None and one.kind in FILES and sides.here[path][1] == row.sha:
        others.append(SetExec(path=path, exec=row.kind is Kind.EXEC, expected=one))
    else:
        writes.append(path)


def _clash(path: str, sides: Sides) -> Clash:
    was = sides.before.get(path)
    return Clash(path=path, ours=_said(was, sides.here.get(path)), theirs=_said(was, sides.after.get(path)))


def _said(before: State | None, after: State | None) -> str:
    """What happened to a path, in a word or two."""
    if before == after:
        return "as it was"
    if after is None:
        return "removed"
    if before is None:
        return "added"
    if before[0] == after[0] or (before[0] in FILES and after[0] in FILES and before[1] != after[1]):
        return "changed"
    if before[1] == after[1] and before[0] in FILES and after[0] in FILES:
        return "made executable" if after[0] == "exec" else "made not executable"
    return f"now a {'file' if after[0] == 'exec' else after[0]}"


def _above(path: str) -> list[str]:
    """The folders that a path lies in."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _below(path: str, states: States) -> Sequence[str]:
    return [inner for inner in states if inner.startswith(f"{path}/")]
