"""The doctor's policy allows what Windlass asks for, and nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from windlass.drivers.hints import MemoryHints
from windlass.drivers.sync import World
from windlass.errors import UsageError
from windlass.ops.agents import Actor
from windlass.project import Project, Session, settings_for
from windlass.project.doctor import ACTIONS, REASONS, check, policy
from windlass.project.setup import projects
from windlass.stores.memory import MemoryStore
from windlass.stores.wrappers import Counting, Prefix
from windlass.testing import liars

if TYPE_CHECKING:
    from pathlib import Path

    from windlass.stores.base import Store


def actions(found: dict[str, Any]) -> set[str]:
    """All that a policy allows."""
    out: set[str] = set()
    for statement in found["Statement"]:
        assert statement["Effect"] == "Allow"
        named = statement["Action"]
        out.update([named] if isinstance(named, str) else named)
    return out


def project(base: Store, agent: str, tmp_path: Path) -> Project:
    settings = settings_for(
        {"store": "memory://", "project": "demo", "agent": agent}, {"HOME": str(tmp_path), "WINDLASS_AGENT": agent}, str(tmp_path)
    )
    actor = Actor(agent=agent, machine="m", host="h", project="demo")
    return Project(Session(settings, World(Prefix(base, "demo/"), MemoryHints()), base, actor))


def test_the_policy_allows_exactly_what_is_asked_for(tmp_path: Path) -> None:
    base = Counting(MemoryStore())
    lead, worker = project(base, "lead", tmp_path), project(base, "worker", tmp_path)
    lead.plan.apply({"steps": [{"name": "a"}, {"name": "b", "needs": ["a"]}]})
    with worker.steps.claim("a") as claim:
        claim.complete(note="done", to="lead")
    worker.steps.try_next()
    lead.memory.set("x.y", 1)
    lead.memory.list()
    worker.mail.send("lead", "hello")
    lead.mail.inbox(new=True)
    lead.agents.start()
    lead.status()
    worker.whoami()
    lead.log()
    lead.steps.list()
    projects(base)
    check(base, quick=True)
    for one in (lead, worker):
        one.close()
    found = policy("s3://team/agents")
    assert found is not None
    assert {ACTIONS[kind] for kind in base.counts()} == actions(found) == set(REASONS)


def test_the_policy_names_the_prefix_and_nothing_beside_it() -> None:
    found = policy("s3://team/agents/one?region=eu-west-1")
    assert found is not None
    objects, listing = found["Statement"]
    assert objects["Resource"] == "arn:aws:s3:::team/agents/one/*"
    assert listing["Resource"] == "arn:aws:s3:::team"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "agents/one/*"}}
    assert "*" not in json.dumps(sorted(actions(found)))


def test_a_whole_bucket_needs_no_condition() -> None:
    found = policy("s3://team")
    assert found is not None
    assert found["Statement"][0]["Resource"] == "arn:aws:s3:::team/*"
    assert "Condition" not in found["Statement"][1]


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")])
def test_the_policy_is_in_the_regions_partition(region: str, partition: str) -> None:
    assert f"arn:{partition}:s3" in json.dumps(policy(f"s3://team?region={region}"))


def test_only_buckets_have_a_policy() -> None:
    assert policy("/data/store") is None
    with pytest.raises(UsageError):
        policy("s3://key:secret@team")


def test_a_verdict_tells_claims_from_the_rest() -> None:
    safe = check(MemoryStore(), quick=True, patience=0.2)
    assert (safe.exclusive, safe.safe, safe.broken) == (True, True, ())
    lies = check(liars.IgnoresConditions(MemoryStore()), quick=True, patience=0.2)
    assert (lies.exclusive, lies.safe) == (False, False)
    unsorted = check(liars.UnsortedLists(MemoryStore()), quick=True, patience=0.2)
    assert (unsorted.exclusive, unsorted.safe) == (True, False)
