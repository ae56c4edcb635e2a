"""The doctor: what a store really guarantees, tried out; and the least that it must allow."""

from __future__ import annotations

from windlass.drivers.hints import NoHints
from windlass.drivers.sync import World, fresh_id, run
from windlass.errors import AccessDenied, UsageError, WindlassError
from windlass.ops import registers
from windlass.project.session import open_base
from windlass.protocol import keys
from windlass.protocol.project import Marker
from windlass.record import Record
from windlass.stores.probes import EXCLUSIVE, Finding, Mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from windlass.config import Settings
    from windlass.stores.base import Store

    Tell = Callable[[str, int, int], None]

ACTIONS = {"get": "s3:GetObject", "put": "s3:PutObject", "delete": "s3:DeleteObject", "list": "s3:ListBucket", "folders": "s3:ListBucket"}
"""What S3 calls the permission for each kind of request."""
REASONS = {
    "s3:GetObject": "to read, and to replace an object only if it is still the one that was read",
    "s3:PutObject": "to write; each write is conditional, or goes to an object with one writer",
    "s3:DeleteObject": "to remove signs of life of agents that ended, records of uploads, what gc takes, and what the doctor wrote",
    "s3:ListBucket": "to list; without it S3 answers 403 instead of 404 for a missing key, which breaks logs",
}
"""Why each is needed."""


