"""Seeded bugs of artifacts: publishing, fencing, archives, lineage, and what is read back."""

from __future__ import annotations

from tests.reliability.bugs.bug import Bug

OPS = "tests/ops/test_artifacts.py"
COMMANDS = "tests/e2e/test_artifacts.py"
PYTHON = "tests/project/test_artifacts.py"
MOVING = "tests/ops/test_moving.py"
TRANSITIONS = "tests/protocol/test_transitions.py"

BUGS = (
    Bug(
        "published-without-the-claim",
        "Whoever lost a step goes on publishing results in it.",
        "protocol/transitions.py",
        "    if not holds(step, act, epoch):\n        raise not_mine(step, act, epoch)\n    return step if artifacts",
        "    return step if artifacts",
        (f"{TRANSITIONS}::test_only_the_holder_publishes", f"{OPS}::test_a_claim_that_is_lost_while_it_uploads_publishes_nothing"),
    ),
    Bug(
        "deleted-under-the-holders-hands",
        "Anybody deletes a result of a step that somebody works on.",
        "protocol/transitions.py",
        "    if step.claim is not None and not holds(step, act):\n        raise ClaimLost(\n",
        "    if step.claim is None and not holds(step, act) and step.moved_to:\n        raise ClaimLost(\n",
        (f"{OPS}::test_a_steps_artifact_is_not_deleted_under_somebody_elses_hands",),
    ),
    Bug(
        "another-result-counts-as-the-same",
        "A repeated completion with another artifact says that all was done, and publishes nothing.",
        "protocol/transitions.py",
        "_last_by(step, act, event, epoch) and kept == step.artifacts:\n",
        "_last_by(step, act, event, epoch):\n",
        (f"{TRANSITIONS}::test_a_step_that_is_finished_with_artifacts_is_so_once",),
    ),
    Bug(
        "replaced-and-not-archived",
        "A version is gone once another is published.",
        "ops/artifacts.py",
        "            yield from archive(ref, entry.doc.current)\n",
        "            pass\n",
        (f"{OPS}::test_the_newest_version_is_read_by_anyone_and_the_others_stay",),
    ),
    Bug(
        "published-after-gc-gave-it-up",
        "An upload that gc took for dead publishes after all, and what it refers to is deleted.",
        "ops/artifacts.py",
        "        if self._under is not None and self.written > 1:\n",
        "        if self._under is not None and self.written > 100:\n",
        (f"{OPS}::test_an_upload_that_gc_gives_up_at_the_last_moment_is_refused",),
    ),
    Bug(
        "first-version-after-gc-gave-it-up",
        "The same, where there was no such artifact before.",
        "ops/artifacts.py",
        "            attempts.written += 1  # nothing is replaced: `before` is not asked\n",
        "            pass\n",
        (f"{OPS}::test_an_upload_that_gc_gives_up_at_the_last_moment_is_refused",),
    ),
    Bug(
        "landed-version-counts-as-lost",
        "A publication whose answer was lost, and that another followed, is made a second time.",
        "ops/artifacts.py",
        "        return kept.doc.write_id == write_id if kept else None\n",
        "        return False\n",
        (f"{OPS}::test_a_write_that_landed_and_was_overwritten_was_won",),
    ),
    Bug(
        "touched-version-counts-as-lost",
        "A deletion that landed, and whose register was touched since, is told to have found nothing.",
        "ops/artifacts.py",
        "            return now.current.write_id == write_id\n",
        "            return False\n",
        (f"{OPS}::test_a_write_that_landed_and_was_touched_was_won",),
    ),
    Bug(
        "deleted-versions-come-back",
        "Once an artifact is published anew, versions from before its deletion are offered again, though their content may be gone.",
        "protocol/artifacts.py",
        "first=number + 1,",
        "first=1,",
        (f"{OPS}::test_a_deleted_artifact_is_gone_with_its_past_and_goes_on_counting",),
    ),
    Bug(
        "other-metadata-counts-as-the-same",
        "An upload with other metadata says that it is there already.",
        "protocol/artifacts.py",
        '("agent", "step", "epoch", "media_type", "inputs", "meta")',
        '("agent", "step", "epoch", "media_type", "inputs")',
        (f"{OPS}::test_the_same_again_by_the_same_agent_is_no_new_version",),
    ),
    Bug(
        "upload-outlives-a-move",
        "An upload that takes longer than a move publishes in the store that the project left.",
        "ops/artifacts.py",
        "    me = yield from act(actor)  # it may have taken hours: where the project lives is looked at again\n",
        "    from windlass.ops.agents import _recall\n\n    me = yield from _recall(actor)\n",
        (f"{MOVING}::test_an_upload_that_began_before_a_move_is_told_and_publishes_nothing",),
    ),
    Bug(
        "artifacts-arrive-frozen",
        "After a move nobody can publish a new version of any artifact.",
        "ops/moving.py",
        "            return encode(other.but(moved_to=None)) if other.moved_to is not None else None\n",
        "            return found.body if other.moved_to is not None else None\n",
        (f"{MOVING}::test_a_project_arrives_whole_and_work_goes_on_there",),
    ),
    Bug(
        "move-takes-all-memory",
        "A move reads five hundred large objects into memory at once.",
        "project/moving.py",
        " or size + listed[name].size > PORTION_BYTES",
        "",
        (f"{MOVING}::test_a_move_holds_no_more_in_memory_than_a_few_large_objects",),
    ),
    Bug(
        "endless-lineage",
        "A hostile record with thousands of inputs is followed for ever.",
        "ops/lineage.py",
        "        new = new[: max(0, MOST - len(found))]\n",
        "",
        (f"{OPS}::test_a_lineage_that_claims_a_circle_or_no_end_is_bounded",),
    ),
    Bug(
        "verify-believes-rows",
        "`verify` calls a file well that does not lie where its record says.",
        "ops/receiving.py",
        "                    blobs.piece(blob, name, body)\n                elif",
        "                    pass\n                elif",
        (f"{OPS}::test_a_file_that_does_not_lie_in_its_pack_is_found",),
    ),
    Bug(
        "downloaded-part-not-verified",
        "A damaged part of a large file is put in place.",
        "ops/receiving.py",
        "                body = blobs.verified(name, found)\n                if len(body) != size:\n",
        "                body = found.body if found else b''\n                if len(body) != size:\n",
        (f"{PYTHON}::test_a_download_appears_whole_or_not_at_all",),
    ),
    Bug(
        "streamed-out-of-order",
        "A large artifact comes out on stdout with its parts mixed up.",
        "project/artifacts.py",
        "write(bodies.pop(0))",
        "write(bodies.pop())",
        (f"{COMMANDS}::test_stdin_and_stdout",),
    ),
)
