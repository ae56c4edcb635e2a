"""Files: one large one beside the bare library, ten thousand small ones beside rclone and tracecraft, forks of a hundred thousand."""

from __future__ import annotations

import json
import os
import shutil
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from benchmarks.bench import ENVIRONMENTS, listed, requests
from benchmarks.figures import Figures, Table, Target
from benchmarks.spread import ratio, short, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.bench import Bench, Spent

RCLONE = ENVIRONMENTS / "rclone/bin/rclone"
MEMORY = 150 * 2**20
"""Bytes that a transfer may take."""
SAMPLE = 20
"""Files that tracecraft uploads, a command each; the rest is scaled."""
TOUCHED = 10
RCLONE_OPTIONS = ("--transfers=32", "--checkers=32", "--checksum", "--s3-no-check-bucket", "--quiet")
BARE = "obstore's is the streaming call alone, multipart, with its own part size and concurrency"


def run(bench: Bench) -> Figures:
    """A file of 1 GiB (quick: 128 MiB); 10,000 files of 4 KiB (quick: 1,000); forks and checkpoints of 100,000 files (quick: 2,000)."""
    parts = [large(bench), many(bench), forks(bench)]
    return Figures(
        [table for part in parts for table in part.tables],
        [target for part in parts for target in part.targets],
        [note for part in parts for note in part.notes],
    )


# One large file


