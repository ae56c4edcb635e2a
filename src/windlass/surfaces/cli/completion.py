"""completion: static scripts, made from the table of commands and from their parsers."""

from __future__ import annotations

from windlass.surfaces.cli.context import Command, load, parser_for
from windlass.surfaces.cli.table import COMMANDS as TABLE
from windlass.surfaces.cli.table import GROUPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context

SHELLS = ("bash", "zsh", "fish")


class Option:
    """One option of a command: its names, its help, whether a value follows, and which values there are."""

    def __init__(self, names: list[str], text: str, valued: bool, choices: list[str]) -> None:
        self.names = names
        self.text = text
        self.valued = valued
        self.choices = choices


def options_of(name: str) -> tuple[list[Option], list[str]]:
    """A command's options, and the words that its first argument may be."""
    options: list[Option] = []
    words: list[str] = []
    for action in parser_for(name, load(name))._actions:
        choices = [str(choice) for choice in action.choices or ()]
        text = "" if action.help in (None, "==SUPPRESS==") else str(action.help).replace("%%", "%")
        if action.option_strings:
            options.append(Option(list(action.option_strings), text, action.nargs != 0, choices))
        elif choices:
            words = choices
    return options, words


def _first_words() -> dict[str, str]:
    words = {name: text for name, (_, text) in TABLE.items() if " " not in name}
    for group in GROUPS:
        words[group] = ", ".join(_second_words(group))
    return words


def _second_words(group: str) -> dict[str, str]:
    return {name.split(" ", 1)[1]: text for name, (_, text) in TABLE.items() if name.startswith(group + " ")}


def bash() -> str:
    """For bash 3.2 and newer."""
    cases = []
    for name in TABLE:
        options, words = options_of(name)
        valued = "|".join(flag for option in options if option.valued for flag in option.names)
        flags = " ".join(flag for option in options for flag in option.names)
        chosen = "".join(f' {"|".join(o.names)}) words="{" ".join(o.choices)}";;' for o in options if o.choices)
        cases.append(f'    "{name}") flags="{flags}" words="{" ".join(words)}"\n      case "$prev" in{chosen} {valued}) return;; esac;;')
    groups = "|".join(GROUPS)
    seconds = "\n".join(f'    {group}) words="{" ".join(_second_words(group))}";;' for group in GROUPS)
    return f"""# windlass completion for bash: eval "$(windlass completion bash)"
_windlass() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="" command="" flags="--store --project --agent --json --version --help" words="" i=1 word
  if [ "$COMP_CWORD" -gt 0 ]; then prev="${{COMP_WORDS[COMP_CWORD-1]}}"; fi
  COMPREPLY=()
  while [ "$i" -lt "$COMP_CWORD" ]; do
    word="${{COMP_WORDS[i]}}"
    case "$word" in
    --store|--project|--agent) i=$((i+1));;
    -*) ;;
    *) case "$command" in "") command="$word";; {groups}) command="$command $word"; break;; *) break;; esac;;
    esac
    i=$((i+1))
  done
  case "$command" in
    "") case "$prev" in --store|--project|--agent) return;; esac
      words="{" ".join(_first_words())}";;
{seconds}
{chr(10).join(cases)}
  esac
  case "$cur" in
  -*) COMPREPLY=($(compgen -W "$flags" -- "$cur"));;
  *) COMPREPLY=($(compgen -W "$words" -- "$cur"));;
  esac
}}
complete -o default -F _windlass windlass
"""


