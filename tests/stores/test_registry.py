"""Stores by URL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import windlass
from windlass.effects import IfAbsent
from windlass.errors import StoreMissing, UsageError
from windlass.stores.local import LocalStore
from windlass.stores.registry import describe, open_store


def test_paths_and_file_urls_name_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sub/my store", create=True)
    store.put("a", b"1", IfAbsent())
    for url in (
        str(tmp_path / "sub/my store"),
        f"file://{tmp_path}/sub/my%20store",
        f"file://localhost{tmp_path}/sub/my%20store",
        "sub/x/../my store",
    ):
        opened = open_store(url)
        assert isinstance(opened, LocalStore)
        assert opened.get("a") is not None
        assert opened.url == describe(url) == str(tmp_path / "sub/my store")


def test_nothing_is_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        open_store(str(tmp_path / "new")).get("a")
    assert not (tmp_path / "new").exists()


def test_memory_is_shared_by_name() -> None:
    open_store("memory://shared-by-name").put("a", b"1", IfAbsent())
    assert open_store("memory://shared-by-name").get("a") is not None
    assert open_store("memory://another-name").get("a") is None


@pytest.mark.parametrize(
    "url",
    ["", "gs://b", "az://b", "hf://n/b", "ftp://x", "file://host/path", "file://relative", "file:///a?b=c", "a\0b", "s3://", "s3:///x"],
)
def test_urls_that_make_no_sense_are_refused_with_a_way_out(url: str) -> None:
    with pytest.raises(UsageError) as met:
        open_store(url)
    assert met.value.hint


def test_reserved_names_say_not_yet() -> None:
    with pytest.raises(UsageError, match="cannot be used yet"):
        open_store("gs://bucket/x")


def test_a_local_store_loads_no_library(tmp_path: Path) -> None:
    script = (
        "import sys; from windlass.stores.registry import open_store; from windlass.effects import Always;"
        "s = open_store(sys.argv[1], create=True); s.put('a', b'1', Always()); s.list('');"
        "heavy = {'obstore', 'typing', 'urllib.parse', 'dataclasses', 'pathlib', 'random', 'logging', 'hashlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(windlass.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-S", "-c", script, str(tmp_path / "s")], env=env, text=True, capture_output=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
