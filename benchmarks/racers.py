"""Agents of one process, a thread and a handle each, who claim the same fresh step at once, round after round.

PYTHON benchmarks/racers.py windlass|tracecraft STORE BUCKET ENDPOINT AGENTS ROUNDS PREFIX → JSON: seconds of each winner, seconds
until the last loser knew, winners of each round, CPU seconds of the process. The same loop for both sides; run by each side's own Python.
"""

from __future__ import annotations

import json
import sys
import time
from threading import Barrier, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def ours(store: str, number: int) -> Callable[[str], bool]:
    """An agent that acts by the public Python interface, known already, as an agent at work is."""
    import windlass

    project = windlass.open(store, project="bench", agent=f"agent-{number}")
    project.steps.claim(f"warm-{number}")

    def claim(step: str) -> bool:
        try:
            project.steps.claim(step)
        except windlass.ClaimLost:
            return False
        return True

    return claim


def theirs(bucket: str, endpoint: str, number: int) -> Callable[[str], bool]:
    """An agent by tracecraft's own S3 class, with the calls that its `claim` makes."""
    import os
    from datetime import UTC, datetime

    from tracecraft.protocol import normalize_step_id
    from tracecraft.s3 import S3, PreconditionFailed

    store, agent = S3(endpoint, bucket, "bench", os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]), f"agent-{number}"

    def claim(step: str) -> bool:
        sid = normalize_step_id(step)
        now = datetime.now(UTC).isoformat()
        try:
            store.put_json(f"steps/{sid}/claim.json", {"agent": agent, "claimed_at": now}, if_none_match=True)
        except PreconditionFailed:
            store.get_json(f"steps/{sid}/claim.json")
            return False
        store.put_json(f"steps/{sid}/status.json", {"status": "in_progress", "agent": agent, "started_at": now})
        return True

    claim(f"warm-{number}")
    return claim


def main(side: str, store: str, bucket: str, endpoint: str, agents: int, rounds: int, prefix: str) -> dict[str, object]:
    """One race a round."""
    claims = [ours(store, number) if side == "windlass" else theirs(bucket, endpoint, number) for number in range(agents)]
    start, end = Barrier(agents + 1), Barrier(agents + 1)
    found: list[tuple[float, float, bool]] = [(0.0, 0.0, False)] * agents

    def race(number: int) -> None:
        claim = claims[number]
        for n in range(rounds):
            step = f"{prefix}-{n}"
            start.wait()
            began = time.perf_counter()
            won = claim(step)
            found[number] = began, time.perf_counter(), won
            end.wait()

    threads = [Thread(target=race, args=(number,), daemon=True) for number in range(agents)]
    for thread in threads:
        thread.start()
    latency, over, winners = [], [], []
    used = time.process_time()
    for _ in range(rounds):
        start.wait()
        end.wait()
        won = [ended - began for began, ended, mine in found if mine]
        winners.append(len(won))
        latency.append(min(won, default=0.0))
        over.append(max(ended for _, ended, _ in found) - min(began for began, _, _ in found))
    return {"latency": latency, "over": over, "winners": winners, "cpu": time.process_time() - used}


if __name__ == "__main__":
    side, store, bucket, endpoint, agents, rounds, prefix = sys.argv[1:]
    print(json.dumps(main(side, store, bucket, endpoint, int(agents), int(rounds), prefix)))
