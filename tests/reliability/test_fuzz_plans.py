"""Plan files of any content: applied as they read, or refused whole with exit 2; never run, never expanded, never half applied."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from tests.reliability.fuzz_plans import REAL, TRAPS, plans
from tests.reliability.fuzz_text import budget
from tests.reliability.fuzz_world import World, alone, judge, small, swift

from windlass.errors import UsageError
from windlass.project.planfile import dump, parse
from windlass.protocol.plans import build, exported

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKS = (("step", "list"), ("plan", "graph", "--mermaid"), ("status", "--json"))
FINE = ("a time", "a time as a name", "a long chain", "a BOM", "CRLF", "CR", "a long anchor", "many steps")
"""Odd, and still plans."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project with a plan of its own."""
    with alone(tmp_path_factory.mktemp("plans")), swift():
        yield small(World())


def apply(world: World, content: bytes) -> int:
    """Apply a file; what it came to, after looking at what that left."""
    world.restore()
    result = world.run("plan", "apply", "-", "--json", stdin=content)
    judge(result)
    world.check_writes({}, result)
    assert result.code in (0, 2), result
    if result.code:
        assert {key for key in world.store._objects if "/steps/" in key} == {key for key in world.saved if "/steps/" in key}, "half applied"
        return result.code
    for look in LOOKS:
        judge(world.ok(*look))
    for form in ("yaml", "json"):
        shown = world.ok("plan", "export", "--format", form)
        judge(shown)
        again = world.ok("plan", "apply", "-", "--json", stdin=shown.out.encode())
        assert json.loads(again.out)["counts"]["changed"] == json.loads(again.out)["counts"]["added"] == 0
    return 0


@pytest.mark.parametrize("trap", TRAPS)
def test_a_file_that_means_harm_is_refused_whole_or_is_a_plan(world: World, trap: str) -> None:
    if trap in ("a long chain", "many steps"):
        assert len(build(parse(TRAPS[trap].decode())).steps) >= 3000
    else:
        assert apply(world, TRAPS[trap]) == (0 if trap in FINE else 2), trap
    assert not os.path.exists("windlass-fuzz-was-here")


def test_the_forms_of_a_real_plan_say_the_same(world: World) -> None:
    plain = build(parse(REAL))
    for form in ("a BOM", "CRLF", "CR"):
        assert build(parse(TRAPS[form].decode())) == plain, form
    assert apply(world, REAL.encode()) == 0


@budget(60)
@given(content=plans())
def test_no_plan_is_a_traceback_and_what_is_taken_comes_out_again(world: World, content: bytes) -> None:
    apply(world, content)


@budget(250)
@given(content=plans())
def test_whatever_is_read_is_written_so_that_it_reads_the_same(content: bytes) -> None:
    try:
        plan = build(parse(content.decode("utf-8", "replace")))
        json.dumps(exported(plan.steps), ensure_ascii=False).encode()  # half a character is refused when the plan is applied
    except (UsageError, UnicodeEncodeError):
        return
    assert build(parse(dump(exported(plan.steps)))) == plan
