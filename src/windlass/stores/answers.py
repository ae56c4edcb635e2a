"""What an object store's refusal means. The library's texts hold addresses and queries, so none of them is passed on.

`re` is imported only where an answer is no everyday one: it costs a command 6 ms.
"""

from __future__ import annotations

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
)
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.stores.credentials import Profile
    from windlass.stores.location import Location

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
_KEYLESS = (
    r"The operation lacked valid authentication credentials for path External AWS credential provider:"
    r"|[^:\n]+: Error performing (?:PUT http://[^/\s]+/latest/api/token|GET http://[^/\s]+/latest/meta-data/iam/\S+"
    r"|GET http://169\.254\.170\.\S+|POST \S+) in "  # no request of ours is a POST
)
_KEYLESS_SIGNS = ("External AWS credential provider:", "/latest/", "169.254.170.", "performing POST ")
"""One of these is in every text that _KEYLESS matches."""
_UNSENT = r"\bHttpError \{\s*kind: Connect,"  # the library's own verdict; the system's "kind: ConnectionReset" is none
_NAMELESS = r"\bsource: MissingEtag,"
_IN_REGIONS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_DENIED_CODES = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AccessDenied", "AuthFailure")
_MAYBE_LANDED = (408, 409, 412, 425, 429)


class Answer(Record):
    """What can be told from a library's error."""

    kind: str
    """The error's class."""
    status: int
    """0 where no answer came."""
    code: str
    region: str | None
    skew: float | None
    """Seconds that this machine's clock is ahead of the store's."""
    keyless: bool
    """The request was never sent for want of credentials."""
    unsent: bool
    """No connection came about."""
    nameless: bool
    """The object came without an ETag."""
    why: str
    """A few words for people."""

    @property
    def transient(self) -> bool:
        """Whether asking again may help a read."""
        return not self.keyless and (self.status in (0, 429) or self.status >= 500)


def understand(error: Exception) -> Answer:
    """Take a library's error apart."""
    text = str(error)
    status = _status(text)
    code = "".join(sign for sign in _field(text, "Code") if sign.isascii() and (sign.isalnum() or sign in "_.-"))
    return Answer(
        kind=type(error).__name__,
        status=status,
        code=code,
        region=_region(text),
        skew=_skew(text) if code == "RequestTimeTooSkewed" else None,
        keyless=any(sign in text for sign in _KEYLESS_SIGNS) and _says(rf"\A(?:{_KEYLESS})", text),
        unsent=not status and _says(_UNSENT, text),
        nameless=not status and _says(_NAMELESS, text),
        why=f"HTTP {status} {code}".strip() if status else _why_no_answer(text),
    )


