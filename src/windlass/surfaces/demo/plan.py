"""What the demo's agents work on."""

from __future__ import annotations

AGENTS = ("ada", "ben", "cleo", "dora")
LEASE = 5
"""Seconds: the shortest that there is, so that nobody waits long for the dead one's step."""
CONTESTED, LOST, LAST = "schema", "api", "release"
"""The step that all want, the one whose worker dies, and the one that needs all others."""
FAREWELL = "1.0 is out"

PLAN = """\
# A small release, in twelve steps.
steps:
  schema:    {title: tables for notes and tags}
  outline:   {title: outline of the guide}
  logo:      {title: a logo}
  api:       {title: the HTTP API, needs: [schema], priority: -1}
  ui:        {title: the web page, needs: [schema]}
  fixtures:  {title: data for tests, needs: [schema]}
  ui-tests:  {title: tests of the page, needs: [ui]}
  guide:     {title: the guide, needs: [outline, ui]}
  api-tests: {title: tests of the API, needs: [api, fixtures]}
  reference: {title: reference of the API, needs: [api, outline]}
  examples:  {title: programs that call it, needs: [api]}
  release:
    title: ship it
    needs: [api-tests, ui-tests, guide, reference, examples, logo]
"""
STEPS = 12

NOTES = {
    "schema": "four tables, in schema.sql",
    "outline": "five chapters",
    "logo": "logo.svg",
    "api": "nine routes, in api.py",
    "ui": "one page, no framework",
    "fixtures": "200 notes",
    "ui-tests": "31 pass",
    "guide": "guide.md",
    "api-tests": "54 pass",
    "reference": "from the docstrings",
    "examples": "in three languages",
    "release": "tagged",
}
"""What the worker of each step leaves for the next."""

SITE = {"index.html": "<h1>Notes</h1>\n", "style.css": "h1 { color: black }\n", "notes.md": "Ship it.\n"}
"""The files that the attempts start from."""
ATTEMPTS = ("h1 { color: teal }\n", "h1 { color: crimson; font: serif }\n", "h1 { color: gold }\n")
CHOSEN = 2
"""The attempt that is merged."""
