"""Artifacts: published, found, compared, deleted. What another version replaces is archived under its number before."""

from __future__ import annotations

from windlass import effects as fx
from windlass import jsons
from windlass.errors import Damaged, FormatTooNew, NotFound, UsageError
from windlass.ops import pending, registers, steps
from windlass.ops.agents import act, still_here
from windlass.protocol import keys, transitions
from windlass.protocol.artifacts import (
    MAX_META,
    Artifact,
    Published,
    Ref,
    archived,
    content_of,
    deletion,
    following,
    live,
    no_such,
    of_row,
    parse_ref,
    refuse_moved,
    row_in_step,
)
from windlass.protocol.codec import check_text, check_value
from windlass.protocol.steps import Step
from windlass.protocol.transitions import Act
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.pending import Upload
    from windlass.ops.registers import Version, Write
    from windlass.ops.steps import Changed
    from windlass.protocol.steps import Git, Handoff
    from windlass.protocol.trees import Entry

    T = TypeVar("T")

MAX_INPUTS = 1000
"""Inputs of one version."""
MAX_COMMAND = 8 * 1024
"""Bytes of the command that made it."""
AT_ONCE = 64
"""Reads in flight."""


class Draft(Record):
    """What is going to be published: `content` sends the file or folder under an upload, and says what it became."""

    name: str
    content: Callable[[Upload], Op[Entry]]
    media_type: str = ""
    meta: Mapping[str, Any] = {}
    inputs: tuple[str, ...] = ()
    git: Git | None = None
    command: str = ""


class Uploaded(Record):
    """A published version; `again`: it was there already and nothing was written. `left`: what of a folder was left out, and why;
    `odd`: what could not exist on another system.
    """

    ref: Ref
    artifact: Published
    again: bool = False
    left: tuple[tuple[str, str], ...] = ()
    odd: tuple[tuple[str, str], ...] = ()


class ArtifactListed(Record):
    """The current version of one artifact. `artifact` None: damaged, `why` says how."""

    ref: Ref
    artifact: Published | None
    why: str = ""

    @property
    def key(self) -> str:
        """Of the register that holds it."""
        return keys.step(self.ref.step) if self.ref.step else keys.artifact(self.ref.name)


def upload(
    actor: Actor,
    name: str,
    content: Callable[[Upload], Op[Entry]],
    *,
    step: str = "",
    epoch: int | None = None,
    media_type: str = "",
    meta: Mapping[str, Any] = {},
    inputs: Sequence[str] = (),
    git: Git | None = None,
    command: str = "",
) -> Op[Uploaded]:
    """Publish a version, under the caller's claim of `step` where that is given. Nothing is published unless all of it is sent.

    Raises ClaimLost, Fenced, NotFound (also of an input), Moved, Indeterminate, Lost where a gc gave it up, and what `content` raises.
    """
    draft = Draft(name=name, content=content, media_type=media_type, meta=meta, inputs=tuple(inputs), git=git, command=command)
    check(draft)
    me = yield from act(actor)
    if step:
        return (yield from _upload_to_step(actor, me, draft, step, epoch))
    key = keys.artifact(name)
    known = yield from registers.fetch(key, Artifact)
    refuse_moved(known.doc if known else None)
    draft = yield from _resolved(draft)

    def publish(under: Upload, me: Me, versions: list[Published]) -> Op[Uploaded]:
        (new,) = versions
        return _write(Ref(step="", name=name), known, new, lambda before, write: following(before, _written(new, write)), under)

    return (yield from _under(actor, me, key, [draft], publish))


def _written(new: Published, write: Write) -> Published:
    return new.but(at=write.at, write_id=write.id)


def check(draft: Draft) -> None:
    """Raises UsageError where something cannot be kept."""
    keys.check_name(draft.name, "artifact")
    check_value(dict(draft.meta), "metadata")
    check_text(draft.command, "command", MAX_COMMAND)
    check_text(draft.media_type, "media type", 200)
    if len(draft.inputs) > MAX_INPUTS or len(jsons.dumps([dict(draft.meta), list(draft.inputs)])) > MAX_META:
        raise UsageError(
            f"metadata and inputs have more than {MAX_META // 1024} KiB, or there are more than {MAX_INPUTS} inputs",
            "put the rest in a file, and upload that too",
        )


def _resolved(draft: Draft) -> Op[Draft]:
    """With each input by the version that is current where none is given. Raises NotFound where it is not there, UsageError."""
    out: list[str] = []
    for text in draft.inputs:
        ref = parse_ref(text)
        out.append(str(ref.but(version=(yield from show(ref)).version)))
    return draft.but(inputs=tuple(dict.fromkeys(out)))


