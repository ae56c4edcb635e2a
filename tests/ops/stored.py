"""Content that is there, whoever sent it, and operations that stand still: for tests of gc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ops import uploaders

from windlass import effects as fx
from windlass.digest import sha256_large
from windlass.ops import registers
from windlass.ops.gc import Swept, gc
from windlass.protocol import keys
from windlass.protocol.blobs import Blob, blob_name
from windlass.protocol.codec import encode
from windlass.protocol.pending import Sweep
from windlass.protocol.trees import Entry, Kind, Tree, file_entry, row
from windlass.protocol.workspaces import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ops.world import Agent, Place


def sha(content: bytes) -> str:
    return sha256_large(content)


def name_of(content: bytes, epoch: int = 0) -> str:
    return blob_name(sha(content), epoch)


def put(place: Place, content: bytes, epoch: int = 0) -> str:
    """A blob that is there, whoever sent it; its name."""
    name = name_of(content, epoch)
    place.write(keys.blob(name), content)
    return name


def put_tree(place: Place, **entries: Entry) -> Entry:
    """A folder that is there."""
    body = encode(Tree(entries={name: row(entry) for name, entry in entries.items()}))
    files = sum(entry.files for entry in entries.values())
    return Entry(kind=Kind.FOLDER, name=put(place, body), size=sum(entry.size for entry in entries.values()), files=files)


def put_file(place: Place, content: bytes) -> Entry:
    return file_entry(Blob(sha=sha(content), size=len(content), name=put(place, content)))


def there(place: Place) -> set[str]:
    return {name for key in place.keys("blobs/") if (name := keys.parse_blob(key))}


def sweep(place: Place, **options: Any) -> Swept:
    agent = place.agent("sweeper")
    return agent.do(gc(agent.actor, **options))


def workspace(place: Place, name: str, **more: Any) -> None:
    place.write(keys.workspace(name), encode(Workspace(name=name, write_id="w", seq=1, **more)))


def found_sweep(place: Place) -> Sweep:
    found = registers.of(place.store.get(keys.SWEEP), Sweep)  # type: ignore[arg-type]
    assert found is not None
    return found.doc


class Halted:
    """An operation that stands still before the first effect for which `at` holds, until it is told to go on."""

    def __init__(self, agent: Agent, op: fx.Op[Any], at: Callable[[Any], bool]) -> None:
        self.agent, self.op = agent, op
        self.effect: Any = op.send(None)
        while not at(self.effect.effects[0] if isinstance(self.effect, fx.Gather) else self.effect):
            self.effect = op.send(agent.world.perform(self.effect))

    def go_on(self) -> Any:
        """To its end; what it returns."""
        return self.agent.do(self._rest())

    def _rest(self) -> fx.Op[Any]:
        effect = self.effect
        while True:
            try:
                answer = yield effect
            except Exception as error:
                effect = self.op.throw(error)
                continue
            try:
                effect = self.op.send(answer)
            except StopIteration as end:
                return end.value


def before_publishing(place: Place, name: str, content: bytes) -> Halted:
    """An upload that stands still right before it writes the artifact's register."""
    ann = place.agent("ann").warm()
    return Halted(ann, uploaders.upload(ann.actor, name, content), lambda ask: isinstance(ask, fx.Put) and ask.key == keys.artifact(name))


def before_listing(agent: Agent, prefix: str) -> Halted:
    """A gc that stands still before it lists what is below a prefix."""
    return Halted(agent, gc(agent.actor), lambda ask: isinstance(ask, fx.List) and ask.prefix == prefix)
