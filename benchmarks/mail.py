"""Mail: reading thousands of messages, looking for new ones behind them, fifty senders at once, and what history costs."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.bench import listed, requests, rounds
from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.spread import ratio, short, spread

from windlass.effects import Always
from windlass.protocol import keys
from windlass.protocol.codec import encode
from windlass.protocol.mail import SEGMENT, Message
from windlass.stores.registry import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Side, Spent

    from windlass.testing.proxy import Proxy

LENGTHS = (100, 1000, 10_000)
SENDERS = 50
MESSAGES = 1000
TEXT = "message {}: the contract is ready, see memory key design.contract"
COMMANDS: dict[str, tuple[str, ...]] = {"send": ("send", "bob", "hello"), "inbox": ("inbox",), "inbox --new": ("inbox", "--new")}
WORKERS = 16


def run(bench: Bench) -> Figures:
    """Each of the three on stores of its own."""
    parts = [reading(bench), sending(bench), growing(bench)]
    return Figures(*([one for part in parts for one in getattr(part, name)] for name in Figures._fields))


def reading(bench: Bench) -> Figures:
    """Both sides by turns: everything, with and without the segments that a first reading leaves; then what is new, where nothing is."""
    history = bench.times(1000, LENGTHS[-1])
    bench.say(f"reading {history:,} messages")
    store = bench.s3()
    ours, theirs = bench.windlass(store), bench.tracecraft(store)
    fill(store, 0, history)
    fill_peer(store, history)

    def first(_: int) -> Spent:
        bucket = open_store(store)
        for entry in bucket.list("bench/segments/").entries:
            bucket.delete(entry.key)
        return ours("inbox", "--all")

    def again(_: int) -> Spent:
        return ours("inbox", "--all")

    found = rounds(bench.times(1, 3), lambda _: theirs("inbox"), first, again, again, first, again, again)
    for one in (found[0][0], found[1][0], found[2][0]):
        assert sum(line.count("message ") for line in one.output.splitlines()) >= history, one.output[-500:]
    whole = {"theirs": found[0], "first": found[1] + found[4], "again": found[2] + found[3] + found[5] + found[6]}

    bench.say("looking for new ones behind them")
    ours("inbox", "--new", "--limit", "0")
    theirs("inbox", "--new")
    found = rounds(bench.times(1, 3), lambda _: theirs("inbox", "--new"), *[lambda _: ours("inbox", "--new")] * 5)
    whole |= {"theirs new": found[0], "new": [one for some in found[1:] for one in some]}
    proxy = bench.proxy()
    counted = bench.windlass(bench.through(store, proxy.url))
    counted("inbox", "--new")
    counts = {name: count(proxy, counted, "inbox", option) for name, option in (("new", "--new"), ("again", "--all"))}

    times = {
        name: ratio(walls(whole[peer]), walls(whole[name]))
        for name, peer in (("again", "theirs"), ("first", "theirs"), ("new", "theirs new"))
    }
    names = {
        "again": ("`inbox --all`", listed(counts["again"])),
        "first": ("`inbox --all`, the first time", f"a GET a message, {history // SEGMENT} PUT of segments"),
        "new": ("`inbox --new`, none new", listed(counts["new"])),
    }
    rows = [
        [
            name,
            spread(walls(whole[key]), 1000),
            spread(walls(whole["theirs new" if key == "new" else "theirs"]), 1000),
            str(times[key]),
            cost,
        ]
        for key, (name, cost) in names.items()
    ]
    number = sum(counts["new"].values())
    targets = [
        Target(7, f"inbox --all, {history:,} messages", "≥ 20 × faster", f"{times['again']} ×", times["again"].middle >= 20),
        Target(7, f"inbox --all, {history:,} messages, the first time", "≥ 3 × faster", f"{times['first']} ×", times["first"].middle >= 3),
        Target(7, f"inbox --new, none new behind {history:,}", "≤ 3 requests", f"{number}, {times['new']} × faster", number <= 3),
    ]
    columns = ["", "Windlass ms", "tracecraft ms", "tracecraft takes times as long", "Windlass' requests"]
    notes = [
        "tracecraft reads each message anew, one after the other, and shows all but a thousand of those read before as new again.",
        "The first reading is as fast as the server, which answers one request after the other; it leaves the segments for everybody.",
    ]
    return Figures([Table(f"A mailbox of {history:,} messages on S3", columns, rows)], targets, notes)


def sending(bench: Bench) -> Figures:
    """Both sides in a process of their own with a thread for each sender, by turns."""
    rows: list[list[object]] = []
    rates: dict[str, list[float]] = {}
    ours: dict[str, list[dict[str, Any]]] = {"many": [], "one": []}
    for _ in range(bench.times(1, 3)):
        for shape, done in ours.items():
            bench.say(f"{SENDERS} senders, {MESSAGES:,} messages, {shape}")
            store = bench.s3()
            bench.windlass(store)
            arguments = [str(SENDERS), str(MESSAGES), shape]
            peer: Any = bench.peer("senders.py", "tracecraft", bench.endpoint, urlsplit(store).netloc, *arguments)
            mine: Any = bench.ours("senders.py", "windlass", store, *arguments)
            assert mine["delivered"], "a message is missing, doubled or out of its sender's order"
            done.append(mine)
            rates.setdefault(f"tracecraft {shape}", []).append(MESSAGES / peer["seconds"])
            rates.setdefault(shape, []).append(MESSAGES / mine["seconds"])
    share = {shape: ratio(rates[shape], rates[f"tracecraft {shape}"]) for shape in ours}
    for shape, name in (("many", f"{SENDERS} mailboxes"), ("one", "one mailbox")):
        each = {
            kind: sum(one["requests"].get(kind, 0) for one in ours[shape]) / len(ours[shape]) / MESSAGES for kind in ("put", "get", "list")
        }
        lost = sum(one["lost"] for one in ours[shape]) / len(ours[shape]) / MESSAGES
        cost = " + ".join(f"{short(number)} {kind.upper()}" for kind, number in each.items() if number)
        rows.append([name, spread(rates[shape]), spread(rates[f"tracecraft {shape}"]), str(share[shape]), cost, short(lost)])
    columns = [
        "To",
        "Windlass, messages/s",
        "tracecraft",
        "Windlass delivers times as many",
        "its requests a message",
        "slots lost a message",
    ]
    order = ratio(rates["many"], rates["one"])
    targets = [
        Target(
            10, f"{SENDERS} senders to {SENDERS} mailboxes", "as many messages a second", f"{share['many']} ×", share["many"].middle >= 1
        ),
    ]
    notes = [
        f"The cost of order: messages to one mailbox go out at 1/{order} of the rate of those to many.",
        "Both sides keep what they remember in memory here; a Windlass process of its own would also write its hints to files.",
        f"{SENDERS} senders are threads of one process, each with a client of its own: Python's lock is part of both sides' figures.",
        "Windlass' messages in a mailbox have one order for all readers, so senders to one mailbox take turns at its end.",
        "tracecraft orders by the senders' clocks.",
        "After each of Windlass' runs every message was there once, each sender's in the order in which it sent them.",
    ]
    return Figures([Table(f"{SENDERS} senders at once, {MESSAGES:,} messages, S3", columns, rows)], targets, notes)


def growing(bench: Bench) -> Figures:
    """What users do often, behind more and more history, where this machine knows the project and where it remembers nothing."""
    store, proxy = bench.s3(), bench.proxy()
    alice = bench.windlass(bench.through(store, proxy.url))
    bench.windlass(store, "bob")
    costs: dict[str, list[tuple[float, float]]] = {}
    cpu: dict[str, list[tuple[float, float]]] = {}
    rows: list[list[object]] = []
    there = 0
    for length in LENGTHS[: 2 if bench.quick else 3]:
        bench.say(f"behind {length:,} messages")
        for box in ("alice", "bob", keys.BROADCAST):
            fill(store, there, length, box)
        there = length
        while "there are more" in alice("inbox", "--new", "--limit", "1000").output:
            pass
        for name, arguments in COMMANDS.items():
            for state in ("warm", "cold"):
                spent: list[float] = []
                alice(*arguments)
                for _ in range(bench.times(3, 15)):
                    if state == "cold":
                        shutil.rmtree(Path(alice.env["HOME"]) / ".cache")
                    proxy.log.clear()
                    spent.append(alice(*arguments).cpu)
                cost = requests(list(proxy.log))
                rows.append([f"`{name}`, {state}, {length:,}", listed(cost), spread(spent, 1000)])
                costs.setdefault(f"{name}, {state}", []).append((length, sum(cost.values())))
                cpu.setdefault(f"{name}, {state}", []).append((length, median(spent) * 1000))
    targets = []
    for name in COMMANDS:
        made, used = ([y for _, y in points[f"{name}, warm"]] for points in (costs, cpu))
        what = f"{name}, {LENGTHS[0]} and {there:,} messages"
        reached = f"{made[0]:.0f} and {made[-1]:.0f} requests, CPU × {short(used[-1] / used[0])}"
        targets.append(Target(12, what, "the same requests and CPU", reached, made[-1] <= made[0] and used[-1] < used[0] * 1.15))
    notes = [
        "Behind so many messages in each of three mailboxes: one's own, the recipient's, and that of broadcasts.",
        "Cold: this machine remembers nothing, neither who acts nor how long a mailbox is.",
        "It finds a mailbox's end by reads that leap: their number grows with the logarithm of the length.",
    ]
    plots = [
        Plot("mail-requests", "requests of a command", "messages in each mailbox", "requests", costs),
        Plot("mail-cpu", "CPU of a command", "messages in each mailbox", "ms", cpu, log="x"),
    ]
    return Figures([Table("Mail and its history, S3", ["Command, messages", "requests", "CPU ms"], rows)], targets, notes, plots)


def count(proxy: Proxy, side: Side, *arguments: str) -> dict[str, int]:
    """The requests of one command."""
    proxy.log.clear()
    side(*arguments)
    return requests(list(proxy.log))


def walls(spent: list[Spent]) -> list[float]:
    """Seconds."""
    return [one.wall for one in spent]


def fill(store: str, start: int, stop: int, box: str = "alice") -> None:
    """Messages from `start` on, as `send` writes them."""
    bucket = open_store(store)

    def put(number: int) -> None:
        text = TEXT.format(number)
        message = Message(text=text, sender="ann", incarnation=1, to=box, at=1.8e9 + number, write_id=f"w{number:019}")
        bucket.put("bench/" + keys.slot(box, number), encode(message), Always())

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(put, range(start, stop)))


def fill_peer(store: str, stop: int) -> None:
    """The same in the objects that tracecraft's `send` writes."""
    place = urlsplit(store)
    prefix = place.path.strip("/").replace("/", "-") + "-tracecraft"
    bucket = open_store(f"s3://{place.netloc}?{place.query}")

    def put(number: int) -> None:
        said = {"from": "ann", "to": "alice", "message": TEXT.format(number), "sent_at": "2026-01-01T00:00:00+00:00"}
        key = f"{prefix}/messages/alice/{1_800_000_000_000_000_000 + number}_ann_{number:08x}.json"
        bucket.put(key, json.dumps(said, indent=2).encode(), Always())

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(put, range(stop)))
