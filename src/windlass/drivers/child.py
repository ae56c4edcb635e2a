"""A command as our child in our own process group: it gets our signals once, and we stop, go on and end as it does."""

from __future__ import annotations

import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEADLY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PASSED = (*DEADLY, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
FROM_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)


class Child:
    """One command. Make it before anything else starts a thread: from then on every signal comes here, also before `spawn`."""

    def __init__(self) -> None:
        # What our own parent had us ignore (nohup) stays ignored, for the command too.
        passed = [number for number in PASSED if signal.getsignal(number) is not signal.SIG_IGN]
        self._signals = {*passed, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, lambda *_: None)  # ignored ones are not kept for a thread that waits for them
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._lock = threading.Lock()
        self._pid = 0
        self._over = threading.Event()
        self._code = 0
        self.stopped = False
        """Whether the command is stopped (Ctrl-Z, SIGSTOP)."""
        threading.Thread(target=self._serve, name="windlass-signals", daemon=True).start()

    def spawn(self, argv: Sequence[str], env: Mapping[str, str]) -> int:
        """Start the command with our own stdin, stdout and other open files; its pid. Raises OSError."""
        with self._lock:
            ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
            self._pid = os.posix_spawnp(argv[0], list(argv), env, setsigmask=self._mask, setsigdef=ignored_by_python)
            return self._pid

    def wait(self) -> int:
        """The command's exit code, once it has ended; 128 + n where signal n ended it."""
        self._over.wait()
        return self._code

    def _serve(self) -> None:
        while True:
            number, to_our_group = _next(self._signals)
            with self._lock:
                pid = self._pid
            if number == signal.SIGCHLD:
                if pid and not self._over.is_set():
                    self._look(pid)
            elif not pid or self._over.is_set():
                if number in DEADLY:  # nothing to pass it to: ours alone
                    os._exit(self._code if pid else 128 + number)
            elif not to_our_group:
                os.kill(pid, number)

    def _look(self, pid: int) -> None:
        while True:
            found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if not found:
                return
            if os.WIFSTOPPED(status):
                self.stopped = True
                if _has_terminal():
                    # A shell knows only us: it takes the terminal back when we stop, and continues us with `fg`.
                    # To this thread, so that it is stopped before its next line.
                    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
                    os.kill(pid, signal.SIGCONT)
            elif os.WIFCONTINUED(status):
                self.stopped = False
            else:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code
                self._over.set()
                return


def _next(signals: set[signal.Signals]) -> tuple[int, bool]:
    """The next signal, and whether it went to the whole process group, the command included."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(signals)
        return info.si_signo, info.si_code > 0  # the kernel's own, which is to say the terminal's; people's are 0 or less
    number = signal.sigwait(signals)  # type: ignore[unreachable, unused-ignore]
    return number, number in FROM_TERMINALS and _in_foreground()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
