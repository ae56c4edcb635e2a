"""S3 URLs: what no library below could make a request of is refused before anything is sent."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from windlass.errors import UsageError
from windlass.stores import location
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


ADDRESSES = st.text(alphabet="htps:/.-_aA9[]@?#%\\ ö\n0", max_size=14).map(lambda rest: f"http://{rest}") | st.from_regex(
    r"(https?|ftp)://[a-zA-Z0-9.-]{0,6}(:[0-9]{0,6})?/?", fullmatch=True
)


@given(ADDRESSES)
@example("http://127.0.0.1:9000")
@example("http://host:65536")
@example("http://host:0")
@example("https://host:")
def test_an_address_taken_for_plain_is_one(endpoint: str) -> None:
    if location._is_plain_address(endpoint):
        parts = urlsplit(endpoint)
        assert parts.hostname
        assert parts.port != 0
        assert parts.scheme in ("http", "https")
        assert parts.netloc == endpoint.partition("://")[2], "nothing before or behind the host and its port"


@given(st.text(alphabet="ab=&;%+/:é ", max_size=12))
def test_options_are_read_and_written_as_urllib_does(text: str) -> None:
    assert location._pairs(text) == parse_qsl(text, keep_blank_values=True)
    assert location._quoted(text) == quote(text, safe=":/")


def test_a_plain_url_needs_no_urllib() -> None:
    program = (
        "import sys; from windlass.stores.location import parse; "
        "parse('s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu-central-1&path_style=true'); print('urllib.parse' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
