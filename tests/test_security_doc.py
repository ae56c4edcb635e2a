"""docs/security.md asks for no more and no less than the code needs."""

from __future__ import annotations

import re
from pathlib import Path

from windlass.project.doctor import ACTIONS, REASONS, policy

TEXT = (Path(__file__).parent.parent / "docs/security.md").read_text(encoding="utf-8")


def test_the_permissions_are_those_of_the_policy() -> None:
    documented = re.findall(r"^\| `(s3:\w+)` \| (.+) \|$", TEXT, re.MULTILINE)
    found = policy("s3://bucket/prefix")
    assert found
    granted = {action for one in found["Statement"] for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])}
    assert {action for action, _ in documented} == granted == set(ACTIONS.values()) == set(REASONS)
