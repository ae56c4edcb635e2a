"""Fixtures for all tests: an S3 server of the session's own, and fresh buckets on it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
ROOT = Path(__file__).parent.parent


def _command() -> str | None:
    named = os.environ.get("WINDLASS_TEST_MINISTACK")
    for candidate in (named, str(ROOT / ".venvs" / "ministack" / "bin" / "ministack")):
        if candidate and shutil.which(candidate):
            return candidate
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(server: subprocess.Popen[bytes], endpoint: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + 30
    while True:
        try:
            opener.open(endpoint, timeout=2).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 server that lives as long as the session; any keys open it."""
    command = _command()
    if command is None:
        pytest.skip("ministack is not installed (make .venvs/ministack/.done)")
    home = tmp_path_factory.mktemp("ministack")
    port = _free_port()
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WINDLASS_"))}
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [command],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**keep, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"},
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(server, endpoint)
        yield endpoint
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture
def s3_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys for the test server in the environment, and no AWS setting of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {
        **KEYS,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture
def s3_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty place in S3: a new bucket, or a new prefix under WINDLASS_TEST_S3_URL with its own credentials."""
    make: Callable[[], str] = request.getfixturevalue("new_s3_url")
    return make()


@pytest.fixture
def new_s3_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes such places."""
    given = os.environ.get("WINDLASS_TEST_S3_URL")
    if given:
        place, mark, query = given.partition("?")
        return lambda: f"{place.rstrip('/')}/test-{uuid.uuid4().hex}{mark}{query}"
    request.getfixturevalue("s3_env")
    endpoint: str = request.getfixturevalue("ministack")

    def make() -> str:
        from windlass.stores.registry import open_store

        url = f"s3://test-{uuid.uuid4().hex}/some/prefix?endpoint={endpoint}&region=us-east-1"
        open_store(url, create=True).close()
        return url

    return make
