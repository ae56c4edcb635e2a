"""The few signed requests that obstore cannot make: create a bucket, read its lifecycle rules, ask for its region, try it out."""

from __future__ import annotations

import hmac
import re
import time
from html import unescape
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPErrorProcessor, HTTPSHandler, Request, build_opener

from windlass.digest import sha256_hex
from windlass.errors import AccessDenied, StoreError, Unavailable
from windlass.record import Record
from windlass.stores import answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from windlass.stores.credentials import Keys
    from windlass.stores.location import Location

TIMEOUT = 20.0
MAX_ANSWER = 1024 * 1024
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class Reply(Record):
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes


class _NoErrors(HTTPErrorProcessor):
    """Hands every answer back as it is: a redirect must not carry a signature elsewhere."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


def create_bucket(place: Location, keys: Keys | None, ca_bundle: str | None = None) -> None:
    """Make the bucket; fine if it is there and one's own. Raises AccessDenied, StoreError, Unavailable."""
    body = b""
    if place.region != "us-east-1":
        inner = f"<LocationConstraint>{place.region}</LocationConstraint>"
        body = f'<CreateBucketConfiguration xmlns="{_XMLNS}">{inner}</CreateBucketConfiguration>'.encode()
    reply = _signed("PUT", place, _required(place, keys), ca_bundle, body=body)
    code = _code(reply)
    if reply.status in (200, 204) or code == "BucketAlreadyOwnedByYou":
        return
    if code == "BucketAlreadyExists":
        raise StoreError(f"the bucket {place.bucket} exists and belongs to somebody else", "choose another name")
    raise _refusal(reply, place)


def deleting_rules(place: Location, keys: Keys | None, ca_bundle: str | None = None) -> tuple[str, ...]:
    """Enabled lifecycle rules that delete current objects under the store's prefix, in words."""
    reply = _signed("GET", place, _required(place, keys), ca_bundle, query="lifecycle=")
    if reply.status == 404 and _code(reply) == "NoSuchLifecycleConfiguration":
        return ()
    if reply.status != 200:
        raise _refusal(reply, place)
    text = reply.body.decode("utf-8", "replace")
    found = []
    for rule in re.findall(r"<Rule>(.*?)</Rule>", text, re.DOTALL):
        prefix = _first(rule, "Prefix")
        expiry = re.search(r"<Expiration>(.*?)</Expiration>", rule, re.DOTALL)
        ours = place.prefix + "/" if place.prefix else ""
        if "<Status>Enabled</Status>" not in rule or not expiry or not (ours.startswith(prefix) or prefix.startswith(ours)):
            continue
        days, date = _first(expiry[1], "Days"), _first(expiry[1], "Date")
        if days or date:
            when = f"{days} days after their creation" if days else f"on {date}"
            found.append(f"rule {_first(rule, 'ID') or 'without a name'} deletes objects under {prefix or '/'!r} {when}")
    return tuple(found)


def reads_conditionally(place: Location, keys: Keys, key: str, version: str, ca_bundle: str | None = None) -> bool:
    """Whether a read that names the object's version is answered with 304. Raises Unavailable."""
    return _signed("GET", place, keys, ca_bundle, key=key, unsigned={"If-None-Match": f'"{version}"'}).status == 304


def deletes_conditionally(place: Location, keys: Keys, key: str, ca_bundle: str | None = None) -> bool:
    """Whether a delete that names another version is refused; where not, the object may be gone. Raises Unavailable."""
    return _signed("DELETE", place, keys, ca_bundle, key=key, unsigned={"If-Match": '"0123456789abcdef0123456789abcdef"'}).status == 412


def pages(place: Location, keys: Keys, prefix: str, ca_bundle: str | None = None) -> tuple[str, ...] | None:
    """The keys in the store below a prefix, listed three at a time; None where such a request is refused. Raises Unavailable."""
    ours = place.prefix + "/" if place.prefix else ""
    found: list[str] = []
    token = ""
    for _ in range(10):
        asked = {"list-type": "2", "max-keys": "3", "prefix": ours + prefix, **({"continuation-token": token} if token else {})}
        query = "&".join(f"{name}={quote(asked[name], safe='')}" for name in sorted(asked))
        reply = _signed("GET", place, keys, ca_bundle, query=query)
        if reply.status != 200:
            return None
        text = reply.body.decode("utf-8", "replace")
        found += [key.removeprefix(ours) for key in re.findall(r"<Key>([^<]*)</Key>", text)]
        token = unescape(_first(text, "NextContinuationToken"))
        if _first(text, "IsTruncated") != "true" or not token:
            break
    return tuple(found)


def bucket_region(place: Location, ca_bundle: str | None = None) -> str | None:
    """The region that the bucket's own answer to an unsigned request names, if any."""
    request = Request(_address(place), method="HEAD")  # noqa: S310  # a location holds nothing but http and https
    try:
        region: str = _send(request, ca_bundle).headers.get("x-amz-bucket-region") or ""
    except Unavailable:
        return None
    return region if re.fullmatch(r"[a-z0-9-]+", region) else None


def _required(place: Location, keys: Keys | None) -> Keys:
    if keys is None:
        hint = f"make it with your provider's own tool, for example: aws s3 mb s3://{place.bucket}"
        raise AccessDenied("this needs keys in the environment or a profile", hint)
    return keys


def _address(place: Location) -> str:
    endpoint = place.endpoint or f"https://s3.{place.region}.amazonaws.com"
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{place.bucket}.{host}/" if place.path_style is False else f"{endpoint}/{place.bucket}"


def _signed(
    method: str,
    place: Location,
    keys: Keys,
    ca_bundle: str | None,
    *,
    key: str = "",
    query: str = "",
    body: bytes = b"",
    unsigned: Mapping[str, str] | None = None,
) -> Reply:
    """A request to the bucket, or to an object by its key in the store."""
    object_path = "/" + (f"{place.prefix}/{key}" if place.prefix else key) if key else ""
    address = urlsplit(_address(place).rstrip("/") + (object_path or ("/" if place.path_style is False else "")))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": address.netloc, "x-amz-content-sha256": sha256_hex(body), "x-amz-date": stamp}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join((method, quote(address.path or "/"), query, listed, names, sha256_hex(body)))
    scope = f"{stamp[:8]}/{place.region}/s3/aws4_request"
    signing = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256_hex(canonical.encode())}"
    signature = hmac.digest(signing, text.encode(), "sha256").hex()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    url = address.geturl() + (f"?{query}" if query else "")
    request = Request(url, data=body or None, headers={**headers, **(unsigned or {})}, method=method)  # noqa: S310  # as above
    return _send(request, ca_bundle)


def _send(request: Request, ca_bundle: str | None) -> Reply:
    from ssl import create_default_context

    opener = build_opener(_NoErrors, HTTPSHandler(context=create_default_context(cafile=ca_bundle)))
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            return Reply(status=response.status, headers=response.headers, body=response.read(MAX_ANSWER))
    except (HTTPError, HTTPException, OSError):
        raise Unavailable(f"{request.host} gave no usable answer", "check the network and the endpoint, then try again") from None


def _first(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else ""


def _code(reply: Reply) -> str:
    return _first(reply.body.decode("utf-8", "replace"), "Code")


def _refusal(reply: Reply, place: Location) -> Exception:
    text = f"status code: {reply.status} {reply.body.decode('utf-8', 'replace')}"
    return answers.of_read(answers.understand(Exception(text)), place, None, "")