def _says(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def _status(text: str) -> int:
    for after in text.split("status code: ")[1:]:
        digits = after[:3]
        if len(digits) == 3 and digits.isascii() and digits.isdigit():
            return int(digits)
    return 301 if "redirect without LOCATION" in text else 0


def _field(text: str, name: str) -> str:
    for after in text.split(f"<{name}>")[1:]:
        inner, end, _ = after.partition(f"</{name}>")
        if end and 0 < len(inner) <= 60 and "<" not in inner:
            return inner.strip()
    return ""


def _region(text: str) -> str | None:
    found = _field(text, "Region")
    return found if found and set(found) <= _IN_REGIONS else None


def _skew(text: str) -> float | None:
    from datetime import UTC, datetime

    try:
        theirs = datetime.fromisoformat(_field(text, "ServerTime"))
        ours = datetime.fromisoformat(_field(text, "RequestTime"))
    except ValueError:
        return None
    return (ours.replace(tzinfo=UTC) - theirs.replace(tzinfo=UTC)).total_seconds()


def _why_no_answer(text: str) -> str:
    import re

    text = re.sub(r"https?://\S+", "", text)  # an object may be called like anything
    for sign, words in (
        ("dns error", "its name is not known"),
        ("ConnectionRefused", "connection refused"),
        ("ertificate", "its certificate is not trusted"),
        ("TimedOut", "no answer in time"),
        ("timed out", "no answer in time"),
        ("IncompleteMessage", "connection dropped"),
        ("ConnectionReset", "connection dropped"),
        ("ConnectionAborted", "connection dropped"),
        ("BrokenPipe", "connection dropped"),
    ):
        if sign in text:
            return words
    return "no usable answer"


def definite(answer: Answer, place: Location, profile: Profile | None) -> StoreError | None:
    """The error where the answer leaves no doubt that nothing was done and asking again will not help."""
    from windlass.stores.credentials import login_hint

    if answer.keyless:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: ?profile=NAME"
        return AccessDenied(f"no AWS credentials were found for {place.url}", hint)
    if answer.code == "NoSuchBucket":
        return StoreMissing(f"there is no bucket {place.bucket}", f"run: windlass init --store '{place.url}' --create-bucket")
    if answer.code == "RequestTimeTooSkewed":
        return AccessDenied(f"the store refuses this machine's time: {_off(answer.skew)}", "set the clock, then try again")
    if answer.code in EXPIRED:
        return AccessDenied(f"the credentials for {place.url} expired", login_hint(profile))
    if answer.code in ("QuotaExceeded", "XMinioStorageFull", "StorageFull") or answer.status == 507:
        return StoreFull(f"{place.url} is full: {answer.why}", "free some space or raise the quota")
    if answer.status in (401, 403) or answer.code in _DENIED_CODES:
        hint = "check the credentials; without s3:ListBucket a missing key is refused too (windlass doctor --policy prints what is needed)"
        return AccessDenied(f"{place.url} refused access: {answer.why}", hint)
    if answer.status == 301 or answer.code == "AuthorizationHeaderMalformed":
        hint = "add ?region=REGION or ?endpoint=URL to the store's URL"
        return StoreError(f"{place.url} is in another region or at another endpoint", hint)
    if answer.nameless:
        return Unsafe(f"{place.url} gives its objects no ETag", "choose another store")
    if answer.status == 501:
        return Unsafe(f"{place.url} does not offer what Windlass needs: {answer.why}", "run: windlass doctor")
    return None


def of_put(answer: Answer, place: Location, profile: Profile | None, key: str, replacing: bool) -> Exception:
    """What a failed put means: PutRefused, PutUnclear, or a StoreError where it surely did not land."""
    if answer.status == 501:  # every store knows a plain put
        return Unsafe(f"the store offers no conditional writes: {answer.why}", "choose another store")
    known = definite(answer, place, profile)
    if known:
        return known
    if answer.status == 409:  # two conditional writes met, and it is not said which one won
        return PutUnclear(f"{key}: {answer.why}")
    if answer.kind in ("AlreadyExistsError", "PreconditionError") or (answer.status == 404 and replacing):
        return PutRefused(key)
    if answer.unsent:
        return Unavailable(f"no connection to {place.url}: {answer.why}", "check the network and the endpoint, then try again")
    if answer.status == 404:
        return StoreMissing(f"{place.url} is not there: {answer.why}", "check the bucket and the endpoint")
    if 400 <= answer.status < 500 and answer.status not in _MAYBE_LANDED and answer.code != "RequestTimeout":
        return StoreError(f"{place.url} refused the write: {answer.why}", "run: windlass doctor")
    return PutUnclear(f"{key}: {answer.why}")


def of_read(answer: Answer, place: Location, profile: Profile | None, key: str) -> Exception:
    """What a failed get, list or delete means."""
    known = definite(answer, place, profile)
    if known:
        return known
    if answer.kind == "InvalidPathError":
        return Damaged(key or "/", "an object beside it has a name that no tool of ours writes")
    return Unavailable(f"{place.url} gave no usable answer: {answer.why}", "check the network and the endpoint, then try again")


def _off(skew: float | None) -> str:
    if skew is None:
        return "your clock is off"
    size = f"{abs(skew) / 60:.0f} minutes" if abs(skew) < 7200 else f"{abs(skew) / 3600:.1f} hours"
    return f"your clock is {size} {'ahead' if skew > 0 else 'behind'}"
