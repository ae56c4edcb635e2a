"""Seeded bugs of workspaces: trees, pushes, forks and merges."""

from __future__ import annotations

from tests.reliability.bugs.bug import Bug

TREES = "tests/ops/test_trees.py"
WORKSPACES = "tests/ops/test_workspaces.py"
FORKS = "tests/ops/test_forks.py"
MERGING = "tests/ops/test_merging.py"
EXPLORE = "tests/reliability/test_explore.py::test_the_operations_hold_in_every_order"

BUGS = (
    Bug(
        "push-onto-any-head",
        "Two push from the same state, and the second overwrites the first without a word.",
        "ops/workspaces.py",
        "        if now.root.tree != known.doc.root.tree or now.born != known.doc.born:\n",
        "        if now.born != known.doc.born:\n",
        (f"{WORKSPACES}::test_a_push_that_meets_another_on_the_way_is_refused", f"{EXPLORE}[two push to a workspace]"),
    ),
    Bug(
        "base-of-a-push-not-compared",
        "A push of a folder that is behind overwrites what others pushed since.",
        "ops/workspaces.py",
        "        if not force and known.doc.root.tree != wanted:\n            raise moved_on(known.doc)\n",
        "",
        (f"{WORKSPACES}::test_a_push_moves_the_head_from_its_base_and_from_nowhere_else",),
    ),
    Bug(
        "push-after-it-was-given-up",
        "gc gave an upload up and deleted its files; the upload publishes them all the same.",
        "ops/settling.py",
        "        if still is not None and entry.version != known.version:\n",
        "        if still is None and entry.version != known.version:\n",
        (f"{WORKSPACES}::test_a_push_that_gc_gave_up_meanwhile_is_refused",),
    ),
    Bug(
        "restore-loses-the-head",
        "Who restores a checkpoint loses what was pushed since.",
        "ops/workspaces.py",
        "        if now.root.tree and all(one.root.tree != now.root.tree for one in checkpoints.values()):\n",
        "        if False:\n",
        (f"{WORKSPACES}::test_a_restore_loses_no_work", f"{EXPLORE}[restore against push]"),
    ),
    Bug(
        "expired-though-changed",
        "A workspace is torn down right after somebody pushed to it.",
        "ops/workspaces.py",
        "        gone = now is not None and now.version == judged.version\n",
        "        gone = now is not None\n",
        (f"{WORKSPACES}::test_a_workspace_that_is_changed_while_it_expires_is_spared",),
    ),
    Bug(
        "teardown-without-a-look",
        "Work that no other workspace has is given up without a word.",
        "ops/workspaces.py",
        "        if not force and now.root.tree and",
        "        if force and now.root.tree and",
        (f"{WORKSPACES}::test_a_teardown_is_refused_where_it_would_lose_work",),
    ),
    Bug(
        "forks-that-count-one-by-one",
        "A fork of five that dies on the way leaves two.",
        "ops/forks.py",
        "            doc = begun(None, name, me, write, root, start, None).but(forming=upload.id, write_id=write.id, seq=1)\n",
        "            doc = begun(None, name, me, write, root, start, None).but(write_id=write.id, seq=1)\n",
        (f"{FORKS}::test_a_fork_killed_at_any_request_leaves_all_or_nothing", f"{EXPLORE}[a fork of two]"),
    ),
    Bug(
        "fork-over-another-fork",
        "Two forks of the same names both come to their end, each with a part of the names.",
        "ops/settling.py",
        "    if found.making is not None and found.making.state is State.OPEN:\n",
        "    if False:\n",
        (f"{FORKS}::test_what_a_fork_is_still_making_is_not_there_and_not_free", f"{EXPLORE}[two forks of the same names]"),
    ),
    Bug(
        "fork-looked-at-once",
        "A fork is not found by who looks just when it is tidied up.",
        "ops/settling.py",
        "        if now is not None and now.version == found.version:\n",
        "        if now is not None:\n",
        (f"{FORKS}::test_one_who_looks_while_a_fork_is_tidied_up_sees_it",),
    ),
    Bug(
        "record-of-a-fork-goes-first",
        "The record of a fork is taken away before each of its workspaces stands for itself: some of them are gone.",
        "ops/forks.py",
        "    if all((yield from fx.spread([one(entry) for entry in made], AT_ONCE))):\n        yield from pending.end(upload)\n",
        "    yield from pending.end(upload)\n    yield from fx.spread([one(entry) for entry in made], AT_ONCE)\n",
        (f"{FORKS}::test_a_fork_killed_at_any_request_leaves_all_or_nothing", f"{EXPLORE}[a fork of two]"),
    ),
    Bug(
        "base-of-a-fork-not-held",
        "The base is torn down while it is forked, gc takes its files, and the forks are empty shells.",
        "ops/forks.py",
        "            yield from refers(start)\n",
        "",
        (f"{FORKS}::test_a_fork_of_what_is_torn_down_meanwhile_is_refused", f"{EXPLORE}[a fork, its base is torn down, gc]"),
    ),
    Bug(
        "merged-state-not-held",
        "What is merged is torn down meanwhile, gc takes its files, and the workspace refers to them.",
        "ops/merging.py",
        "    yield from refers(start)\n",
        "",
        (f"{MERGING}::test_a_merge_of_what_is_torn_down_meanwhile_is_refused", f"{EXPLORE}[a merge, what is merged is torn down, gc]"),
    ),
    Bug(
        "merge-onto-any-head",
        "A push that comes in while others are merged is lost.",
        "ops/merging.py",
        "        if now.root.tree != ours.doc.root.tree or now.born != ours.doc.born or now.merged != ours.doc.merged:\n"
        "            raise Over\n",
        "",
        (
            f"{MERGING}::test_a_merge_goes_on_from_what_is_there_now",
            f"{EXPLORE}[two push to a workspace, a third merges into it]",
        ),
    ),
    Bug(
        "merged-through-a-third-not-known",
        "What came by way of a third workspace and was taken back comes again.",
        "protocol/workspaces.py",
        "        if third == mine.name or known.at_seq > state.seq:\n",
        "        if True:\n",
        (f"{MERGING}::test_what_came_through_a_third_workspace_and_was_taken_back_stays_so",),
    ),
    Bug(
        "one-base-where-there-are-two",
        "Two workspaces that were merged into each other undo what one of them takes back.",
        "ops/merging.py",
        "trees.merge([one.tree for one in bases], ",
        "trees.merge([one.tree for one in bases[:1]], ",
        (f"{MERGING}::test_two_states_in_common_of_which_none_is_newer_are_both_asked",),
    ),
    Bug(
        "the-dead-workspace-of-that-name",
        "A workspace made anew under an old name is merged as if it were the old one: files disappear.",
        "protocol/workspaces.py",
        "{(name, known.born): known for name, known in one.merged.items()} | {(one.name, one.born): state_of(one)}\n",
        "{(name, 0): known for name, known in one.merged.items()} | {(one.name, 0): state_of(one)}\n",
        (f"{MERGING}::test_a_workspace_made_anew_under_an_old_name_is_another",),
    ),
    Bug(
        "restored-as-the-same-line",
        "A workspace that went back to a checkpoint counts as holding what others got from it after that: it is never merged back.",
        "protocol/workspaces.py",
        '"born": now.seq + 1,',
        '"born": now.born,',
        (f"{MERGING}::test_what_another_took_over_before_a_restore_is_no_state_in_common",),
    ),
    Bug(
        "restored-with-later-knowledge",
        "What was merged before a restore counts as merged after it: the work is lost.",
        "protocol/workspaces.py",
        '"merged": kept.merged,',
        '"merged": now.merged,',
        (f"{MERGING}::test_what_was_merged_before_a_restore_can_be_merged_again",),
    ),
    Bug(
        "merge-takes-both-for-one",
        "What both sides changed is silently taken from one of them.",
        "ops/trees.py",
        '                if verdicts == {"theirs"}:\n',
        '                if "ours" not in verdicts:\n',
        (
            f"{TREES}::test_a_merge_keeps_what_one_side_changed_and_names_what_both_did",
            f"{MERGING}::test_a_conflict_is_named_and_nothing_is_written",
        ),
    ),
    Bug(
        "leaves-all-sent-again",
        "A merge of one file in a large folder sends the whole folder.",
        "ops/trees.py",
        "    made, _ = yield from _write_up(under, folders, known_of(seen), None)\n",
        "    made, _ = yield from _write_up(under, folders, {}, None)\n",
        (f"{TREES}::test_a_large_folder_is_split_by_its_names_and_nothing_else",),
    ),
    Bug(
        "tree-with-a-git-folder",
        "Whoever pulls a workspace runs the hooks that somebody put into it.",
        "ops/trees.py",
        '    problem = "it is no path within a folder" if path[:1] == "/" else why_not(name)\n',
        '    problem = "it is no path within a folder" if path[:1] == "/" else ""\n',
        (f"{TREES}::test_a_name_that_nobody_may_unpack_is_not_written",),
    ),
)
