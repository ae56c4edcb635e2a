"""Plan files: words stay words, references and tags are refused, what is wrong is said with its place, and an export reads back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windlass.errors import UsageError
from windlass.project.planfile import MAX_PLAN, dump, parse
from windlass.protocol.plans import build, exported
from windlass.protocol.steps import Definition

PLAIN = """
# what is to be done
title: release
steps:
  design:
    title: Design the API
    description: |
      two
      lines
    priority: 3
  build: {needs: [design], labels: [code, 'on'], max_hold: 90.5}
  test: {needs: design}
  docs:
"""
STEPS = {
    "design": Definition(title="Design the API", description="two\nlines", priority=3),
    "build": Definition(needs=("design",), labels=("code", "on"), max_hold=90.5),
    "test": Definition(needs=("design",)),
    "docs": Definition(),
}


def steps_of(text: str) -> dict[str, Definition]:
    return dict(build(parse(text)).steps)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        build(parse(text))
    error = caught.value
    assert error.message
    assert error.hint
    assert "\n" not in error.message + error.hint
    return error


def test_yaml_and_json_say_the_same() -> None:
    assert steps_of(PLAIN) == STEPS
    assert list(steps_of(PLAIN)) == list(STEPS), "in the file's order"
    json = '{"steps": {"a": {"title": "x", "needs": ["b"], "priority": -2}, "b": {}}}'
    assert steps_of(json) == {"a": Definition(title="x", needs=("b",), priority=-2), "b": Definition()}
    assert steps_of("\ufeff" + PLAIN.strip()) == STEPS
    assert steps_of('{steps: {a: {title: "flow style is no JSON"}}}') == {"a": Definition(title="flow style is no JSON")}
    assert steps_of("steps:\n- name: a\n- {name: b, needs: [a]}") == {"a": Definition(), "b": Definition(needs=("a",))}


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "N", "No", "1:30", "2024-01-01", "2001-12-14t21:59:43.10-05:00",
                                  "1_000", "0x1F", "0o17", "1e3", ".inf", ".NaN", "=", "<<", "1.2.3", "True", "NULL"])  # fmt: skip
def test_words_that_older_readers_guess_at_stay_words(word: str) -> None:
    assert steps_of(f"steps: {{a: {{title: {word}}}}}")["a"].title == word
    if word[0].isalnum() and ":" not in word:
        assert steps_of(f"steps:\n  {word}: {{}}\n  b: {{needs: [{word}], labels: {word}}}")["b"].needs == (word,)


@pytest.mark.parametrize("number", ["012", "7", "-3", "+0"])
def test_numbers_are_decimal(number: str) -> None:
    assert steps_of(f"steps: {{a: {{priority: {number}}}}}")["a"].priority == int(number, 10)
    assert "quotes" in refusal(f"steps: {{{number}: {{}}}}").hint
    assert "a: title is not text" in refusal(f"steps: {{a: {{title: {number}}}}}").message
    assert "a: needs is not" in refusal(f"steps: {{a: {{needs: [{number}]}}}}").message
    assert steps_of(f"steps: {{a: {{title: '{number}'}}}}")["a"].title == number


WRONG = {
    "nothing": ("", "no `steps`"),
    "a list": ("- a", "no `steps`"),
    "an unknown field": ("steps: {}\nstep: {}", "'step'"),
    "an unknown field of a step": ("steps: {a: {need: [b]}}", "step a has an unknown field 'need'"),
    "steps as text": ("steps: all", "neither"),
    "a step as text": ("steps: {a: do it}", "step a is not"),
    "a step without a name": ("steps: [{title: x}]", "step 1 of the plan has no `name`"),
    "a name twice in a list": ("steps: [{name: a}, {name: a}]", "names a twice"),
    "a name twice": ("steps:\n  a: {}\n  b: {}\n  a: {}", "line 4, column 3"),
    "a field twice": ("steps:\n  a: {title: x, title: y}", "line 2"),
    "a name twice in JSON": ('{"steps": {"a": {}, "a": {}}}', "'a' twice"),
    "an illegal name": ("steps: {../a: {}}", "'../a' is no step name"),
    "an illegal need": ("steps: {a: {needs: [b c]}}", "'b c' is no step name"),
    "nothing as a name": ("steps: {~: {}}", "line 1"),
    "a list as a name": ("steps: {? [a] : {}}", "line 1"),
    "a broken line": ("steps:\n  a: [x\n  b: {}", "line 3"),
    "a tab": ("steps:\n\ta: {}", "line 2"),
    "two documents": ("steps: {}\n---\nsteps: {}", "line 2"),
    "broken JSON": ('{"steps": {"a": }}}', "line 1"),
    "a reference": ("steps: {a: &x {title: t}, b: *x}", "*x"),
    "a merge of a reference": ("x: &x {}\nsteps: {a: {<<: *x}}", "*x"),
    "laughs": ("a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]", "*a"),
    "a python tag": ("steps: !!python/object/apply:os.system [ls]", "line 1, column 8: a tag"),
    "a tag of text": ("steps: {a: {title: !!binary aGk=}}", "tag"),
    "a wrong tag": ("steps: {a: {title: !!timestamp x}}", "tag"),
    "a mapping that is none": ("steps: !!map [a]", "tag"),
    "an own tag": ("steps: !x {}", "tag"),
    "a circle": ("steps: {a: {needs: [b]}, b: {needs: [c]}, c: {needs: [a]}}", "a → b → c → a"),
    "itself": ("steps: {a: {needs: [a]}}", "a → a"),
    "a huge number": ("steps: {a: {priority: " + "9" * 5000 + "}}", "not valid"),
    "an endless hold": ('{"steps": {"a": {"max_hold": 1e999}}}', "max_hold"),
    "no number": ('{"steps": {"a": {"max_hold": NaN}}}', "max_hold"),
    "a number too large for a float": ('{"steps": {"a": {"max_hold": 1' + "0" * 400 + "}}}", "max_hold"),
    "no whole number": ("steps: {a: {priority: 1.5}}", "priority"),
    "a truth as a number": ("steps: {a: {priority: true}}", "priority"),
    "deep": ("steps: " + "{a: " * 40 + "x" + "}" * 40, "nested"),
    "very deep": ("steps: " + "[" * 200_000, "nested"),
    "very deep JSON": ('{"steps": ' + '{"a":' * 200_000, "nested"),
    "a control character": ("steps: {a: {title: \x00}}", "not valid"),
    "half a character": ("steps: {a: {title: '\ud800'}}", "not valid"),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_is_wrong_is_said_with_its_place(why: str) -> None:
    text, said = WRONG[why]
    assert said in refusal(text).message


def test_a_file_that_is_too_large_is_not_read() -> None:
    started = time.process_time()
    assert "32 MiB" in refusal("#" * (MAX_PLAN + 1)).hint
    assert time.process_time() - started < 1


def test_a_large_plan_is_read_in_seconds() -> None:
    big = {"steps": {f"s{n:05}": {"title": f"Step {n}", "needs": [f"s{n // 2:05}"] if n else []} for n in range(3000)}}
    text = dump(big)
    started = time.process_time()
    assert parse(text) == big
    many = ", ".join(f'"a{n}": {{}}' for n in range(100_000))
    assert len(parse(f'{{"steps": {{{many}}}}}')["steps"]) == 100_000
    assert "twice" in refusal(f'{{"steps": {{{many}, "a99999": {{}}}}}}').message
    assert time.process_time() - started < 20


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True).filter(lambda name: not name.endswith("."))
guesses = st.sampled_from(
    [
        "no",
        "012",
        "09",
        "1.5e3",
        "-09",
        "0008",
        ".5",
        "1.",
        "~",
        "",
        "null",
        "true",
        "1:30",
        "- x",
        "# x",
        "a: b",
        "'",
        '"',
        "=",
        " x ",
        "\x85",
        "a\u2028b",
        "\u2029 ",
        "\r",
        "\ufeff",
        "x\n y ",
    ]
)
texts = guesses | st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: text.strip("\n"))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), ascii_only=st.booleans())
def test_an_export_reads_back_as_it_was(data: st.DataObject, ascii_only: bool) -> None:
    every = data.draw(st.lists(names, min_size=1, max_size=4, unique=True))
    plan: dict[str, Definition] = {}
    for name in every:
        plan[name] = Definition(
            title=data.draw(texts),
            description=data.draw(texts),
            acceptance=data.draw(texts),
            needs=tuple(data.draw(st.lists(st.sampled_from([*plan]), unique=True, max_size=2))) if plan else (),
            priority=data.draw(st.integers(-(10**6), 10**6)),
            labels=tuple(data.draw(st.lists(names, unique=True, max_size=2))),
            max_hold=data.draw(st.none() | st.floats(5, 1e7)),
        )
    written: dict[str, Any] = exported(plan)
    assert steps_of(dump(written, ascii_only=ascii_only)) == plan