def _under(actor: Actor, me: Me, key: str, drafts: Sequence[Draft], publish: Callable[[Upload, Me, list[Published]], Op[T]]) -> Op[T]:
    """Send what is drafted under a pending record, then publish it in the register `key`, which was read before."""
    under = yield from pending.begin(me, [key])
    return (yield from pending.under(under, _sent(actor, drafts, under, publish)))


def _sent(actor: Actor, drafts: Sequence[Draft], under: Upload, publish: Callable[[Upload, Me, list[Published]], Op[T]]) -> Op[T]:
    entries: list[Entry] = []
    for draft in drafts:
        entries += [(yield from pending.sending(under, draft.content(under)))]
    me = yield from act(actor)  # it may have taken hours: where the project lives is looked at again
    stored_at = yield from pending.still(under)
    versions = [
        Published(
            version=0,
            content=content_of(entry),
            media_type=draft.media_type,
            agent=me.agent,
            incarnation=me.incarnation,
            inputs=draft.inputs,
            meta=dict(draft.meta),
            stored_at=stored_at,
            git=draft.git,
            command=draft.command,
        )
        for draft, entry in zip(drafts, entries, strict=True)
    ]
    return (yield from publish(under, me, versions))


class _Attempts:
    """What must be done before a register is replaced, and how to tell whether a write landed."""

    def __init__(self, under: Upload | None) -> None:
        self._under = under
        self.written = 0
        self.versions: dict[str, int] = {}

    def still(self) -> Op[None]:
        """After a conflict the register was read again, so the upload must be alive after that: then gc's touch is still to come."""
        self.written += 1
        if self._under is not None and self.written > 1:
            yield from pending.still(self._under)


def _write(
    ref: Ref,
    known: Version[Artifact] | None | registers.Unknown,
    new: Published,
    decide: Callable[[Published | None, Write], Published],
    under: Upload | None = None,
) -> Op[Uploaded]:
    """Change the register of an artifact of no step."""
    attempts = _Attempts(under)

    def next_(entry: Version[Artifact] | None, write: Write) -> Artifact | None:
        doc = entry.doc if entry else Artifact()
        refuse_moved(doc)
        now = decide(doc.current, write)
        if now is doc.current:
            return entry.doc if entry else None
        if entry is None:
            attempts.written += 1  # nothing is replaced: `before` is not asked
        attempts.versions[write.id] = now.version
        return doc.but(name=ref.name, current=now)

    def before(entry: Version[Artifact]) -> Op[None]:
        yield from attempts.still()
        if entry.doc.current is not None:
            yield from archive(ref, entry.doc.current)

    def landed(write_id: str, seq: int, now: Artifact) -> Op[bool | None]:
        number = attempts.versions.get(write_id, 0)
        if now.current is None or now.current.version < number:
            return False
        if now.current.version == number:
            return now.current.write_id == write_id
        kept = yield from registers.fetch(keys.artifact_version("", ref.name, number), Artifact)
        return kept.doc.write_id == write_id if kept else None

    now = yield from registers.update(keys.artifact(ref.name), Artifact, next_, known=known, before=before, landed=landed)
    assert now is not None
    assert now.doc.current is not None
    current = now.doc.current
    return Uploaded(ref=ref.but(version=current.version), artifact=current, again=current.write_id not in attempts.versions)


def archive(ref: Ref, version: Published) -> Op[None]:
    """Keep a version under its number, as it was when it was current."""
    yield from registers.copy(keys.artifact_version(ref.step, ref.name, version.version), archived(ref.name, version), Artifact)


def _upload_to_step(actor: Actor, me: Me, draft: Draft, name: str, epoch: int | None) -> Op[Uploaded]:
    key = keys.step(name)
    known = yield from steps.fetch(name)
    transitions.published(known.doc, name, _probe(me), {}, epoch=epoch)  # refused before anything is sent
    draft = yield from _resolved(draft)

    def publish(under: Upload, me: Me, versions: list[Published]) -> Op[Uploaded]:
        def decide(step: Step | None, by: Act) -> Step:
            rows, what = _rows(step, step.epoch if step else 0, by, [draft], versions, key)
            return transitions.published(step, name, by, rows, what, epoch=epoch)

        done = yield from _change(actor, name, decide, known, under, [draft.name], me)
        found = of_row(done.step.artifacts[draft.name], draft.name, key)
        return Uploaded(ref=Ref(step=name, name=draft.name, version=found.version), artifact=found, again=done.again)

    return (yield from _under(actor, me, key, [draft], publish))


def _probe(me: Me) -> Act:
    return Act(agent=me.agent, incarnation=me.incarnation, at=0.0, write_id="")