class Report(Record):
    """What the doctor found. `latency` in seconds by kind of request; `clock_offset`: seconds this machine is ahead of the store."""

    url: str
    exclusive: bool
    """Whether two agents can never hold one claim."""
    safe: bool
    """Whether every promise that Windlass needs is kept."""
    findings: tuple[Finding, ...]
    latency: Mapping[str, float]
    clock_offset: float | None

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The promises that are not kept."""
        return tuple(one for one in self.findings if one.mark is Mark.NO)


def examine(settings: Settings, *, quick: bool = False, hammer: float = 0.0, tell: Tell = lambda what, done, total: None) -> Report:
    """Try the store out under a prefix that is removed again. `hammer`: seconds in which clients also read and write at once, so that
    their history is judged. Raises StoreError where it cannot be used at all.
    """
    base = open_base(settings)
    try:
        base, form = _right_etag(settings, base)
        report = check(base, quick=quick, tell=tell)
        if hammer:
            found = _hammered(base, hammer, tell)
            report = report.but(safe=report.safe and found.mark is not Mark.NO, findings=(*report.findings, found))
        more = [*form, *_place(base), *_rules(base), _marker(base, settings.project)]
        return report.but(findings=(*report.findings, *more))
    finally:
        base.close()


def _hammered(base: Store, seconds: float, tell: Tell) -> Finding:
    """Whether a history of clients that read and write at once is linearizable. One that is not is kept in a file.

    A warning only where it is if refusals hid writes that landed, as on a network that repeats requests: operations read back and see it.
    """
    import os
    import tempfile

    from windlass.testing.hammer import record_and_check
    from windlass.testing.linearizable import Verdict

    handle, path = tempfile.mkstemp(prefix="windlass-history-", suffix=".jsonl")
    os.close(handle)
    report = record_and_check(base, seconds, keep=path, tell=lambda what: tell(what, 0, 0))
    what = f"{report.operations} operations of several clients at once"
    if report.fine:
        os.unlink(path)
        if report.hidden:
            text = f"{what}: a refusal hid a write that landed, which Windlass settles"
            return Finding(name="linearizable", mark=Mark.WARNING, text=text)
        return Finding(name="linearizable", mark=Mark.YES, text=f"{what} are linearizable")
    if report.count(Verdict.VIOLATION):
        text = f"{what} are not linearizable; look: python -m windlass.testing.linearizable {path}"
        return Finding(name="linearizable", mark=Mark.NO, text=text)
    why = "; ".join(report.trouble) or "the history was too long to judge"
    return Finding(name="linearizable", mark=Mark.WARNING, text=f"{what} prove nothing: {why}; look: {path}")


def check(base: Store, *, quick: bool = False, tell: Tell = lambda what, done, total: None, patience: float | None = None) -> Report:
    """Race one store. `patience`: seconds in which its clock must move on. Raises StoreError."""
    from windlass.stores import probes

    found = probes.probe(
        base,
        f"windlass-doctor-{fresh_id()}/",
        racers=16 if quick else 32,
        rounds=3 if quick else 10,
        tell=tell,
        patience=probes.COARSE if patience is None else patience,
    )
    broken = {one.name for one in found.findings if one.mark is Mark.NO}
    return Report(
        url=base.url,
        exclusive=not broken & set(EXCLUSIVE),
        safe=not broken,
        findings=found.findings,
        latency=found.latency,
        clock_offset=found.clock_offset,
    )


def _right_etag(settings: Settings, base: Store) -> tuple[Store, list[Finding]]:
    """The store opened in the form of ETag that it wants, which is remembered: a few servers know it only without quotes."""
    place = getattr(base, "place", None)
    if place is None:
        return base, []
    from windlass.stores.probes import matches

    key = f"windlass-doctor-{fresh_id()}/etag"
    right = matches(base, key)
    form, other = ("unquoted", "quoted") if place.unquoted else ("quoted", "unquoted")
    second = None if right else open_base(settings.but(options={**settings.options, "etag": other}))
    try:
        if second is None:
            return base, [Finding(name="etag", mark=Mark.NOTE, text=f"If-Match takes the ETag {form}")]
        if not matches(second, key):
            second.close()
            return base, []
    finally:
        try:
            base.delete(key)
        except WindlassError:  # the probes meet it too, and say so
            pass
    base.close()
    from windlass.config import remember_store

    try:
        remember_store(settings.state_dir, settings.store, {"etag": other})
        kept = "remembered on this machine"
    except UsageError:
        kept = f"put etag={other} into the store's URL: there is no home directory to remember it in"
    return second, [Finding(name="etag", mark=Mark.NOTE, text=f"If-Match takes the ETag {other} only; {kept}")]


def _place(base: Store) -> list[Finding]:
    root = base.capabilities.change_notice
    if root is None:
        return []
    from windlass.stores.filesystem import file_system

    found = file_system(root)
    return [Finding(name="file_system", mark=Mark.WARNING if found.warning else Mark.NOTE, text=found.text)]


def _rules(base: Store) -> list[Finding]:
    rules = getattr(base, "deleting_rules", None)
    if rules is None:
        return []
    try:
        found = rules()
    except AccessDenied:
        text = "may not be read here; make sure that no lifecycle rule deletes these objects"
        return [Finding(name="lifecycle", mark=Mark.NOTE, text=text)]
    except WindlassError as error:
        return [Finding(name="lifecycle", mark=Mark.NOTE, text=f"could not be read: {error.message}")]
    if not found:
        return [Finding(name="lifecycle", mark=Mark.YES, text="no lifecycle rule deletes objects here")]
    return [Finding(name="lifecycle", mark=Mark.WARNING, text=f"{rule}: that loses messages and claims") for rule in found]


def _marker(base: Store, project: str) -> Finding:
    from windlass.stores.wrappers import Prefix

    try:
        found = run(registers.fetch(keys.MARKER, Marker), World(Prefix(base, project + "/"), NoHints()))
    except WindlassError as error:
        return Finding(name="project", mark=Mark.WARNING, text=error.message)
    if found is None:
        return Finding(name="project", mark=Mark.NOTE, text=f"{project} does not exist here yet; the first command that acts makes it")
    if found.doc.arriving_from is not None:
        return Finding(name="project", mark=Mark.WARNING, text=f"{project} is being moved here from {found.doc.arriving_from}")
    if found.doc.moved_to is not None:
        return Finding(name="project", mark=Mark.WARNING, text=f"{project} moved to {found.doc.moved_to}")
    return Finding(name="project", mark=Mark.YES, text=f"{project} is here, in a format that this Windlass reads and writes")


def policy(url: str) -> dict[str, Any] | None:
    """The least IAM policy for an S3 store; None for any other. Raises UsageError."""
    if not url.startswith("s3://"):
        return None
    from windlass.stores.location import parse

    place = parse(url)
    region = place.region or ""
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    bucket = f"arn:{partition}:s3:::{place.bucket}"
    below = f"{place.prefix}/*" if place.prefix else "*"
    listing: dict[str, Any] = {"Sid": "WindlassList", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
    if place.prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": below}}
    objects = sorted(set(ACTIONS.values()) - {"s3:ListBucket"})
    return {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "WindlassObjects", "Effect": "Allow", "Action": objects, "Resource": f"{bucket}/{below}"}, listing],
    }
