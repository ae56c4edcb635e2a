"""What may happen to a request on its way to an S3 server and back, and plans that choose it. Carried out by `testing.proxy`."""

from __future__ import annotations

from enum import Enum
from random import Random
from threading import Lock

from windlass.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Plan: TypeAlias = Callable[[str, str], "Trouble | None"]


class Trouble(Enum):
    """What may happen to one request. "After" means: the server carried it out, win or lose, and its answer is not told."""

    DROP = "drop"
    """The connection ends before the request reaches the server."""
    DELAY_REQUEST = "delay_request"
    """The request reaches the server `hold` seconds later, whether or not the client waits for it."""
    LATE = "late"
    """The connection ends at once; the request reaches the server up to `lateness` seconds later, or at `land_late`."""
    LOSE_ANSWER = "lose_answer"
    """After: the connection ends without an answer."""
    CUT = "cut"
    """After: half of the answer, then the connection ends."""
    RESET = "reset"
    """After: half of the answer, then a TCP reset."""
    HANG = "hang"
    """Nothing reaches the server, and no answer comes until the client gives up (or `patience` ends)."""
    HANG_AFTER = "hang_after"
    """After: no answer comes until the client gives up."""
    DUPLICATE = "duplicate"
    """Sent to the server twice; the client gets the second answer."""
    BUSY = "503"
    """SlowDown, and nothing reaches the server. The same with the other numbers."""
    BUSY_AFTER = "503_after"
    THROTTLED = "429"
    THROTTLED_AFTER = "429_after"
    CONFLICT = "409"
    """ConditionalRequestConflict; for writes only."""
    CONFLICT_AFTER = "409_after"
    FAILED = "500"
    FAILED_AFTER = "500_after"
    BAD_GATEWAY = "502"
    """A page of HTML, as a gateway writes it."""
    BAD_GATEWAY_AFTER = "502_after"
    GATEWAY_TIMEOUT = "504"
    GATEWAY_TIMEOUT_AFTER = "504_after"
    TRUNCATE_LIST = "truncate_list"
    """A listing stops in the middle of its XML, and says that this is its length."""
    STRIP_CONDITIONS = "strip_conditions"
    """A lie: a write or delete goes on without If-None-Match and If-Match."""
    STALE_READS = "stale_reads"
    """A lie: a read is answered as the last time, or as if the object had not been written yet."""
    SHORTEN_LIST = "shorten_list"
    """A lie: a listing leaves out the second half of its entries and says that it is complete."""


LIES = frozenset({Trouble.STRIP_CONDITIONS, Trouble.STALE_READS, Trouble.SHORTEN_LIST})
"""What no network does: for seeing that tests notice."""
WRITES = ("put", "delete", "post")
ONLY_FOR: dict[Trouble, tuple[str, ...]] = {
    Trouble.CONFLICT: WRITES,
    Trouble.CONFLICT_AFTER: WRITES,
    Trouble.TRUNCATE_LIST: ("list",),
    Trouble.STRIP_CONDITIONS: WRITES,
    Trouble.STALE_READS: ("get",),
    Trouble.SHORTEN_LIST: ("list",),
}
"""Troubles that befall certain kinds of requests; the others befall each."""
XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{0}</Code><Message>{0}</Message><RequestId>0</RequestId></Error>'
CODES = {409: "ConditionalRequestConflict", 429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}


def seeded(random: Random | int, odds: Mapping[str, float]) -> Plan:
    """A plan that draws each trouble with its odds (in sum at most 1), the same for the same seed and requests. Raises UsageError."""
    source = Random(random) if isinstance(random, int) else random
    lock = Lock()
    try:
        chances = [(Trouble(name), float(chance)) for name, chance in odds.items()]
    except ValueError as error:
        raise UsageError(str(error), f"known: {', '.join(one.value for one in Trouble)}") from None
    if any(chance < 0 for _, chance in chances) or sum(chance for _, chance in chances) > 1 + 1e-9:
        raise UsageError("the odds are not between 0 and 1 in sum", "write them as lose_answer=0.1,503=0.05")

    def plan(kind: str, _key: str) -> Trouble | None:
        with lock:
            draw = source.random()
        for trouble, chance in chances:
            if draw < chance:
                return trouble
            draw -= chance
        return None

    return plan


def scripted(*troubles: Trouble | None, kind: str = "put") -> Plan:
    """A plan for the first requests of one kind, in order; all others go well."""
    rest = list(troubles)

    def plan(asked: str, _key: str) -> Trouble | None:
        return rest.pop(0) if asked == kind and rest else None

    return plan


def refusal(status: int) -> tuple[int, bytes, tuple[str, str], tuple[str, str]]:
    """Status, body and headers of an answer that refuses, as stores or gateways write it."""
    retry = ("Retry-After", "1") if status in (429, 503) else ("Server", "windlass-proxy")
    if status in CODES:
        return status, XML.format(CODES[status]).encode(), ("Content-Type", "application/xml"), retry
    return status, b"<html><body><h1>The gateway failed</h1></body></html>\n", ("Content-Type", "text/html"), retry


def cut_xml(body: bytes) -> bytes:
    """The first half of a listing."""
    return body[: len(body) // 2]


def shorten(body: bytes) -> bytes:
    """A listing without the second half of its entries, as if it were complete."""
    parts = body.split(b"<Contents>")
    end = parts[-1].rpartition(b"</Contents>")[2] if len(parts) > 1 else b""
    kept = parts[: 1 + (len(parts) - 1) // 2]
    short = b"<Contents>".join(kept) + end if len(parts) > 1 else body
    return short.replace(b"<IsTruncated>true<", b"<IsTruncated>false<")
