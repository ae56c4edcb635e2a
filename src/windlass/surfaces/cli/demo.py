"""demo."""

from __future__ import annotations

from windlass.errors import UsageError, WindlassError
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context


READ = 1.0
"""Seconds that the agents' work on a step takes, so that people can follow."""


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--keep", metavar="DIR", help="leave its store in this new directory, to look around in")
    parser.add_argument("--fast", action="store_true", help="no pauses for reading; a lease has to run out all the same")


def _run(context: Context, args: Namespace) -> int:
    import os
    import shutil
    import signal
    import sys
    import tempfile

    for number in (signal.SIGTERM, signal.SIGHUP):  # by way of all that cleans up
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    if args.keep is not None:
        try:
            os.mkdir(args.keep)
        except OSError as error:
            raise UsageError(f"{args.keep} cannot be made: {error.strerror}", "name a directory that does not exist yet") from None
        return _play(context, os.path.abspath(args.keep), kept=True, pace=0.05 if args.fast else READ)
    folder = tempfile.mkdtemp(prefix="windlass-demo-")
    try:
        return _play(context, folder, kept=False, pace=0.05 if args.fast else READ)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(context: Context, folder: str, *, kept: bool, pace: float) -> int:
    import os

    from windlass.project import Project, open_session, settings_for
    from windlass.surfaces.demo.attempts import Attempts
    from windlass.surfaces.demo.checks import checks
    from windlass.surfaces.demo.plan import AGENTS
    from windlass.surfaces.demo.show import Show
    from windlass.surfaces.demo.story import Story

    env = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
    env |= {"WINDLASS_STORE": f"{folder}/store", "WINDLASS_PROJECT": "demo"}
    env |= {f"XDG_{name}_HOME": f"{folder}/.{name.lower()}" for name in ("CACHE", "STATE", "DATA")}
    project = Project(open_session(settings_for({"agent": "you"}, env, folder), create=True))
    out, show = context.out, Show(context.out, project.session.now)
    story, attempts = Story(show, folder, env, pace), Attempts(show, folder, env)
    try:
        story.play()
        attempts.play([agent for agent in AGENTS if agent != story.seen.killed])
        show.title("Checked against the records in the store")
        results = [*checks(project, story.seen), *attempts.checks(project)]
    finally:
        project.close()
    for holds, text in results:
        show.check(holds, text)
    fine = all(holds for holds, _ in results)
    out.data(
        {"ok": fine, "seconds": show.seconds, "store": f"{folder}/store" if kept else None,
         "checks": [{"ok": holds, "check": text} for holds, text in results]}
    )  # fmt: skip
    out.text()
    if not fine:
        raise WindlassError("the records do not bear the demo out", "run: windlass doctor; and report what it says")
    out.text(styled("All of it holds. ", "bold"), "No server, no database, no lock service: just a directory,")
    out.text("or a bucket: --store s3://bucket/prefix. Your turn: windlass init")
    if kept:
        out.text(f"Look around: windlass status --store {folder}/store --project demo")
    return 0


COMMANDS = {
    "demo": Command(options=_options, run=_run, examples="  windlass demo\n  windlass demo --keep /tmp/demo    and look around afterwards"),
}