def _rows(
    step: Step | None, epoch: int, by: Act, drafts: Sequence[Draft], versions: Sequence[Published], key: str
) -> tuple[Mapping[str, Any], str]:
    """A step's artifacts with these published under that epoch, and the names and numbers of those that are new."""
    rows = dict(step.artifacts) if step is not None else {}
    told = []
    for draft, version in zip(drafts, versions, strict=True):
        before = of_row(rows[draft.name], draft.name, key) if draft.name in rows else None
        now = following(before, version.but(step=step.name if step else "", epoch=epoch, at=by.at, write_id=by.write_id))
        if now is not before:
            rows[draft.name] = row_in_step(now)
            told.append(f"{draft.name}@{now.version}")
    return rows, ", ".join(told)


def _change(
    actor: Actor,
    name: str,
    decide: Callable[[Step | None, Act], Step],
    known: Version[Step],
    under: Upload | None,
    changes: Sequence[str],
    me: Me,
) -> Op[Changed]:
    """One transition of a step; those of its artifacts that may change are archived first."""
    attempts = _Attempts(under)

    def before(entry: Version[Step]) -> Op[None]:
        yield from attempts.still()
        for one in changes:
            if one in entry.doc.artifacts:
                version = of_row(entry.doc.artifacts[one], one, keys.step(name))
                yield from archive(Ref(step=name, name=one), version)

    return (yield from steps.change(actor, name, decide, me=me, known=known, before=before))


def finish(
    actor: Actor, name: str, handoff: Handoff, drafts: Sequence[Draft], *, epoch: int | None = None, force: bool = False
) -> Op[Changed]:
    """Finish a step as `steps.finish` does, with artifacts that are sent before and published by the very write that finishes it.

    Raises as `upload` and `steps.finish`.
    """
    steps.check_handoff(handoff)
    for draft in drafts:
        check(draft)
    if len({draft.name for draft in drafts}) != len(drafts):
        raise UsageError(
            "two artifacts have the same name", "upload one of them first, under another name: windlass artifact upload --name"
        )
    me = yield from act(actor)
    key = keys.step(name)
    known = yield from steps.fetch(name)
    transitions.finished(known.doc, name, _probe(me), handoff, epoch=epoch, force=force)  # refused before anything is sent
    ready: list[Draft] = []
    for draft in drafts:
        ready += [(yield from _resolved(draft))]

    def publish(under: Upload, me: Me, versions: list[Published]) -> Op[Changed]:
        def decide(step: Step | None, by: Act) -> Step:
            left = handoff.but(agent=by.agent, at=by.at)
            after = transitions.finished(step, name, by, left, epoch=epoch, force=force)
            rows, what = _rows(step, after.epoch, by, ready, versions, key)
            return transitions.finished(step, name, by, left, epoch=epoch, force=force, artifacts=rows, published=what)

        return _change(actor, name, decide, known, under, [draft.name for draft in ready], me)

    done = yield from _under(actor, me, key, ready, publish)
    return (yield from steps.then_tell(me, name, handoff, done))


def delete(actor: Actor, ref: Ref) -> Op[Published]:
    """Delete an artifact, all of its versions; a step's not while somebody else holds the step. Raises NotFound, ClaimLost, Moved."""
    if ref.version is not None:
        raise UsageError("one version cannot be deleted by itself", f"delete all of it: windlass artifact delete {ref.name}")
    me = yield from act(actor)
    new = Published(version=0, agent=me.agent, incarnation=me.incarnation, step=ref.step)
    if not ref.step:
        gone = yield from _write(ref, registers.UNKNOWN, new, lambda before, write: deletion(before, ref, _written(new, write)))
        return gone.artifact
    key = keys.step(ref.step)
    known = yield from steps.fetch(ref.step)

    def decide(step: Step | None, by: Act) -> Step:
        assert step is not None  # steps are never deleted
        before = of_row(step.artifacts[ref.name], ref.name, key) if ref.name in step.artifacts else None
        now = deletion(before, ref, new.but(at=by.at, write_id=by.write_id))
        return transitions.unpublished(step, by, {**step.artifacts, ref.name: row_in_step(now)}, f"{ref.name}@{now.version}")

    done = yield from _change(actor, ref.step, decide, known, None, [ref.name], me)
    return of_row(done.step.artifacts[ref.name], ref.name, key)


def show(ref: Ref) -> Op[Published]:
    """One version, the current one where the reference names none. Raises NotFound, Damaged, Moved."""
    now = yield from current(ref)
    if ref.version is None or (now is not None and now.version == ref.version):
        return live(now, ref)
    if now is None or now.deleted or not now.first <= ref.version < now.version:
        newest = f"the newest is {now.version}" if now is not None and not now.deleted else "there is none at all"
        raise NotFound(f"there is no {ref}: {newest}", f"see: windlass artifact history {ref.bare}", artifact=str(ref))
    key = keys.artifact_version(ref.step, ref.name, ref.version)
    kept = yield from registers.fetch(key, Artifact)
    if kept is None or kept.doc.current is None or kept.doc.current.version != ref.version or kept.doc.current.deleted:
        raise Damaged(key, "it is missing, or it is another version")
    return kept.doc.current