def large(bench: Bench) -> Figures:
    """Upload, upload again, download: whole commands of ours, the bare call of theirs."""
    size = bench.times(128, 1024) * 2**20
    file = bench.folder_for("large") / "large.bin"
    with file.open("wb") as out:
        for _ in range(size // 2**24):
            out.write(os.urandom(2**24))
    up: list[Spent] = []
    again: list[Spent] = []
    down: list[Spent] = []
    bare: dict[str, list[dict[str, Any]]] = {"upload": [], "download": []}
    for number in range(bench.times(3, 5)):
        store = bench.s3()
        bucket = urlsplit(store).netloc
        side = bench.windlass(store)
        up.append(side("artifact", "upload", str(file)))
        bare["upload"].append(streaming(bench, "upload", bucket, f"bare-{number}", file))
        again.append(side("artifact", "upload", str(file), "--name", "again"))
        target = side.folder / "back.bin"
        down.append(side("artifact", "download", "large.bin", "-o", str(target)))
        assert target.stat().st_size == size
        target.unlink()
        bare["download"].append(streaming(bench, "download", bucket, f"bare-{number}", target))
        target.unlink()
        bench.say(f"large file, round {number + 1}: {up[-1].wall:.1f} s up, {down[-1].wall:.1f} s down")
    proxy = bench.proxy()
    store = bench.s3()
    side = bench.windlass(bench.through(store, proxy.url))
    side("artifact", "upload", str(file))
    proxy.log.clear()
    side("artifact", "upload", str(file), "--name", "again")
    data = sum(1 for entry in proxy.log if entry.kind == "put" and "/blobs/" in entry.key)
    second = listed(requests(list(proxy.log)))
    rows, targets = [], []
    for what, ours, theirs in (("upload", up, bare["upload"]), ("download", down, bare["download"])):
        speed = ratio([one["seconds"] for one in theirs], [one.wall for one in ours])
        most = max(one.memory for one in ours)
        rows.append([
            what, spread([one.wall for one in ours]), spread([one["seconds"] for one in theirs]), f"{speed}",
            f"{most / 2**20:.0f}", f"{max(one['memory'] for one in theirs) / 2**20:.0f}",
        ])  # fmt: skip
        name = f"{what} of {size // 2**20:,} MiB"
        targets.append(Target(13, f"{name}: the bare call's time over ours", "≥ 0.8", f"{speed}", speed.middle >= 0.8))
        targets.append(Target(13, f"{name}: memory", "< 150 MiB", f"{most / 2**20:.0f} MiB", most < MEMORY))
    rows.append(["upload again", spread([one.wall for one in again]), "–", "–", f"{max(one.memory for one in again) / 2**20:.0f}", "–"])
    targets.append(Target(13, "the same content uploaded again", "no data sent", f"{data} blobs sent, {second} in all", data == 0))
    columns = ["What", "windlass s", "obstore s", "obstore's time over ours", "windlass MiB", "obstore MiB"]
    notes = [
        f"Large file: ours is the whole command, with the SHA-256 of each part and of the whole; {BARE}. A fresh bucket each round.",
    ]
    return Figures([Table(f"A file of {size // 2**20:,} MiB, S3", columns, rows)], targets, notes)


def streaming(bench: Bench, what: str, bucket: str, key: str, file: Path) -> dict[str, Any]:
    """The bare call, once."""
    found = bench.ours("streaming.py", what, bucket, bench.endpoint, key, str(file))
    assert isinstance(found, dict)
    return found


# Many small files


class Times(NamedTuple):
    """Seconds of each round of one side."""

    push: list[float]
    pull: list[float]
    touched: list[float]


def fill(folder: Path, number: int, size: int, random: Random) -> list[Path]:
    """So many files of that size, a hundred in a folder."""
    made = []
    for at in range(number):
        path = folder / f"part-{at // 100:04}" / f"file-{at:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(size))
        made.append(path)
    return made


def touch(files: list[Path], random: Random) -> None:
    """Other content of the same size in ten of them."""
    for path in random.sample(files, TOUCHED):
        path.write_bytes(random.randbytes(path.stat().st_size))


def many(bench: Bench) -> Figures:
    """Push all, pull all elsewhere, push again after ten were written: whole commands of both sides."""
    number, random = bench.times(1000, 10_000), Random(5)
    ours, theirs, alone = Times([], [], []), Times([], [], []), []
    for each in range(bench.times(3, 5)):
        files = fill(bench.folder_for("many"), number, 4096, random)
        folder = files[0].parent.parent
        store = bench.s3()
        bucket, endpoint = urlsplit(store).netloc, parse_qs(urlsplit(store).query)["endpoint"][0]
        side = bench.windlass(store)
        side("workspace", "create", "many")
        env = side.env | {
            "RCLONE_CONFIG_B_TYPE": "s3", "RCLONE_CONFIG_B_PROVIDER": "Other", "RCLONE_CONFIG_B_ENDPOINT": endpoint,
            "RCLONE_CONFIG_B_ENV_AUTH": "true", "RCLONE_CONFIG_B_REGION": "us-east-1", "RCLONE_CONFIG": str(bench.folder / "none"),
        }  # fmt: skip

        def peer(*arguments: str, env: dict[str, str] = env) -> float:
            return bench.run_in([str(RCLONE), *arguments, *RCLONE_OPTIONS], env).wall

        there = f"b:{bucket}/rclone"
        back = [bench.folder_for("back"), bench.folder_for("back")]
        ours.push.append(side("workspace", "push", str(folder), "--to", "many").wall)
        theirs.push.append(peer("copy", str(folder), there))
        ours.pull.append(side("workspace", "pull", str(back[0]), "--from", "many").wall)
        theirs.pull.append(peer("copy", there, str(back[1])))
        for path in files[:: number // 7]:
            for other in back:
                assert (other / path.relative_to(folder)).read_bytes() == path.read_bytes()
        touch(files, random)
        ours.touched.append(side("workspace", "push", str(folder)).wall)
        theirs.touched.append(peer("copy", str(folder), there))
        bench.say(f"many files, round {each + 1}: {ours.push[-1]:.2f} s, rclone {theirs.push[-1]:.2f} s")
        if not each:
            alone = tracecraft(bench, store, files)
        for left in (folder, *back):
            shutil.rmtree(left)
    scaled = median(alone) * number
    rows, targets = [], []
    for what in Times._fields:
        mine, other = getattr(ours, what), getattr(theirs, what)
        speed = ratio(other, mine)
        told = {"push": "push", "pull": "pull", "touched": f"push after writing {TOUCHED}"}[what]
        beside = f"{scaled:,.0f} (scaled)" if what == "push" else "–"
        rows.append([told, spread(mine), spread(other), f"{speed}", beside])
        targets.append(Target(14, f"{number:,} files of 4 KiB, {told}, beside rclone", "faster", f"{speed} ×", speed.middle > 1))
    targets.append(
        Target(
            14,
            f"{number:,} files of 4 KiB, push, beside tracecraft",
            "faster",
            f"{short(scaled / median(ours.push))} ×",
            scaled > median(ours.push),
        )
    )
    counts = touched_requests(bench, random)
    small, big = counts
    targets.append(
        Target(
            14,
            f"push after writing {TOUCHED} files: requests",
            "O(changed)",
            f"{listed(small)} of 500 files, {listed(big)} of {bench.times(1000, 10_000):,}",
            sum(big.values()) <= sum(small.values()) + 5,
        )
    )
    notes = [
        f"Many files: `rclone copy` with {' '.join(RCLONE_OPTIONS)} (else it asks for each object's own time, a request a file).",
        f"tracecraft's `artifact upload` takes one file a command: {SAMPLE} of them measured, the rest scaled.",
    ]
    columns = ["What", "windlass s", "rclone s", "rclone's time over ours", "tracecraft s"]
    return Figures([Table(f"{number:,} files of 4 KiB, S3", columns, rows)], targets, notes)


def tracecraft(bench: Bench, store: str, files: list[Path]) -> list[float]:
    """Seconds of each of a few uploads, a command each."""
    side = bench.tracecraft(store)
    return [side("artifact", "upload", str(path)).wall for path in files[:SAMPLE]]


def touched_requests(bench: Bench, random: Random) -> list[dict[str, int]]:
    """Requests of a push after ten files were written, of few and of many."""
    out = []
    for number in (500, bench.times(1000, 10_000)):
        files = fill(bench.folder_for("counted"), number, 64, random)
        folder = files[0].parent.parent
        proxy = bench.proxy()
        side = bench.windlass(bench.through(bench.s3(), proxy.url))
        side("workspace", "create", "many")
        side("workspace", "push", str(folder), "--to", "many")
        touch(files, random)
        proxy.log.clear()
        side("workspace", "push", str(folder))
        out.append(requests(list(proxy.log)))
        shutil.rmtree(folder)
    return out


# Forks


def forks(bench: Bench) -> Figures:
    """Checkpoint, fork and compare a small and a large workspace: time and requests."""
    sizes = (10, bench.times(2000, 100_000))
    actions: dict[str, Callable[[str], list[str]]] = {
        "checkpoint": lambda _: ["workspace", "checkpoint", "base", "--label", "one"],
        "fork in five": lambda _: ["workspace", "fork", "base", "-n", "5"],
        "diff of two forks, one file differs": lambda _: ["workspace", "diff", "base-1", "base-2", "--json"],
        "restore": lambda _: ["workspace", "restore", "base", "one"],
    }
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in actions}
    for size in sizes:
        bench.say(f"a workspace of {size:,} files")
        files = fill(bench.folder_for("base"), size, 16, Random(size))
        folder = files[0].parent.parent
        proxy = bench.proxy()
        side = bench.windlass(bench.through(bench.s3(), proxy.url))
        side("workspace", "create", "base")
        side("workspace", "push", str(folder), "--to", "base")
        for name, action in actions.items():
            if name.startswith("diff"):
                change(bench, side, files)
            if name == "restore":
                files[0].write_bytes(b"changed")
                side("workspace", "push", str(folder))
            proxy.log.clear()
            wall = side(*action("")).wall
            found[name].append((wall, listed(requests(list(proxy.log)))))
        shutil.rmtree(folder)
    rows = [[name, *(cell for wall, counts in each for cell in (f"{wall * 1000:.0f}", counts))] for name, each in found.items()]
    targets = [
        Target(
            15, f"{name}: requests, {sizes[0]} files and {sizes[1]:,}", "the same", f"{each[0][1]}; {each[1][1]}", each[0][1] == each[1][1]
        )
        for name, each in found.items()
        if not name.startswith("diff")
    ]
    columns = ["What"] + [cell for size in sizes for cell in (f"{size:,} files: ms", "requests")]
    return Figures(
        [Table("Checkpoints and forks, S3", columns, rows)],
        targets,
        ["Each once, with a proxy between that counts: the requests are the point."],
    )


def change(bench: Bench, side: Any, files: list[Path]) -> None:
    """Write one file of one fork."""
    back = bench.folder_for("fork")
    side("workspace", "pull", str(back), "--from", "base-2")
    (back / files[0].relative_to(files[0].parent.parent)).write_bytes(b"changed")
    told = json.loads(side("workspace", "push", str(back), "--json").output)
    assert told
    shutil.rmtree(back)
