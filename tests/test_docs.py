"""Documents do not point into the void."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def name(path: Path) -> str:
    """A document's path from the root."""
    return str(path.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    """The anchors that a forge makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose):
        target, _, anchor = "".join(link).partition("#")
        if ":" in target:
            continue
        aim = (document.parent / target).resolve() if target else document
        assert aim.exists(), f"{target} does not exist"
        if anchor and aim.suffix == ".md":
            assert anchor in anchors(aim), f"{name(aim)} has no heading for #{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_targets_that_documents_name_exist(document: Path) -> None:
    for target in re.findall(r"`(?:\$ )?make ([a-z-]+)", document.read_text(encoding="utf-8")):
        assert target in TARGETS


def test_the_list_of_decisions_is_whole() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("0*.md")}
