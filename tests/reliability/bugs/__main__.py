"""Do the tests bite? `python -m tests.reliability.bugs` puts each bug of the table into a copy, and runs what should catch it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.reliability.bugs.bug import Stale
from tests.reliability.bugs.harness import LIMIT, Copy, Verdict
from tests.reliability.bugs.table import BUGS

FAST = ("tests/protocol", "tests/drivers", "tests/ops", "tests/stores", "tests/contract", "tests/project")
"""Where `--find` looks, unless told otherwise."""


def main() -> int:
    """1 where a bug survives, hangs its tests or cannot be put in."""
    parse = argparse.ArgumentParser(prog="python -m tests.reliability.bugs", description=__doc__)
    parse.add_argument("--out", type=Path, help="write the table there, as JSON")
    parse.add_argument("--jobs", type=int, default=2)
    parse.add_argument("--bug", action="append", choices=sorted(BUGS), metavar="NAME", help="only this one, and show how its tests fail")
    parse.add_argument("--find", choices=sorted(BUGS), metavar="NAME", help="which tests of PATHS notice it")
    parse.add_argument("--list", action="store_true", help="the names of all bugs")
    parse.add_argument("--limit", type=float, default=LIMIT, help="seconds that the tests of one bug may take")
    parse.add_argument("paths", nargs="*", default=FAST)
    args = parse.parse_args()
    if args.list:
        print("\n".join(BUGS))
        return 0
    with tempfile.TemporaryDirectory(prefix="windlass-bugs-") as folder:
        if args.find:
            return find(Path(folder), args.find, args.paths, args.limit)
        return table(Path(folder), args.bug or list(BUGS), args.jobs, args.limit, args.out, show=bool(args.bug))


def find(folder: Path, name: str, paths: list[str], limit: float) -> int:
    """Print the tests that notice a bug, the quickest first."""
    run = Copy(folder).find(BUGS[name], [*paths, "--maxfail=25"], limit)
    for one in sorted(run.seen, key=lambda one: one.seconds):
        if one.outcome == "failed":
            mark = "" if one.noticed else f" NOT COUNTED: {one.when} {one.error[:1]}"
            print(f"{one.seconds:7.2f} s  {one.id}{mark}\n           {one.message.partition(chr(10))[0][:150]}")
    print(
        f"{len(run.seen)} tests, {sum(one.noticed for one in run.seen)} noticed, {run.seconds:.0f} s"
        + (", HUNG" if run.code is None else "")
    )
    if run.code not in (0, 1, None):
        print(run.output[-3000:])
    return 0 if any(one.noticed for one in run.seen) else 1


def table(folder: Path, names: list[str], jobs: int, limit: float, out: Path | None, *, show: bool) -> int:
    """Judge the bugs, `jobs` at once; first of all, what is to catch them must pass where there is no bug."""
    start = time.monotonic()
    copies: SimpleQueue[Copy] = SimpleQueue()
    for n in range(max(1, min(jobs, len(names)))):
        home = folder / str(n)
        home.mkdir()
        copies.put(Copy(home))
    first = copies.get()
    catchers = list(dict.fromkeys(test for name in names for test in BUGS[name].caught_by))
    clean = first.pytest(*catchers, limit=limit + 5 * len(catchers))
    copies.put(first)
    if clean.code != 0:
        print(clean.output[-6000:])
        print("without any bug these tests do not pass", file=sys.stderr)
        return 1
    skipped = sorted(one.id for one in clean.seen if one.outcome == "skipped")
    print(f"without a bug {len(clean.seen)} tests pass, {len(skipped)} of them skipped, {clean.seconds:.0f} s", flush=True)

    def judge(name: str) -> Verdict:
        copy = copies.get()
        try:
            verdict = copy.judge(BUGS[name], limit)
        except (Stale, SyntaxError) as error:
            verdict = Verdict(bug=BUGS[name], outcome="stale", seconds=0.0, why=str(error), output="")
        finally:
            copies.put(copy)
        print(f"{verdict.outcome:9}{verdict.seconds:6.1f} s  {name}  ({verdict.why[:110]})", flush=True)
        return verdict

    with ThreadPoolExecutor(jobs) as pool:
        verdicts = list(pool.map(judge, names))
    if show:
        for verdict in verdicts:
            print(f"\n{'=' * 20} {verdict.bug.name}: {verdict.bug.harm}\n{verdict.output}")
    bad = [one for one in verdicts if one.outcome != "caught"]
    seconds = time.monotonic() - start
    print(f"{len(verdicts) - len(bad)} of {len(verdicts)} seeded bugs caught, {seconds:.0f} s")
    for one in bad:
        print(f"{one.outcome}: {one.bug.name}: {one.why}", file=sys.stderr)
    if out is not None:
        out.write_text(json.dumps(_document(verdicts, seconds, skipped), indent=1) + "\n", encoding="utf-8")
    return 1 if bad else 0


def _document(verdicts: list[Verdict], seconds: float, skipped: list[str]) -> dict[str, object]:
    rows = [
        [
            one.bug.name,
            one.bug.harm,
            f"src/windlass/{one.bug.path}",
            one.outcome,
            ", ".join(f"`{test.removeprefix('tests/')}`" for test in one.bug.caught_by),
            one.seconds,
        ]
        for one in verdicts
    ]
    caught = sum(one.outcome == "caught" for one in verdicts)
    notes = [f"{caught} of {len(verdicts)} seeded bugs are caught by a named test; without a bug all these tests pass"]
    notes += ["reproduce one: .venv/bin/python -m tests.reliability.bugs --bug NAME"]
    notes += [f"skipped here: {test}" for test in skipped]
    return {
        "part": "seeded bugs",
        "command": ".venv/bin/python -m tests.reliability.bugs",
        "seconds": round(seconds, 1),
        "columns": ["bug", "what goes wrong", "place", "verdict", "caught by", "seconds"],
        "rows": rows,
        "notes": notes,
    }


if __name__ == "__main__":
    sys.exit(main())
