"""Who acts when nobody says it: real terminals, real processes, real namespaces."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.terminals import ORPHAN, TERMINAL

from windlass.config.ancestors import Process, _named, _proc_above, find, host_tool, is_interactive_shell
from windlass.config.ps import parse, processes_above

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="walks /proc")


def agents(env: dict[str, str], *command: str) -> list[str]:
    """Who the `whoami`s in a command's output say they are; the command has none of the tests' own ancestors."""
    done = subprocess.run([sys.executable, "-c", ORPHAN, *command], env=env, capture_output=True, text=True, timeout=60, check=False)
    found = re.findall(r"^AGENT (\S+) \|", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return found


def terminal(env: dict[str, str], line: str) -> list[str]:
    return agents(env, sys.executable, "-c", TERMINAL, line)


def unshare() -> list[str]:
    """The command that starts another in a private process namespace; skips where that is not permitted."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-p", "-f", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare -p is not permitted here")
    return command


def tool(folder: Path, name: str, *commands: str) -> str:
    """A program that looks like a host tool and runs commands one by one."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import os, sys\nfor command in sys.argv[1:]: os.system(command)\n")
    return " ".join([sys.executable, str(path), *(f"'{c}'" for c in commands)])


def test_all_commands_of_a_terminal_are_one_agent(whoami: str, bare_env: dict[str, str]) -> None:
    line = f"{whoami}; cd /; {whoami}; setsid -w {whoami}; bash -c '{whoami}; true'; (setsid {whoami} & wait); {whoami} | cat"
    line += f"; sh -c \"bash -c '{whoami}; true'; true\""
    found = terminal(bare_env, line)
    assert len(found) == 7
    assert len(set(found)) == 1
    assert re.fullmatch(r"shell-[0-9a-f]{8}", found[0])


def test_two_terminals_are_two_agents(whoami: str, bare_env: dict[str, str]) -> None:
    assert terminal(bare_env, whoami) != terminal(bare_env, whoami)


def test_a_shell_that_runs_one_command_is_nobody(whoami: str, bare_env: dict[str, str]) -> None:
    assert agents(bare_env, "bash", "-c", f"{whoami}; true") == ["None"]
    assert agents(bare_env, "setsid", "-w", "bash", "-c", f"{whoami}; true") == ["None"]


def test_a_shell_that_runs_one_command_in_a_terminal_of_its_own_is_nobody(whoami: str, bare_env: dict[str, str]) -> None:
    program = "import pty, sys; pty.spawn(['bash', *sys.argv[1:]])"
    script = Path(whoami).parent / "script.sh"
    script.write_text(f"{whoami}; true\n")
    for arguments in (["-c", f"{whoami}; true"], ["-lc", f"{whoami}; true"], [str(script)]):
        assert agents(bare_env, sys.executable, "-c", program, *arguments) == ["None"]


def test_nobody_says_what_was_looked_for(whoami: str, bare_env: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN, whoami], env=bare_env, capture_output=True, text=True, timeout=60, check=False)
    assert "--agent" in done.stdout
    assert "WINDLASS_AGENT" in done.stdout


def test_a_host_tool_is_one_agent_whatever_it_runs_its_commands_with(whoami: str, bare_env: dict[str, str], tmp_path: Path) -> None:
    command = tool(tmp_path / "bin", "claude", whoami, f"setsid -w {whoami}", f'exec bash -c "{whoami}; true"')
    found = agents(bare_env, "sh", "-c", f"{command}; true")
    assert len(found) == 3
    assert len(set(found)) == 1
    assert found[0].startswith("claude-")
    assert agents(bare_env, "sh", "-c", f"{command}; true")[0] != found[0]


def test_a_host_tool_is_another_agent_than_the_terminal_it_runs_in(whoami: str, bare_env: dict[str, str], tmp_path: Path) -> None:
    one, two = (tool(tmp_path / "bin", name, whoami) for name in ("codex", "aider.py"))
    found = terminal(bare_env, f"{whoami}; {one}; {two}; {one}")
    assert [name.partition("-")[0] for name in found] == ["shell", "codex", "aider", "codex"]
    assert len(set(found)) == 4


def test_a_tool_without_a_session_id_is_not_taken_for_the_one_that_started_it(
    whoami: str, bare_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**bare_env, "CLAUDE_CODE_SESSION_ID": "0f3c9a1e-1111-4222-8333-444455556666"}
    inner = tool(tmp_path / "bin", "aider", whoami).replace("'", '"')
    found = agents(env, "sh", "-c", tool(tmp_path / "bin", "claude", whoami, inner))
    assert found[0] == "claude-0f3c9a1e"
    assert found[1].startswith("aider-")
    assert terminal(env, whoami) == ["claude-0f3c9a1e"]


def test_the_nearest_host_tool_acts(whoami: str, bare_env: dict[str, str], tmp_path: Path) -> None:
    inner = tool(tmp_path / "bin", "codex", whoami).replace("'", '"')
    (found,) = agents(bare_env, "sh", "-c", tool(tmp_path / "bin", "claude", inner))
    assert found.startswith("codex-")


def test_a_host_tool_run_by_an_interpreter_is_recognised(whoami: str, bare_env: dict[str, str], tmp_path: Path) -> None:
    command = tool(tmp_path / "lib" / "node_modules", "@anthropic-ai/claude-code/cli.js", whoami)
    (found,) = agents(bare_env, "bash", "-c", f"(exec -a node {command}); true")
    assert found.startswith("claude-")


def test_through_a_private_process_namespace_nobody_is_guessed(whoami: str, bare_env: dict[str, str], tmp_path: Path) -> None:
    hidden = " ".join(unshare())
    assert terminal(bare_env, f"{hidden} bash -c '{whoami}; {whoami}'; {hidden} {whoami}") == ["None"] * 3
    command = tool(tmp_path / "bin", "claude", f'{hidden} bash -c "{whoami}; true"', f"{hidden} setsid -w {whoami}")
    assert agents(bare_env, "sh", "-c", command) == ["None"] * 2


def test_a_sandbox_that_runs_the_tools_own_program_as_its_first_process_is_no_identity(
    whoami: str, bare_env: dict[str, str], tmp_path: Path
) -> None:
    inner = tool(tmp_path / "bin", "codex", whoami).replace("'", "").split()
    assert agents(bare_env, *unshare(), *inner) == ["None"]
    assert agents(bare_env, *unshare(), "setsid", *inner) == ["None"]
    assert agents(bare_env, *unshare(), "sh", "-c", f"{' '.join(inner)}; true") == ["None"]


def test_a_sandbox_that_still_shows_all_processes_changes_nothing(whoami: str, bare_env: dict[str, str]) -> None:
    seen = " ".join(word for word in unshare() if word != "--mount-proc")
    found = terminal(bare_env, f"{whoami}; {seen} {whoami}; {seen} bash -c '{whoami}; true'")
    assert len(found) == 3
    assert len(set(found)) == 1
    assert found[0] != "None"


def test_terminals_inside_a_container_are_agents(whoami: str, bare_env: dict[str, str]) -> None:
    command = [*unshare(), sys.executable, "-c", TERMINAL, f"{whoami}; {whoami}; setsid -w {whoami}"]
    one, two = agents(bare_env, *command), agents(bare_env, *command)
    assert len(one) == 3
    assert len(set(one)) == len(set(two)) == 1
    assert one[0].startswith("shell-")
    assert one[0] != two[0]


def test_processes_alike_in_all_but_their_namespace_or_boot_or_start_are_different_agents() -> None:
    shell = process("bash", "-bash")
    names = [
        _named(("shell", shell), "boot", "pid:[1]")[0],
        _named(("shell", shell), "boot", "pid:[2]")[0],
        _named(("shell", shell), "other boot", "pid:[1]")[0],
        _named(("shell", shell.but(start="6")), "boot", "pid:[1]")[0],
        _named(("shell", shell.but(pid=8)), "boot", "pid:[1]")[0],
    ]
    assert len(set(names)) == len(names)


def process(name: str, *argv: str, leads: bool = True) -> Process:
    return Process(pid=7, parent=1, session=7 if leads else 3, has_terminal=True, start="5", name=name, argv=argv)


@pytest.mark.parametrize(
    ("argv", "interactive"),
    [
        (("-bash",), True),
        (("bash", "--login"), True),
        (("/bin/zsh", "-il"), True),
        (("bash", "--init-file", "/x/shell-integration.sh"), True),
        (("bash", "-o", "vi", "-i"), True),
        (("fish", "--init-command", "x"), True),
        (("bash", "-c", "x"), False),
        (("bash", "-lc", "x"), False),
        (("nu", "--commands", "x"), False),
        (("fish", "--command=x"), False),
        (("pwsh", "-Command", "x"), False),
        (("bash", "script.sh"), False),
        (("bash", "--rcfile", "x", "script.sh"), False),
        (("vim", "x"), False),
        ((), False),
    ],
)
def test_which_shells_read_from_a_terminal(argv: tuple[str, ...], interactive: bool) -> None:
    name = os.path.basename(argv[0]).lstrip("-") if argv else "bash"
    assert is_interactive_shell(process(name, *argv)) is interactive


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("claude", ("claude",), "claude"),
        ("2.1.30", ("claude", "--resume"), "claude"),
        ("node-MainThread", ("node", "--no-warnings", "/usr/lib/node_modules/@google/gemini-cli/dist/index.js"), "gemini"),
        ("node", ("/usr/bin/node", "/usr/bin/copilot"), "copilot"),
        ("node", ("/opt/cursor-agent/versions/1/node", "/opt/cursor-agent/versions/1/index.js"), "cursor-agent"),
        ("python3.12", ("python3.12", "-m", "aider", "--yes"), "aider"),
        ("goose", ("./goose", "session"), "goose"),
        ("vim", ("vim", "claude"), None),
        ("python3", ("python3", "/home/u/hermes/step.py"), None),
        ("python3", ("python3", "-c", "claude"), None),
        ("node", ("node", "server.js", "claude"), None),
        ("bash", ("bash", "-c", "claude"), None),
        ("kthreadd", (), None),
    ],
)
def test_which_processes_are_host_tools(name: str, argv: tuple[str, ...], expected: str | None) -> None:
    assert host_tool(process(name, *argv)) == expected


def test_a_shell_counts_only_as_the_leader_of_a_terminals_session() -> None:
    assert find([process("bash", "-bash", leads=False)]) is None
    assert find([process("bash", "-bash").but(has_terminal=False)]) is None
    assert find([process("bash", "-bash")]) is not None


@pytest.mark.skipif(not shutil.which("ps"), reason="needs ps")
def test_ps_sees_the_same_ancestors_as_proc() -> None:
    by_ps, by_proc = processes_above(), _proc_above()
    assert [(p.pid, p.parent, p.session, p.has_terminal) for p in by_ps] == [(p.pid, p.parent, p.session, p.has_terminal) for p in by_proc]
    assert all(len(p.start.split()) == 5 for p in by_ps)


def test_a_line_of_ps_as_macos_prints_it() -> None:
    found = parse(
        "  501   400 ttys003  Fri Nov 20 22:20:26 2026     -zsh\n"
        "   77     1 ??       Fri Nov  6 02:20:26 2026     /usr/local/bin/node /usr/local/bin/claude\n"
        "nonsense\n"
    )
    assert (found[501].name, found[501].parent, found[501].has_terminal) == ("zsh", 400, True)
    assert (host_tool(found[77]), found[77].has_terminal) == ("claude", False)
