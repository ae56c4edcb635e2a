"""What the S3 store makes of every answer, and what it sends."""

from __future__ import annotations

import os
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.stores.s3_double import Answer, Double, error

from windlass.effects import Always, IfAbsent, IfMatch, Object, Unchanged
from windlass.errors import (
    AccessDenied,
    Damaged,
    PutRefused,
    PutUnclear,
    StoreError,
    StoreFull,
    StoreMissing,
    Unavailable,
    Unsafe,
    UsageError,
    WindlassError,
)
from windlass.stores.answers import understand
from windlass.stores.base import MAX_OBJECT
from windlass.stores.objects import S3Store, open_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("s3_env")

NOT_OURS = ("secret", "X-Amz", "Error performing", "Signature", "Debug source")


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double()
    yield server
    server.close()


@pytest.fixture
def store(double: Double) -> S3Store:
    return open_s3(f"s3://bucket/pre?endpoint={double.endpoint}&region=us-east-1&timeout=2")


def found(body: bytes, etag: str | None = '"e1"', **more: str) -> Answer:
    headers = {"last-modified": formatdate(1_700_000_000, usegmt=True), **({"etag": etag} if etag else {}), **more}
    return Answer(200, body, headers)


def check_text(met: WindlassError) -> None:
    text = f"{met.message} {met.hint}"
    assert met.hint
    assert not any(word in text for word in NOT_OURS), text


@pytest.mark.parametrize(
    ("status", "body", "create", "replace"),
    [
        (412, error("PreconditionFailed"), PutRefused, PutRefused),
        (409, error("ConditionalRequestConflict"), PutUnclear, PutUnclear),
        (404, error("NoSuchKey"), StoreMissing, PutRefused),
        (404, error("NoSuchBucket"), StoreMissing, StoreMissing),
        (401, b"", AccessDenied, AccessDenied),
        (403, error("AccessDenied"), AccessDenied, AccessDenied),
        (400, error("ExpiredToken"), AccessDenied, AccessDenied),
        (400, error("InvalidRequest"), StoreError, StoreError),
        (400, error("RequestTimeout"), PutUnclear, PutUnclear),
        (408, b"", PutUnclear, PutUnclear),
        (429, error("SlowDown"), PutUnclear, PutUnclear),
        (500, error("InternalError"), PutUnclear, PutUnclear),
        (502, b"<html>secret</html>", PutUnclear, PutUnclear),
        (503, error("SlowDown"), PutUnclear, PutUnclear),
        (501, error("NotImplemented"), Unsafe, Unsafe),
        (507, b"", StoreFull, StoreFull),
        (403, error("QuotaExceeded"), StoreFull, StoreFull),
    ],
)
def test_each_answer_to_a_put(double: Double, store: S3Store, status: int, body: bytes, create: type, replace: type) -> None:
    double.answers = [Answer(status, body)]
    for condition, wanted in ((IfAbsent(), create), (IfMatch(version="v"), replace)):
        double.seen.clear()
        with pytest.raises(wanted) as met:
            store.put("a", b"x", condition)
        assert type(met.value) is wanted
        assert len(double.seen) == 1, "a put is never repeated"
        if isinstance(met.value, WindlassError):
            check_text(met.value)
        assert met.value.__suppress_context__


def test_what_is_not_there_is_none_after_one_request(double: Double, store: S3Store) -> None:
    double.answers = [Answer(404, error("NoSuchKey"))]
    assert store.get("a") is None
    assert len(double.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "wanted", "requests"),
    [
        (404, error("NoSuchBucket"), StoreMissing, 1),
        (403, error("AccessDenied"), AccessDenied, 1),
        (400, error("ExpiredToken"), AccessDenied, 1),
        (500, error("InternalError"), Unavailable, 3),
        (503, error("SlowDown"), Unavailable, 3),
        (400, error("Strange"), Unavailable, 1),
    ],
)
def test_each_answer_to_a_read(double: Double, store: S3Store, status: int, body: bytes, wanted: type, requests: int) -> None:
    double.answers = [Answer(status, body)]
    calls: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.list("a/"),
        lambda: store.folders("a/"),
        lambda: store.delete("a"),
    ]
    for call in calls:
        double.seen.clear()
        with pytest.raises(wanted) as met:
            call()
        assert type(met.value) is wanted
        assert len(double.seen) == requests
        check_text(met.value)  # type: ignore[arg-type]


