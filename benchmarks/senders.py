"""Many who send at once, in threads of one process: each side's best case, run by its own Python for the part `mail`.

senders.py windlass STORE SENDERS MESSAGES one|many
senders.py tracecraft ENDPOINT BUCKET SENDERS MESSAGES one|many
→ JSON: seconds; of Windlass also whether all was delivered, requests by kind, slots lost to others.

To one mailbox, or each sender to one of its own. Agents are known and clients connected before the clock starts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from threading import Barrier, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.project import Project
    from windlass.stores.wrappers import Counting


def race(senders: int, messages: int, send: Callable[[int, str], object]) -> float:
    """Seconds until all have sent their share; `send` gets the sender's number and the text."""
    share, barrier = messages // senders, Barrier(senders + 1)

    def work(number: int) -> None:
        barrier.wait()
        for n in range(share):
            send(number, f"{number} {n}")

    threads = [Thread(target=work, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def box_of(shape: str, number: int) -> str:
    """Where a sender sends to."""
    return f"sender-{number if shape == 'many' else 0}"


def windlass_(store: str, senders: int, messages: int, shape: str) -> dict[str, object]:
    """Each sender an open project, with a memory of its own as on a machine of its own."""
    import windlass
    from windlass.drivers.hints import MemoryHints
    from windlass.stores.wrappers import Counting

    projects: list[Project] = []
    counters: list[Counting] = []
    for number in range(senders):
        project = windlass.open(store, project="bench", agent=f"sender-{number}")
        world = project.session.world
        world.hints = MemoryHints()
        project.mail.inbox()
        projects.append(project)
    for number, project in enumerate(projects):
        project.mail.send(box_of(shape, number), "hello")
        project.session.world.store = Counting(project.session.world.store)
        counters.append(project.session.world.store)
    seconds = race(senders, messages, lambda number, text: projects[number].mail.send(box_of(shape, number), text))
    requests: dict[str, int] = {}
    for counting in counters:
        for kind, count in counting.counts().items():
            requests[kind] = requests.get(kind, 0) + count
    lost = sum(one.outcome == "refused" for counting in counters for one in counting.requests)
    found: dict[str, list[int]] = {}
    for project in projects[: senders if shape == "many" else 1]:
        for one in project.mail.look(whole=True):
            sender, _, n = one.message.text.partition(" ")
            if n:
                found.setdefault(sender, []).append(int(n))
    delivered = len(found) == senders and all(numbers == list(range(messages // senders)) for numbers in found.values())
    return {"seconds": seconds, "delivered": delivered, "requests": requests, "lost": lost}


def tracecraft_(endpoint: str, bucket: str, senders: int, messages: int, shape: str) -> dict[str, object]:
    """Each sender a client of tracecraft's own, which writes what its `send` writes."""
    from tracecraft.protocol import append_key, now_iso
    from tracecraft.s3 import S3

    keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    clients = [S3(endpoint, bucket, f"senders-{shape}", *keys) for _ in range(senders)]

    def send(number: int, text: str) -> None:
        me, to = f"sender-{number}", box_of(shape, number)
        clients[number].put_json(append_key(f"messages/{to}/", me), {"from": me, "to": to, "message": text, "sent_at": now_iso()})

    for number in range(senders):
        send(number, "hello")
    return {"seconds": race(senders, messages, send)}


if __name__ == "__main__":
    *place, count, messages, shape = sys.argv[2:]
    side: Callable[..., dict[str, object]] = windlass_ if sys.argv[1] == "windlass" else tracecraft_
    print(json.dumps(side(*place, int(count), int(messages), shape)))
