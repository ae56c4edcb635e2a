"""Seeded bugs of registers, documents and shared memory."""

from __future__ import annotations

from tests.reliability.bugs.bug import Bug

REGISTERS = "tests/ops/test_registers.py"
MEMORY = "tests/ops/test_memory.py"
CODEC = "tests/protocol/test_codec.py"

BUGS = (
    Bug(
        "refusal-taken-as-lost",
        "A proxy repeats a write that landed and answers 412: the change is made twice, or its winner is told that it lost.",
        "ops/registers.py",
        "            refused = isinstance(answer, PutRefused) and (refused or not sent)\n",
        "            if isinstance(answer, PutRefused):\n"
        "                return False, (yield from fetch(key, kind))\n"
        "            refused = False\n",
        (f"{REGISTERS}::test_a_write_whose_answer_is_spoilt_counts_once[0-412 although it landed]",),
    ),
    Bug(
        "unclear-taken-as-lost",
        "The answer to a write that landed is lost, nobody reads back, and the change is decided and made again.",
        "ops/registers.py",
        "            refused = isinstance(answer, PutRefused) and (refused or not sent)\n",
        "            if isinstance(answer, PutUnclear):\n"
        "                return False, (yield from fetch(key, kind))\n"
        "            refused = True\n",
        (f"{REGISTERS}::test_a_write_whose_answer_is_spoilt_counts_once[0-the answer is lost]",),
    ),
    Bug(
        "unclear-taken-as-won",
        "A write that never arrived is reported as done.",
        "ops/registers.py",
        "            refused = isinstance(answer, PutRefused) and (refused or not sent)\n",
        "            if isinstance(answer, PutUnclear):\n"
        '                return True, Version(doc=document, version="")\n'
        "            refused = True\n",
        (f"{REGISTERS}::test_what_stays_unknown_is_said_to_be_unknown",),
    ),
    Bug(
        "unknown-taken-as-lost",
        "The read-back finds the old version, the write is called lost, and lands later: the change counts twice.",
        "ops/registers.py",
        "            if found.version != (entry.version if entry else None):\n",
        "            if True:\n",
        (f"{REGISTERS}::test_a_delayed_write_that_lands_between_two_looks_is_won",),
    ),
    Bug(
        "resend-under-a-fresh-id",
        "A write in flight is sent again under another id: when the first one lands, nobody knows it as his own.",
        "ops/registers.py",
        "        if wait:\n            yield from fx.sleep(wait)\n        try:\n            version = yield from _put(",
        "        if wait:\n            yield from fx.sleep(wait)\n        if sent:\n"
        "            document = document.but(write_id=(yield from fx.new_id()))\n            body = encode(document)\n"
        "        try:\n            version = yield from _put(",
        (f"{REGISTERS}::test_a_delayed_write_that_lands_between_two_looks_is_won",),
    ),
    Bug(
        "blind-retry",
        "A refused write is sent again without its condition: it overwrites what the winner wrote.",
        "ops/registers.py",
        "            refused = isinstance(answer, PutRefused) and (refused or not sent)\n",
        "            condition = fx.Always()\n            refused = isinstance(answer, PutRefused) and (refused or not sent)\n",
        (f"{REGISTERS}::test_a_write_is_never_sent_again_without_its_condition",),
    ),
    Bug(
        "seq-not-growing",
        "A register's number stands still: versions of a memory key overwrite one another in the history.",
        "ops/registers.py",
        "seq=(entry.doc.seq if entry else 0) + 1)\n        if before",
        "seq=entry.doc.seq if entry else 1)\n        if before",
        (f"{MEMORY}::test_every_version_stays",),
    ),
    Bug(
        "refused-on-a-hint",
        "A command refuses because of what this machine remembers, though the store says otherwise.",
        "ops/registers.py",
        "            if not hinted:\n                raise\n",
        "            raise\n",
        (f"{REGISTERS}::test_a_guess_or_a_memory_is_never_the_reason_of_a_refusal",),
    ),
    Bug(
        "hint-written-without-condition",
        "A write built on a remembered document goes out unconditionally, and undoes what others wrote since.",
        "ops/registers.py",
        "    condition = fx.IfAbsent() if entry is None else fx.IfMatch(version=entry.version)\n",
        "    condition = fx.IfAbsent() if entry is None else fx.Always() if entry.remembered else fx.IfMatch(version=entry.version)\n",
        ("tests/ops/test_steps.py::test_a_memory_that_is_wrong_only_costs_a_request",),
    ),
    Bug(
        "overtaken-write-remembered",
        "One's own write, overtaken meanwhile, is kept with the newer version: the next write undoes the other's.",
        "ops/registers.py",
        'found if same else Version(doc=document, version="")',
        "found if same else Version(doc=document, version=found.version)",
        (f"{REGISTERS}::test_a_write_that_landed_and_was_built_on_is_won",),
    ),
    Bug(
        "expired-login-hides-a-write",
        "Credentials expire after an unclear write: the user is told that nothing happened, and it did.",
        "ops/registers.py",
        "        except StoreError as error:\n            raise _may_have_landed(key, error) from error\n",
        "        except StoreError:\n            raise\n",
        (f"{REGISTERS}::test_an_unclear_write_whose_read_back_is_refused_is_unknown",),
    ),
    Bug(
        "refused-resend-hides-a-write",
        "A write may have landed, its repetition is denied, and the denial is all that the user hears.",
        "ops/registers.py",
        "            if sent:\n                raise _indeterminate(key) from error\n            raise\n",
        "            raise\n",
        (f"{REGISTERS}::test_an_unclear_write_whose_resend_is_refused_is_unknown",),
    ),
    Bug(
        "lost-without-a-trace-is-lost",
        "A register without history that was changed twice since an unclear write: its writer is told that it surely lost.",
        "protocol/codec.py",
        "        return False if self.seq <= seq else None\n",
        "        return False\n",
        (f"{MEMORY}::test_a_write_that_landed_and_was_overwritten_was_won",),
    ),
    Bug(
        "archive-not-asked",
        "A memory version that was won and overwritten at once is reported as unknown.",
        "ops/memory.py",
        "before=lambda entry: archive(key, entry), landed=landed)",
        "before=lambda entry: archive(key, entry))",
        (f"{MEMORY}::test_a_write_that_landed_and_was_overwritten_was_won",),
    ),
    Bug(
        "archive-after-overwrite",
        "A process killed after it set a key loses the version before: it is neither live nor in the history.",
        "ops/memory.py",
        "    now = yield from registers.update("
        "keys.memory(key), Memory, decide, before=lambda entry: archive(key, entry), landed=landed)\n",
        "    old = yield from registers.fetch(keys.memory(key), Memory)\n"
        "    now = yield from registers.update(keys.memory(key), Memory, decide, known=old, landed=landed)\n"
        "    if old is not None:\n        yield from archive(key, old)\n",
        (f"{MEMORY}::test_a_crash_anywhere_loses_no_version",),
    ),
    Bug(
        "archive-with-an-id-of-its-own",
        "The archive does not say who won a version: a winner whose answer was lost sets the key again.",
        "ops/memory.py",
        "entry.doc.version), entry.doc, Memory)",
        "entry.doc.version), entry.doc.but(write_id=(yield from fx.new_id())), Memory)",
        (f"{MEMORY}::test_a_write_that_landed_and_was_overwritten_was_won",),
    ),
    Bug(
        "archive-one-number-off",
        "The history shows values under the wrong version numbers.",
        "ops/memory.py",
        "registers.copy(keys.memory_version(key, entry.doc.version),",
        "registers.copy(keys.memory_version(key, entry.doc.version + 1),",
        (f"{MEMORY}::test_every_version_stays",),
    ),
    Bug(
        "delete-deletes",
        "After a delete the versions of a key begin at 1 again: a compare-and-set of last week succeeds.",
        "ops/memory.py",
        "    return (yield from _change(actor, key, None, True, if_version))\n",
        "    done = yield from _change(actor, key, None, True, if_version)\n"
        "    yield from fx.gather([fx.Delete(key=keys.memory(key))])\n    return done\n",
        (f"{MEMORY}::test_a_deleted_key_keeps_its_past_and_goes_on_counting",),
    ),
    Bug(
        "if-version-ignored",
        "`memory set --if-version` sets whatever is there.",
        "ops/memory.py",
        "        check_version(before, key, if_version)\n",
        "        check_version(before, key, None)\n",
        (f"{MEMORY}::test_compare_and_set",),
    ),
    Bug(
        "if-version-compared-once",
        "`memory set --if-version` compares before the race and not after it: two both succeed.",
        "ops/memory.py",
        "        check_version(before, key, if_version)\n",
        "        nonlocal if_version\n        check_version(before, key, if_version)\n        if_version = None\n",
        (f"{MEMORY}::test_compare_and_set_holds_under_a_race",),
    ),
    Bug(
        "unknown-fields-dropped",
        "A client of today erases what a newer one wrote into the same document.",
        "protocol/codec.py",
        "    vars(found).update(write_id=write_id, seq=seq, extra=fields.rest())",
        "    vars(found).update(write_id=write_id, seq=seq)",
        (f"{REGISTERS}::test_fields_of_a_newer_minor_version_survive_a_change",),
    ),
    Bug(
        "unknown-fields-of-claims-dropped",
        "A client of today erases what a newer one wrote into a claim.",
        "protocol/steps.py",
        '            git=f.record("git", Git.load),\n            extra=f.rest(),\n        )\n\n\nclass Handoff',
        '            git=f.record("git", Git.load),\n        )\n\n\nclass Handoff',
        (f"{CODEC}::test_unknown_fields_survive_in_every_record_within_a_document",),
    ),
    Bug(
        "newer-format-written-over",
        "A document in tomorrow's format is rewritten by today's client.",
        "protocol/codec.py",
        "    if major > FORMAT:\n",
        '    if major > FORMAT and values.get("kind") == "project":\n',
        (f"{REGISTERS}::test_a_newer_format_is_never_overwritten",),
    ),
    Bug(
        "kind-not-compared",
        "A document of another kind under a step's key counts as an empty step.",
        "protocol/codec.py",
        '    if (is_a := fields.anything("kind")) != kind.KIND:\n',
        '    if (is_a := fields.anything("kind")) is None:\n',
        (f"{CODEC}::test_another_kind_is_damaged",),
    ),
    Bug(
        "documents-without-a-limit",
        "A register grows beyond what any store reads: from then on nobody can change it.",
        "protocol/codec.py",
        "    if len(body) > limit:\n",
        "    if len(body) > 2 * limit:\n",
        (f"{REGISTERS}::test_a_document_too_large_to_be_read_again_is_not_written",),
    ),
    Bug(
        "no-room-to-finish",
        "A step whose history is nearly full can be claimed and then neither finished nor released.",
        "protocol/steps.py",
        "        return 0 if self.moved_to is not None else 64 * 1024 if self.claim is None else 512 * 1024\n",
        "        return 0 if self.moved_to is not None else 64 * 1024\n",
        ("tests/ops/test_shells.py::test_a_step_that_is_nearly_full_can_be_finished_and_released_and_moved",),
    ),
    Bug(
        "own-write-known-by-its-number",
        "Only the number of a version is compared, not the id of its write: whoever lost takes the winner's for its own.",
        "protocol/codec.py",
        "        if self.write_id == write_id:\n            return True\n",
        "        if self.seq == seq:\n            return True\n",
        (f"{MEMORY}::test_two_writers_in_every_order[None]",),
    ),
    Bug(
        "frozen-memory-written",
        "A value is set at the place that the project has left, and never arrives.",
        "protocol/memory.py",
        "    if memory is not None and memory.moved_to is not None:\n        raise Moved(memory.moved_to)\n",
        "",
        (f"{MEMORY}::test_a_key_that_moved_takes_nothing",),
    ),
    Bug(
        "created-steps-disowned",
        "A step that `plan apply` created behind a lost answer counts as somebody else's.",
        "ops/registers.py",
        '                won, _ = yield from _write(key, kind, document, None, None)\n                made.append("" if won else None)\n',
        "                made.append(None)\n",
        (f"{REGISTERS}::test_creating_many_says_which_were_made",),
    ),
)
