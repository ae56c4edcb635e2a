"""Who acts, when neither a flag nor WINDLASS_AGENT says it."""

from __future__ import annotations

import os

from windlass.config import places
from windlass.digest import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SESSIONS = (
    ("claude", ("CLAUDE_CODE_SESSION_ID",)),
    ("codex", ("CODEX_THREAD_ID", "CODEX_SESSION_ID")),
    ("copilot", ("COPILOT_AGENT_SESSION_ID",)),
    ("cursor-agent", ("CURSOR_CONVERSATION_ID",)),
    ("gemini", ("GEMINI_SESSION_ID",)),
    ("hermes", ("HERMES_SESSION_ID",)),
    ("opencode", ("OPENCODE_SESSION_ID",)),
)
"""The variables in which host tools give their commands the id of the session."""

NOBODY = (
    "found no --agent, no WINDLASS_AGENT, no host tool's session id, no agent bound to this folder "
    "and no host tool or terminal shell above this command"
)


def unnamed(env: Mapping[str, str], folder: str, worktree: str | None, state: str) -> tuple[str | None, str]:
    """The agent and how it was recognised, or None and what was looked for."""
    name, why = from_session(env)
    if name:
        # A tool without an id of its own, started by one that has, is somebody else.
        nearest, how = _from_ancestors()
        if nearest and nearest.rpartition("-")[0] not in ("shell", *(tool for tool, _, _ in _sessions(env))):
            return nearest, how
        return name, why
    name, why = _from_binding(folder, worktree, state)
    if name:
        return name, why
    name, why = _from_ancestors()
    return (name, why) if name else (None, f"{NOBODY} ({why})" if why else NOBODY)


def _from_ancestors() -> tuple[str | None, str]:
    from windlass.config.ancestors import from_ancestors

    return from_ancestors()


def from_session(env: Mapping[str, str]) -> tuple[str | None, str]:
    """A name derived from the session ids that host tools export.

    A tool started by another one inherits the other's id; then the name is made of all ids, so that the two differ.
    """
    found = _sessions(env)
    if not found:
        return None, ""
    name = "-".join(tool for tool, _, _ in found)
    ids = "\n".join(session for _, _, session in found)
    return f"{name}-{_short(ids)}", " and ".join(variable for _, variable, _ in found)


def _sessions(env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    found = []
    for tool, variables in SESSIONS:
        variable = next((v for v in variables if env.get(v)), None)
        if variable:
            found.append((tool, variable, env[variable]))
    return found


def _short(session: str) -> str:
    """Eight hex digits: the first of a random UUID, as its transcript is called, else of a hash.

    The first digits of other ids may be a clock's, which two sessions can share.
    """
    if len(session) == 36 and session[8] == session[13] == "-" and session[14] == "4":
        head = session[:8].lower()
        if not head.strip("0123456789abcdef"):
            return head
    return sha256_hex(os.fsencode(session))[:8]


def _from_binding(folder: str, worktree: str | None, state: str) -> tuple[str | None, str]:
    # A worktree below a bound one is somebody else's; a folder below a bound folder is not.
    here = worktree or folder
    if not state or not os.path.isdir(f"{state}/bindings"):
        return None, ""
    while True:
        name = places.bound_agent(state, here)
        if name:
            return name, f"bound to {here}"
        above = os.path.dirname(here)
        if worktree or above == here:
            return None, ""
        here = above
