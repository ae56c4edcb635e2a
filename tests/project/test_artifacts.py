"""Artifacts from Python, blocking and async: paths, bytes and files go in; claims fence what is published under them."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import windlass
from windlass.errors import ClaimLost, Damaged, NotFound, UsageError
from windlass.files.paths import is_private
from windlass.records import Status
from windlass.stores.wrappers import Counting

if TYPE_CHECKING:
    from collections.abc import Callable

Open = Any
PART = 4 * 1024 * 1024


def content(size: int, seed: str = "") -> bytes:
    return b"".join(sha256(f"{seed}{n}".encode()).digest() * 512 for n in range(-(-size // 16384)))[:size]


def make(folder: Path) -> dict[str, bytes]:
    files = {"a": b"a", "sub/b": b"b" * 100_000, "sub/deep/c": b""}
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return files


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def watched(p: windlass.Project) -> Counting:
    """What the project asks of its store from now on."""
    counting = Counting(p.session.world.store)
    p.session.world.store = counting
    return counting


def blobs(counting: Counting, kind: str) -> list[str]:
    return [one.key for one in counting.requests if one.kind == kind and one.key.startswith("blobs/")]


@pytest.mark.parametrize("size", [0, 1, 65536, PART - 1, PART, PART + 1, 10_000_000])
def test_bytes_come_back(p: windlass.Project, size: int) -> None:
    body = content(size)
    made = p.artifacts.upload(body, name="data.json", meta={"k": [1, None]})
    assert (str(made.ref), made.artifact.size, made.artifact.media_type, made.artifact.meta) == (
        "data.json@1", size, "application/json", {"k": [1, None]},
    )  # fmt: skip
    assert p.artifacts.read("data.json") == body
    assert Path(p.artifacts.download("data.json").path).read_bytes() == body
    out = io.BytesIO()
    assert p.artifacts.stream("data.json@1", out).version == 1
    assert out.getvalue() == body


def test_paths_and_files(p: windlass.Project) -> None:
    files = make(Path("site"))
    for what in ("site", Path("site"), "site/", "./site/."):
        assert str(p.artifacts.upload(what).ref) == "site@1"
    where = p.artifacts.download("site", "back")
    assert (where.path, read(Path("back"))) == ("back", files)
    assert p.artifacts.upload(io.BytesIO(b"stream"), name="s").artifact.size == 6
    with open("site/a", "rb") as file:
        assert p.artifacts.upload(file, name="s").ref.version == 2
    odd: list[tuple[Any, dict[str, Any]]] = [
        (b"x", {}), (io.BytesIO(), {}), (3, {"name": "x"}), ("no", {}), ("site", {"name": "a/b"}), (b"x", {"name": "x", "inputs": "a"}),
    ]  # fmt: skip
    for thing, options in odd:
        with pytest.raises(UsageError):
            p.artifacts.upload(thing, **options)
    with pytest.raises(UsageError, match="folder"):
        p.artifacts.read("site")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255 and not is_private(name)
)
BODIES = st.one_of(st.binary(max_size=40), st.integers(0, 3).map(lambda n: bytes([n]) * 70_000))
TREES = st.recursive(
    st.one_of(st.tuples(BODIES, st.booleans()), NAMES), lambda inner: st.dictionaries(NAMES, inner, max_size=24), max_leaves=60
)


def plant(path: Path, tree: Any) -> None:
    """A folder (dict), a file with its exec bit, or a link."""
    if isinstance(tree, dict):
        path.mkdir()
        for name, inner in tree.items():
            plant(path / name, inner)
    elif isinstance(tree, str):
        path.symlink_to(tree)
    else:
        path.write_bytes(tree[0])
        path.chmod(0o755 if tree[1] else 0o644)


def found(path: Path) -> Any:
    if path.is_symlink():
        return os.readlink(path)
    if path.is_dir():
        return {one.name: found(one) for one in path.iterdir()}
    return path.read_bytes(), bool(path.stat().st_mode & 0o100)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(NAMES, TREES, max_size=30), st.dictionaries(NAMES, TREES, max_size=5))
def test_any_folder_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any, more: Any) -> None:
    root = tmp_path_factory.mktemp("any")
    with windlass.open(f"memory://{root.name}", project="demo", agent="ann") as p:
        for number, planted in enumerate((tree, {**tree, **more})):
            plant(root / f"in{number}", planted)
            p.artifacts.upload(root / f"in{number}", name="any")
            p.artifacts.download("any", root / f"out{number}", links="all")
            assert found(root / f"out{number}") == found(root / f"in{number}") == planted
        assert p.artifacts.verify().damaged == ()


def test_what_is_there_is_not_sent_again(p: windlass.Project, open_as: Open) -> None:
    body = content(3 * PART)
    p.artifacts.upload(body, name="one")
    other = open_as("other")
    counting = watched(other)
    other.artifacts.upload(body + b"more", name="two")
    assert len(blobs(counting, "put")) == 2, "the last part and the index"
    counting.reset()
    other.artifacts.upload(body, name="three")
    assert blobs(counting, "put") == []


def test_a_folder_of_which_one_file_changed_sends_that_one(p: windlass.Project) -> None:
    folder = Path("many")
    for n in range(30):
        (folder / f"d{n % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"d{n % 3}" / f"f{n}").write_bytes(content(70_000, str(n)))
    p.artifacts.upload(folder)
    (folder / "d1/f1").write_bytes(b"changed")
    counting = watched(p)
    assert p.artifacts.upload(folder).ref.version == 2
    landed = [one.key for one in counting.requests if one.kind == "put" and one.outcome == "done" and one.key.startswith("blobs/")]
    assert len(landed) == 3, "the file, its folder and the root"


def test_a_file_that_is_written_meanwhile_is_not_published(p: windlass.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("growing")
    path.write_bytes(content(12 * PART))  # more than are read before the first is sent
    counting = watched(p)
    put = counting.put

    def grow(key: str, *more: Any) -> str:
        if key.startswith("blobs/"):
            with path.open("ab") as file:
                file.write(b"x")
        return put(key, *more)

    monkeypatch.setattr(counting, "put", grow)
    with pytest.raises(windlass.WindlassError, match="changed while it was read"):
        p.artifacts.upload(path)
    assert p.artifacts.list() == []


def test_a_claim_publishes_under_its_epoch(p: windlass.Project, open_as: Open) -> None:
    bob = open_as("bob")
    claim = p.steps.claim("build")
    made = claim.upload(b"one", name="app")
    assert (str(made.ref), made.artifact.epoch, claim.open) == ("build/app@1", 1, True)
    bob.steps.claim("build", force=True)
    with pytest.raises(ClaimLost, match="bob took it over"):
        claim.upload(b"two", name="app")
    mine = p.steps.claim("build", force=True)
    with pytest.raises(ClaimLost, match="epoch"):
        claim.upload(b"two", name="app")
    mine.upload(b"three", name="app")
    assert [one.version for one in p.artifacts.history("build/app")] == [2, 1]
    assert p.artifacts.read("app", step="build") == b"three"


def test_a_claim_is_completed_with_its_results(p: windlass.Project, open_as: Open) -> None:
    files = make(Path("site"))
    Path("log.txt").write_text("log", encoding="utf-8")
    with p.steps.claim("build") as claim:
        done = claim.complete(note="n", artifacts=["site", Path("log.txt")])
    assert done.step.status is Status.COMPLETE
    assert [str(one.ref) for one in p.artifacts.list("build")] == ["build/log.txt", "build/site"]
    p.steps.add("test", needs=["build"])
    bob = open_as("bob")
    with bob.steps.claim("test") as claim:
        assert {need: sorted(found) for need, found in claim.artifacts.items()} == {"build": ["log.txt", "site"]}
        bob.artifacts.download("build/site", "got")
    assert read(Path("got")) == files
    with pytest.raises(UsageError), p.steps.claim("more") as claim:
        claim.complete(artifacts="log.txt")
    assert p.steps.show("more").doc.status is Status.PENDING


def test_a_download_appears_whole_or_not_at_all(p: windlass.Project) -> None:
    p.artifacts.upload(content(3 * PART), name="big")
    name = p.artifacts.show("big").entry.name
    counting = watched(p)
    get = counting.get

    def torn(key: str, unless: str | None = None) -> Any:
        found = get(key, unless)
        return found.but(body=bytes(PART)) if key.startswith("blobs/") and name[2:] not in key else found  # type: ignore[union-attr]

    counting.get = torn  # type: ignore[method-assign]
    with pytest.raises(Damaged, match="blobs/"):
        p.artifacts.download("big")
    assert not Path("big").exists()
    counting.get = get  # type: ignore[method-assign]
    p.artifacts.download("big")
    assert [path.name for path in Path().iterdir()] == ["big"]


def test_modes_follow_the_umask_and_nothing_else(p: windlass.Project) -> None:
    path = Path("tool")
    path.write_bytes(b"#!")
    path.chmod(0o4755)
    before = os.umask(0o027)
    try:
        p.artifacts.upload(path)
        p.artifacts.download("tool", "back")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("back").stat().st_mode) == 0o750


def test_threads_share_a_project(p: windlass.Project) -> None:
    bodies = {f"n{n}": content(PART + n, str(n)) for n in range(6)}
    threads = [threading.Thread(target=p.artifacts.upload, args=(body,), kwargs={"name": name}) for name, body in bodies.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {str(one.ref): p.artifacts.read(str(one.ref)) for one in p.artifacts.list()} == bodies
    assert p.artifacts.verify().damaged == ()


def finish(work: Callable[[], Any]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(bounded())


def test_the_same_awaited(home: Path) -> None:
    files = make(Path("site"))
    big = content(9 * PART)

    async def story() -> None:
        async with windlass.aio.open(str(home / "store"), project="demo", agent="ann", create=True) as p:
            made, other = await asyncio.gather(p.artifacts.upload(big, name="big"), p.artifacts.upload("site"))
            assert (str(made.ref), str(other.ref)) == ("big@1", "site@1")
            assert await p.artifacts.read("big") == big
            await asyncio.gather(p.artifacts.download("big", "b"), p.artifacts.download("site", "s"))
            assert (read(home / "work")["b"], read(home / "work/s")) == (big, files)
            async with await p.steps.claim("build") as claim:
                await claim.upload(b"x", name="x")
                await claim.complete(artifacts=["site"])
            assert [str(one.ref) for one in await p.artifacts.list()] == ["big", "site", "build/site", "build/x"]
            assert (await p.artifacts.lineage("big")).edges == ()
            assert (await p.artifacts.verify()).damaged == ()
            await p.artifacts.delete("big")
            with pytest.raises(NotFound):
                await p.artifacts.show("big")

    finish(story)


def test_an_upload_that_is_cancelled_publishes_nothing_and_can_be_done_again(home: Path) -> None:
    big = content(9 * PART)

    async def story() -> None:
        async with windlass.aio.open(str(home / "store"), project="demo", agent="ann", create=True) as p:
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()
            counting = Counting(p.session.world.store)
            put = counting.put

            def slow(key: str, *more: Any) -> str:
                if key.startswith("blobs/"):
                    loop.call_soon_threadsafe(begun.set)
                return put(key, *more)

            counting.put = slow  # type: ignore[method-assign, assignment]
            p.session.world.store = counting
            task = asyncio.ensure_future(p.artifacts.upload(big, name="big"))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await p.artifacts.list() == []
            assert (await p.artifacts.upload(big, name="big")).ref.version == 1
            assert await p.artifacts.read("big") == big

    finish(story)
