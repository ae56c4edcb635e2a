"""Plain calls are read without argparse, and mean what argparse says they mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windlass.errors import UsageError
from windlass.surfaces.cli.context import load, parser_for, read
from windlass.surfaces.cli.options import Given
from windlass.surfaces.cli.table import COMMANDS

VALUES = [
    "design",
    "build",
    "-",
    "",
    "7",
    "0",
    "-5",
    "2.5",
    "nan",
    "ready",
    "yaml",
    "@file",
    "two words",
    "-x",
    "--",
    "a=b",
    "s3://b/p",
    "-two words",
]

PLAIN = {
    "claim": ["design", "--lease", "900"],
    "next": ["--label", "a", "--label", "b", "--json"],
    "complete": ["--note", "-", "design", "--failed"],
    "release": ["design", "--agent", "me"],
    "send": ["worker", "it is done", "--needs-ack"],
    "inbox": ["--new", "--limit", "3"],
    "memory set": ["a.b", "--if-version", "3", "value"],
    "memory get": ["a.b"],
    "memory list": ["--limit", "0", "design"],
    "wait-for": ["design", "build", "--timeout", "5"],
    "whoami": [],
    "step add": ["design", "--needs", "a", "--priority", "3"],
}


def words_of(name: str) -> st.SearchStrategy[list[str]]:
    """Words that this command knows, and others."""
    known = [flag for action in parser_for(name, load(name))._actions for flag in action.option_strings if flag not in ("-h", "--help")]
    return st.lists(st.sampled_from(known + [f"{flag}=x" for flag in known[:3]]) | st.sampled_from(VALUES), max_size=7)


def judged(name: str, words: list[str]) -> dict[str, object] | str:
    """What argparse says."""
    try:
        return vars(parser_for(name, load(name)).parse_args(words))
    except UsageError as error:
        return error.message


@pytest.mark.parametrize("name", COMMANDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_call_means_what_argparse_says_it_means(name: str, data: st.DataObject) -> None:
    words = data.draw(words_of(name))
    found: dict[str, object] | str
    try:
        found = vars(read(name, load(name), words))
    except UsageError as error:
        found = error.message
    assert repr(found) == repr(judged(name, words))  # as text, since nan differs from itself


@pytest.mark.parametrize("name", PLAIN)
def test_the_calls_of_every_day_are_read_without_argparse(name: str) -> None:
    found = read(name, load(name), PLAIN[name])
    assert isinstance(found, Given)
    assert vars(found) == judged(name, PLAIN[name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("complete", ["design", "--failed", "--blocked"]),
        ("inbox", ["--new", "--all"]),
        ("claim", []),
        ("claim", ["design", "build"]),
        ("claim", ["design", "--lease", "soon"]),
        ("claim", ["design", "--lease"]),
        ("wait-for", ["design", "--any", "build"]),
        ("inbox", ["--limit", "-1"]),
        ("plan export", ["--format", "xml"]),
        ("reject", ["design"]),
    ],
)
def test_a_mistake_is_named_by_argparse(name: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        read(name, load(name), words)
    assert error.value.message == judged(name, words)


@pytest.mark.parametrize("words", [["design", "--lease=900"], ["design", "--"], ["--lease", "-5", "design"]])
def test_calls_that_are_not_plain_are_read_by_argparse(words: list[str]) -> None:
    assert not isinstance(read("claim", load("claim"), words), Given)
