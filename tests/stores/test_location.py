"""S3 URLs: what no library below could make a request of is refused before anything is sent."""

from __future__ import annotations

import pytest

from windlass.errors import UsageError
from windlass.stores.location import parse


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://[::1",
        "http://host:99999",
        "http://host:0",
        "http://host:port",
        "http://",
        "ftp://host",
        "host:9000",
        "http://user:pw@host",
        "http://ho st",
        "http://hö.example",
        "http://host/%23x#frag",
        "http://host\\evil",
    ],
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    from urllib.parse import quote

    with pytest.raises(UsageError, match="endpoint"):
        parse(f"s3://bucket?endpoint={quote(endpoint, safe='')}")


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "https://[::1]:9000", "https://s3.example.org", "https://s3.example.org/space"]
)
def test_an_endpoint_that_is_an_address_is_kept(endpoint: str) -> None:
    assert parse(f"s3://bucket?endpoint={endpoint}").endpoint == endpoint


@pytest.mark.parametrize("region", ["a%20b", "a/b", "%00", "ü"])
def test_a_region_that_is_no_name_is_refused(region: str) -> None:
    with pytest.raises(UsageError, match="region"):
        parse(f"s3://bucket?region={region}")
