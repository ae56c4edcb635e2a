"""init, trust."""

from __future__ import annotations

import os

from windlass.errors import NotFound, UsageError
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.config import Settings
    from windlass.surfaces.cli.context import Context

SECRETS = ("access_key", "secret_key", "hf_token")
SHOWN = 10
"""Other projects named."""


def _init_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--new", action="store_true", help="begin a new life of this agent: fences the one before and has its claims for the asking"
    )
    parser.add_argument("--create-bucket", action="store_true", help="make the bucket if there is none")
    parser.add_argument("--check", action="store_true", help="race the store, also a local one and one that passed before")
    parser.add_argument("--accept-unsafe", action="store_true", help="use a store that fails; `status` goes on saying so")
    old = parser.add_argument_group("as tracecraft has them")
    old.add_argument("--backend", choices=("s3", "hf"), help="with --bucket: what kind of store")
    old.add_argument("--bucket", metavar="NAME", help="short for --store s3://NAME")
    old.add_argument("--endpoint", metavar="URL", help="with --bucket: the server, for S3 that is not Amazon's")
    seen = old.add_mutually_exclusive_group()
    seen.add_argument("--public", action="store_true", help="changes nothing: who may see a bucket is set where it was made")
    seen.add_argument("--private", action="store_true", help="as --public")
    for name in SECRETS:
        old.add_argument(f"--{name.replace('_', '-')}", nargs="?", const="", metavar="…", help="refused: secrets come from the environment")


def _init(context: Context, args: Namespace) -> int:
    _refuse_secrets(args)
    given = _store_given(args)
    settings = context.settle()
    if args.new:
        assert context.agent
    from windlass.project import setup

    others = setup.prepare(settings, create_bucket=args.create_bucket)
    checked = _vet(context, settings, args)
    if settings.project not in others and others and not context.out.as_json:
        context.out.text(f"projects in this store: {_named(others)}")
        context.out.text(f"{settings.project} is new; wanted one of those? windlass init --project NAME")
    incarnation = _begin(context, settings, args)
    wrote = _write(context, settings, given or args.store is not None, args)
    bound = _bind(settings, args)
    if wrote or bound:
        _warn_of_overrides(context, settings, bound=bound is not None)
    new = settings.project not in others
    context.out.data(
        {
            "store": context.project.store,
            "project": settings.project,
            "new": new,
            "projects": list(others),
            "agent": settings.agent,
            "incarnation": incarnation,
            "bound": bound,
            "file": wrote,
            "checked": checked,
        }
    )
    _tell(context, settings, new=new, checked=checked, wrote=wrote, bound=bound, incarnation=incarnation)
    return 0


def _refuse_secrets(args: Namespace) -> None:
    if args.hf_token is not None:
        raise UsageError("a token on a command line can be read by others, and Windlass keeps none", "set HF_TOKEN in the environment")
    if args.access_key is not None or args.secret_key is not None:
        raise UsageError(
            "keys on a command line can be read by others, and Windlass keeps none",
            "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or name a profile: ?profile=NAME",
        )


def _store_given(args: Namespace) -> bool:
    """Whether tracecraft's options name a store; it becomes --store."""
    if args.bucket is None:
        if args.backend or args.endpoint:
            raise UsageError("--backend and --endpoint need --bucket", "or write: --store 's3://BUCKET?endpoint=URL'")
        return False
    if args.store is not None:
        raise UsageError("--bucket and --store both name a store", "leave one of them out")
    from windlass.project.setup import store_url

    args.store = store_url(args.backend, args.bucket, args.endpoint)
    return True


def _vet(context: Context, settings: Settings, args: Namespace) -> str | None:
    """How the store fared: "safe", "unsafe", "before" (it passed on this machine) or None where it was not raced."""
    from windlass.config import store_facts

    remote = "://" in settings.store and not settings.store.startswith("file:")
    facts = store_facts(settings.state_dir, settings.store)
    if not args.check:
        if not remote:
            return None
        if facts.get("safe"):
            return "before"
        if facts.get("unsafe_accepted"):
            return "unsafe"
    from windlass.project.setup import vet

    report = vet(settings, accept=args.accept_unsafe, tell=lambda what, done, total: context.out.progress(f"{what} {done}/{total}"))
    if not report.safe:
        context.out.note(f"warning: accepted although it is not safe: {'; '.join(one.text for one in report.broken)}")
    context.settings = None  # the form of ETag may have been found out
    context.settle()
    return "safe" if report.safe else "unsafe"


