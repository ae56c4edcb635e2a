"""Buckets that keep versions, or have kept them once, are buckets like any other: Windlass names no version of an object."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli

BODY = '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>{}</Status></VersioningConfiguration>'


def request(url: str, method: str, body: str = "") -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body.encode(), method=method), timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_bucket_that_keeps_versions_keeps_our_promises(cli: Cli, s3_url: str, status: str) -> None:
    place = urlsplit(s3_url)
    bucket = f"{parse_qs(place.query)['endpoint'][0]}/{place.netloc}"
    for now in dict.fromkeys(("Enabled", status)):  # only what was on can be suspended
        request(f"{bucket}?versioning", "PUT", BODY.format(now))
    assert status in request(f"{bucket}?versioning", "GET")
    env = {"WINDLASS_STORE": s3_url}
    cli.ok("memory", "set", "k", "one", agent="ann", env=env)
    if status == "Enabled":
        assert request(f"{bucket}?versions", "GET").count("<Version>") > 1, "versions are really kept"
    assert cli.run("doctor", "--quick", agent="ann", env=env).code == 0
    cli.ok("claim", "s", agent="ann", env=env)
    assert cli.run("claim", "s", agent="bob", env=env).code == 3
    cli.ok("complete", "s", agent="ann", env=env)
    for value in ("two", "one"):
        cli.ok("memory", "set", "k", value, agent="ann", env=env)
    assert cli.run("memory", "set", "k", "late", "--if-version", "1", agent="bob", env=env).code == 3
    cli.ok("send", "bob", "hi", agent="ann", env=env)
    assert "hi" in cli.ok("inbox", agent="bob", env=env).out
