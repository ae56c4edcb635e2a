"""Every seeded bug, by name."""

from __future__ import annotations

from tests.reliability.bugs import artifacts, claims, gc, mail, registers, stores, work, workspaces

ALL = (*registers.BUGS, *claims.BUGS, *work.BUGS, *mail.BUGS, *stores.BUGS, *gc.BUGS, *workspaces.BUGS, *artifacts.BUGS)
BUGS = {bug.name: bug for bug in ALL}
