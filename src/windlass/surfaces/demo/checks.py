"""Every claim of the demo's summary, computed from the records in the store."""

from __future__ import annotations

from windlass.record import Record
from windlass.surfaces.demo.plan import AGENTS, CONTESTED, LEASE, LOST, STEPS
from windlass.surfaces.present import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windlass.project import Project
    from windlass.protocol.steps import Step


class Seen(Record):
    """What the narrator saw the agents do: their exit codes and what they printed."""

    races: dict[str, int]
    """The exit code of each agent's claim of the contested step."""
    killed: str
    late: int
    """The exit code of the killed one's late completion."""
    inboxes: dict[str, list[str]]
    """The ids of the messages that each agent was shown, again for each time."""


def checks(project: Project, seen: Seen) -> Iterator[tuple[bool, str]]:
    """Each claim and whether the records bear it out."""
    names = list(project.steps.list().steps)
    steps = {name: project.steps.show(name).doc for name in names}
    finished = [name for name, step in steps.items() if step.status.value == "complete"]
    late = [name for name, step in steps.items() if any(_began(step) < _ended(steps[need]) for need in step.needs)]
    yield (
        len(finished) == len(steps) == STEPS and not late,
        f"{len(finished)} of {STEPS} steps complete, each begun after all that it needs",
    )

    winners = [agent for agent, code in seen.races.items() if code == 0]
    first = [line.by for line in steps[CONTESTED].history if line.event in ("claim", "takeover")]
    lost = sum(code == 3 for code in seen.races.values())
    fair = first == winners and len(seen.races) == len(AGENTS) and lost == len(AGENTS) - 1
    yield fair, f"{CONTESTED}: {len(seen.races)} agents raced, {len(winners)} won; its record names {', '.join(first)} alone"

    orphan = steps[LOST]
    claims = [line for line in orphan.history if line.event in ("claim", "takeover")]
    over = [line for line in claims if line.event == "takeover"]
    apart = over[0].at - claims[0].at if over else 0.0
    heir = over[0].by if over else "nobody"
    taken = len(claims) == 2 and claims[0].by == seen.killed and bool(over) and over[0].of == seen.killed and apart > LEASE
    yield taken, f"{LOST}: {seen.killed}'s, and {heir}'s {duration(apart)} later, when its lease had run out"
    ends = [line for line in orphan.history if line.event == "complete"]
    yield (
        seen.late == 3 and [line.by for line in ends] == [heir],
        f"{seen.killed}'s late command: exit {seen.late}; {heir} completed {LOST}, and nobody else",
    )

    done = sum(_completed_once(step) for step in steps.values())
    yield done == STEPS, f"{done} of {STEPS} completions came from the holder of the newest claim, once each"

    yield _mail(project, seen)


def _began(step: Step) -> float:
    return min((line.at for line in step.history if line.event == "claim"), default=0.0)


def _ended(step: Step) -> float:
    return max((line.at for line in step.history if line.event == "complete"), default=float("inf"))


def _completed_once(step: Step) -> bool:
    """Whether the one completion has the agent and the epoch of the claim before it."""
    ends = [i for i, line in enumerate(step.history) if line.event == "complete"]
    if len(ends) != 1:
        return False
    end = step.history[ends[0]]
    begun = [line for line in step.history[: ends[0]] if line.event in ("claim", "takeover")]
    return bool(begun) and (begun[-1].by, begun[-1].epoch) == (end.by, end.epoch)


def _mail(project: Project, seen: Seen) -> tuple[bool, str]:
    """Whether each living agent was shown each message meant for it exactly once."""
    sent = [event for event in project.log(limit=None).events if event.kind == "message"]
    right = bool(sent)
    shown = 0
    for agent, ids in seen.inboxes.items():
        meant = _meant_for(agent, [(event.subject, event.by) for event in sent])
        right = right and (sorted(ids) == meant if agent != seen.killed else set(ids) <= set(meant) and len(ids) == len(set(ids)))
        shown += len(ids)
    return right, f"{len(sent)} messages, read {shown} times: once by each agent alive that they were for"


def _meant_for(agent: str, sent: Sequence[tuple[str, str]]) -> list[str]:
    return sorted(ident for ident, by in sent if ident.startswith(f"{agent}:") or (ident.startswith("_broadcast:") and by != agent))
