"""What the project refers to: every blob that a register, directly or through trees and indexes, needs. gc spares that.

Registers first, the pending records after all of them: what an upload copies from one register to another is in one of the
registers, or held by the upload's record, whenever it is looked at in that order.
"""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged
from windlass.ops import blobs, registers
from windlass.protocol import keys
from windlass.protocol.artifacts import Artifact, Published, of_row
from windlass.protocol.blobs import Index
from windlass.protocol.codec import decode
from windlass.protocol.pending import Pending, State
from windlass.protocol.steps import Step
from windlass.protocol.trees import Entry, Kind, Tree, entries_of, leaves_of
from windlass.protocol.workspaces import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from typing import TypeVar

    from windlass.effects import Op
    from windlass.ops.registers import Version
    from windlass.protocol.codec import Document

    D = TypeVar("D", bound="Document")

PAGE = 100_000
"""Entries that are asked for: a directory would be scanned again for each page."""
AT_ONCE = 32
"""Reads in flight. A tree has 4 MiB at most, few more than some KiB."""


class Live:
    """What was found so far: the names of blobs that something refers to."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._followed: set[str] = set()
        """Trees and indexes that were read. Not the same as `names`: a file may have the very bytes of a tree."""
        self._first: dict[tuple[str, str], int] = {}
        """By step and name of an artifact that is there, the oldest version that is not deleted."""
        self._trees: list[str] = []

    def registers(self, settle: Callable[[str, Workspace], Op[Workspace | None]]) -> Op[None]:
        """Everything that registers refer to. `settle(key, workspace)` says what becomes of one that a fork was still making.

        The archive after the live registers: a version is archived before another takes its place. Raises Damaged, FormatTooNew.
        """
        yield from each(keys.ARTIFACTS, keys.parse_artifact, Artifact, self._artifact)
        yield from each(keys.STEPS, keys.parse_step, Step, self._step)
        yield from each(keys.VERSIONS, self._archived, Artifact, self._version)
        forming: list[tuple[str, Workspace]] = []

        def workspace(key: str, one: Version[Workspace]) -> None:
            doc = one.doc
            if doc.forming:
                forming.append((key, doc))
            else:
                self._trees += [root.tree for root in doc.roots if root.tree]

        yield from each(keys.WORKSPACES, keys.parse_workspace, Workspace, workspace)
        for key, doc in forming:
            now = yield from settle(key, doc)
            self._trees += [root.tree for root in now.roots if root.tree] if now is not None else []
        yield from self._follow(missing=False)

    def held(self, without: AbstractSet[str] = frozenset()) -> Op[None]:
        """What uploads hold that are not given up, those with these keys apart. A tree may be gone that one held in vain.

        Raises Damaged, FormatTooNew.
        """

        def hold(key: str, one: Version[Pending]) -> None:
            if one.doc.state is not State.ABANDONED and key not in without:
                self._trees += one.doc.holds

        yield from each(keys.PENDING, keys.parse_pending, Pending, hold)
        yield from self._follow(missing=True)

    def _artifact(self, key: str, one: Version[Artifact]) -> None:
        self._published(key, "", keys.parse_artifact(key) or "", one.doc.current)

    def _step(self, key: str, one: Version[Step]) -> None:
        for name, row in one.doc.artifacts.items():
            self._published(key, keys.parse_step(key) or "", name, of_row(row, name, key))

    def _published(self, key: str, step: str, name: str, current: Published | None) -> None:
        if current is not None:
            self._content(key, current)
            self._first[step, name] = current.first

    def _content(self, key: str, version: Published) -> None:
        if not version.deleted:
            try:
                self._entry(version.entry)
            except ValueError as error:
                raise Damaged(key, str(error)) from None

    def _archived(self, key: str) -> bool:
        """Whether an archived version belongs to an artifact that is there, and is not deleted with those before."""
        place = keys.parse_artifact_version(key)
        if place is None:
            raise Damaged(key, "no such key is known")
        step, name, version = place
        return version >= self._first.get((step, name), 1 << 60)

    def _version(self, key: str, one: Version[Artifact]) -> None:
        if one.doc.current is not None:
            self._content(key, one.doc.current)

    def _entry(self, entry: Entry) -> None:
        if entry.kind is Kind.FOLDER:
            self._trees += [entry.name] if entry.name else []
        elif entry.name:
            self.names.add(entry.name)
            if entry.offset is None and entry.blob.in_parts:
                self._trees.append("index " + entry.name)

    def _follow(self, *, missing: bool) -> Op[None]:
        """Read trees and indexes, and those below, each once. `missing`: one may be gone, and is left out."""
        while self._trees:
            some: list[str] = []
            while self._trees and len(some) < AT_ONCE:
                one = self._trees.pop()
                if one not in self._followed:
                    self._followed.add(one)
                    some.append(one)
            names = [one.removeprefix("index ") for one in some]
            for one, name, found in zip(some, names, (yield from fx.gather_reads([keys.blob(name) for name in names])), strict=True):
                if found is None and missing:
                    self._followed.discard(one)
                    continue
                body = blobs.verified(name, found)
                self.names.add(name)
                if one == name:
                    self._tree(decode(Tree, keys.blob(name), body), keys.blob(name))
                else:
                    self.names.update(decode(Index, keys.blob(name), body).parts)
            yield from fx.tell("reading what is referred to", len(self._followed))

    def _tree(self, tree: Tree, key: str) -> None:
        for entry in entries_of(tree, key).values():
            self._entry(entry)
        self._trees += [name for _, name in leaves_of(tree, key)]


def each(prefix: str, wanted: Callable[[str], object], kind: type[D], take: Callable[[str, Version[D]], None]) -> Op[None]:
    """Hand every document below a prefix to `take`, those apart for which `wanted(key)` is False. Raises Damaged also for unknown keys."""
    after: str | None = ""
    done = 0
    while after is not None:
        page = yield from fx.page(prefix, after, PAGE)
        chosen: list[str] = []
        for entry in page.entries:
            answer = wanted(entry.key)
            if answer is None:
                raise Damaged(entry.key, "no such key is known")
            if answer is not False:
                chosen.append(entry.key)
        for start in range(0, len(chosen), AT_ONCE):
            for found in (yield from fx.gather_reads(chosen[start : start + AT_ONCE])):
                one = registers.of(found, kind)
                if found is not None and one is not None:
                    take(found.key, one)
        done += len(chosen)
        if done:
            yield from fx.tell(f"reading {prefix.rstrip('/')}", done)
        after = page.more