def test_a_read_gets_over_a_passing_failure(double: Double, store: S3Store) -> None:
    double.answers = [Answer(503), Answer(0, hang_up=True), found(b"at last")]
    got = store.get("a")
    assert isinstance(got, Object)
    assert (got.body, got.version, got.modified) == (b"at last", "e1", 1_700_000_000.0)


@pytest.mark.parametrize("end", [Answer(0, hang_up=True), Answer(0, reset=True)], ids=["closed", "reset"])
@pytest.mark.parametrize("condition", [IfAbsent(), IfMatch(version="e1")], ids=["create", "replace"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "warm"])
def test_a_put_whose_connection_breaks_may_have_landed(
    double: Double, store: S3Store, end: Answer, condition: IfAbsent | IfMatch, warm: bool
) -> None:
    for _ in range(50):
        double.seen.clear()
        double.answers = [found(b"x"), end] if warm else [end]
        if warm:
            store.get("a")
        with pytest.raises(PutUnclear, match="connection dropped"):
            store.put("a", b"body", condition)
        assert double.seen[-1].body == b"body", "the server had all of it"
        if len({one.client for one in double.seen}) == 1:
            return
    pytest.fail("the library never used the read's connection again")  # now and then it comes back too late


@pytest.mark.parametrize(
    "key",
    [
        "latest/api/token",
        "x/latest/api/token",
        "latest/meta-data/iam",
        "169.254.170.2/x",
        "MissingEtag",
        "ConnectionRefused",
        "certificate",
    ],
)
def test_no_name_of_an_object_is_taken_for_the_librarys_words(double: Double, store: S3Store, key: str) -> None:
    double.answers = [Answer(0, reset=True)]
    with pytest.raises(PutUnclear, match="connection dropped"):
        store.put(key, b"x", IfAbsent())
    double.answers = [Answer(500, error("InternalError", f"<Resource>/bucket/{key}</Resource>MissingEtag kind: Connect,"))]
    with pytest.raises(PutUnclear, match="HTTP 500"):
        store.put(key, b"x", IfAbsent())


def test_a_put_that_never_left_did_not_land() -> None:
    for endpoint, why in (("http://127.0.0.1:1", "connection refused"), (f"http://{'x' * 64}.invalid", "its name is not known")):
        store = open_s3(f"s3://bucket?endpoint={endpoint}&region=us-east-1&timeout=2")
        for condition in (IfAbsent(), IfMatch(version="v")):
            with pytest.raises(Unavailable, match=why):
                store.put("ConnectionReset", b"x", condition)


@pytest.mark.parametrize("kind", ["ConnectionReset", "ConnectionAborted", "ConnectionRefused", "BrokenPipe", "UnexpectedEof"])
def test_a_kind_of_operating_systems_error_alone_proves_nothing(kind: str) -> None:
    source = f"HttpError {{ kind: Request, source: hyper::Error(Io, Os {{ kind: {kind}, }}) }}"
    text = f"HTTP error: error sending request\n\nDebug source:\n{source}"
    assert not understand(Exception(text)).unsent
    assert not understand(Exception(text.replace(" ", "\n    "))).unsent


def test_a_put_that_never_got_credentials_did_not_land(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(AccessDenied, match="no AWS credentials"):
        open_s3(f"s3://bucket?endpoint={double.endpoint}&timeout=2").put("a", b"x", IfAbsent())
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", os.devnull)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://127.0.0.1:1")
    with pytest.raises(AccessDenied, match="no AWS credentials"):
        open_s3(f"s3://bucket?endpoint={double.endpoint}&timeout=2").put("a", b"x", IfAbsent())
    assert not double.seen


