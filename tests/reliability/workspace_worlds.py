"""Small worlds of workspaces to explore: pushes, merges, forks, restores at once. What was accepted is there, what was refused is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ops.folders import file, sent
from tests.ops.world import Place
from tests.reliability import file_worlds
from tests.reliability.references import counts
from tests.reliability.worlds import UNKNOWN, program, said

from windlass.ops import forks, merging, trees, workspaces
from windlass.ops.workspaces import tree_of
from windlass.protocol import keys
from windlass.protocol.codec import decode
from windlass.protocol.trees import Tree, entries_of
from windlass.protocol.workspaces import Root, Workspace
from windlass.testing.explore import End, Landed, Program, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.ops.world import Agent
    from tests.reliability.worlds import Making

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.pending import Upload
    from windlass.ops.workspaces import WorkspaceChanged

SILENT = 70.0
"""Seconds after which a fork that is still being made is given up by others."""


def doing(op: Callable[..., Op[Any]], *args: Any, **options: Any) -> Making:
    """One operation for a program's script."""
    return lambda notes: said(op(*args, **options))


def set_file(actor: Actor, name: str, path: str, text: str) -> Op[WorkspaceChanged]:
    """Push a head with one file changed, from what it is now."""
    base = yield from tree_of(name)

    def build(upload: Upload, workspace: Workspace) -> Op[Root]:
        return Root.of((yield from trees.edit(upload, workspace.root.tree, {path: file(text)})))

    return (yield from workspaces.push(actor, name, base, build))


def files(name: str, look: Callable[[str], bytes | None]) -> dict[str, str]:
    """The SHA-256 of each file at the head of a workspace whose tree is one folder."""
    body = look(keys.workspace(name))
    assert body is not None
    return _listing(decode(Workspace, name, body).root.tree, look)


def _listing(tree: str, look: Callable[[str], bytes | None]) -> dict[str, str]:
    if not tree:
        return {}
    body = look(keys.blob(tree))
    assert body is not None, f"{tree} is missing"
    return {path: entry.sha for path, entry in entries_of(decode(Tree, tree, body), tree).items()}


def check_register(write: Landed) -> None:
    """One line of history a write, and a number that only grows."""
    before = decode(Workspace, write.key, write.before) if write.before is not None else Workspace()
    now = decode(Workspace, write.key, write.after)
    assert now.seq == before.seq + 1
    assert now.history[:-1] == before.history, "a change that is not on record"
    assert now.history[-1].write_id == now.write_id
    assert now.born >= before.born


def scene(
    place: Place, programs: Sequence[Program], names: Sequence[str], *ends: Callable[[End], None], together: Sequence[str] = (), **more: Any
) -> Scene:
    """A scene that begins with what is in the place; whatever counts refers to what is there, and `together` count all or none."""

    def landed(write: Landed) -> None:
        if write.key.startswith(keys.WORKSPACES):
            check_register(write)
        if write.key.startswith((keys.WORKSPACES, keys.PENDING)):
            check(after(write))

    def check(look: Callable[[str], bytes | None]) -> None:
        for name in names:
            if counts(name, look):
                files(name, look)
        count = sum(counts(name, look) for name in together)
        assert count in (0, len(together)), f"{count} of {together} count"

    def end(state: End) -> None:
        check(state.objects.get)
        for one in ends:
            one(state)

    begin = {key: (one.body, one.modified) for key, one in place.store._objects.items()}
    return Scene(programs=tuple(programs), begin=begin, now=place.now, landed=landed, end=end, **more)


def after(write: Landed) -> Callable[[str], bytes | None]:
    """What there is just after a write."""
    return lambda key: write.after if key == write.key else write.look(key)


def accepted_is_there(changes: Mapping[str, tuple[str, str]], *names: str) -> Callable[[End], None]:
    """Of each program: its change (path and text) is at the heads where it was told so, and not where it was refused."""

    def check(end: End) -> None:
        for who, (path, text) in changes.items():
            for name in names:
                there = files(name, end.objects.get).get(path) == file(text).sha
                told = end.notes[who][-1] if end.notes[who] else UNKNOWN
                if told == ("done",):
                    assert there, f"{who} was told that {path} is in {name}"
                elif told != UNKNOWN and who not in end.dead:
                    assert not there, f"{who} was told that {path} is not in {name}: {told}"

    return check


def _begun(*agents: str) -> tuple[Place, list[Agent]]:
    """A workspace w of three files, and warm agents."""
    place = Place()
    out = [place.agent(name).warm() for name in agents]
    first = out[0]
    first.do(workspaces.create(first.actor, "w", build=sent({"a": "0", "b": "0", "c": "0"})))
    return place, out


def pushes(merged: bool = True, restarts: int = 0) -> Scene:
    """Two push to one workspace, and a third merges a fork into it."""
    place, (ann, bob, cat) = _begun("ann", "bob", "cat")
    cat.do(workspaces.create(cat.actor, "w-1", source="w"))
    cat.do(set_file(cat.actor, "w-1", "c", "3"))
    programs = [
        program(ann, doing(set_file, ann.actor, "w", "a", "1"), restarts=restarts),
        program(bob, doing(set_file, bob.actor, "w", "b", "2"), restarts=restarts),
    ]
    changes = {"ann": ("a", "1"), "bob": ("b", "2")}
    if merged:
        programs.append(program(cat, doing(merging.merge, cat.actor, "w-1", "w")))
        changes["cat"] = ("c", "3")
    return scene(place, programs, ("w", "w-1"), accepted_is_there(changes, "w"))


