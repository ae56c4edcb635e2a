"""Seeded bugs of gc, and of what keeps uploads and gc apart."""

from __future__ import annotations

from tests.reliability.bugs.bug import Bug

GC = "tests/ops/test_gc.py"
UPLOADS = "tests/ops/test_gc_uploads.py"
WORLD = "tests/reliability/test_explore.py::test_the_operations_hold_in_every_order"

BUGS = (
    Bug(
        "gc-read-before-the-record",
        "An upload reads gc's register before its record is there: a gc in between sees neither, and deletes what it relies on.",
        "ops/pending.py",
        """    made = yield from registers.update(keys.pending(ident), Pending, decide, known=None)
    assert made is not None
    found = yield from registers.fetch(keys.SWEEP, Sweep)
""",
        """    found = yield from registers.fetch(keys.SWEEP, Sweep)
    made = yield from registers.update(keys.pending(ident), Pending, decide, known=None)
    assert made is not None
""",
        (f"{WORLD}[upload what a deleted artifact had, gc]",),
    ),
    Bug(
        "older-blobs-trusted-beside-gc",
        "What a running gc is about to delete is referred to anew.",
        "protocol/pending.py",
        "return self.epoch if self.sweeping else self.floor",
        "return self.floor",
        (f"{WORLD}[upload what a deleted artifact had, gc]", f"{UPLOADS}::test_while_a_gc_runs_what_nobody_refers_to_is_sent_again"),
    ),
    Bug(
        "no-floor",
        "A gc that stood still while another one ended deletes what uploads rely on since.",
        "ops/gc.py",
        "        return entry.doc.but(floor=run.epoch)\n",
        "        return entry.doc\n",
        (f"{WORLD}[upload, two gc]", f"{UPLOADS}::test_a_gc_that_died_while_it_deleted_costs_trust_in_older_blobs_and_no_more"),
    ),
    Bug(
        "overtaken-gc-deletes",
        "A gc that stood still while another one ran deletes by what it saw before.",
        "ops/gc.py",
        """        if entry is None or not run.is_newest(entry):
            raise _overtaken()
""",
        """        if entry is None:
            raise _overtaken()
""",
        (f"{WORLD}[upload, two gc]", f"{UPLOADS}::test_a_run_that_another_one_overtook_deletes_nothing"),
    ),
    Bug(
        "no-touch",
        "An upload that gc took for dead publishes all the same, after its blobs were deleted.",
        "ops/gc.py",
        "    for target in one.doc.targets:\n        yield from _touch(run, one.key, target)\n",
        "",
        (
            f"{WORLD}[upload what a deleted artifact had, gc gives every upload up]",
            f"{UPLOADS}::test_a_stale_upload_is_given_up_and_its_late_publication_refused",
        ),
    ),
    Bug(
        "no-touch-after-a-dead-gc",
        "A gc that died before it fenced an upload leaves it free to publish after the next gc.",
        "ops/gc.py",
        "    if one.doc.state is not State.ABANDONED or one.doc.fenced:\n",
        "    if one.doc.state is not State.ABANDONED or not was_open:\n",
        (f"{UPLOADS}::test_an_upload_given_up_by_a_gc_that_died_is_still_fenced_by_the_next",),
    ),
    Bug(
        "young-uploads-not-waited-for",
        "gc deletes what an upload under way relies on.",
        "ops/gc.py",
        "                young.append(one)\n",
        "                pass\n",
        (f"{WORLD}[upload what a deleted artifact had, gc]", f"{UPLOADS}::test_a_young_upload_is_waited_for"),
    ),
    Bug(
        "still-not-asked",
        "An upload that gc gave up publishes once it has lost a race for the register.",
        "ops/pending.py",
        "    if found is None or found.doc.state is State.ABANDONED:\n        raise given_up()\n    return found.modified\n",
        "    return found.modified if found is not None else 0.0\n",
        (f"{UPLOADS}::test_a_stale_upload_is_given_up_and_its_late_publication_refused",),
    ),
    Bug(
        "record-taken-away-beside-gc",
        "A fork made while gc runs loses its files once the workspace that it was made of is torn down.",
        "ops/pending.py",
        "        if upload.beside_gc:\n",
        "        if False:\n",
        (f"{WORLD}[fork, teardown, gc]", f"{UPLOADS}::test_what_an_upload_holds_that_began_beside_it_is_kept"),
    ),
    Bug(
        "holds-not-read",
        "gc does not spare what a fork under way is going to refer to.",
        "ops/gc.py",
        "    yield from live.registers(settle)\n    yield from live.held()\n    return live\n",
        "    yield from live.registers(settle)\n    return live\n",
        (f"{WORLD}[fork, teardown, gc]", f"{UPLOADS}::test_what_an_upload_holds_that_began_beside_it_is_kept"),
    ),
    Bug(
        "holds-read-first",
        "gc misses what goes from a register that it reads late to one that it read before.",
        "ops/gc.py",
        "    yield from live.registers(settle)\n    yield from live.held()\n    return live\n",
        "    yield from live.held()\n    yield from live.registers(settle)\n    return live\n",
        (f"{WORLD}[fork, teardown, gc]",),
    ),
    Bug(
        "fork-does-not-look-again",
        "A fork relies on a tree that its source gave up before the fork's record was there.",
        "ops/workspaces.py",
        "    if any(root.tree and root.tree not in there for root in needs(start)):\n        raise Over\n",
        "",
        (f"{UPLOADS}::test_a_fork_begins_with_what_its_source_refers_to_when_its_record_is_there",),
    ),
    Bug(
        "given-up-fork-commits",
        "A fork that gc gave up says that it is done, and is gone.",
        "ops/pending.py",
        "    if entry is None or entry.doc.state is State.ABANDONED:\n        raise given_up()\n    return entry.doc\n",
        "    if entry is None:\n        raise given_up()\n    return entry.doc\n",
        (f"{WORLD}[fork, teardown, gc gives every upload up]",),
    ),
    Bug(
        "records-of-the-dead-go-at-once",
        "The record of an upload that was given up is created again by a late request, and it publishes.",
        "ops/gc.py",
        "one.doc.fenced and run.now - one.modified > KEPT",
        "one.doc.fenced",
        (
            f"{WORLD}[upload, gc gives it up twice, a request comes late]",
            f"{UPLOADS}::test_the_record_of_an_upload_given_up_stays_until_no_request_of_its_can_come",
        ),
    ),
    Bug(
        "unknown-outcome-is-a-failure",
        "A publication that comes late is accepted after gc has deleted what it refers to.",
        "ops/pending.py",
        "    except Indeterminate:  # a write that may come late must be refused once gc has given the upload up: the record stays\n"
        "        raise\n",
        "",
        (f"{UPLOADS}::test_an_upload_that_cannot_tell_whether_it_published_keeps_its_record",),
    ),
    Bug(
        "gc-epoch-stays",
        "gc deletes nothing, ever.",
        "ops/gc.py",
        "return before.but(epoch=before.epoch + 1, sweeping=True",
        "return before.but(epoch=before.epoch, sweeping=True",
        (f"{GC}::test_what_nothing_refers_to_goes_and_the_rest_stays",),
    ),
    Bug(
        "own-epoch-deleted",
        "gc deletes what was sent while it ran.",
        "ops/gc.py",
        "        elif epoch_of(name) >= run.epoch or not run.is_old(entry.modified):\n",
        "        elif not run.is_old(entry.modified):\n",
        (f"{WORLD}[upload what a deleted artifact had, gc gives every upload up]",),
    ),
    Bug(
        "unanswered-deletions-forgotten",
        "A deletion that comes after gc has said that it is over takes what is relied on since.",
        "ops/gc.py",
        "    yield from _end(run, run.epoch if unsure else run.floor)\n",
        "    yield from _end(run, run.floor)\n",
        (f"{UPLOADS}::test_a_deletion_without_an_answer_is_repeated_and_older_blobs_are_not_trusted",),
    ),
    Bug(
        "gc-goes-on-where-a-tree-is-missing",
        "Where one tree of a workspace is lost, gc deletes all that was below it.",
        "ops/reachable.py",
        "                if found is None and missing:\n",
        "                if found is None:\n",
        (f"{GC}::test_damage_where_references_are_stops_it_before_it_deletes_anything",),
    ),
    Bug(
        "archived-versions-forgotten",
        "Older versions of an artifact lose their content.",
        "ops/reachable.py",
        "        return version >= self._first.get((step, name), 1 << 60)\n",
        "        return version > self._first.get((step, name), 1 << 60)\n",
        (f"{GC}::test_every_version_of_an_artifact_that_is_not_deleted_is_kept",),
    ),
    Bug(
        "a-file-hides-a-tree",
        "A file with the very bytes of a tree makes gc delete what is in that folder.",
        "ops/reachable.py",
        "                if one not in self._followed:\n",
        "                if one not in self._followed and one not in self.names:\n",
        (f"{GC}::test_a_file_with_the_bytes_of_a_tree_does_not_hide_that_tree",),
    ),
    Bug(
        "parts-forgotten",
        "A large file loses its parts.",
        "ops/reachable.py",
        '                self._trees.append("index " + entry.name)\n',
        "                pass\n",
        (f"{GC}::test_what_workspaces_refer_to_is_kept_folder_by_folder",),
    ),
    Bug(
        "dry-run-reports-presence",
        "A look at what gc would do writes to the store.",
        "ops/gc.py",
        "    if dry_run:\n        return",
        "    if dry_run:\n        yield from act(actor)\n        return",
        (f"{GC}::test_a_dry_run_says_what_a_run_takes_and_writes_nothing",),
    ),
)