def lose(store: S3Store, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """From now on the store's provider of credentials fails."""
    assert store._provider

    def fail() -> NoReturn:
        raise failure

    monkeypatch.setattr(store._provider, "keys", fail)


@pytest.fixture
def with_profile(double: Double, tmp_path: Path) -> S3Store:
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = PK\naws_secret_access_key = PS\n")
    return open_s3(f"s3://bucket?endpoint={double.endpoint}&profile=p&timeout=2")


def test_a_login_that_expired_is_told_by_every_request(double: Double, with_profile: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store, expired = with_profile, AccessDenied("the login expired", "run: aws sso login")
    lose(store, monkeypatch, expired)
    calls: list[Callable[[], object]] = [
        lambda: store.put("a", b"x", IfAbsent()),
        lambda: store.put("a", b"x", IfMatch(version="v")),
        lambda: store.get("a"),
        lambda: store.list(""),
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(AccessDenied) as met:
            call()
        assert met.value is expired
    lose(store, monkeypatch, RuntimeError("secret"))
    store._provider.failure = None  # type: ignore[union-attr]
    with pytest.raises(AccessDenied) as met:
        store.put("a", b"x", IfAbsent())
    check_text(met.value)
    assert not double.seen, "nothing was sent"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (Answer(412, error("PreconditionFailed")), PutRefused),
        (Answer(409, error("ConditionalRequestConflict")), PutUnclear),
        (Answer(500, error("InternalError")), PutUnclear),
        (Answer(0, reset=True), PutUnclear),
        (Answer(0, hang_up=True), PutUnclear),
    ],
)
def test_an_earlier_failure_of_the_login_explains_no_other_answer(
    double: Double, with_profile: S3Store, answer: Answer, wanted: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.answers = [answer]
    with pytest.raises(wanted):  # the library keeps the credentials from here on
        with_profile.put("a", b"x", IfAbsent())
    with monkeypatch.context() as patch:
        lose(with_profile, patch, AccessDenied("the login expired", ""))
        with pytest.raises(AccessDenied):
            with_profile._provider()  # type: ignore[misc]
        with pytest.raises(wanted):
            with_profile.put("a", b"x", IfAbsent())
    double.answers = [Answer(500)]
    with pytest.raises(Unavailable):
        with_profile.get("a")


def test_a_clock_that_is_off_is_named(double: Double, store: S3Store) -> None:
    times = "<RequestTime>20261120T120000Z</RequestTime><ServerTime>2026-11-20T11:20:00Z</ServerTime>"
    double.answers = [Answer(403, error("RequestTimeTooSkewed", times))]
    for call in (lambda: store.get("a"), lambda: store.put("a", b"", IfAbsent())):
        with pytest.raises(AccessDenied, match="your clock is 40 minutes ahead"):
            call()


def test_aws_itself_is_asked_by_the_buckets_own_host_name() -> None:
    from datetime import timedelta

    import obstore

    for url, address in (
        ("s3://bucket/pre?region=eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/pre/a?"),
        ("s3://with.dots?region=eu-west-1", "https://s3.eu-west-1.amazonaws.com/with.dots/a?"),
        ("s3://bucket?endpoint=https://s3.example.org/space", "https://s3.example.org/space/bucket/a?"),
        ("s3://bucket?endpoint=https://s3.example.org&path_style=false", "https://bucket.s3.example.org/a?"),
    ):
        assert obstore.sign(open_s3(url)._client, "GET", "a", timedelta(seconds=60)).startswith(address)


def test_what_a_put_sends(double: Double, store: S3Store) -> None:
    double.answers = [Answer(200, headers={"etag": '"new"'})]
    assert store.put("a/b", b"x", IfAbsent()) == "new"
    store.put("a/b", b"x", IfMatch(version="old"))
    store.put("a/b", b"x", Always())
    assert [one.path for one in double.seen] == ["/bucket/pre/a/b"] * 3
    assert [one.headers.get("if-none-match") for one in double.seen] == ["*", None, None]
    assert [one.headers.get("if-match") for one in double.seen] == [None, '"old"', None]


def test_a_delete_is_the_request_that_every_store_knows(double: Double, store: S3Store) -> None:
    double.answers = [Answer(204)]
    store.delete("a/b")
    assert [(one.method, one.path) for one in double.seen] == [("DELETE", "/bucket/pre/a/b")]


def test_threads_that_meet_the_wrong_region_together_all_go_on(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = open_s3(f"s3://bucket?endpoint={double.endpoint}")
    store._ask_region = True
    wrong = Answer(400, error("AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>"))
    monkeypatch.setattr(double, "decide", lambda seen: found(b"x") if "/eu-north-1/" in seen.headers["authorization"] else wrong)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store.get, ["a"] * 8))


def test_ceph_takes_the_etag_without_quotes(double: Double) -> None:
    store = open_s3(f"s3://bucket?endpoint={double.endpoint}", options={"etag": "unquoted"})
    double.answers = [Answer(200, headers={"etag": '"new"'})]
    store.put("a", b"x", IfMatch(version="old"))
    assert double.seen[0].headers["if-match"] == "old"


def test_a_store_without_etags_is_unsafe(double: Double, store: S3Store) -> None:
    double.answers = [Answer(200)]
    with pytest.raises(Unsafe):
        store.put("a", b"x", IfAbsent())


def test_a_conditional_read_works_where_the_store_ignores_it(double: Double, store: S3Store) -> None:
    double.answers = [found(b"body")]
    assert store.get("a", unless="e1") == Unchanged(key="a")
    assert double.seen[0].headers["if-none-match"] == '"e1"'
    assert isinstance(store.get("a", unless="e0"), Object)
    double.answers = [Answer(304)]
    assert store.get("a", unless="e1") == Unchanged(key="a")


def test_a_huge_object_is_not_read(double: Double, store: S3Store) -> None:
    double.answers = [found(b"", **{"content-length": str(MAX_OBJECT + 1)})]
    start = time.monotonic()
    with pytest.raises(Damaged):
        store.get("a")
    assert time.monotonic() - start < 1.5, "the body never comes: waiting for it would take the time-out"


def test_a_bad_name_beside_ours_is_damage_not_a_crash(double: Double, store: S3Store) -> None:
    entry = "<Contents><Key>pre/a//b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>"
    double.answers = [Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>".encode())]
    with pytest.raises(Damaged):
        store.list("a/")


def test_keys_that_are_not_ours_are_left_out(double: Double, store: S3Store) -> None:
    keys = ("pre/a b", "pre/good", "pre/é", "pre/per%20cent")
    listed = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.700Z</LastModified><ETag>&quot;x&quot;</ETag><Size>1</Size></Contents>"
        for key in keys
    )
    double.answers = [Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())]
    (entry,) = store.list("").entries
    assert (entry.key, entry.version, entry.size, entry.modified) == ("good", "x", 1, 1767225600.0)


