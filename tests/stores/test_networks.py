"""The S3 store where a private authority signs the certificates, and where a proxy is the only way out."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.stores.relays import Certificates, Proxy, SlowLine, TlsRelay, make_certificates
from tests.stores.s3_double import Answer, Double

from windlass.effects import IfAbsent, Object
from windlass.errors import PutUnclear, StoreError, Unavailable
from windlass.stores.objects import S3Store, open_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(s3_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double()
    server.answers = [Answer(200, b"body", {"etag": '"e1"', "last-modified": formatdate(1_700_000_000, usegmt=True)})]
    yield server
    server.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def relay(certificates: Certificates, double: Double) -> Iterator[TlsRelay]:
    server = TlsRelay(certificates, double.server.server_port)
    yield server
    server.close()


@pytest.fixture
def new_proxy() -> Iterator[Callable[[int], Proxy]]:
    made: list[Proxy] = []

    def make(status: int) -> Proxy:
        made.append(Proxy(status))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def proxy(new_proxy: Callable[[int], Proxy]) -> Proxy:
    return new_proxy(0)


def opened(endpoint: str, more: str = "") -> S3Store:
    return open_s3(f"s3://bucket?endpoint={endpoint}&region=us-east-1&timeout=5{more}")


def use(store: S3Store) -> None:
    """A write and a read through the library, and a request that Windlass signs itself."""
    assert store.put("a", b"x", IfAbsent()) == "e1"
    found = store.get("a")
    assert isinstance(found, Object)
    assert found.body == b"body"
    store.create_bucket()


SENT = [("PUT", "/bucket/a"), ("GET", "/bucket/a"), ("PUT", "/bucket")]


def sent(double: Double) -> list[tuple[str, str]]:
    return [(one.method, one.path) for one in double.seen]


def test_certificates_of_a_private_authority_are_trusted_by_the_environment(
    double: Double, relay: TlsRelay, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    use(opened(relay.endpoint))
    assert sent(double) == SENT


def test_certificates_of_a_private_authority_are_trusted_by_a_profile(
    double: Double, relay: TlsRelay, certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = PK\naws_secret_access_key = PS\n")
    (tmp_path / "config").write_text(f"[profile p]\nca_bundle = {certificates.authority}\n")
    use(opened(relay.endpoint, "&profile=p"))
    assert sent(double) == SENT


def test_unknown_certificates_are_not_trusted_and_nothing_is_sent(double: Double, relay: TlsRelay) -> None:
    store = opened(relay.endpoint)
    with pytest.raises(Unavailable, match="its certificate is not trusted"):
        store.put("a", b"x", IfAbsent())
    with pytest.raises(Unavailable, match="its certificate is not trusted"):
        store.get("a")
    with pytest.raises(Unavailable):
        store.create_bucket()
    assert not double.seen


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_plain_requests_go_through_the_proxy(double: Double, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, proxy.url)
    use(opened(double.endpoint))
    assert proxy.seen == [f"{method} {double.endpoint}{path}" for method, path in SENT]
    assert sent(double) == SENT


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_encrypted_requests_go_through_a_tunnel(
    double: Double, relay: TlsRelay, certificates: Certificates, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    monkeypatch.setenv(name, proxy.url)
    use(opened(relay.endpoint))
    assert set(proxy.seen) == {f"CONNECT 127.0.0.1:{relay.port}"}, "the proxy sees no request"
    assert sent(double) == SENT


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_a_store_that_needs_no_proxy_is_asked_directly(
    double: Double, relay: TlsRelay, certificates: Certificates, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    for which in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(which, proxy.url)
    monkeypatch.setenv(name, "example.org,127.0.0.1")
    use(opened(double.endpoint))
    use(opened(relay.endpoint))
    assert not proxy.seen
    assert sent(double) == SENT * 2


def test_a_put_that_no_proxy_took_did_not_land(
    double: Double, relay: TlsRelay, new_proxy: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="connection refused"):
        opened(double.endpoint).put("a", b"x", IfAbsent())
    for status in (403, 407, 502):  # the tunnel never came about
        proxy = new_proxy(status)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(Unavailable):
            opened(relay.endpoint).put("a", b"x", IfAbsent())
        assert proxy.seen
    assert not double.seen


@pytest.mark.parametrize(("status", "wanted"), [(407, StoreError), (502, PutUnclear), (504, PutUnclear)])
def test_a_proxy_that_gave_up_may_have_passed_a_put_on(
    double: Double, new_proxy: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch, status: int, wanted: type
) -> None:
    monkeypatch.setenv("HTTP_PROXY", new_proxy(status).url)
    with pytest.raises(wanted) as met:
        opened(double.endpoint).put("a", b"x", IfAbsent())
    assert type(met.value) is wanted


def test_a_large_object_has_the_time_that_a_slow_line_needs(new_s3_url: Callable[[], str], ministack: str) -> None:
    url = new_s3_url()
    port = urlsplit(ministack).port
    assert port
    line = SlowLine(port, 400_000)
    body = bytes(range(256)) * 2000
    try:
        store = open_s3(url.replace(ministack, line.url) + "&timeout=0.6")
        store.put("large", body, IfAbsent())
        for _ in range(2):
            found = store.get("large")
            assert isinstance(found, Object)
            assert found.body == body
    finally:
        line.close()


def test_a_small_object_has_the_time_of_a_request(new_s3_url: Callable[[], str], ministack: str) -> None:
    url = new_s3_url()
    port = urlsplit(ministack).port
    assert port
    line = SlowLine(port, 20_000)
    try:
        store = open_s3(url.replace(ministack, line.url) + "&timeout=0.6")
        with pytest.raises(PutUnclear):
            store.put("small", bytes(40_000), IfAbsent())
    finally:
        line.close()
