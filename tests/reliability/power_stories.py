"""Stories of processes at the local store, told on a disk that then loses power; and what must be left of them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reliability import power
from tests.reliability.crashes import State, applied, go_on, look

from windlass.digest import sha256_hex
from windlass.effects import Always, IfAbsent, IfMatch
from windlass.errors import PutRefused
from windlass.stores import embedded, files, local
from windlass.stores.embedded import prepare_embedded
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Call = dict[str, Any]


def call(do: str, key: str, body: str = "", version: str = "") -> Call:
    return {"do": do, "key": key, "body": body, "version": version}


class Story(NamedTuple):
    """What processes do, one after the other; `made` says that the store is there, and synced, before them."""

    name: str
    calls: tuple[Call, ...]
    before: tuple[Call, ...] = ()
    made: bool = True
    embedded: bool = False
    """In a repository's .windlass."""

    def root(self, base: Path) -> Path:
        """Where its store is."""
        return base / "work" / ".windlass" / "store" if self.embedded else base / "store" / "inner"

    def open(self, base: Path) -> LocalStore:
        """As each command opens it."""
        if self.embedded:
            prepare_embedded(str(base / "work" / ".windlass"))
        return LocalStore.create(str(self.root(base)))


ZERO, ONE, TWO = "zero " * 20, "one " * 30, "two " * 40
STORIES = (
    Story("create", (call("create", "a/one", ONE), call("create", "a/two", TWO)), (call("create", "a/zero", ZERO),)),
    Story("create in new folders", (call("create", "x/y/one", ONE), call("create", "x/z/two", TWO))),
    Story("a new store", (call("create", "one", ONE), call("create", "a/b/two", TWO)), made=False),
    Story("a new store in a repository", (call("create", "one", ONE), call("create", "a/b/two", TWO)), made=False, embedded=True),
    Story(
        "replace",
        (call("replace", "a/one", TWO, sha256_hex(ONE.encode())), call("replace", "a/one", ZERO, sha256_hex(TWO.encode()))),
        (call("create", "a/one", ONE),),
    ),
    Story("overwrite", (call("overwrite", "a/one", TWO), call("overwrite", "b/one", ZERO)), (call("create", "a/one", ONE),)),
    Story(
        "delete", (call("delete", "a/b/one"), call("create", "a/b/one", TWO), call("delete", "a/b/one")), (call("create", "a/b/one", ONE),)
    ),
)


def do(store: LocalStore, what: Call) -> None:
    body = what["body"].encode()
    match what["do"]:
        case "create":
            store.put(what["key"], body, IfAbsent())
        case "replace":
            store.put(what["key"], body, IfMatch(version=what["version"]))
        case "overwrite":
            store.put(what["key"], body, Always())
        case "delete":
            store.delete(what["key"])


def prepared(base: Path, story: Story) -> None:
    shutil.rmtree(base, ignore_errors=True)
    (base / "work").mkdir(parents=True)
    if story.made:
        store = story.open(base)
        for what in story.before:
            do(store, what)


def tell(recorder: power.Recorder, story: Story) -> None:
    """Do the story's calls, each in a new process, and note what is promised."""
    for number, what in enumerate(story.calls):
        recorder.note(("begin", number))
        try:
            do(story.open(Path(recorder.base)), what)
        except PutRefused:
            recorder.note(("refused", number))
        else:
            recorder.note(("done", number))


def allowed(story: Story, said: tuple[Any, ...]) -> list[State]:
    """The states that a store may be in after what was said, any in which a killed or cut call did not happen, or did."""
    states: list[State] = [{}]
    for what in story.before:
        states = [applied(state, what)[0] for state in states]
    begun = None
    for word, number in said:
        if begun is not None:
            what = story.calls[begun]
            after = [applied(state, what)[0] for state in states]
            states = after if (word, number) == ("done", begun) else states if word == "refused" else [*states, *after]
            begun = None
        if word == "begin":
            begun = number
    if begun is not None:
        states += [applied(state, story.calls[begun])[0] for state in states]
    return states


class Found(NamedTuple):
    states: int
    wrong: list[str]


def judged(recorder: power.Recorder, story: Story, place: Path, stop: bool = False) -> Found:
    """Build each tree that the disk may hold, and let the store look at it and go on."""
    wrong: list[str] = []
    seen: set[Any] = set()
    for crash in power.crashes(recorder):
        possible = allowed(story, crash.said)
        sign = (frozenset(crash.tree.items()), frozenset(frozenset(state.items()) for state in possible))
        if sign in seen:
            continue
        seen.add(sign)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        power.build(crash.tree, place)
        root = story.root(place)
        if story.embedded and (root / ".git" / "refs").exists() and not hidden(root):
            wrong.append(f"git sees the store or will clean it away, and nothing will mend that: {crash.tree}")
        found = look(str(root), wrong) if root.is_dir() else {}
        if found not in possible:
            wrong.append(f"{story.name}: after {crash.said} there is {found}")
        story.open(place)
        if story.embedded and not hidden(root):
            wrong.append(f"not mended: {crash.tree}")
        wrong += go_on(str(root), {what["key"] for what in story.calls})
        if wrong and stop:
            break
    return Found(len(seen), wrong)


def hidden(root: Path) -> bool:
    """Whether git neither shows nor cleans away the store."""
    head, ignore = root / ".git" / "HEAD", root.parent / ".gitignore"
    return head.is_file() and head.read_text() == "ref: refs/heads/none\n" and ignore.is_file() and ignore.read_text() == "*\n"


MODULES = (local, files, embedded)


def alone(place: Path, story: Story, deaf: frozenset[str] = frozenset()) -> power.Recorder:
    """The story, told without a fault."""
    prepared(place / "disk", story)
    with power.recorded(power.Recorder(place / "disk", deaf), *MODULES) as recorder:
        tell(recorder, story)
    return recorder


def after_a_death(place: Path, story: Story, deaf: frozenset[str] = frozenset()) -> Callable[[int], power.Recorder | None]:
    """The story, begun by a process that is killed at its change number `at`, and then told by the next ones from the start."""

    def run(at: int) -> power.Recorder | None:
        prepared(place / "disk", story)
        with power.recorded(power.Recorder(place / "disk", deaf, die_at=at), *MODULES) as recorder:
            recorder.note(("begin", 0))
            try:
                do(story.open(place / "disk"), story.calls[0])
            except power.Killed:
                recorder.revive()
            except PutRefused:
                return None
            else:
                return None
            recorder.note(("killed", 0))
            tell(recorder, story)
        return recorder

    return run


def recorders(place: Path, story: Story, deaf: frozenset[str] = frozenset()) -> Iterator[power.Recorder]:
    yield alone(place, story, deaf)
    yield from power.killed_everywhere(after_a_death(place, story, deaf))


def invented(seed: int) -> Story:
    """A story of four calls on a few keys."""
    chance = random.Random(seed)
    calls: list[Call] = []
    state: State = {}
    for number in range(5):
        what, key = (
            chance.choice(("create", "replace", "overwrite", "delete")),
            chance.choice(("one", "a/one", "a/two", "a/b/one", "C/one")),
        )
        version = sha256_hex(state[key]) if key in state else "0" * 64
        calls.append(call(what, key, f"{number} of {seed} " * 20, version))
        state, _ = applied(state, calls[-1])
    return Story(
        f"invented {seed}", tuple(calls[1:]), tuple(calls[:1]) if applied({}, calls[0])[1] != "refused" else (), embedded=seed % 4 == 0
    )
