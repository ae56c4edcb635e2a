"""What git knows of the work: where it stands now, and what changed since a commit."""

from __future__ import annotations

import os

from windlass.config.where import discover
from windlass.errors import UsageError
from windlass.protocol.steps import Git

MAX_FILES = 1000
"""Changed files kept in a handoff."""


def here() -> Git | None:
    """HEAD, branch and worktree of the current folder, read without running git; None outside a repository."""
    repository = discover(os.path.realpath(os.getcwd()))
    if repository is None or repository.worktree is None:
        return None
    gitdir = repository.gitdir
    head = _line(f"{gitdir}/HEAD")
    branch = ""
    if head.startswith("ref: "):
        ref = head[5:]
        branch = ref.removeprefix("refs/heads/")
        head = _line(f"{repository.common}/{ref}") or _packed(f"{repository.common}/packed-refs", ref)
    return Git(head=head, branch=branch, worktree=repository.worktree)


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline(400).strip()
    except OSError:
        return ""


def _packed(path: str, ref: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return next((line.split(" ", 1)[0] for line in stream if line.rstrip("\n").endswith(" " + ref)), "")
    except OSError:
        return ""


def changed_files(since: str | None) -> tuple[str, ...]:
    """Paths changed since a commit: committed, staged, unstaged and untracked, sorted. Raises UsageError outside a work tree."""
    top = _git("rev-parse", "--show-toplevel").rstrip("\n")
    found: set[str] = set()
    if since:
        found.update(_git("-C", top, "diff", "--name-only", "-z", since, "--").split("\0"))
    else:
        found.update(_git("-C", top, "diff", "--name-only", "-z", "HEAD", "--", check=False).split("\0"))
    found.update(_git("-C", top, "ls-files", "--others", "--exclude-standard", "-z").split("\0"))
    # the mark of a workspace's folder is about this machine, no result
    found = {path for path in found if path and path.rpartition("/")[2] != ".windlass-workspace"}
    return tuple(sorted(found)[:MAX_FILES])


def _git(*arguments: str, check: bool = True) -> str:
    import subprocess

    try:
        done = subprocess.run(["git", "-c", "core.fsmonitor=false", *arguments], capture_output=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run: {error}", "leave --changed-files-from-git out") from None
    if done.returncode and check:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"git cannot tell what changed: {why[-1] if why else 'no reason given'}",
            "run it inside the work tree, or leave --changed-files-from-git out",
        )
    return done.stdout.decode("utf-8", "replace") if not done.returncode else ""