def merges(push: bool = False) -> Scene:
    """Two workspaces are merged into each other at once; with `push`, one of them is pushed to as well."""
    place, agents = _begun("ann", "bob", "cat")
    ann, bob, cat = agents
    ann.do(workspaces.create(ann.actor, "v", source="w"))
    ann.do(set_file(ann.actor, "w", "a", "1"))
    ann.do(set_file(ann.actor, "v", "b", "2"))
    programs = [
        program(ann, doing(merging.merge, ann.actor, "v", "w")),
        program(bob, doing(merging.merge, bob.actor, "w", "v")),
    ]
    if push:
        programs.append(program(cat, doing(set_file, cat.actor, "w", "c", "3")))

    def end(state: End) -> None:
        for name, path, text in (("w", "a", "1"), ("v", "b", "2")):
            assert files(name, state.objects.get)[path] == file(text).sha, f"{name} lost its own change"
        for who, name, path, text in (("ann", "w", "b", "2"), ("bob", "v", "a", "1")):
            if state.notes[who] == (("done",),):
                assert files(name, state.objects.get)[path] == file(text).sha, f"{who} merged nothing into {name}"
        if push and state.notes["cat"] == (("done",),):
            assert files("w", state.objects.get)["c"] == file("3").sha, "an accepted push is lost"

    return scene(place, programs, ("v", "w"), end)


def restores() -> Scene:
    """One pushes while another restores a checkpoint: what was pushed is at the head, or kept as a checkpoint."""
    place, (ann, bob) = _begun("ann", "bob")
    ann.do(workspaces.checkpoint(ann.actor, "w", "v1"))
    ann.do(set_file(ann.actor, "w", "b", "1"))

    def end(state: End) -> None:
        body = state.objects[keys.workspace("w")]
        doc = decode(Workspace, "w", body)
        states = [_listing(root.tree, state.objects.get) for root in (doc.root, *(one.root for one in doc.checkpoints.values()))]
        assert any(one["b"] == file("1").sha for one in states), "the head before is lost"
        if state.notes["ann"] == (("done",),):
            assert any(one["a"] == file("1").sha for one in states), "an accepted push is lost"

    programs = [
        program(ann, doing(set_file, ann.actor, "w", "a", "1")),
        program(bob, doing(workspaces.restore, bob.actor, "w", "v1")),
    ]
    return scene(place, programs, ("w",), end)


def forking(rivals: int = 1, jumps: int = 0, n: int = 2, torn: bool = False) -> Scene:
    """Each makes forks of the same names: all of one of them count, or none does. With `torn`, over what is left of earlier ones."""
    names = ("ann", "bob")[:rivals]
    place, agents = _begun(*names)
    first = agents[0]
    together = tuple(f"w-{number}" for number in range(1, n + 1))
    if torn:
        for one in first.do(forks.fork(first.actor, "w", n)):
            first.do(workspaces.teardown(first.actor, one.name))

    def end(state: End) -> None:
        told = [who for who in names if state.notes[who] and state.notes[who][-1] == ("done",)]
        assert len(told) <= 1, "two were told that the same names are theirs"
        for who in told:
            for name in together:
                assert counts(name, state.objects.get), f"{who} was told that there is {name}"
                assert decode(Workspace, name, state.objects[keys.workspace(name)]).created_by == who
        makers = {
            decode(Workspace, name, state.objects[keys.workspace(name)]).created_by for name in together if counts(name, state.objects.get)
        }
        assert len(makers) <= 1, "forks of two makers"
        for who in names:
            if state.notes[who] and state.notes[who][-1][0] in ("refused", "failed") and who not in state.dead:  # type: ignore[index]
                assert who not in makers, f"{who} was told that there are none"

    return scene(
        place,
        [program(agent, doing(forks.fork, agent.actor, "w", n)) for agent in agents],
        ("w", *together),
        end,
        together=together,
        jumps=(SILENT,) * jumps,
    )


def swept(what: str, grace: float = file_worlds.GRACE, **more: Any) -> Scene:
    """Ann forks, merges or pushes, while another takes away what she builds on and gc runs. Links need no blobs: trees are all there is."""
    place = Place()
    ann, bob, cat = (place.agent(name).warm() for name in ("ann", "bob", "cat"))
    ann.do(workspaces.create(ann.actor, "w", build=sent({"a": "->0", "d/x": "->0"})))
    ann.do(workspaces.create(ann.actor, "v", source="w"))
    ann.do(workspaces.push(ann.actor, "v", ann.do(tree_of("v")), sent({"a": "->0", "d/x": "->1"})))
    place.pass_(file_worlds.OLD)
    for agent in (ann, bob, cat):
        agent.warm()
    doings = {
        "fork": doing(forks.fork, ann.actor, "v", 1),
        "merge": doing(merging.merge, ann.actor, "v", "w"),
        "push": doing(set_file, ann.actor, "v", "a", "->2"),
    }
    taking = doing(set_file, bob.actor, "v", "d/x", "->3") if what == "push" else doing(workspaces.teardown, bob.actor, "v", force=True)
    programs = [program(ann, doings[what]), program(bob, taking), program(cat, file_worlds.sweeping(cat, grace))]
    return file_worlds.scene(place, programs, spaces=("v", "v-1", "w"), **more)
