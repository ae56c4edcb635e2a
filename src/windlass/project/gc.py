"""Freeing what nothing refers to any more."""

from __future__ import annotations

from windlass.ops import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op
    from windlass.ops.gc import Swept
    from windlass.project.session import Session


def sweep(session: Session, grace: float, wait: float, dry_run: bool) -> Op[Swept]:
    """A run of gc as the session's agent. Raises Unidentified."""
    return gc.gc(session.actor, grace=grace, wait=wait, dry_run=dry_run)
