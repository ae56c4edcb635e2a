"""Every command, where its code lives and its line in the help: all that a start needs to know."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "a team of agents working through a plan, narrated"),
    "init": ("setup", "choose or make a store and project; name this worktree's agent"),
    "trust": ("setup", "allow a .windlass.toml in this repository to name a remote store"),
    "whoami": ("look", "who you are and why, what you hold, what to do next"),
    "doctor": ("doctor", "does this store keep its promises? races it and says so"),
    "status": ("look", "the project on one screen"),
    "agents": ("look", "who is here, how fresh, how kept alive"),
    "log": ("log", "what happened, newest last"),
    "primer": ("primer", "a page for agents: how to work with others here"),
    "run": ("run", "run a command and keep its agent alive with it"),
    "beat": ("run", "refresh your sign of life, for hooks and sidecars"),
    "claim": ("claims", "claim a step"),
    "next": ("claims", "claim the best ready step"),
    "release": ("claims", "give a claim back"),
    "complete": ("claims", "finish a step you hold, with a handoff"),
    "approve": ("review", "accept a step that needs review"),
    "reject": ("review", "send a step back to its worker"),
    "step-status": ("steps", "the state of one step, in one line"),
    "handoff": ("steps", "what the last worker of a step left for the next"),
    "wait-for": ("wait", "wait until steps are complete"),
    "step add": ("steps", "declare a step"),
    "step edit": ("steps", "change what a step says"),
    "step show": ("steps", "one step, with its history"),
    "step list": ("steps", "all steps"),
    "step cancel": ("review", "cancel a step"),
    "step reopen": ("review", "set a finished step back to pending"),
    "plan apply": ("plan", "declare steps from a YAML or JSON file"),
    "plan export": ("plan", "all steps as a plan file"),
    "plan graph": ("graph", "steps and needs as text or Mermaid"),
    "memory set": ("memory", "set a shared value"),
    "memory get": ("memory", "read a shared value"),
    "memory list": ("memory", "keys and values"),
    "memory history": ("memory", "earlier versions of a key"),
    "memory delete": ("memory", "delete a key; its history stays"),
    "send": ("mail", "send a message to an agent, or to _broadcast"),
    "inbox": ("mail", "read messages"),
    "message": ("mail", "one message, whole"),
    "ack": ("mail", "acknowledge messages"),
    "receipts": ("mail", "how far a message got"),
    "move": ("move", "copy the project to another store and freeze this one"),
    "completion": ("completion", "shell completion for bash, zsh or fish"),
}
"""Command → module in this package, one line of help."""

GROUPS = ("step", "plan", "memory")
"""First words of commands of two words."""

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("demo", "init", "trust", "doctor", "primer", "completion")),
    ("Look", ("status", "whoami", "agents", "log")),
    ("Work", ("next", "claim", "complete", "release", "handoff", "step-status", "wait-for", "approve", "reject")),
    ("Plan", ("plan apply", "plan graph", "plan export", "step add", "step edit", "step show", "step list", "step cancel", "step reopen")),
    ("Talk", ("send", "inbox", "message", "ack", "receipts")),
    ("Remember", ("memory set", "memory get", "memory list", "memory history", "memory delete")),
    ("Stay alive", ("run", "beat")),
    ("Move on", ("move",)),
)
