"""Do the tests bite? Every seeded bug still fits the code, names tests that exist, and a sample of them is really put in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from tests.reliability.bugs.bug import Bug, Stale
from tests.reliability.bugs.harness import ROOT, Copy
from tests.reliability.bugs.table import ALL, BUGS

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = 4
SLOW = ("tests/e2e/", "tests/contract/", "tests/stores/")
"""Too slow for a sample in every run, or waiting for other processes."""
QUICK = Bug(
    "quick",
    "A frozen step is finished.",
    "protocol/transitions.py",
    "    _live(step)\n    event = handoff.state.value\n",
    "    event = handoff.state.value\n",
    ("tests/protocol/test_transitions.py::test_only_the_holder_finishes",),
)


def sample() -> list[str]:
    """Some bugs: the same ones for the same code, others when it changes."""
    code = b"".join(path.read_bytes() for path in sorted((ROOT / "src").rglob("*.py")))
    quick = [bug.name for bug in ALL if not any(test.startswith(SLOW) for test in bug.caught_by)]
    return sorted(random.Random(crc32(code)).sample(quick, SAMPLE))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("bugs"))


def test_each_bug_has_a_name_of_its_own_and_says_what_goes_wrong() -> None:
    assert len(BUGS) == len(ALL) >= 30
    for bug in ALL:
        assert bug.name == bug.name.lower().replace(" ", "-").replace("_", "-")
        assert bug.harm.endswith(".")
        assert bug.caught_by


@pytest.mark.parametrize("name", BUGS)
def test_each_bug_still_fits_the_code(name: str) -> None:
    bug = BUGS[name]
    assert bug.spoil(bug.file(ROOT / "src").read_text(encoding="utf-8"))


def test_every_test_that_is_to_catch_a_bug_exists(copy: Copy) -> None:
    run = copy.pytest("--collect-only", *dict.fromkeys(test for bug in ALL for test in bug.caught_by))
    assert run.code == 0, run.output[-2000:]


@pytest.mark.parametrize("name", sample())
def test_a_seeded_bug_is_caught(copy: Copy, name: str) -> None:
    clean = copy.pytest(*BUGS[name].caught_by)
    assert clean.code == 0, f"without the bug too:\n{clean.output[-2000:]}"
    verdict = copy.judge(BUGS[name])
    assert verdict.outcome == "caught", f"{verdict.why}\n{verdict.output[-2000:]}"


# The harness itself: what it calls caught was caught.


def test_a_bug_that_no_test_notices_is_told(copy: Copy) -> None:
    harmless = QUICK._replace(new="    step = _live(step)\n    event = handoff.state.value\n")
    assert copy.judge(harmless).outcome == "survived"


@pytest.mark.parametrize(
    "new",
    ["    _life(step)\n    event = handoff.state.value\n", "    from windlass import nothing\n    event = handoff.state.value\n"],
    ids=["a name that is not there", "an import that fails"],
)
def test_a_bug_that_only_breaks_the_file_counts_as_nothing(copy: Copy, new: str) -> None:
    assert copy.judge(QUICK._replace(new=new)).outcome == "broken"


def test_tests_that_hang_count_as_nothing(copy: Copy) -> None:
    hanging = QUICK._replace(new="    import time\n\n    time.sleep(1000)\n    event = handoff.state.value\n")
    assert copy.judge(hanging, limit=3.0).outcome == "hung"


def test_a_test_that_does_not_exist_counts_as_nothing(copy: Copy) -> None:
    assert copy.judge(QUICK._replace(caught_by=("tests/protocol/test_transitions.py::test_no_such",))).outcome == "broken"


def test_a_bug_that_does_not_fit_is_refused_and_the_copy_stays_whole(copy: Copy) -> None:
    for old in ("nowhere in there", "step"):
        with pytest.raises(Stale):
            copy.judge(QUICK._replace(old=old))
    with pytest.raises(SyntaxError):
        copy.judge(QUICK._replace(new="    _live(step\n"))
    for path in sorted((ROOT / "src" / "windlass" / "protocol").glob("*.py")):
        assert (copy.src / "windlass" / "protocol" / path.name).read_bytes() == path.read_bytes()


def test_whatever_is_not_the_copy_is_not_tested(tmp_path: Path) -> None:
    here = Copy(tmp_path)
    here.src = tmp_path / "nowhere"  # then the installed package is found, which is the real tree
    run = here.pytest("tests/protocol/test_transitions.py")
    assert run.code == 3, run.output
