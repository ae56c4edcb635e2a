"""S3 and what speaks like it, through obstore: one attempt for each put, a few for each read."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from windlass.effects import Entry, IfAbsent, IfMatch, Object, Page, Unchanged
from windlass.errors import Damaged, StoreError, Unavailable, Unsafe, UsageError
from windlass.stores import answers, credentials, library
from windlass.stores.base import MAX_OBJECT, Capabilities
from windlass.stores.location import parse
from windlass.stores.names import check_folder, check_key, check_prefix
from windlass.stores.wrappers import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    import obstore
    from obstore.store import S3Store as Client

    from windlass.effects import Condition
    from windlass.stores.location import Location

    T = TypeVar("T")
else:
    obstore = library.load()
    Client = obstore._store.S3Store

CONNECT_TIMEOUT = 5.0
LARGE = 64 * 1024
"""Bytes: a larger object is given the time that a slow line needs for it, beyond the time-out of a request."""
SLOWEST = 32 * 1024
"""Bytes a second that a line must carry for each of several objects at once."""
PAGE = 1000
"""Entries in one answer of S3; asking for one more would cost a second request."""
LISTING = 6
"""Times the time-out of a request that one listing may take."""
PAUSES = (0.1, 0.4)
"""Seconds before a read is tried again."""

_FAILURES = (obstore.exceptions.BaseError, OSError, ValueError)


def open_s3(url: str, create: bool = False, options: Mapping[str, str] | None = None, env: Mapping[str, str] = os.environ) -> S3Store:
    """The store that an S3 URL names; `create` makes its bucket. Raises UsageError, AccessDenied."""
    store = S3Store(parse(url, options), env)
    if create:
        store.create_bucket()
    return store


class S3Store:
    """A bucket, or a prefix in one. Versions are ETags without quotes; `modified` is in whole seconds, as HTTP gives it."""

    def __init__(self, place: Location, env: Mapping[str, str] = os.environ) -> None:
        self.url = place.url
        self.capabilities = Capabilities()
        self._provider, self._profile = credentials.provider(place.profile, env)
        values = self._profile.values if self._profile else {}
        endpoint = place.endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or values.get("endpoint_url")
        region = place.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or values.get("region")
        self._ask_region = region is None and endpoint is None
        self._env = env
        self._moving = allocate_lock()
        self.place = place.but(endpoint=endpoint, region=region or "us-east-1")
        if self._provider:
            self._provider()  # a missing extra or an expired login is better said before the first request
        self._client = self._connect()
        self._patient: tuple[Client, Client] | None = None
        """A client that waits longer, with the one that it stands for."""
        self._slow = False
        """Whether a large object did not come in time."""

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        """Checks the size before it reads the body."""
        check_key(key)
        return self._read(key, lambda client: self._get(client, key, unless))

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        """One request, never repeated by the library."""
        check_key(key)
        mode: Any = "overwrite"
        if isinstance(condition, IfAbsent):
            mode = "create"
        elif isinstance(condition, IfMatch):
            mode = {"e_tag": condition.version if self.place.unquoted else f'"{condition.version}"'}
        client = self._client
        try:
            try:
                done = obstore.put(self._patient_for(client, len(body)), key, body, mode=mode, use_multipart=False)
            except _FAILURES as error:
                if not self._moved_region(answers.understand(error), client):
                    raise
                done = obstore.put(self._patient_for(self._client, len(body)), key, body, mode=mode, use_multipart=False)
        except _FAILURES as error:
            answer = answers.understand(error)
            if answer.keyless and self._provider and self._provider.failure:
                raise self._provider.failure from None
            raise answers.of_put(answer, self.place, self._profile, key, isinstance(condition, IfMatch)) from None
        return self._version(done["e_tag"])

    def delete(self, key: str) -> None:
        """Unconditional, since few stores offer more."""
        check_key(key)
        self._read(key, lambda client: obstore.delete(client, key))

    def list(self, prefix: str, after: str = "", limit: int = PAGE) -> Page:
        """One request for up to 1,000 entries; of 1,000 exactly, `more` may turn out to be nothing."""
        check_prefix(prefix)
        return self._ending(lambda: self._read(prefix, lambda client: self._list(client, prefix, after, min(limit, PAGE))))

    def folders(self, prefix: str) -> tuple[str, ...]:
        """One request for each 1,000 names."""
        check_folder(prefix)
        found = self._ending(
            lambda: self._read(prefix, lambda client: obstore.list_with_delimiter(client, prefix or None)["common_prefixes"])
        )
        names = (path.rstrip("/").rpartition("/")[2] for path in found)
        return tuple(sorted({name for name in names if _legal(name)}))

    def _ending(self, listing: Callable[[], T]) -> T:
        """A listing that ends: the library itself asks for pages as long as a server promises more, empty ones too."""
        most = LISTING * self.place.timeout
        hint = "check the endpoint; windlass doctor shows how the store is"
        return bounded(listing, most, lambda: Unavailable(f"{self.url} did not end a listing within {most:g} s", hint))

    def close(self) -> None:
        """The library keeps its connections for as long as the process lives, and closes idle ones by itself."""

    def keys(self) -> credentials.Keys | None:
        """The credentials for requests that obstore cannot make; None where only it can get at them."""
        return self._provider.keys() if self._provider else credentials.environment_keys(self._env)

    def create_bucket(self) -> None:
        """Make the bucket unless it is there. Raises AccessDenied, StoreError."""
        from windlass.stores import sigv4

        sigv4.create_bucket(self.place, self.keys(), self._ca_bundle())

    def deleting_rules(self) -> tuple[str, ...]:
        """The bucket's lifecycle rules that delete objects of ours, in words. Raises AccessDenied, StoreError."""
        from windlass.stores import sigv4

        return sigv4.deleting_rules(self.place, self.keys(), self._ca_bundle())

    def extras(self, key: str, version: str) -> dict[str, bool] | None:
        """Which requests beyond the contract honour conditions, tried on an object that may be gone afterwards.

        None where only the library can get at the credentials. Raises Unavailable.
        """
        from windlass.stores import sigv4

        keys, bundle = self.keys(), self._ca_bundle()
        if keys is None:
            return None
        return {
            "conditional_get": sigv4.reads_conditionally(self.place, keys, key, version, bundle),
            "conditional_delete": sigv4.deletes_conditionally(self.place, keys, key, bundle),
        }

    def pages(self, prefix: str) -> tuple[str, ...] | None:
        """The keys below a prefix as listed in pages of three, which the library never asks for; None where that cannot be tried."""
        from windlass.stores import sigv4

        check_prefix(prefix)
        keys = self.keys()
        return None if keys is None else sigv4.pages(self.place, keys, prefix, self._ca_bundle())

    def _patient_for(self, client: Client, size: int) -> Client:
        """The client that moves an object of that size: one that gives it the time that a slow line needs, where it is large."""
        if size <= LARGE:
            return client
        with self._moving:
            if self._patient is None or self._patient[0] is not client:
                self._patient = client, self._connect(MAX_OBJECT / SLOWEST)
            return self._patient[1]

    def _connect(self, longer: float = 0.0) -> Client:
        place = self.place
        timeout = f"{(place.timeout + longer) * 1000:.0f}ms"
        client: dict[str, Any] = {"connect_timeout": f"{CONNECT_TIMEOUT:.0f}s", "timeout": timeout}
        config: dict[str, Any] = {"region": place.region, "conditional_put": "etag", "disable_bulk_delete": True}
        virtual = place.path_style is False or (place.path_style is None and not place.endpoint and "." not in place.bucket)
        config["virtual_hosted_style_request"] = virtual
        if place.endpoint:
            scheme, _, host = place.endpoint.partition("://")
            client["allow_http"] = scheme == "http"
            # under this name, since the environment's AWS_ENDPOINT_URL_S3 would win over `endpoint`
            config["aws_endpoint_url_s3"] = f"{scheme}://{place.bucket}.{host}" if virtual else place.endpoint
        bundle = self._ca_bundle()
        if bundle:
            try:
                with open(bundle, "rb") as file:
                    client["root_certificate"] = file.read()
            except OSError:
                raise UsageError(f"the certificates in {bundle} cannot be read", "mend AWS_CA_BUNDLE") from None
        config["credential_provider"] = self._provider
        config["client_options"] = client
        return Client(place.bucket, prefix=place.prefix or None, retry_config={"max_retries": 0}, **config)

    def _ca_bundle(self) -> str | None:
        return self._env.get("AWS_CA_BUNDLE") or (self._profile.values.get("ca_bundle") if self._profile else None)

    def _get(self, client: Client, key: str, unless: str | None) -> Object | Unchanged | None:
        options: Any = {"if_none_match": f'"{unless}"'} if unless else None
        if self._slow:
            client = self._patient_for(client, MAX_OBJECT)
        try:
            found = obstore.get(client, key, options=options)
        except obstore.exceptions.NotModifiedError:
            if unless is None:
                raise Unavailable(f"{self.url} says that {key} has not changed, though nobody asked that", "check the endpoint") from None
            return Unchanged(key=key)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error) and answers.understand(error).code == "NoSuchBucket":
                raise
            return None
        meta = found.meta
        if meta["size"] > MAX_OBJECT:
            raise Damaged(key, f"{meta['size']} bytes are more than any object of Windlass has")
        version = self._version(meta["e_tag"])
        if version == unless:  # a store that knows no conditional read sends the whole object
            return Unchanged(key=key)
        try:
            body = found.bytes().to_bytes()
        except _FAILURES:
            if self._slow or meta["size"] <= LARGE:
                raise
            self._slow = True
            return self._get(client, key, unless)
        return Object(key=key, body=body, version=version, modified=float(int(meta["last_modified"].timestamp())))

    def _list(self, client: Client, prefix: str, after: str, limit: int) -> Page:
        base = prefix[: prefix.rfind("/") + 1]
        chunk = limit if limit == PAGE else limit + 1
        entries: list[Entry] = []
        first = None
        # obstore sends whole folders as prefix: the rest of ours becomes a start and an end
        stream = obstore.list(client, base or None, offset=max(after, _just_below(prefix, base)) or None, chunk_size=chunk)
        for metas in stream:
            for meta in metas:
                key = meta["path"]
                if key == first:
                    raise StoreError(f"{self.url} gives the same page of a listing again and again", "run: windlass doctor")
                first = first or key
                if not key.startswith(prefix):
                    if key > prefix:
                        return Page(entries=tuple(entries), more=None)
                    continue
                if key <= after or not _legal(key):
                    continue
                if len(entries) == limit:
                    return Page(entries=tuple(entries), more=entries[-1].key)
                if entries and key <= entries[-1].key:
                    raise Unsafe(f"{self.url} lists its keys out of order", "run: windlass doctor")
                version = (meta["e_tag"] or "").strip('"')
                # lists give milliseconds where reads give seconds: two times of one object must agree
                modified = float(int(meta["last_modified"].timestamp()))
                entries.append(Entry(key=key, version=version, size=meta["size"], modified=modified))
            if chunk == PAGE and len(entries) == limit == len(metas):
                return Page(entries=tuple(entries), more=entries[-1].key)
        return Page(entries=tuple(entries), more=None)

    def _read(self, key: str, action: Callable[[Client], T]) -> T:
        """Carry out something that may be repeated."""
        give_up = time.monotonic() + self.place.timeout
        for pause in (*PAUSES, None):
            client = self._client
            try:
                return action(client)
            except _FAILURES as error:
                answer = answers.understand(error)
                if answer.keyless and self._provider and self._provider.failure:
                    raise self._provider.failure from None
                if self._moved_region(answer, client):
                    continue
                if pause is None or not answer.transient or time.monotonic() + pause > give_up or answer.kind == "InvalidPathError":
                    raise answers.of_read(answer, self.place, self._profile, key) from None
            time.sleep(pause)
        raise Unavailable(f"{self.url} moved between regions", "add ?region=REGION to the store's URL")

    def _moved_region(self, answer: answers.Answer, used: Client) -> bool:
        """Whether nobody named a region, `used` asked in the wrong one, and the bucket's answer named the one that now is in use."""
        if answer.status != 301 and answer.code not in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
            return False
        with self._moving:
            if self._client is not used:  # another thread was told the same
                return True
            if not self._ask_region:
                return False
            from windlass.stores import sigv4

            self._ask_region = False
            region = answer.region or sigv4.bucket_region(self.place, self._ca_bundle())
            if not region:
                return False
            self.place = self.place.but(region=region)
            self._client = self._connect()
            return True

    def _version(self, etag: str | None) -> str:
        version = (etag or "").strip('"')
        if not version:
            raise Unsafe(f"{self.url} gives its objects no ETag", "choose another store")
        return version


def _just_below(prefix: str, base: str) -> str:
    """A text under which no key that starts with `prefix` sorts, and few others between."""
    if prefix == base:
        return ""
    last = chr(ord(prefix[-1]) - 1)
    if last == "/" and prefix[:-1] == base:  # an empty segment is no path
        last = "."
    return f"{prefix[:-1]}{last}~"


def _legal(key: str) -> bool:
    try:
        check_key(key)
    except UsageError:  # somebody else's object
        return False
    return True
