"""Trees in the store: read, written, compared and merged a level of folders at a time: depth costs round trips, size does not."""

from __future__ import annotations

from windlass import effects as fx
from windlass.digest import sha256_large
from windlass.errors import Damaged, UsageError
from windlass.ops import blobs, snapshots
from windlass.protocol import keys
from windlass.protocol.blobs import digest_of
from windlass.protocol.codec import decode, encode
from windlass.protocol.trees import EMPTY_FOLDER, MAX_DEPTH, Entry, Kind, Tree, entries_of, leaves_of, row, split, totals, why_not
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    from windlass.effects import Op
    from windlass.ops.pending import Upload

    Folder: TypeAlias = dict[str, Entry]


class Difference(Record):
    """One path that differs. A folder that is on one side only counts as one."""

    path: str
    before: Entry | None
    after: Entry | None


class Conflict(Record):
    """One path that both sides changed, each in its own way; None: it is not there."""

    path: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None


def read_all(names: Sequence[str], seen: set[str] | None = None) -> Op[dict[str, Folder]]:
    """Whole folders by the names of their trees; the empty name is the empty folder. Raises Damaged, StoreError."""
    (found,) = yield from read_apart([tuple(dict.fromkeys(names))], whole=True, seen=seen)
    return dict(zip(dict.fromkeys(names), found, strict=True))


def read_apart(groups: Sequence[Sequence[str]], *, whole: bool = False, seen: set[str] | None = None) -> Op[list[list[Folder]]]:
    """For each group of folders to be compared: what each holds, without the leaves that all of the group have (unless `whole`).

    `seen` learns the names of the tree objects that were read.
    """
    trees = yield from _trees({name for group in groups for name in group if name})
    wanted: set[str] = set()
    leaves: dict[str, list[str]] = {}
    for group in groups:
        for name in group:
            if name and trees[name].leaves:
                leaves[name] = [leaf for _, leaf in leaves_of(trees[name], keys.blob(name))]
    kept: list[list[list[str]]] = []
    for group in groups:
        each = [leaves.get(name, [name] if name else []) for name in group]
        common = set() if whole or not each else set[str].intersection(*map(set, each))
        kept.append([[leaf for leaf in some if leaf not in common] for some in each])
        wanted.update(leaf for some in kept[-1] for leaf in some)
    trees |= yield from _trees(wanted - trees.keys())
    if seen is not None:
        seen.update(trees)
    read = {name: entries_of(trees[name], keys.blob(name)) for name in wanted}
    return [[{name: entry for leaf in some for name, entry in read[leaf].items()} for some in group] for group in kept]


def _trees(names: Iterable[str]) -> Op[dict[str, Tree]]:
    wanted = sorted(names)
    bodies = yield from blobs.fetch_all(wanted)
    return {name: decode(Tree, keys.blob(name), body) for name, body in zip(wanted, bodies, strict=True)}


def walk(root: str) -> Op[Mapping[str, Entry]]:
    """Everything below a tree, folders too, by path. Raises Damaged, also for folders nested deeper than MAX_DEPTH."""
    return (yield from snapshots.take(root, {})).rows


def at(root: str, path: str) -> Op[Entry | None]:
    """The entry at a path, read folder by folder; None where there is none."""
    entry = Entry(kind=Kind.FOLDER, name=root)
    for part in path.split("/"):
        if entry.kind is not Kind.FOLDER:
            return None
        found = (yield from read_all([entry.name]))[entry.name].get(part)
        if found is None:
            return None
        entry = found
    return entry


def diff(before: str, after: str) -> Op[list[Difference]]:
    """What differs between two trees, by path: requests grow with the depth of what differs. Raises Damaged."""
    out: list[Difference] = []
    level = {"": (before, after)} if before != after else {}
    for _ in range(MAX_DEPTH + 1):
        pairs = yield from read_apart(list(level.values()))
        below: dict[str, tuple[str, str]] = {}
        for path, (old, new) in zip(level, pairs, strict=True):
            for name in sorted(old.keys() | new.keys()):
                one, other = old.get(name), new.get(name)
                if one is not None and one.same(other):
                    continue
                if one is not None and other is not None and one.kind is other.kind is Kind.FOLDER:
                    below[f"{path}{name}/"] = (one.name, other.name)
                else:
                    out.append(Difference(path=path + name, before=one, after=other))
        if not below:
            return sorted(out, key=lambda item: item.path)
        level = below
    raise Damaged(keys.blob(before), "its folders are nested too deeply")


def expand(found: Sequence[Difference]) -> Op[list[Difference]]:
    """The same with each folder that is on one side only replaced by what is below it. Raises Damaged."""
    out: list[Difference] = []
    for one in found:
        if not any(side is not None and side.kind is Kind.FOLDER for side in (one.before, one.after)):
            out.append(one)
            continue
        for side, entry in (("before", one.before), ("after", one.after)):
            blank = Difference(path=one.path, before=None, after=None)
            if entry is not None and entry.kind is Kind.FOLDER and entry.name:
                below = yield from walk(entry.name)
                leaf = [(path, inner) for path, inner in below.items() if inner.kind is not Kind.FOLDER or not inner.name]
                out += [blank.but(path=f"{one.path}/{path}", **{side: inner}) for path, inner in leaf]
            elif entry is not None:
                out.append(blank.but(**{side: entry}))
    return sorted(out, key=lambda item: item.path)