def test_a_listing_whose_pages_repeat_ends(double: Double, store: S3Store) -> None:
    entry = "<Contents><Key>pre/a{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>1</Size></Contents>"
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    page = f"<ListBucketResult>{more}{entry.format(1)}{entry.format(2)}</ListBucketResult>"
    double.answers = [Answer(200, page.encode())]
    with pytest.raises(StoreError, match="the same page of a listing again and again"):
        store.list("a", after="a1", limit=5)


def test_the_buckets_own_answer_names_its_region(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_s3(f"s3://bucket?endpoint={double.endpoint}")
    store._ask_region = True  # as with AWS itself, where no endpoint is named
    double.answers = [Answer(301), Answer(403, headers={"x-amz-bucket-region": "eu-west-1"}), Answer(200, headers={"etag": '"e"'})]
    assert store.put("a", b"x", IfAbsent()) == "e"
    assert [one.method for one in double.seen] == ["PUT", "HEAD", "PUT"]
    assert "/eu-west-1/s3/" in double.seen[-1].headers["authorization"]
    assert "authorization" not in double.seen[1].headers
    store = open_s3(f"s3://bucket?endpoint={double.endpoint}")
    store._ask_region = True
    double.answers = [Answer(400, error("AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>")), found(b"x")]
    assert isinstance(store.get("a"), Object)
    assert "/eu-north-1/s3/" in double.seen[-1].headers["authorization"]


def test_settings_come_from_url_environment_and_profile_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(
        "[profile p]\nregion = from-profile\nendpoint_url = http://127.0.0.1:3\n[default]\nregion = from-default\n"
    )
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = PK\naws_secret_access_key = PS\n")
    assert open_s3("s3://bucket").place.region == "us-east-1", "keys in the environment need no file"
    place = open_s3("s3://bucket?profile=p").place
    assert (place.region, place.endpoint) == ("from-profile", "http://127.0.0.1:3")
    monkeypatch.setenv("AWS_REGION", "from-env")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    place = open_s3("s3://bucket?profile=p").place
    assert (place.region, place.endpoint) == ("from-env", "http://127.0.0.1:2")
    place = open_s3("s3://bucket?profile=p&region=from-url&endpoint=http://127.0.0.1:1").place
    assert (place.region, place.endpoint) == ("from-url", "http://127.0.0.1:1")


def test_the_environments_endpoint_does_not_beat_the_urls(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert open_s3(f"s3://bucket?endpoint={double.endpoint}").get("a") is None


def test_a_profile_in_the_url_signs_with_its_own_keys_only(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = PROFILEKEY\naws_secret_access_key = PS\n")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "environment-token")
    open_s3(f"s3://bucket?endpoint={double.endpoint}&profile=p").get("a")
    assert "Credential=PROFILEKEY/" in double.seen[0].headers["authorization"]
    assert "x-amz-security-token" not in double.seen[0].headers
    open_s3(f"s3://bucket?endpoint={double.endpoint}").get("a")
    assert double.seen[1].headers["x-amz-security-token"] == "environment-token"


def test_the_default_profile_is_read(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = DEFAULTKEY\naws_secret_access_key = DS\naws_session_token = DT\n")
    open_s3(f"s3://bucket?endpoint={double.endpoint}").get("a")
    assert "Credential=DEFAULTKEY/" in double.seen[0].headers["authorization"]
    assert double.seen[0].headers["x-amz-security-token"] == "DT"


def test_a_bucket_is_made_by_a_signed_request(double: Double) -> None:
    double.answers = [Answer(200)]
    open_s3(f"s3://bucket/pre?endpoint={double.endpoint}&region=eu-west-1", create=True)
    (seen,) = double.seen
    assert (seen.method, seen.path) == ("PUT", "/bucket")
    assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in seen.body
    double.answers = [Answer(409, error("BucketAlreadyOwnedByYou"))]
    open_s3(f"s3://bucket?endpoint={double.endpoint}", create=True)
    double.answers = [Answer(409, error("BucketAlreadyExists"))]
    with pytest.raises(StoreError, match="somebody else"):
        open_s3(f"s3://bucket?endpoint={double.endpoint}", create=True)
    double.answers = [Answer(403, error("AccessDenied"))]
    with pytest.raises(AccessDenied):
        open_s3(f"s3://bucket?endpoint={double.endpoint}", create=True)


def test_lifecycle_rules_that_delete_are_told(double: Double, store: S3Store) -> None:
    rule = "<Rule><ID>{}</ID><Filter><Prefix>{}</Prefix></Filter><Status>{}</Status>{}</Rule>"
    days = "<Expiration><Days>30</Days></Expiration>"
    rules = [
        rule.format("all", "", "Enabled", days),
        rule.format("within", "pre/logs", "Enabled", days),
        rule.format("off", "", "Disabled", days),
        rule.format("elsewhere", "other/", "Enabled", days),
        rule.format(
            "uploads",
            "",
            "Enabled",
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        ),
        rule.format("markers", "", "Enabled", "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"),
    ]
    double.answers = [Answer(200, f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode())]
    told = store.deleting_rules()
    assert [text.split()[1] for text in told] == ["all", "within"]
    assert "30 days" in told[0]
    double.answers = [Answer(404, error("NoSuchLifecycleConfiguration"))]
    assert store.deleting_rules() == ()


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:SECRETVALUE@bucket/x",
        "s3://bucket?endpoint=http://u:SECRETVALUE@host",
        "s3://bucket?secret_access_key=SECRETVALUE",
        "s3://bucket?endpoint=ftp://host",
        "s3://bucket?etag=SECRETVALUE",
        "s3://bucket?timeout=SECRETVALUE",
        "s3://bucket?path_style=SECRETVALUE",
        "s3://b",
        "s3://bucket/a//b",
        "s3://bucket/../b",
    ],
)
def test_urls_that_are_wrong_or_hold_secrets_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(UsageError) as met:
        open_s3(url)
    assert met.value.hint
    assert "SECRETVALUE" not in f"{met.value.message}{met.value.hint}"


def test_missing_certificates_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"none\.pem"):
        open_s3("s3://bucket?region=us-east-1")


def test_a_real_server_makes_buckets_and_misses_them(ministack: str) -> None:
    url = f"s3://made-{time.time_ns()}?endpoint={ministack}"
    with pytest.raises(StoreMissing, match="there is no bucket") as met:
        open_s3(url).get("a")
    assert "--create-bucket" in met.value.hint
    with pytest.raises(StoreMissing):
        open_s3(url).put("a", b"x", IfMatch(version="v"))
    with pytest.raises(StoreMissing):
        open_s3(url).list("")
    store = open_s3(url, create=True)
    store.put("a", b"x", IfAbsent())
    assert open_s3(url, create=True).get("a") is not None
    assert store.deleting_rules() == ()


def test_listings_go_on_over_many_pages(s3_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = open_s3(s3_url)
    keys = [f"many/{number:05}" for number in range(2100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b"x", IfAbsent()), keys))
    listed: list[str] = []
    after = ""
    while True:
        page = store.list("many/0", after)
        listed += [entry.key for entry in page.entries]
        if page.more is None:
            break
        after = page.more
    assert listed == keys
