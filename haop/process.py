"""External programs: the only user of `subprocess`."""

import logging
import os
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haop.errors import CommandFailed

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunAs:
    """The unprivileged user that a program runs as."""

    name: str
    uid: int
    gid: int

    @property
    def switches(self) -> bool:
        """Whether running as this user means giving up the present one."""
        return self.uid != os.geteuid()


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program that ended well said."""

    argv: tuple[str, ...]
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    run_as: RunAs | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
) -> Completed:
    """Run a program to its end and return what it said.

    Raises:
        CommandFailed: it could not be started, took longer than `timeout` seconds, or ended with an error.
    """
    begun = time.monotonic()
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", env=_environment(environment), cwd=cwd,
            timeout=timeout, stdin=subprocess.DEVNULL, check=False, **_identity(run_as),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{argv[0]} did not end within {timeout:g} s") from error
    except OSError as error:
        raise CommandFailed(f"cannot run {argv[0]}: {error.strerror}") from error
    _LOG.debug("%s  %.3f s, code %d", shlex.join(argv), time.monotonic() - begun, done.returncode)
    if done.returncode:
        last_words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-3:]
        raise CommandFailed(f"{argv[0]} ended with code {done.returncode}: {' / '.join(last_words)}")
    return Completed(tuple(argv), done.stdout, done.stderr)


def watch(
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program that may take as long as it needs, and pass on each line that it prints as it prints it.

    Raises:
        CommandFailed: it could not be started, or ended with an error.
    """
    lines: deque[str] = deque(maxlen=3)
    begun = time.monotonic()
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            errors="replace", env=_environment(environment), cwd=cwd,
        )  # fmt: skip
    except OSError as error:
        raise CommandFailed(f"cannot run {argv[0]}: {error.strerror}") from error
    with child:
        assert child.stdout
        for line in child.stdout:
            if told := line.strip():
                lines.append(told)
                say(told)
    _LOG.debug("%s  %.3f s, code %d", shlex.join(argv), time.monotonic() - begun, child.returncode)
    if child.returncode:
        raise CommandFailed(f"{argv[0]} ended with code {child.returncode}: {' / '.join(lines) or 'it said nothing'}")


def hand_over(argv: Sequence[str], *, environment: Mapping[str, str]) -> int:
    """Let a program have the terminal, and return its exit code. Ctrl-C is for the program alone.

    Raises:
        CommandFailed: it could not be started.
    """
    before = signal.signal(signal.SIGINT, _leave_it)  # a handler, unlike SIG_IGN, is not inherited
    try:
        with subprocess.Popen(argv, env=dict(environment)) as child:
            try:
                return child.wait()
            except BaseException:  # haop itself is told to end
                child.terminate()
                child.wait()
                raise
    except OSError as error:
        raise CommandFailed(f"cannot run {argv[0]}: {error.strerror}") from error
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_it(_number: int, _frame: object) -> None:
    """The program in the foreground was meant."""


def spawn(
    argv: Sequence[str],
    *,
    log: Path | int,
    run_as: RunAs | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Start a program that outlives haop, in a session of its own, and return its process id.

    What it prints is appended to `log`, or goes where that descriptor leads. It inherits no terminal, so Ctrl-C in
    haop's does not reach it.
    """
    with log.open("ab") if isinstance(log, Path) else nullcontext(log) as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(environment), cwd=cwd,
            start_new_session=True, **_identity(run_as),
        )  # fmt: skip
    _LOG.debug("%s  runs as process %d", shlex.join(argv), child.pid)
    # Its life is not ours: who cares about it reads the process table. Popen would warn that it still runs.
    child.returncode = 0
    return child.pid


def reap(pid: int) -> None:
    """Collect the exit status of a child of ours that has ended, so that it does not stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """A small, predictable environment: programs answer in English and read no PG* variable of the operator's."""
    kept = {key: os.environ[key] for key in ("PATH", "TZ", "LD_LIBRARY_PATH") if key in os.environ}
    return {**kept, "LC_ALL": "C", **(extra or {})}


def _identity(run_as: RunAs | None) -> dict[str, Any]:
    if run_as is None or not run_as.switches:
        return {"umask": 0o077}
    return {"user": run_as.uid, "group": run_as.gid, "extra_groups": [], "umask": 0o077}