def merge(bases: Sequence[str], ours: str, theirs: str) -> Op[tuple[dict[str, Entry | None], list[Conflict]]]:
    """Three-way: what must change in `ours` to hold `theirs` too, by path (None: remove), and what both changed. Raises Damaged.

    `bases`: the newest states that both come from. Where there are several, only what each of them says alike is no conflict.
    """
    edits: dict[str, Entry | None] = {}
    conflicts: list[Conflict] = []
    given_up: dict[str, Folder] = {}
    level: dict[str, tuple[str, ...]] = {"": (ours, theirs, *bases)}
    for _ in range(MAX_DEPTH + 1):
        below: dict[str, tuple[str, ...]] = {}
        for path, (o, t, *before) in zip(level, (yield from read_apart(list(level.values()))), strict=True):
            if path in given_up:
                given_up[path] = o
            for name in sorted(set(o).union(t, *before)):
                mine, other, was = o.get(name), t.get(name), [one.get(name) for one in before]
                if _same(mine, other):
                    continue
                both = mine is not None and other is not None and mine.kind is other.kind is Kind.FOLDER
                verdicts = set()
                for one in was:
                    verdicts.add((yield from _who_changed(one, mine, other, deep=not both)))
                if verdicts == {"theirs"}:
                    edits[path + name] = other
                elif verdicts != {"ours"}:
                    if _is_folder(mine) and _is_folder(other):  # or none: what is in it tells more
                        below[f"{path}{name}/"] = tuple(_tree_of(one) for one in (mine, other, *was))
                        replaced = not any(one is not None and one.kind is Kind.FOLDER for one in was)
                        if other is None and not replaced:
                            given_up[f"{path}{name}/"] = {}
                        if mine is None and replaced and other == EMPTY_FOLDER:
                            edits[path + name] = other
                    else:
                        conflicts.append(Conflict(path=path + name, base=was[0], ours=mine, theirs=other))
        if not below:
            _remove_emptied(edits, given_up)
            return edits, conflicts
        level = below
    raise Damaged(keys.blob(ours), "its folders are nested too deeply")


def _remove_emptied(edits: dict[str, Entry | None], given_up: Mapping[str, Folder]) -> None:
    """Remove the folders that theirs removed, and in which nothing is left of ours, as a whole."""
    for path in sorted(given_up, key=len, reverse=True):
        inner = [path + name for name in given_up[path]]
        if all(one in edits and edits[one] is None for one in inner):
            for one in inner:
                del edits[one]
            edits[path[:-1]] = None


def _who_changed(was: Entry | None, mine: Entry | None, other: Entry | None, *, deep: bool) -> Op[str]:
    """Whether "theirs", "ours" or both ("") are not as it was; `deep` looks into folders that may be the same under another name."""
    for side, one in (("theirs", mine), ("ours", other)):
        if _same(was, one):
            return side
        if (
            deep
            and was is not None
            and one is not None
            and was.kind is one.kind is Kind.FOLDER
            and not (yield from diff(was.name, one.name))
        ):
            return side
    return ""


def _is_folder(entry: Entry | None) -> bool:
    return entry is None or entry.kind is Kind.FOLDER


def _tree_of(entry: Entry | None) -> str:
    return entry.name if entry is not None and entry.kind is Kind.FOLDER else ""


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is other is None or (one is not None and one.same(other))


def write(
    under: Upload, entries: Mapping[str, Entry], known: Mapping[str, str] = {}, made_of: dict[str, bytes] | None = None
) -> Op[tuple[Entry, dict[str, str]]]:
    """Send the folders of a whole tree, given by path (folders too, at least the empty ones): the root's entry, and the name of each
    tree object by its SHA-256. `known`: such names of a tree that is there to stay. `made_of` learns the objects' bytes, by name.
    Raises UsageError, StoreError.
    """
    folders: dict[str, Folder] = {"": {}}
    for path, entry in entries.items():
        above, _, name = path.rpartition("/")
        _folder(folders, above)
        if entry.kind is Kind.FOLDER:
            _folder(folders, path)
        else:
            _check(path, name)
            folders[above][name] = entry
    if twice := next((path for path, entry in entries.items() if entry.kind is not Kind.FOLDER and path in folders), None):
        raise UsageError(f"{twice[:200]!r} is a file and a folder", "it can be one of both", path=twice)
    return (yield from _write_up(under, folders, known, made_of))


