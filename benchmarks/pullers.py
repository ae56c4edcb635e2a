"""Agents of one process, a thread and a project each, who pull work with `next` until a plan is done.

PYTHON benchmarks/pullers.py STORE SHAPE STEPS AGENTS → JSON: seconds from the first `next` to the last step's end, requests by kind, claims
and writes of the board that lost to somebody else's. Each agent remembers for itself, as on a machine of its own.
"""

from __future__ import annotations

import json
import sys
import time
from random import Random
from threading import Barrier, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windlass.project import Project
    from windlass.protocol.plans import Plan
    from windlass.stores.wrappers import Counting

WIDTH = 100
"""Steps in a layer of the layered plan."""
CHAINS = 60


def plan_of(shape: str, steps: int) -> Plan:
    """`flat`: all ready at once; `mixed`: with priorities; `layers`: each needs two of the layer before; `chains`: each needs one."""
    from windlass.protocol.plans import Plan
    from windlass.protocol.steps import Definition

    dice = Random(1)
    names = [f"s{n:05}" for n in range(steps)]
    made = {}
    for n, name in enumerate(names):
        needs: set[str] = set()
        if shape == "layers" and n >= WIDTH:
            first = n // WIDTH * WIDTH - WIDTH
            needs = {names[first + n % WIDTH], names[first + (n * 7 + 3) % WIDTH]}
        elif shape == "chains" and n >= CHAINS:
            needs = {names[n - CHAINS]}
        made[name] = Definition(needs=tuple(sorted(needs)), priority=dice.choice((0, 0, 0, 1, 2, 5)) if shape == "mixed" else 0)
    return Plan(steps=made)


def main(store: str, shape: str, steps: int, agents: int) -> dict[str, object]:
    """One plan, from its first claim to its last step."""
    import windlass
    from windlass.drivers.hints import MemoryHints
    from windlass.ops import plans
    from windlass.protocol import keys
    from windlass.stores.wrappers import Counting

    team: list[Project] = []
    counters: list[Counting] = []
    for number in range(agents):
        project = windlass.open(store, project="bench", agent=f"agent-{number}")
        world = project.session.world
        counter = Counting(world.store)
        world.store, world.hints = counter, MemoryHints()
        if not number:
            project.session.run(plans.apply(project.session.actor, plan_of(shape, steps)))
        project.memory.set("warm", "up")  # known, fresh, connected
        counter.reset()
        team.append(project)
        counters.append(counter)
    start = Barrier(agents + 1)
    ends = [0.0] * agents
    done = [0] * agents

    def pull(number: int) -> None:
        start.wait()
        while True:
            try:
                claim = team[number].steps.next(wait=600.0)
            except windlass.NothingLeft:
                return
            claim.complete()
            ends[number] = time.perf_counter()
            done[number] += 1

    threads = [Thread(target=pull, args=(number,)) for number in range(agents)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    for project in team:
        project.close()
    requests = [one for counter in counters for one in counter.requests]
    kinds = {kind: sum(one.kind == kind for one in requests) for kind in ("get", "put", "list")}
    lost = [one.key for one in requests if one.outcome == "refused"]
    boards = sum(key == keys.BOARD for key in lost)
    return {"seconds": max(ends) - began, "done": sum(done), **kinds, "lost_claims": len(lost) - boards, "lost_boards": boards}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