def current(ref: Ref) -> Op[Published | None]:
    """The current version, also where that says that it is deleted. Raises NotFound where there is no such step, Damaged, Moved."""
    if ref.step:
        step = (yield from steps.fetch(ref.step)).doc
        row = step.artifacts.get(ref.name)
        return None if row is None else of_row(row, ref.name, keys.step(ref.step))
    found = yield from registers.fetch(keys.artifact(ref.name), Artifact)
    refuse_moved(found.doc if found else None)
    return found.doc.current if found else None


def history(ref: Ref, limit: int = 20) -> Op[list[Published]]:
    """The newest versions, newest first; also of a deleted artifact, whose content may be gone. Raises NotFound, Damaged, Moved."""
    now = yield from current(ref)
    if now is None:
        raise no_such(ref)
    out = [now]
    number = now.version - 1
    while number > 0 and len(out) < limit:
        numbers = list(range(number, max(0, number - min(AT_ONCE, limit - len(out))), -1))
        found = yield from fx.gather_reads([keys.artifact_version(ref.step, ref.name, n) for n in numbers])
        docs = [entry.doc.current for one in found if (entry := registers.of(one, Artifact)) is not None]
        out += [one for one in docs if one is not None]
        number = numbers[-1] - 1
    return out


def list_(step: str | None = None) -> Op[list[ArtifactListed]]:
    """The current version of each artifact, sorted: of one step (one read), or all (`step` None).

    All cost a listing and a read each, and a look at all steps: of those, each that changed since the last look from here is read.
    """
    if step is not None:
        doc = (yield from steps.fetch(step)).doc
        return _live(list(in_step(doc)))
    yield from still_here()
    out: list[ArtifactListed] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.ARTIFACTS, after)
        names = {entry.key: name for entry in page.entries if (name := keys.parse_artifact(entry.key))}
        for start in range(0, len(names), AT_ONCE):
            some = list(names)[start : start + AT_ONCE]
            for key, found in zip(some, (yield from fx.gather([fx.Get(key=key) for key in some])), strict=True):
                out += _one(Ref(step="", name=names[key]), found)
        after = page.more
    for doc in (yield from _steps_with_artifacts()):
        out += in_step(doc)
    return _live(out)


def _live(found: list[ArtifactListed]) -> list[ArtifactListed]:
    kept = [one for one in found if one.artifact is None or not one.artifact.deleted]
    return sorted(kept, key=lambda one: (one.ref.step, one.ref.name))


def _one(ref: Ref, found: fx.Object | Exception | None) -> list[ArtifactListed]:
    try:
        if isinstance(found, Exception):
            raise found
        entry = registers.of(found, Artifact)
    except (Damaged, FormatTooNew) as error:  # reported with its key; the rest goes on
        return [ArtifactListed(ref=ref, artifact=None, why=str(error))]
    refuse_moved(entry.doc if entry else None)
    return [ArtifactListed(ref=ref, artifact=entry.doc.current)] if entry is not None and entry.doc.current is not None else []


def in_step(step: Step) -> list[ArtifactListed]:
    """What a step holds, deleted ones too; damaged ones say why."""
    out = []
    for name, row in sorted(step.artifacts.items()):
        ref = Ref(step=step.name, name=name)
        try:
            out.append(ArtifactListed(ref=ref, artifact=of_row(row, name, keys.step(step.name))))
        except Damaged as error:
            out.append(ArtifactListed(ref=ref, artifact=None, why=str(error)))
    return out


def _steps_with_artifacts() -> Op[list[Step]]:
    from windlass.ops.survey import survey

    names = [one.name for one in (yield from survey()).steps.values() if one.artifacts]
    out: list[Step] = []
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        for name, found in zip(some, (yield from fx.gather([fx.Get(key=keys.step(name)) for name in some])), strict=True):
            if isinstance(found, Exception) and not isinstance(found, Damaged):
                raise found
            try:
                entry = None if isinstance(found, Damaged) else registers.of(found, Step)
            except (Damaged, FormatTooNew):
                continue
            if entry is not None and entry.doc.moved_to is None:
                out.append(entry.doc.but(name=name))
    return out


def left_in(step: Step) -> dict[str, Published]:
    """The artifacts of a step, by name, without those that are damaged or deleted."""
    return {one.ref.name: one.artifact for one in in_step(step) if one.artifact is not None and not one.artifact.deleted}
