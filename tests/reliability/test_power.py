"""After a power failure every acknowledged write is there, and nothing is torn: on a model of a disk that loses what was not synced."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.reliability import power
from tests.reliability.power_stories import STORIES, Story, after_a_death, alone, judged, recorders

from windlass.config import places, write
from windlass.config.files import read_file
from windlass.drivers import hints
from windlass.drivers.hints import FileHints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory where there is such a place: a real sync per state would take minutes, and proves nothing here."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_what_was_acknowledged_survives_a_power_failure(place: Path, story: Story) -> None:
    found = judged(alone(place, story), story, place / "after")
    assert not found.wrong
    assert found.states > 5


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_nor_does_it_rest_on_what_a_killed_process_did_not_sync(place: Path, story: Story) -> None:
    for recorder in power.killed_everywhere(after_a_death(place, story)):
        assert not judged(recorder, story, place / "after").wrong


def test_without_any_one_of_its_syncs_the_store_would_lose_something(place: Path) -> None:
    syncs = {one for story in STORIES for one in alone(place, story).places}
    assert len(syncs) >= 5, syncs
    for one in sorted(syncs):
        told = ((story, recorder) for story in STORIES for recorder in recorders(place, story, frozenset({one})))
        lost = (judged(recorder, story, place / "after", stop=True).wrong for story, recorder in told if one in recorder.places)
        assert any(lost), f"{one} is not needed"


class Kept(NamedTuple):
    """A small file and how it is written and read."""

    name: str
    write: Callable[[str, int], None]
    read: Callable[[str], object]


def write_settings(path: str, number: int) -> None:
    write._write(path, f'project = "p{number}"\n')


def read_settings(path: str) -> object:
    return int(read_file(path).project[1:]) if os.path.exists(path) else None


def read_facts(path: str) -> object:
    found = places.read_private(path)
    return found and found["n"]


FILES = (
    Kept(".windlass.toml", write_settings, read_settings),
    Kept("facts.json", lambda path, number: places.write_private(path, {"n": number}), read_facts),
)


@pytest.mark.parametrize("kept", FILES, ids=lambda kept: kept.name)
@pytest.mark.parametrize("deaf", [False, True], ids=["", "unsynced"])
def test_settings_are_the_old_ones_or_the_new_ones(place: Path, kept: Kept, deaf: bool) -> None:
    def told(ignored: frozenset[str]) -> power.Recorder:
        shutil.rmtree(place / "disk", ignore_errors=True)
        (place / "disk").mkdir()
        path = str(place / "disk" / kept.name)
        with power.recorded(power.Recorder(place / "disk", ignored), places) as recorder:
            for number in (1, 2):
                kept.write(path, number)
                recorder.note(number)
        return recorder

    def wrong(recorder: power.Recorder) -> list[object]:
        found = []
        for crash in power.crashes(recorder):
            shutil.rmtree(place / "after", ignore_errors=True)
            (place / "after").mkdir()
            power.build(crash.tree, place / "after")
            last = crash.said[-1] if crash.said else None
            try:
                value = kept.read(str(place / "after" / kept.name))
            except Exception as error:  # torn
                value = error
            if value not in {last, (last or 0) + 1}:
                found.append(value)
        return found

    whole = told(frozenset())
    if not deaf:
        assert not wrong(whole)
    else:
        assert len(whole.places) == 2
        for one in whole.places:
            assert wrong(told(frozenset({one}))), f"{one} is not needed"


def test_hints_that_a_power_failure_tore_are_no_hints(place: Path) -> None:
    (place / "disk").mkdir()
    with power.recorded(power.Recorder(place / "disk"), hints) as recorder:
        kept = FileHints(str(place / "disk" / "cache"), "here")
        for body in (b"one " * 9, b"two " * 10):
            kept.remember("name", body)
    seen = set()
    for crash in power.crashes(recorder):
        shutil.rmtree(place / "after", ignore_errors=True)
        (place / "after").mkdir()
        power.build(crash.tree, place / "after")
        for file in (place / "after").rglob("*~*"):
            file.chmod(0o700 if file.is_dir() else 0o600)
        after = FileHints(str(place / "after" / "cache"), "here")
        seen.add(after.recall("name"))
        after.remember("name", b"three")
        assert after.recall("name") == b"three"
    assert seen == {None, b"one " * 9, b"two " * 10}
