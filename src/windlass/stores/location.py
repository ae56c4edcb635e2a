"""Reads `s3://bucket/prefix?option=…` URLs. Plain ones are read here, since `urllib` costs a command 5 ms; it judges the others."""

from __future__ import annotations

from windlass.errors import UsageError
from windlass.record import Record
from windlass.stores.names import check_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS = ("endpoint", "region", "profile", "path_style", "etag", "timeout")
REQUEST_TIMEOUT = 20.0

_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
_UNQUOTED = _NAMES | frozenset("_~:/")
"""What a value of a canonical URL may hold as it is."""


class Location(Record):
    """Where a bucket is and how to speak to it. `url` is canonical and holds no secret."""

    url: str
    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    unquoted: bool = False
    """If-Match takes the ETag without its quotes (Ceph)."""
    timeout: float = REQUEST_TIMEOUT
    """Seconds for a whole request."""


def parse(url: str, defaults: Mapping[str, str] | None = None) -> Location:
    """What an S3 URL says; `defaults` are options that its query may override. Raises UsageError that repeats no secret."""
    if any("\ud800" <= char <= "\udfff" for char in url):
        raise UsageError("the store's URL is not valid Unicode", "write s3://BUCKET/PREFIX")
    place, _, query = url.partition("://")[2].partition("?")
    bucket, _, prefix = place.partition("/")
    if "@" in place:
        raise UsageError("the store's URL holds credentials", "take them out, and set AWS_ACCESS_KEY_ID or name a profile: ?profile=NAME")
    if not (3 <= len(bucket) <= 255 and bucket.isascii() and bucket.replace("-", "a").replace(".", "a").replace("_", "a").isalnum()):
        raise UsageError("the store's URL names no legal bucket", "write s3://BUCKET/PREFIX")
    prefix = prefix.strip("/")
    if prefix:
        check_key(prefix)
    given = _options(query)
    known = {name: value for name, value in (defaults or {}).items() if name in OPTIONS}
    return _settled(bucket, prefix, given, {**known, **given})


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in _pairs(query):
        if name not in OPTIONS:  # the value may be a secret, so it is not repeated
            raise UsageError(f"the store's URL has an unknown option: {name[:40]!r}", f"known: {', '.join(OPTIONS)}")
        options[name] = value
    return options


def _pairs(query: str) -> list[tuple[str, str]]:
    if not set(query) & set("%+"):
        return [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]
    from urllib.parse import parse_qsl

    return parse_qsl(query, keep_blank_values=True)


def _is_plain_address(endpoint: str) -> bool:
    """Whether it is HOST or HOST:PORT behind http:// or https:// and nothing else."""
    scheme, _, place = endpoint.partition("://")
    host, colon, port = place.partition(":")
    legal = not colon or (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536)
    return scheme in ("http", "https") and bool(host) and legal and set(host) <= _NAMES


def _is_address(endpoint: str) -> bool:
    """Whether the libraries below can make a request of it: what they cannot parse would end them, not fail."""
    if _is_plain_address(endpoint):
        return True
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = not (parts.username or parts.password or parts.query or parts.fragment) and "?" not in endpoint and "#" not in endpoint
    legal = all(char.isascii() and (char.isalnum() or char in "-._:") for char in host)
    return parts.scheme in ("http", "https") and bool(host) and plain and legal and port != 0 and "@" not in parts.netloc


def _settled(bucket: str, prefix: str, given: Mapping[str, str], options: Mapping[str, str]) -> Location:
    endpoint = options.get("endpoint", "").rstrip("/") or None
    if endpoint and not _is_address(endpoint):
        raise UsageError("the store's endpoint is no plain http or https address", "write endpoint=https://HOST or http://HOST:PORT")
    region = options.get("region") or None
    if region is not None and not (region.isascii() and region.replace("-", "a").replace("_", "a").isalnum()):
        raise UsageError("the store's region is no name of a region", "write region=eu-central-1, or leave it out")
    etag = options.get("etag", "quoted")
    if etag not in ("quoted", "unquoted"):
        raise UsageError("the store's option etag is neither quoted nor unquoted", "write etag=unquoted (Ceph), or leave it out")
    path_style = options.get("path_style")
    if path_style not in (None, "true", "false"):
        raise UsageError("the store's option path_style is neither true nor false", "write path_style=true, or leave it out")
    try:
        timeout = float(options.get("timeout", REQUEST_TIMEOUT))
    except ValueError:
        timeout = 0.0
    if not 0.1 <= timeout <= 600:
        raise UsageError("the store's option timeout is not a number of seconds from 0.1 to 600", "write timeout=20")
    return Location(
        url=_canonical(bucket, prefix, given),
        bucket=bucket,
        prefix=prefix,
        endpoint=endpoint,
        region=region,
        profile=options.get("profile") or None,
        path_style=None if path_style is None else path_style == "true",
        unquoted=etag == "unquoted",
        timeout=timeout,
    )


def _canonical(bucket: str, prefix: str, given: Mapping[str, str]) -> str:
    url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
    said = {name: given.get(name, "").rstrip("/") for name in OPTIONS}
    query = "&".join(f"{name}={_quoted(value)}" for name, value in said.items() if value)
    return f"{url}?{query}" if query else url


def _quoted(value: str) -> str:
    if set(value) <= _UNQUOTED:
        return value
    from urllib.parse import quote

    return quote(value, safe=":/")
