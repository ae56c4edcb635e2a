"""gc against concurrent uploads, forks and deletions, simulated: nothing that is referred to is ever missing, nothing else stays."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.reliability.simulation_files import simulate

from windlass import effects as fx
from windlass.ops import blobs
from windlass.protocol import keys

if TYPE_CHECKING:
    import pytest

    from windlass.effects import Op
    from windlass.ops import pending

SEEDS = range(12)
HOURS = 0.4


def test_no_register_ever_refers_to_what_is_not_there() -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        report = simulate(seed, HOURS)
        assert not report.violation, report.violation
        counts.update(report.counts)
    for what in ("blobs deleted", "uploads given up by gc", "crashes", "died in gc", "late puts landed", "done: fork", "done: merge"):
        assert counts[what], what


def test_a_seed_is_replayed_event_by_event() -> None:
    assert simulate(2, 0.2).hash == simulate(2, 0.2).hash


def found_whoever_deletes_it(upload: pending.Upload, digest: str) -> Op[str | None]:
    page = yield from fx.page(keys.blobs(digest))
    return keys.parse_blob(page.entries[0].key) if page.entries else None


def test_an_upload_that_relies_on_what_a_gc_deletes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "find", found_whoever_deletes_it)
    assert any("not there" in found or "to which" in found for found in (simulate(seed, HOURS).violation for seed in range(20)))