def zsh() -> str:
    """A function for zsh's own completion system."""
    cases = []
    for name in TABLE:
        options, words = options_of(name)
        specs = []
        for option in options:
            for flag in option.names:
                values = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files" if option.valued else ""
                specs.append(_quote(f"{flag}[{_plain(option.text)}]{values}"))
        specs.append(_quote(f"*:argument:({' '.join(words)})" if words else "*:argument:_files"))
        joined = " \\\n        ".join(specs)
        cases.append(f"    {_quote(name)}) _arguments -S \\\n        {joined};;")
    firsts = "\n".join(f"    {_quote(f'{word}:{text}')}" for word, text in _first_words().items())
    seconds = []
    for group in GROUPS:
        inner = " ".join(_quote(f"{word}:{text}") for word, text in _second_words(group).items())
        seconds.append(
            f"    {group}) if (( CURRENT == 2 )); then local -a inner; inner=({inner})\n"
            "        _describe command inner; return; fi\n"
            '        name="$name $words[2]"; shift words; (( CURRENT-- ));;'
        )
    return f"""#compdef windlass
# windlass completion for zsh: windlass completion zsh > "${{fpath[1]}}/_windlass", or: eval "$(windlass completion zsh)"
_windlass() {{
  local name
  local -a commands
  commands=(
{firsts}
  )
  while (( CURRENT > 2 )) && [[ "$words[2]" == -* ]]; do
    case "$words[2]" in --store|--project|--agent) (( CURRENT > 3 )) || {{ _files; return; }}; shift words; (( CURRENT-- ));; esac
    shift words; (( CURRENT-- ))
  done
  if (( CURRENT == 2 )); then
    if [[ "$words[2]" == -* ]]; then compadd -- --store --project --agent --json --version --help; else _describe command commands; fi
    return
  fi
  shift words; (( CURRENT-- ))
  name="$words[1]"
  case "$name" in
{chr(10).join(seconds)}
  esac
  case "$name" in
{chr(10).join(cases)}
  esac
}}
if [ "$funcstack[1]" = "_windlass" ]; then _windlass "$@"; else compdef _windlass windlass; fi
"""


def fish() -> str:
    """One `complete` line for each word and option."""
    lines = [
        "# windlass completion for fish: windlass completion fish > ~/.config/fish/completions/windlass.fish",
        "function __windlass_command",
        "  set -l found",
        "  set -l skip 1",  # the command's own name
        "  for word in (commandline -opc)",
        "    if test $skip = 1",
        "      set skip 0",
        "      continue",
        "    end",
        "    switch $word",
        "      case --store --project --agent",
        "        set skip 1",
        "      case '-*'",
        "      case '*'",
        "        set -a found $word",
        f"        if test (count $found) = 2; or not contains -- $word {' '.join(GROUPS)}",
        "          break",
        "        end",
        "    end",
        "  end",
        '  echo "$found"',
        "end",
        "function __windlass_is",
        '  test (__windlass_command) = "$argv"',
        "end",
        "complete -c windlass -f",
    ]
    lines += [f"complete -c windlass -n '__windlass_is' -l {flag} -r" for flag in ("store", "project", "agent")]
    lines += [f"complete -c windlass -n '__windlass_is' -l {flag}" for flag in ("json", "version", "help")]
    lines += [f"complete -c windlass -n '__windlass_is' -a {word} -d {_fish(text)}" for word, text in _first_words().items()]
    for group in GROUPS:
        lines += [
            f"complete -c windlass -n '__windlass_is {group}' -a {word} -d {_fish(text)}" for word, text in _second_words(group).items()
        ]
    for name in TABLE:
        options, words = options_of(name)
        lines += [f"complete -c windlass -n '__windlass_is {name}' -a {word}" for word in words]
        for option in options:
            flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.names)
            values = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r -F" if option.valued else ""
            lines.append(f"complete -c windlass -n '__windlass_is {name}' {flags}{values} -d {_fish(option.text)}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Without what zsh's _arguments reads as signs."""
    return "".join(" " if c in "[]:\\\n" else c for c in text)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _completion(context: Context, args: Namespace) -> int:
    script = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell]()
    context.out.data({"shell": args.shell, "script": script})
    context.out.text(script.rstrip("\n"))
    return 0


COMMANDS = {
    "completion": Command(
        options=_options,
        run=_completion,
        examples='  eval "$(windlass completion bash)"                    # in ~/.bashrc\n'
        '  windlass completion zsh > "${fpath[1]}/_windlass"\n'
        "  windlass completion fish > ~/.config/fish/completions/windlass.fish",
    ),
}
