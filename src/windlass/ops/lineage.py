"""Where artifacts come from and what became of them; and whether their content is well."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew, NotFound, UsageError
from windlass.ops import artifacts, receiving, registers, trees
from windlass.protocol import keys
from windlass.protocol.artifacts import Artifact, Published, Ref, parse_ref
from windlass.protocol.trees import Kind
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windlass.effects import Op
    from windlass.protocol.blobs import Blob
    from windlass.protocol.trees import Entry

MOST = 1000
"""Versions followed in one direction."""
AT_ONCE = 64
"""Reads in flight."""


class Lineage(Record):
    """What a version was made from, and what was made from it. `versions` by reference, None where one is not there any more or damaged;
    `edges`: from an input to what was made from it; `more`: it goes on beyond what was followed.
    """

    of: str
    versions: Mapping[str, Published | None]
    edges: tuple[tuple[str, str], ...] = ()
    more: bool = False


class Flaw(Record):
    """An object that is damaged or missing, and one of the files that needs it. `path` is empty for an artifact that is a file."""

    ref: str
    path: str
    key: str
    why: str


class Checked(Record):
    """What a verification came to: artifacts looked at, bytes that are well, what is not."""

    artifacts: int
    bytes: int
    damaged: tuple[Flaw, ...] = ()


def lineage(ref: Ref, *, forth: bool = True) -> Op[Lineage]:
    """Follow inputs back and, by reading every version there is, forth. Raises NotFound, Damaged, Moved."""
    start = yield from artifacts.show(ref)
    of = str(ref.but(version=start.version))
    found: dict[str, Published | None] = {of: start}
    edges: dict[tuple[str, str], None] = {}
    level = [of]
    more = False
    while level:
        inputs = [(one, made) for made in level if (version := found[made]) is not None for one in version.inputs]
        edges |= dict.fromkeys(inputs)
        new = list(dict.fromkeys(one for one, _ in inputs if one not in found))
        more = more or len(found) + len(new) > MOST
        new = new[: max(0, MOST - len(found))]
        found |= yield from _versions(new)
        level = new
    if forth:
        more = (yield from _follow(of, found, edges)) or more
    shown = tuple(edge for edge in edges if edge[0] in found and edge[1] in found)
    return Lineage(of=of, versions=found, edges=shown, more=more)


def _versions(names: Sequence[str]) -> Op[dict[str, Published | None]]:
    out: dict[str, Published | None] = {}

    def one(name: str) -> Op[None]:
        try:
            ref = parse_ref(name)
            out[name] = (yield from artifacts.show(ref)) if ref.version is not None else None
        except (NotFound, Damaged, FormatTooNew, UsageError):
            out[name] = None

    yield from fx.spread((one(name) for name in names), 16)
    return {name: out[name] for name in names}


def _follow(of: str, found: dict[str, Published | None], edges: dict[tuple[str, str], None]) -> Op[bool]:
    """What was made from a version, and from that; whether there is more than is followed."""
    used: dict[str, list[str]] = {}
    every = yield from everything()
    for name, version in every.items():
        for one in dict.fromkeys(version.inputs):
            used.setdefault(one, []).append(name)
    level, seen = [of], {of}
    while level:
        below = []
        for name in level:
            for made in used.get(name, ()):
                edges[name, made] = None
                if made not in seen:
                    seen.add(made)
                    if len(seen) > MOST:
                        return True
                    found.setdefault(made, every[made])
                    below.append(made)
        level = below
    return False


def everything() -> Op[dict[str, Published]]:
    """Every version that is not deleted, by reference: a listing, a read of each and a look at all steps. Damaged ones are left out."""
    out: dict[str, Published] = {}
    newest: dict[str, Published] = {}
    for one in (yield from artifacts.list_()):
        if one.artifact is not None:
            newest[str(one.ref)] = one.artifact
            out[str(one.ref.but(version=one.artifact.version))] = one.artifact
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.VERSIONS, after)
        wanted: list[tuple[str, str]] = []
        for entry in page.entries:
            parsed = keys.parse_artifact_version(entry.key)
            if parsed is not None:
                ref = Ref(step=parsed[0], name=parsed[1], version=parsed[2])
                now = newest.get(str(ref.bare))
                if now is not None and now.first <= parsed[2] and str(ref) not in out:
                    wanted.append((entry.key, str(ref)))
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            for (_, name), found in zip(some, (yield from fx.gather([fx.Get(key=key) for key, _ in some])), strict=True):
                version = _archived(found)
                if version is not None and not version.deleted:
                    out[name] = version
            yield from fx.tell("reading versions", len(out))
        after = page.more
    return out


def _archived(found: fx.Object | Exception | None) -> Published | None:
    try:
        if isinstance(found, Exception):
            raise found
        entry = registers.of(found, Artifact)
    except (Damaged, FormatTooNew):
        return None
    return entry.doc.current if entry is not None else None


def verify(refs: Sequence[Ref], step: str | None = None) -> Op[Checked]:
    """Read and verify the content of these, or of all current versions (of a step). Raises NotFound, StoreError other than Damaged."""
    flaws: list[Flaw] = []
    chosen: dict[str, Published] = {}
    for ref in refs:
        try:
            version = yield from artifacts.show(ref)
            chosen[str(ref.but(version=version.version))] = version
        except Damaged as error:
            flaws.append(Flaw(ref=str(ref), path="", key=error.key, why=error.why))
    for one in [] if refs else (yield from artifacts.list_(step)):
        if one.artifact is None:
            flaws.append(Flaw(ref=str(one.ref), path="", key=one.key, why=one.why))
        else:
            chosen[str(one.ref.but(version=one.artifact.version))] = one.artifact
    wanted: dict[str, Blob] = {}
    for name, version in chosen.items():
        try:
            wanted |= {f"{name}\0{path}": entry.blob for path, entry in (yield from _files(version)).items()}
        except Damaged as error:
            flaws.append(Flaw(ref=name, path="", key=error.key, why=error.why))

    def damaged(path: str, error: Damaged) -> None:
        name, _, inside = path.partition("\0")
        flaws.append(Flaw(ref=name, path=inside, key=error.key, why=error.why))

    well = yield from receiving.check(wanted, damaged)
    return Checked(artifacts=len(chosen) + len({flaw.ref for flaw in flaws} - chosen.keys()), bytes=well, damaged=tuple(flaws))


def _files(version: Published) -> Op[dict[str, Entry]]:
    """The files of a version by path; of a file itself, under the empty one."""
    entry = version.entry
    if entry.kind is not Kind.FOLDER:
        return {"": entry} if entry.kind is not Kind.LINK else {}
    inside = (yield from trees.walk(entry.name)) if entry.name else {}
    return {path: one for path, one in inside.items() if one.kind in (Kind.FILE, Kind.EXEC)}
