"""Every seeded bug, by name."""

from __future__ import annotations

from tests.reliability.bugs import claims, mail, registers, stores, work

ALL = (*registers.BUGS, *claims.BUGS, *work.BUGS, *mail.BUGS, *stores.BUGS)
BUGS = {bug.name: bug for bug in ALL}
