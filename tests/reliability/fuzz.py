"""Fuzz everything that comes from outside, for as long as one likes: `python -m tests.reliability.fuzz --out FILE.json`.

Runs the tests of tests/reliability/test_fuzz_*.py with random examples and many more of them, and where atheris is installed
a coverage-guided run of the parsers. One row for each target.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
TARGETS = {
    "documents": "every kind of document, spoiled, under every command",
    "names": "names, keys and message ids",
    "plans": "plan files",
    "arguments": "command lines",
    "settings": "store URLs, settings and profile files, variables",
    "places": "odd files in a store, hints",
    "answers": "answers of an S3 server",
    "interface": "arguments of the Python interface",
}
"""test_fuzz_NAME.py, and what it is about."""
COVERED = ("documents", "keys", "plans", "urls", "answers")
"""Targets of the coverage-guided run: see fuzz_covered.py."""


class Row(NamedTuple):
    """One target's figures."""

    target: str
    how: str
    inputs: int
    commands: int
    violations: int
    seconds: float


def by_hypothesis(name: str, times: float, workers: int) -> tuple[Row, str]:
    """The tests of one target with so many times the examples; what failed, in words."""
    counts = Path(tempfile.mkdtemp(prefix="windlass-fuzz-")) / "counts"
    counts.touch()
    env = {**os.environ, "WINDLASS_FUZZ": str(times), "WINDLASS_FUZZ_COUNTS": str(counts)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers), f"tests/reliability/test_fuzz_{name}.py"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    failed = sum(map(int, re.findall(r"(\d+) (?:failed|errors?)\b", done.stdout.splitlines()[-1] if done.stdout else "")))
    inputs, commands = (sum(int(line.split()[i]) for line in counts.read_text().splitlines()) for i in (0, 1))
    counts.unlink()
    counts.parent.rmdir()
    broken = failed or (1 if done.returncode else 0)
    return Row(TARGETS[name], "random", inputs, commands, broken, seconds), done.stdout[-6000:] + done.stderr[-2000:] if broken else ""


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with, for targets that would take ages to find any that are accepted."""
    if name == "plans":
        from tests.reliability.fuzz_plans import REAL, TRAPS

        return [REAL.encode(), *(trap for trap in TRAPS.values() if len(trap) < 4000)]
    if name == "urls":
        from tests.reliability.fuzz_settings import URLS

        return [url.encode("utf-8", "replace") for url in URLS if len(url) < 1000]
    if name == "documents":
        from tests.reliability.fuzz_world import KINDS, World, alone, kind_of, small, swift

        with tempfile.TemporaryDirectory(prefix="windlass-fuzz-") as folder, alone(Path(folder)), swift():
            world = small(World())
        kinds = list(dict.fromkeys(KINDS.values()))
        return [bytes([kinds.index(kind_of(key))]) + world.body(key) for key in world.keys]
    return []


def by_coverage(python: str, name: str, seconds: int) -> tuple[Row, str]:
    """A coverage-guided run of one target by another Python's atheris."""
    command = [
        python,
        "-m",
        "tests.reliability.fuzz_covered",
        name,
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-rss_limit_mb=1500",
        "-print_final_stats=1",
    ]
    with tempfile.TemporaryDirectory(prefix="windlass-fuzz-") as folder:
        corpus, crashed = Path(folder) / "corpus", Path(folder) / "crashed"
        corpus.mkdir()
        crashed.mkdir()
        for number, seed in enumerate(seeds(name)):
            (corpus / str(number)).write_bytes(seed)
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        begun = time.monotonic()
        done = subprocess.run(
            [*command, f"-artifact_prefix={crashed}/", str(corpus)],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
        )
        spent = time.monotonic() - begun
        crashes = [path.read_bytes() for path in crashed.iterdir()]
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    broken = len(crashes) or (1 if done.returncode else 0)
    told = "\n".join([repr(crash) for crash in crashes]) + done.stderr[-4000:] if broken else ""
    return Row(f"parser of {name}", "coverage-guided", int(found[1]) if found else 0, 0, broken, spent), told


def atheris() -> tuple[str, str]:
    """A Python that has atheris, or "" and why there is none."""
    for python in (os.environ.get("WINDLASS_FUZZ_PYTHON", ""), str(ROOT / ".venvs/fuzz/bin/python"), sys.executable):
        if python and Path(python).exists():
            env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            if subprocess.run([python, "-c", "import atheris, yaml, windlass"], env=env, capture_output=True, check=False).returncode == 0:
                return python, ""
    return "", "the coverage-guided run was skipped: atheris is not installed (requirements: atheris, PyYAML in .venvs/fuzz)"


def main() -> int:
    """Exit code 1 where anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description="Fuzz everything that comes from outside.")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--times", type=float, default=10.0, help="how many times the examples of the quick run (default 10)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--covered-seconds", type=int, default=30, help="seconds of each coverage-guided target (default 30, 0 for none)")
    parser.add_argument("--only", choices=sorted(TARGETS), action="append", help="only this target (again for more)")
    args = parser.parse_args()
    begun = time.monotonic()
    rows: list[Row] = []
    notes: list[str] = []

    def add(row: Row, told: str) -> None:
        rows.append(row)
        print(
            f"{row.target}: {row.inputs:,} inputs, {row.commands:,} commands, {row.violations} violations, {row.seconds:.0f} s", flush=True
        )
        if told:
            print(told, flush=True)

    for name in args.only or TARGETS:
        add(*by_hypothesis(name, max(1.01, args.times), args.workers))
    python, why = atheris() if args.covered_seconds and not args.only else ("", "the coverage-guided run was not asked for")
    if python:
        for name in COVERED:
            add(*by_coverage(python, name, args.covered_seconds))
    else:
        notes.append(why)
        print(why)
    report = {
        "part": "fuzz",
        "command": f"python -m tests.reliability.fuzz --times {args.times:g} --covered-seconds {args.covered_seconds} --out FILE.json",
        "seconds": round(time.monotonic() - begun, 1),
        "columns": ["target", "how", "inputs", "commands run", "violations", "seconds"],
        "rows": [[row.target, row.how, row.inputs, row.commands, row.violations, round(row.seconds, 1)] for row in rows],
        "notes": notes,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row.violations for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