def _begin(context: Context, settings: Settings, args: Namespace) -> int | None:
    if settings.agent is None:
        return None
    agents = context.project.agents
    return agents.start().incarnation if args.new else agents.act().incarnation


def _write(context: Context, settings: Settings, store_given: bool, args: Namespace) -> str | None:
    values = {"store": settings.store} if store_given else {}
    if values or args.project is not None:
        from windlass.config import write_file

        file, changed = write_file(os.environ, settings.folder, settings.worktree, {**values, "project": settings.project})
        return file.path if changed else None
    return None


def _bind(settings: Settings, args: Namespace) -> str | None:
    if args.agent is None:
        return None
    from windlass.config import bind_agent

    bind_agent(settings.state_dir, settings.binding_folder, args.agent)
    return settings.binding_folder


def _warn_of_overrides(context: Context, settings: Settings, *, bound: bool) -> None:
    """Where something else decides for the commands that follow, whatever was just written."""
    from windlass.project import settings_for

    later = settings_for({})
    for what, option in (("store", "--store"), ("project", "--project"), ("agent", "--agent")):
        wanted, now, why = getattr(settings, what), getattr(later, what), getattr(later, f"{what}_why")
        if wanted != now and (what != "agent" or bound):
            context.out.note(f"warning: commands here use the {what} {now} ({why}), unless you pass {option} {wanted}")


def _tell(
    context: Context, settings: Settings, *, new: bool, checked: str | None, wrote: str | None, bound: str | None, incarnation: int | None
) -> None:
    out = context.out
    out.text(styled(settings.project, "bold"), " (new)" if new else "", f" in {context.project.store}")
    words = {
        "safe": "raced: exclusive claims",
        "before": "raced before on this machine: exclusive claims",
        "unsafe": "NOT SAFE, accepted by you",
    }
    if checked:
        out.text(f"  store    {words[checked]}")
    if wrote:
        out.text(f"  wrote    {wrote}, trusted on this machine")
    if settings.agent is None:
        out.text("  nobody knows who you are here yet: windlass init --agent NAME")
    else:
        out.text(f"  you are  {settings.agent}, incarnation {incarnation} ({settings.agent_why})")
        if bound:
            out.text(f"  bound    commands in {bound} act as {settings.agent}")
    out.text(styled("  then     windlass plan apply FILE   or   windlass claim STEP", "dim"))
    out.text(styled("  agents   read this page first: windlass primer", "dim"))


def _named(projects: tuple[str, ...]) -> str:
    rest = len(projects) - SHOWN
    return ", ".join(projects[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _trust_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", metavar="PATH", help="the file, or its folder (default: the one that counts here)")


def _trust(context: Context, args: Namespace) -> int:
    from windlass.config import find_file, state_dir, trust
    from windlass.config.files import read_file
    from windlass.config.settings import absolute
    from windlass.config.where import CONFIG_NAME
    from windlass.project.setup import check_url

    if args.path is not None:
        path = os.path.join(args.path, CONFIG_NAME) if os.path.isdir(args.path) else args.path
        if not os.path.lexists(path):
            raise NotFound(f"there is no {path}", "name the file, or its folder")
    else:
        here = find_file(os.environ, os.getcwd())
        if here is None:
            raise NotFound(f"there is no {CONFIG_NAME} here or above", "nothing needs to be trusted")
        path = here.path
    check_url(read_file(path).store)
    found = trust(path, state_dir(os.environ))
    check_url(found.store)
    store = absolute(found.store, os.path.dirname(found.path), os.environ) if found.store else None
    context.out.data({"file": found.path, "store": store, "project": found.project or None, "lease": found.lease, "trusted": True})
    context.out.text(f"trusted {found.path}, as it is now:")
    context.out.text(f"  store    {store}" if store else "  store    not named")
    if found.project:
        context.out.text(f"  project  {found.project}")
    if found.lease is not None:
        context.out.text(f"  lease    {found.lease:g} s")
    context.out.text(styled("  any change to it ends the trust; to take it back, change or remove the file", "dim"))
    return 0


COMMANDS = {
    "init": Command(
        options=_init_options,
        run=_init,
        examples="  windlass init\n  windlass init --agent designer\n"
        "  windlass init --store s3://team/agents --create-bucket\n"
        "  windlass init --store 's3://agents?endpoint=http://localhost:9000' --project demo",
    ),
    "trust": Command(options=_trust_options, run=_trust, examples="  windlass trust\n  windlass trust ../other-clone"),
}