def _write_up(
    under: Upload, folders: dict[str, Folder], known: Mapping[str, str], made_of: dict[str, bytes] | None
) -> Op[tuple[Entry, dict[str, str]]]:
    """Send folders by path, the root among them, the deepest first; those that hold others get what stands for them."""
    names: dict[str, str] = {}
    by_depth: dict[int, list[str]] = {}
    for path in folders:
        by_depth.setdefault(path.count("/") + 1 if path else 0, []).append(path)
    if max(by_depth) > MAX_DEPTH:
        raise UsageError(f"folders are nested more than {MAX_DEPTH} deep", "make them flatter")
    made: dict[str, Entry] = {}
    for depth in sorted(by_depth, reverse=True):
        made = yield from _write_folders(under, {path: folders[path] for path in by_depth[depth]}, known, names, made_of)
        for path, entry in made.items():
            if path:
                above, _, name = path.rpartition("/")
                _check(path, name)
                folders[above][name] = entry
    return made[""], names


def _check(path: str, name: str) -> None:
    problem = "it is no path within a folder" if path[:1] == "/" else why_not(name)
    if problem:
        raise UsageError(f"{path[:200]!r} cannot be kept: {problem}", "leave it out, or rename it", path=path)


def _folder(folders: dict[str, Folder], path: str) -> None:
    """Be sure that a folder and those above it are listed."""
    while path not in folders:
        folders[path] = {}
        path = path.rpartition("/")[0]


def _write_folders(
    under: Upload,
    folders: Mapping[str, Folder],
    known: Mapping[str, str],
    names: dict[str, str],
    made_of: dict[str, bytes] | None = None,
) -> Op[dict[str, Entry]]:
    """Send folders that hold no folder still to be sent; what stands for each in the one above."""
    leaves = {path: list(split(folder)) if folder else [] for path, folder in folders.items()}
    bodies = {
        path: [encode(Tree(entries={name: row(entry) for name, entry in leaf.items()})) for leaf in some] for path, some in leaves.items()
    }
    digests = {path: list(map(sha256_large, some)) for path, some in bodies.items()}
    all_leaves = {digest: body for path in folders for digest, body in zip(digests[path], bodies[path], strict=True)}
    yield from _send(under, all_leaves, known, names)
    branches: dict[str, bytes] = {}
    for path, some in digests.items():
        if len(some) > 1:
            firsts = [next(iter(leaf)) for leaf in leaves[path]]
            branches[path] = encode(Tree(leaves=tuple([first, names[digest]] for first, digest in zip(firsts, some, strict=True))))
            digests[path] = [sha256_large(branches[path])]
    all_branches = {digests[path][0]: body for path, body in branches.items()}
    yield from _send(under, all_branches, known, names)
    if made_of is not None:
        made_of.update((names[digest], body) for some in (all_leaves, all_branches) for digest, body in some.items())
    out: dict[str, Entry] = {}
    for path, folder in folders.items():
        if not folder:
            out[path] = EMPTY_FOLDER
            continue
        size, files = totals(list(folder.values()))
        out[path] = Entry(kind=Kind.FOLDER, name=names[digests[path][0]], size=size, files=files)
    return out


def _send(under: Upload, bodies: Mapping[str, bytes], known: Mapping[str, str], names: dict[str, str]) -> Op[None]:
    """Send tree objects that are neither known nor sent; `names` learns where they are. Not asked for first: they are small."""
    for digest in bodies.keys() & known.keys():
        names[digest] = known[digest]

    def one(digest: str, body: bytes) -> Op[None]:
        names[digest] = yield from blobs.send(under, digest, body)

    new = [(digest, body) for digest, body in bodies.items() if digest not in names]
    yield from fx.spread((one(digest, body) for digest, body in new), blobs.SMALL_AT_ONCE)


def edit(under: Upload, root: str, edits: Mapping[str, Entry | None]) -> Op[Entry]:
    """The tree with some paths set or (None) removed; only the folders on the way are read and sent. Raises Damaged, UsageError."""
    folders: dict[str, Folder] = {}
    level = {"": root}
    seen: set[str] = set()
    inside = {"/".join(path.split("/")[:depth]) for path in edits for depth in range(path.count("/") + 1)}
    while level:
        found = yield from read_all(list(level.values()), seen)
        below: dict[str, str] = {}
        for path, tree in level.items():
            folders[path] = dict(found[tree])
            for inner, entry in found[tree].items():
                whole = f"{path}/{inner}" if path else inner
                if whole in inside and entry.kind is Kind.FOLDER and whole not in edits:
                    below[whole] = entry.name
        level = below
    for path, wanted in edits.items():
        above, _, name = path.rpartition("/")
        if wanted is None:
            folders.get(above, {}).pop(name, None)
        else:
            _folder(folders, above)
            _check(path, name)
            folders[above][name] = wanted
    made, _ = yield from _write_up(under, folders, known_of(seen), None)
    return made


def known_of(names: Iterable[str]) -> dict[str, str]:
    """Names of tree objects by their SHA-256, for `write`."""
    return {digest_of(name): name for name in names}
