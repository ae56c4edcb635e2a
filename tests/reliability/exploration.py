"""Every small world, with the bounds within which it is gone through whole: at every commit, and in the long run.

`python -m tests.reliability.exploration --out FILE [--only NAME]` goes through all of them within the larger bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability import workspace_worlds, worlds
from tests.reliability.file_worlds import again, fork_while_pushed, forking, keeping, pushing

from windlass.testing.explore import Bounds, TooMany, Violation, explore

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.testing.explore import Explored, Scene

MOST = 30_000_000


class Run(NamedTuple):
    """A world and the faults on one way: `quick` at every commit (None: not then), `soak` in the long run."""

    name: str
    world: Callable[[], Scene]
    quick: int | None
    soak: int
    agents: int = 2
    small: bool = True
    """Small enough to be gone through without the reduction too, which proves the reduction."""


RUNS = (
    Run("claim and complete", worlds.claims, 3, 4),
    Run("claim and complete, restarted after a crash", lambda: worlds.claims(restarts=1), 2, 3),
    Run("claim and complete, the clock jumps past a lease", lambda: worlds.claims(jumps=1), 2, 3),
    Run("claim and complete, the clock jumps twice", lambda: worlds.claims(jumps=2), 2, 2),
    Run("claim and complete, clocks an hour off", lambda: worlds.claims(agents=3, jumps=1, skew=3600.0), 0, 1, agents=3),
    Run("three claim and complete", lambda: worlds.claims(agents=3), 2, 3, agents=3),
    Run("three claim and complete, the clock jumps", lambda: worlds.claims(agents=3, jumps=1), 1, 2, agents=3),
    Run("takeover of a silent holder that goes on", worlds.takeover, 2, 3),
    Run("takeover, the clock jumps twice", lambda: worlds.takeover(jumps=(worlds.EXPIRED,) * 2), 2, 3),
    Run("takeover by one of two", lambda: worlds.takeover(claimers=2), 1, 2, agents=3),
    Run(
        "a holder that shows life, the clock jumps twice by less than its lease", lambda: worlds.takeover(jumps=worlds.SHORT, beats=1), 1, 2
    ),
    Run("takeover by force", lambda: worlds.takeover(jumps=(), force=True), 2, 4),
    Run("release, claim again, reopen", worlds.release_and_reopen, 1, 2, agents=3),
    Run("release, claim again, reopen, the clock jumps", lambda: worlds.release_and_reopen(jumps=1), 0, 1, agents=3),
    Run("reopen against reopen", worlds.reopen, 2, 3),
    Run("hand in, approve, cancel", worlds.review, 1, 3, agents=3),
    Run("one agent on two machines", worlds.incarnations, 2, 3),
    Run("one agent on two machines, the clock jumps", lambda: worlds.incarnations(jumps=1), 1, 2),
    Run("two shells of one agent, and another agent", worlds.shells, 1, 2, agents=3),
    Run("two writers and a reader of a memory key", worlds.values, 1, 2, agents=3),
    Run("two writers of a memory key that is there", lambda: worlds.values(start=True, reads=0), 2, 3),
    Run("delete against set", worlds.deleting, 2, 3),
    Run("one sends twice", worlds.lone_sender, 2, 4, agents=1),
    Run("one sends twice, restarted after a crash", lambda: worlds.lone_sender(restarts=1), 2, 4, agents=1),
    Run("two senders and a reader", worlds.mailbox, 2, 3, agents=3, small=False),
    Run("three senders and a reader", lambda: worlds.mailbox(senders=3), 0, 1, agents=4, small=False),
    Run("two senders of broadcasts and a reader", lambda: worlds.mailbox(to="_broadcast"), 1, 2, agents=3, small=False),
    Run("a sender, and a reader restarted after a crash", lambda: worlds.mailbox(senders=1, restarts=1), 2, 3, small=False),
    Run("senders that remember a log from before a restore", lambda: worlds.mailbox(hints=(2, 1)), 0, 1, agents=3, small=False),
    Run("one id sent twice", worlds.same_id, 2, 2, small=False),
    Run("a chain of three steps: next and complete", lambda: worlds.three_steps(rounds=2, chain=True), 0, 1, small=False),
    Run("three steps: next and complete, one each", lambda: worlds.three_steps(rounds=1), 2, 3, small=False),
    Run("three steps, one of them done: next and complete", lambda: worlds.three_steps(rounds=2, begun=True), 0, 1, small=False),
    Run("three steps: next and complete, one each, three agents", lambda: worlds.three_steps(3, 1), 0, 0, agents=3, small=False),
    Run("three steps: next and complete", worlds.three_steps, None, 0),
    Run("apply a plan while one asks for the next step", lambda: worlds.three_steps(1, 2, applied=False, chain=True), 1, 2, small=False),
    Run(
        "apply a plan while two ask for the next step",
        lambda: worlds.three_steps(2, 1, applied=False, chain=True),
        0,
        0,
        agents=3,
        small=False,
    ),
    Run("upload what a deleted artifact had, gc", again, 1, 2),
    Run("upload what a deleted artifact had, gc, the clock jumps", lambda: again(jump=True), 0, 1, small=False),
    Run("upload what a deleted artifact had, gc gives every upload up", lambda: again(grace=0.0), 1, 2, small=False),
    Run("upload, two gc", lambda: again(gcs=2), 0, 0, agents=3, small=False),
    Run("upload, two gc that may die", lambda: again(gcs=2, faults=("crash",)), None, 1, agents=3, small=False),
    Run("upload, two gc that give every upload up", lambda: again(grace=0.0, gcs=2), None, 0, agents=3, small=False),
    Run("upload, gc gives it up twice, a request comes late", lambda: again(grace=0.0, runs=2, faults=("late",)), 1, 2, small=False),
    Run("upload that cannot tell whether it published, gc", lambda: again(grace=0.0, faults=("late", "unavailable")), None, 2, small=False),
    Run("publish again what is there, delete, gc", keeping, 0, 1, agents=3, small=False),
    Run("publish again what is there, delete, gc gives every upload up", lambda: keeping(0.0), 0, 1, agents=3, small=False),
    Run("fork, teardown, gc", forking, 0, 1, agents=3, small=False),
    Run("fork, teardown, gc gives every upload up", lambda: forking(grace=0.0), 0, 1, agents=3, small=False),
    Run("fork of two, teardown, gc", lambda: forking(2), 0, 1, agents=3, small=False),
    Run("fork of two, one name is taken meanwhile, gc", lambda: forking(2, "w-2"), 0, 1, agents=3, small=False),
    Run("fork, push, gc", fork_while_pushed, None, 0, agents=3, small=False),
    Run("two pushes, gc", pushing, 0, 1, agents=3, small=False),
    Run("two pushes, gc gives every upload up", lambda: pushing(0.0), None, 0, agents=3, small=False),
    Run("two push to a workspace", lambda: workspace_worlds.pushes(merged=False), 2, 3, small=False),
    Run("two push to a workspace, a third merges into it", workspace_worlds.pushes, 0, 1, agents=3, small=False),
    Run("two workspaces are merged into each other", workspace_worlds.merges, 1, 2, small=False),
    Run("two are merged into each other, a third pushes", lambda: workspace_worlds.merges(push=True), 0, 1, agents=3, small=False),
    Run("restore against push", workspace_worlds.restores, 2, 3, small=False),
    Run("a fork of two", workspace_worlds.forking, 2, 3, agents=1),
    Run("a fork of two over torn down ones", lambda: workspace_worlds.forking(torn=True), 2, 3, agents=1, small=False),
    Run("two forks of the same names", lambda: workspace_worlds.forking(rivals=2), 0, 1, small=False),
    Run("two forks of the same name, the clock jumps", lambda: workspace_worlds.forking(rivals=2, jumps=1, n=1), 0, 1, small=False),
    Run("two forks over the same torn down ones", lambda: workspace_worlds.forking(rivals=2, torn=True), 0, 1, small=False),
    Run("a fork, its base is torn down, gc", lambda: workspace_worlds.swept("fork"), 0, 1, agents=3, small=False),
    Run("a fork, its base is torn down, gc gives up", lambda: workspace_worlds.swept("fork", 0.0), None, 0, agents=3, small=False),
    Run("a merge, what is merged is torn down, gc", lambda: workspace_worlds.swept("merge"), 0, 1, agents=3, small=False),
    Run("a merge, what is merged is torn down, gc gives up", lambda: workspace_worlds.swept("merge", 0.0), 0, 1, agents=3, small=False),
    Run("two pushes to a workspace, gc", lambda: workspace_worlds.swept("push"), None, 0, agents=3, small=False),
)


def go(run: Run, faults: int, *, reduce: bool = True) -> Explored:
    """Go through a world. Raises Violation, TooMany."""
    return explore(run.world(), Bounds(faults=faults, states=MOST, reduce=reduce))


def main() -> int:
    """All worlds within the larger bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.exploration", description=__doc__)
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--only", metavar="NAME", help="worlds whose name holds this")
    parser.add_argument("--quick", action="store_true", help="within the bounds of every commit")
    options = parser.parse_args()
    rows: list[list[object]] = []
    failed = 0
    begun = time.monotonic()
    for run in RUNS:
        faults = run.quick if options.quick else run.soak
        if faults is None or (options.only and options.only not in run.name):
            continue
        since = time.monotonic()
        try:
            done = go(run, faults)
        except (Violation, TooMany) as found:
            print(f"{run.name}, {faults} faults: {found}", file=sys.stderr)
            failed += 1
            continue
        took = time.monotonic() - since
        rows.append([run.name, run.agents, faults, done.states, done.transitions, done.ends, done.longest, round(took, 1)])
        print(f"{run.name}: {faults} faults, {done.states:,} states, {done.transitions:,} transitions, {took:.1f} s", flush=True)
    if options.out:
        figures = {
            "part": "exploration",
            "command": "python -m tests.reliability.exploration",
            "seconds": round(time.monotonic() - begun, 1),
            "columns": ["World", "Programs", "Faults at most", "States", "Transitions", "Different ends", "Longest way", "Seconds"],
            "rows": rows,
            "notes": [
                f"{failed} worlds with a violation, or too large."
                if failed
                else "No violation: every state within these bounds keeps the invariants."
            ],
        }
        Path(options.out).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
