"""How far a transfer is: one short line, whatever the numbers, drawn ten times a second at most."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass import effects as fx
from windlass.surfaces.cli.meter import Meter, line
from windlass.surfaces.present import sized

BYTES = st.integers(0, 2**48)


@given(st.text(max_size=40), BYTES, BYTES, BYTES, st.floats(0, 1e9))
def test_the_line_fits(what: str, done: int, total: int, lately: int, seconds: float) -> None:
    text = line(what, done, total, lately, seconds)
    assert len(text) <= 78
    assert "\n" not in text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ((0, 100, 0, 0.0), "sending   [                ] 0 B of 100 B"),
        ((2**20, 4 * 2**20, 2**20, 2.0), "sending   [####            ] 1.0 MiB of 4.0 MiB, 512 KiB/s, 6s left"),
        ((100, 100, 100, 1.0), "sending   [################] 100 B of 100 B, 100 B/s"),
        ((2048, 0, 2048, 1.0), "sending 2.0 KiB, 2.0 KiB/s"),
    ],
)
def test_the_line_says_how_much_how_fast_and_how_long(call: tuple[int, int, int, float], said: str) -> None:
    assert line("sending", *call) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (10 * 1024, "10 KiB"), (2**40 * 5, "5.0 TiB")])
def test_bytes_are_said_shortly(count: int, said: str) -> None:
    assert sized(count) == said


class Screen:
    """Takes lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, text: str) -> None:
        self.lines.append(text)


def test_it_is_drawn_ten_times_a_second_and_at_the_end() -> None:
    screen: Any = Screen()
    times = iter(n / 100 for n in range(1000))
    meter = Meter(screen, lambda: next(times))
    for n in range(1, 101):
        meter.tell(fx.Tell(what="sending", done=n, total=100, unit="B"))
    assert 10 <= len(screen.lines) <= 12
    assert "100 B of 100 B" in screen.lines[-1]
    meter.tell(fx.Tell(what="receiving", done=1, total=100, unit="B"))
    assert screen.lines[-1].startswith("receiving [")
