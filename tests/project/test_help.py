"""Every public method shows its signature, its contract and an example that works; async has the same names."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import pydoc
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import windlass
from windlass import aio
from windlass.project.agents import AgentsPart, AsyncAgentsPart
from windlass.project.artifacts import ArtifactsPart, AsyncArtifactsPart
from windlass.project.claims import AsyncClaim, Claim
from windlass.project.mail import AsyncMailPart, MailPart
from windlass.project.memory import AsyncMemoryPart, MemoryPart
from windlass.project.plan import AsyncPlanPart, PlanPart
from windlass.project.steps import AsyncSteps, Steps
from windlass.project.views import AsyncViews, Views
from windlass.project.workspaces import AsyncWorkspaceHandle, AsyncWorkspacesPart, WorkspaceHandle, WorkspacesPart

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS: list[tuple[type, type]] = [
    (windlass.Project, aio.Project),
    (Steps, AsyncSteps),
    (PlanPart, AsyncPlanPart),
    (MemoryPart, AsyncMemoryPart),
    (ArtifactsPart, AsyncArtifactsPart),
    (MailPart, AsyncMailPart),
    (AgentsPart, AsyncAgentsPart),
    (Views, AsyncViews),
    (Claim, AsyncClaim),
    (WorkspacesPart, AsyncWorkspacesPart),
    (WorkspaceHandle, AsyncWorkspaceHandle),
]
ONLY_BLOCKING = {"read_new"}


def methods(part: type) -> dict[str, Callable[..., Any]]:
    """Its public methods by name."""
    return {name: one for name in dir(part) if not name.startswith("_") and inspect.isroutine(one := getattr(part, name))}


ALL = [(part, name) for pair in PAIRS for part in pair for name in methods(part)]
each = pytest.mark.parametrize(("part", "name"), ALL, ids=[f"{part.__name__}.{name}" for part, name in ALL])


@each
def test_a_method_shows_what_it_takes_and_gives(part: type, name: str) -> None:
    method = methods(part)[name]
    signature = inspect.signature(method)
    first, *others = signature.parameters.values()
    assert first.name == "self"
    assert "actor" not in signature.parameters
    assert all(one.annotation is not inspect.Parameter.empty for one in others)
    assert signature.return_annotation is not inspect.Signature.empty
    assert "Op[" not in str(signature)
    assert method.__name__ == name
    assert re.search(rf"^(async )?{name}\(\s*self", pydoc.plain(pydoc.render_doc(method)), re.MULTILINE)


@each
def test_a_method_says_what_it_does(part: type, name: str) -> None:
    text = inspect.getdoc(methods(part)[name])
    assert text
    first = text.split("\n")[0]
    assert first[0].isupper() or first.startswith(("needs_review", "complete, failed"))
    assert ">>> " in text, "it has no example"


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS, ids=lambda part: part.__name__)
def test_async_has_the_same_names_and_takes_the_same(blocking: type, awaiting: type) -> None:
    ours, theirs = methods(blocking), methods(awaiting)
    assert ours.keys() - ONLY_BLOCKING == theirs.keys()
    for name, method in theirs.items():
        assert [str(one) for one in inspect.signature(method).parameters.values()][1:] == [
            str(one) for one in inspect.signature(ours[name]).parameters.values()
        ][1:]


def test_a_project_has_the_same_parts_both_ways(home: Path) -> None:
    async def names() -> set[str]:
        async with aio.open(str(home / "a"), project="demo", agent="a", create=True) as p:
            return {name for name in dir(p) if not name.startswith("_")}

    assert asyncio.run(names()) == {name for name in dir(windlass.Project) if not name.startswith("_")}


def test_a_method_called_wrongly_says_so_at_once(p: windlass.Project) -> None:
    with pytest.raises(TypeError):
        p.memory.set("key")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        p.steps.release("x", nte="typing error")  # type: ignore[call-arg]


def prepared(p: windlass.Project) -> windlass.records.Claim:
    """What the examples are about."""
    p.steps.add("design", title="Design the API", labels=["backend"])
    with p.steps.claim("done") as claim:
        claim.complete()
    p.steps.add("build", title="Build it", needs=["done"], priority=-1)
    p.steps.add("docs")
    p.steps.claim("review-me").complete(state="needs_review")
    p.memory.set("key", "value")
    p.mail.send("designer", "hello")
    for body in (b"[]", b"{}"):
        p.artifacts.upload(body, name="schema")
    Path("dist").mkdir(exist_ok=True)
    Path("dist/app.tar.gz").write_bytes(b"packed")
    return p.steps.claim("build")


def with_workspaces(p: windlass.Project, part: type) -> None:
    """Two workspaces, and a folder of files, where a part is about them."""
    if "Workspace" not in part.__name__:
        return
    for path, text in (("src/api.py", "x = 1"), ("site/index.html", "<h1>Hi</h1>")):
        Path(path).parent.mkdir()
        Path(path).write_text(text)
    p.workspaces.create("site", folder="site")
    p.workspaces.checkpoint("site", "first")
    p.workspaces.create("empty")


def other_reviewer(p: windlass.Project, name: str) -> None:
    """Nobody approves their own work: where the example reviews, somebody else does."""
    if name in {"approve", "reject"}:
        p.session.become(agent="reviewer")


def sources(method: Callable[..., Any]) -> list[doctest.Example]:
    """The examples in a method's text."""
    return doctest.DocTestParser().get_examples(inspect.getdoc(method) or "")


SYNC = [(part, name) for part, _ in PAIRS for name in methods(part)]


@pytest.mark.parametrize(("part", "name"), SYNC, ids=[f"{part.__name__}.{name}" for part, name in SYNC])
def test_the_example_works(part: type, name: str, open_as: Callable[..., windlass.Project]) -> None:
    p = open_as("designer")
    held = prepared(p)
    if part is Claim:
        held.release()
    with_workspaces(p, part)
    other_reviewer(p, name)
    scope: dict[str, Any] = {"p": p, "windlass": windlass}
    for example in sources(methods(part)[name]):
        if isinstance(ast.parse(example.source).body[0], ast.Expr) and example.want:
            assert repr(eval(example.source, scope)) == example.want.strip(), example.source
        else:
            exec(example.source, scope)


ASYNC = [(part, name) for _, part in PAIRS for name in methods(part) if any("await " in one.source for one in sources(methods(part)[name]))]


@pytest.mark.parametrize(("part", "name"), ASYNC, ids=[f"{part.__name__}.{name}" for part, name in ASYNC])
def test_the_async_example_works(part: type, name: str, open_as: Callable[..., windlass.Project]) -> None:
    blocking = open_as("designer")
    prepared(blocking)
    with_workspaces(blocking, part)

    async def go() -> None:
        async with aio.open(blocking.store, project="demo", agent="designer") as p:
            for example in sources(methods(part)[name]):
                compiled = compile(example.source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                if example.want:
                    compiled = compile(example.source.strip(), name, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(compiled, {"p": p, "windlass": windlass})
                if inspect.isawaitable(result):
                    result = await result
                if example.want:
                    assert repr(result) == example.want.strip()

    asyncio.run(go())
