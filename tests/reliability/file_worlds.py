"""Small worlds of uploads, forks, deletions and gc to explore. What must hold in them: whatever a register refers to is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ops import uploaders
from tests.ops.world import Place
from tests.reliability.references import ROOMS, check, counts, is_published
from tests.reliability.worlds import program, said

from windlass.ops import workspaces
from windlass.ops.gc import gc
from windlass.testing.explore import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.ops.world import Agent
    from tests.reliability.worlds import Making

    from windlass.testing.explore import Deleted, End, Landed, Program

OLD = 1000.0
"""Seconds that everything is old which was there at the start."""
GRACE = 500.0
NAMES = ("ann", "bob", "cat", "dan")


def doing(op: Any, *args: Any, **options: Any) -> Making:
    """One operation for a program's script."""
    return lambda notes: said(op(*args, **options))


def sweeping(agent: Agent, grace: float = GRACE, wait: float = 0.0) -> Making:
    """A gc run."""
    return doing(gc, agent.actor, grace=grace, wait=wait)


def scene(
    place: Place,
    programs: Sequence[Program],
    artifacts: Sequence[str] = (),
    spaces: Sequence[str] = (),
    together: Sequence[str] = (),
    told: str = "",
    **more: Any,
) -> Scene:
    """A scene that begins with what is in the place. The workspaces `together` are forks of w: all count or none does.

    Ann publishes artifact `told`, or makes the forks: if she was told that it is done, it is.
    """

    def landed(write: Landed) -> None:
        if write.key.startswith((*ROOMS, "pending/")):
            check(artifacts, spaces, write.look)
            count(write.look)

    def deleted(deletion: Deleted) -> None:
        if deletion.key.startswith("blobs/"):
            check(artifacts, spaces, deletion.look)
        elif deletion.key.startswith("pending/"):
            count(deletion.look)

    def count(look: Callable[[str], bytes | None]) -> None:
        counting = [name for name in together if counts(name, look, of="w")]
        assert len(counting) in (0, len(together)), f"of {together} only {counting} count"

    def end(state: End) -> None:
        check(artifacts, spaces, state.objects.get)
        if ("done",) in state.notes["ann"]:
            assert not told or is_published(told, state.objects.get), "she was told that it is published"
            assert all(counts(name, state.objects.get, of="w") for name in together), "she was told that the forks are there"

    begin = {key: (one.body, one.modified) for key, one in place.store._objects.items()}
    return Scene(programs=tuple(programs), begin=begin, now=place.now, landed=landed, end=end, deleted=deleted, **more)


def _place(*do: Any, agents: int = 3) -> tuple[Place, list[Agent]]:
    """A place where some operations of the first agent have been done long ago, and warm agents."""
    place = Place()
    first = place.agent("old").warm()
    for op in do:
        first.do(op(first.actor))
    place.pass_(OLD)
    return place, [place.agent(name).warm() for name in NAMES[:agents]]


def again(jump: bool = False, grace: float = GRACE, gcs: int = 1, runs: int = 1, **more: Any) -> Scene:
    """One uploads what a deleted artifact had, while gc runs; with `gcs` of them, each so many times."""
    place, agents = _place(lambda actor: uploaders.upload(actor, "a", b"x"), lambda actor: uploaders.delete(actor, "a"), agents=1 + gcs)
    up, *others = agents
    return scene(
        place,
        [
            program(up, doing(uploaders.upload, up.actor, "b", b"x")),
            *(program(one, *[sweeping(one, grace)] * runs) for one in others),
        ],
        artifacts=("a", "b"),
        told="b",
        jumps=(OLD,) if jump else (),
        **more,
    )


def keeping(grace: float = GRACE) -> Scene:
    """One publishes again what the artifact holds, while another deletes it and gc runs."""
    place, (ann, bob, cat) = _place(lambda actor: uploaders.upload(actor, "a", b"x"))
    return scene(
        place,
        [
            program(ann, doing(uploaders.upload, ann.actor, "a", b"x")),
            program(bob, doing(uploaders.delete, bob.actor, "a")),
            program(cat, sweeping(cat, grace)),
        ],
        artifacts=("a",),
    )


def forking(n: int = 1, taken: str = "", grace: float = GRACE, jump: bool = False, **more: Any) -> Scene:
    """One forks a workspace while another tears it down and gc runs; or (`taken`) while another makes a workspace of that name."""
    place, (ann, bob, cat) = _place(lambda actor: uploaders.push(actor, "w", {"f": b"x"}))
    names = [f"w-{number}" for number in range(1, n + 1)]
    other = doing(workspaces.create, bob.actor, taken) if taken else doing(uploaders.teardown, bob.actor, "w")
    return scene(
        place,
        [
            program(ann, doing(uploaders.fork, ann.actor, "w", n)),
            program(bob, other),
            program(cat, sweeping(cat, grace)),
        ],
        spaces=("w", *names),
        together=names,
        jumps=(OLD,) if jump else (),
        **more,
    )


def fork_while_pushed() -> Scene:
    """One forks a workspace whose head another moves on, so that nothing refers to what it was, while gc runs."""
    place, (ann, bob, cat) = _place(lambda actor: uploaders.push(actor, "w", {"f": b"x"}))
    return scene(
        place,
        [
            program(ann, doing(uploaders.fork, ann.actor, "w", 1)),
            program(bob, doing(uploaders.push, bob.actor, "w", {"g": b"y"})),
            program(cat, sweeping(cat)),
        ],
        spaces=("w", "w-1"),
        together=("w-1",),
    )


def pushing(grace: float = GRACE) -> Scene:
    """Two push to a workspace, each building on its head, while gc runs."""
    place, (ann, bob, cat) = _place(lambda actor: uploaders.push(actor, "w", {"f": b"x"}))
    return scene(
        place,
        [
            program(ann, doing(uploaders.push, ann.actor, "w", {"f": b"x", "g": b"y"})),
            program(bob, doing(uploaders.push, bob.actor, "w", {"g": b"y"})),
            program(cat, sweeping(cat, grace)),
        ],
        spaces=("w",),
    )
