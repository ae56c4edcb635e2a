"""Plans on the command line: applied as often as one likes, exported as they are, drawn by levels."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli

PLAN = """
steps:
  design: {title: Design the API, priority: 10}
  build:
    description: |
      First the model,
      then the view.
    acceptance: make test passes
    needs: [design]
    labels: [backend]
    max_hold: 14400
  release: {needs: [design, build]}
"""

MANY = """
import windlass
with windlass.open() as p:
    p.plan.apply({"steps": {f"s{n:03}": {"needs": [f"s{n % 10:03}"] if n >= 10 else []} for n in range(150)}})
"""


def apply(cli: Cli, text: str) -> dict[str, int]:
    result = cli.run("plan", "apply", "-", "--json", agent="ann", input=text)
    assert result.code == 0, result
    counts: dict[str, int] = result.json["counts"]
    return counts


def test_applying_again_changes_only_what_differs(everywhere: Cli) -> None:
    cli = everywhere
    (cli.cwd / "plan.yaml").write_text(PLAN, encoding="utf-8")
    first = cli.ok("plan", "apply", "plan.yaml", agent="ann").out
    assert first.startswith("plan applied: 3 added, 0 changed, 0 unchanged, as ann\n  added: design, build, release\n")
    assert cli.ok("plan", "apply", "plan.yaml", agent="bob").out == "plan applied: 0 added, 0 changed, 3 unchanged, as bob\n"
    cli.ok("claim", "design", agent="ann")
    changed = PLAN.replace("Design the API", "Design it") + "  docs: {}\n"
    assert apply(cli, changed) == {"added": 1, "changed": 1, "unchanged": 2}
    status = cli.json("step-status", "design")
    assert (status["status"], status["agent"]) == ("in_progress", "ann"), "a plan never touches a claim"


def test_an_export_is_the_plan_again(everywhere: Cli) -> None:
    cli = everywhere
    apply(cli, PLAN)
    yaml, js = cli.ok("plan", "export").out, cli.ok("plan", "export", "--format", "json").out
    for text in (yaml, js, cli.ok("plan", "export", "--json").out):
        assert apply(cli, text) == {"added": 0, "changed": 0, "unchanged": 3}
        other = cli.run("plan", "apply", "-", "--project", f"copy{len(text)}", "--json", agent="ann", input=text)
        assert other.json["counts"]["added"] == 3
        assert cli.ok("plan", "export", "--project", f"copy{len(text)}").out == yaml


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "1",
        "1.5",
        "null",
        "2024-01-01",
        "1e3",
        "0x10",
        "a: b",
        "# x",
        "- x",
        "é\u2028",
        "\x1b[31m\u202e",
        "a\u202eb",
        "*a",
        "'\"",
        "  two\n x",
    ],
)
def test_any_text_survives_an_export(cli: Cli, text: str) -> None:
    plan = {"steps": {"yes": {"title": text, "description": text, "labels": ["no", "1"]}, "1.0": {"needs": ["yes"]}}}
    apply(cli, json.dumps(plan))
    exported = cli.ok("plan", "export").out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", exported), "a file that is looked at in a terminal"
    assert apply(cli, exported) == {"added": 0, "changed": 0, "unchanged": 2}
    assert cli.json("step", "show", "yes")["step"]["title"] == text


def test_the_help_shows_a_plan_that_works(cli: Cli) -> None:
    page = cli.ok("plan", "apply", "-h").out
    assert apply(cli, page[page.index("a plan:\n") + 8 :])["added"] == 3


def test_a_graph_by_levels(cli: Cli) -> None:
    apply(cli, PLAN)
    cli.ok("claim", "design", agent="ann")
    assert cli.ok("plan", "graph").out.splitlines() == [
        "level 1",
        "  design  in_progress  ann",
        "level 2",
        "  build  pending    needs design",
        "level 3",
        "  release  pending    needs design, build",
    ]
    steps = cli.json("plan", "graph")["steps"]
    assert [(one["step"], one["level"]) for one in steps] == [("design", 1), ("build", 2), ("release", 3)]


def test_a_graph_as_mermaid(cli: Cli) -> None:
    hostile = '"]; click s0 "javascript:alert(1)" <b>&'
    apply(cli, json.dumps({"steps": {"a": {"title": hostile}, "b": {"needs": ["a"]}}}))
    lines = cli.ok("plan", "graph", "--mermaid").out.splitlines()
    assert lines[0] == "graph TD"
    assert "  s0 --> s1" in lines
    label = re.fullmatch(r'  s0\["a<br/>(.*)"\]:::pending', lines[1])
    assert label
    assert not set(label[1]) & set('"<>&[]()')
    assert re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label[1]) == hostile


def test_a_large_graph_is_bounded_and_shows_what_is_open_first(cli: Cli) -> None:
    cli.python(MANY, agent="ann")
    cli.ok("claim", "s000", agent="ann")
    cli.ok("complete", "s000", agent="ann")
    text = cli.ok("plan", "graph").out
    assert len(text.splitlines()) < 80
    assert "s000" not in {line.split()[0] for line in text.splitlines()}
    assert text.endswith("… 90 more steps: windlass plan graph --all\n")
    assert len(cli.json("plan", "graph")["steps"]) == 60
    assert len(cli.json("plan", "graph", "--all")["steps"]) == 150
    mermaid = cli.run("plan", "graph", "--mermaid")
    assert "90 more steps: windlass plan graph --mermaid --all" in mermaid.err
    assert mermaid.out.count("-->") <= 60


def test_circles_are_shown_and_not_waited_for(cli: Cli) -> None:
    apply(cli, "steps: {a: {}, b: {needs: a}, c: {needs: b}}")
    path = cli.file("steps/a.json")
    step = json.loads(path.read_bytes())
    path.write_text(json.dumps({**step, "needs": ["b"]}))  # as two plans applied at once can leave it
    text = cli.ok("plan", "graph").out
    assert "circle: a → b → a" in text
    assert "in a circle, or waiting for one" in text
    assert cli.json("plan", "graph")["circles"] == [["a", "b", "a"]]
    waiting = cli.run("wait-for", "c")
    assert (waiting.code, "a → b → a" in waiting.err or "b → a → b" in waiting.err) == (6, True)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("", "empty"),
        ("steps: [", "not valid YAML at line"),
        ("{", "not valid"),
        ('{"steps": {"a": {}, "a": {}}}', "'a' twice"),
        ("steps: {a: {}, a: {}}", "'a'"),
        ("title: x", "no `steps`"),
        ("- a", "no `steps`"),
        ("steps: 3", "neither a mapping nor a list"),
        ("steps: {a/b: {}}", "'a/b' is no step name"),
        ("steps: {1: {}}", "1 is no step name"),
        ("steps: {a: {owner: ann}}", "unknown field 'owner'"),
        ("steps: {a: {}}\nagents: 3", "unknown field 'agents'"),
        ("steps: {a: {needs: [b]}}", "a needs b, which does not exist"),
        ("steps: {a: {needs: [a]}}", "a → a"),
        ("steps: {a: {needs: c}, b: {needs: a}, c: {needs: b}}", "→"),
        ("steps: {a: {priority: high}}", "priority is not a whole number"),
        ("steps: {a: {title: [x]}}", "title is not text"),
        ("steps: {a: {max_hold: 1}}", "lease of 1 s"),
        ("steps: &x {a: *x}", "reference"),
        ("steps: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("steps: " + "[" * 5000, "nested"),
        ('{"steps": ' + "[" * 100000, ""),
        ("steps: {a: {description: '" + "x" * 300_000 + "'}}", "300,000 bytes"),
    ],
)
def test_a_plan_that_is_wrong_changes_nothing(cli: Cli, plan: str, said: str) -> None:
    result = cli.run("plan", "apply", "-", agent="ann", input=plan)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert len(result.err.splitlines()) <= 2
    assert cli.json("step", "list")["steps"] == []
