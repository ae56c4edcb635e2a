"""gc from Python, blocking and awaited: what is deleted is freed, what is there stays readable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import windlass
from windlass.records import Swept

if TYPE_CHECKING:
    from pathlib import Path


def test_content_of_a_deleted_artifact_is_freed_both_ways(home: Path) -> None:
    (home / "work" / "a.txt").write_text("content", encoding="utf-8")
    (home / "work" / "b.txt").write_text("other content", encoding="utf-8")
    with windlass.open(str(home / "store"), project="demo", agent="ann", create=True) as p:
        p.artifacts.upload("a.txt")
        p.artifacts.upload("b.txt")
        p.artifacts.delete("a.txt")
        assert p.gc().young == p.gc(dry_run=True).young == 1
        told = p.gc(grace=0, dry_run=True)
        assert [size for _, size in told.names] == [len("content")]
        done = p.gc(grace=0)
        assert isinstance(done, Swept)
        assert (done.deleted, done.bytes, done.kept) == (1, len("content"), 1)
        p.artifacts.verify(["b.txt"])

    async def again() -> int:
        async with windlass.aio.open(str(home / "store"), project="demo", agent="bob") as q:
            await q.artifacts.delete("b.txt")
            return (await q.gc(grace=0)).deleted

    assert asyncio.run(again()) == 1
