"""A pytest plugin that writes down what became of each test, and sees to it that the spoilt copy is what is tested."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

SRC, LINES = "WINDLASS_BUGS_SRC", "WINDLASS_BUGS_LINES"
"""Variables: the copy of `src` that must be tested; the file that gets a JSON line for each test, or part of a test that failed."""

_LINES = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Stop where another copy of the package would be tested."""
    import windlass

    config.stash[_LINES] = open(os.environ[LINES], "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (tests may empty the environment)
    config.add_cleanup(config.stash[_LINES].close)
    if not Path(windlass.__file__).is_relative_to(os.environ[SRC]):
        pytest.exit(f"{windlass.__file__} is not below {os.environ[SRC]}", 3)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a test's call, and whatever else of it failed."""
    report = yield
    if report.when == "call" or not report.passed:
        error = call.excinfo
        line = {
            "id": item.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "seconds": round(call.duration, 3),
            "error": [kind.__name__ for kind in error.type.__mro__] if error else [],
            "message": str(error.value)[:300] if error else "",
        }
        item.config.stash[_LINES].write(json.dumps(line) + "\n")
    return report
