"""A node's processes on this machine: found, judged alive or not, signalled. The one home of psutil.

A process is told apart by its id *and* its start time, so that a signal never reaches a stranger that got the id
later: psutil checks that at every signal it sends.
"""

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from haop.clock import boot_id
from haop.errors import HaopError
from haop.process import reap

_LOG = logging.getLogger(__name__)
SERVER = "postgres"  # what the kernel calls each process of a server, whatever title it gives itself
_PROC = Path("/proc/self/cwd").exists()


def remember(record: Path, pid: int) -> None:
    """Write down which process runs a node."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        record.unlink(missing_ok=True)
        return
    record.write_text(json.dumps({"pid": pid, "started": started}), encoding="utf-8")


def identity(pid: int) -> str | None:
    """What tells a process from all others that ever had its id, though the clock is set; None: there is none."""
    try:
        if _PROC:  # psutil counts from the wall clock
            ticks = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
            )
            return f"{boot_id()}:{ticks}"
        return str(psutil.Process(pid).create_time())
    except (OSError, IndexError, psutil.Error):
        return None


def lives(pid: int, known: str | None) -> bool:
    """Whether that very process can still do anything."""
    try:
        return known is not None and alive(psutil.Process(pid)) and identity(pid) == known
    except psutil.NoSuchProcess:
        return False


def is_over(pid: int, known: str | None) -> bool:
    """Whether it can do nothing any more."""
    return not lives(pid, known)


def signal_to(pid: int, known: str | None, number: int) -> None:
    """Send a signal to that very process, if it lives."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if identity(pid) == known:
            process.send_signal(number)


def recorded(record: Path) -> psutil.Process | None:
    """The process that is written down as a node's."""
    with suppress(OSError, ValueError, KeyError, psutil.Error):
        noted = json.loads(record.read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        if process.create_time() == noted["started"] and alive(process):
            return process
    return None


def find(record: Path, data: Path) -> psutil.Process | None:
    """The process that runs a node: the one written down, else the postmaster that holds the data directory."""
    if process := recorded(record):
        return process
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]))
        if works_in(process.pid, data) and alive(process):
            return process
    return None


def started_with(process: psutil.Process, data: Path) -> Path:
    """The path of its data directory when a server was started; another one than now where a folder was moved."""
    with suppress(psutil.Error):
        end = "/".join(("", *data.parts[-4:]))  # .haop/local/NODE/data
        return next((Path(word) for word in process.cmdline() if word.endswith(end)), data)
    return data


def named(record: Path, data: Path) -> frozenset[int]:
    """The ids of the processes that are written down as a node's, dead or alive."""
    found = set()
    with suppress(OSError, ValueError, KeyError):
        found.add(int(json.loads(record.read_text(encoding="utf-8"))["pid"]))
    with suppress(OSError, ValueError, IndexError):
        found.add(int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]))
    return frozenset(pid for pid in found if pid > 0)  # a single-user server, as in a rewind, writes its id negative


def alive(process: psutil.Process) -> bool:
    """Whether it can still do anything. A killed child that nobody has collected answers signal 0, but is dead."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.is_running()
    except psutil.NoSuchProcess:
        return False
    reap(process.pid)
    return False


def paused(process: psutil.Process) -> bool:
    """Whether it is stopped by a signal."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return False


def is_stopped(pid: int) -> bool:
    """The same of a process by its id; one that is gone is not."""
    try:
        return paused(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def running(arguments: Sequence[str], folder: Path) -> list[int]:
    """Processes of this user, or of the folder's owner, that were started with these arguments, and see that folder.

    In a container, or anywhere else with files of its own, the same words may be another program's. Never this process.
    """
    there, found = folder.stat(), []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.cmdline()[1:] != [*arguments]:
                continue
            seen = Path(f"/proc/{process.pid}/root/{folder}").stat() if _PROC else there
            if process.uids().effective in {os.geteuid(), there.st_uid} and os.path.samestat(seen, there):
                found.append(process.pid)
    return found


def kill(process: psutil.Process) -> None:
    """End a process and all its children with SIGKILL. It is stopped first, so that it cannot fork in between."""
    _LOG.debug("kill process %d and its children", process.pid)
    with suppress(psutil.NoSuchProcess):
        process.suspend()
        family = [process, *process.children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        await_end(family)


def await_end(processes: Iterable[psutil.Process], seconds: float = 10.0) -> None:
    """Wait until none of them is alive.

    Raises:
        HaopError: one of them still is; SIGKILL does not end a process that waits for a disk.
    """
    end = time.monotonic() + seconds
    waiting = list(processes)
    while waiting := [process for process in waiting if alive(process)]:
        if time.monotonic() > end:
            raise HaopError(f"process {waiting[0].pid} does not end", hint="a disk or network file system may hang")
        time.sleep(0.001)


def end_all(data: Path, seconds: float = 10.0) -> None:
    """End every process of PostgreSQL that works in a data directory with SIGKILL, and verify that none is left.

    All are signalled before any is awaited: where a postmaster died and its sessions did not, there may be hundreds,
    and each that goes on takes the machine from who ends the others. What they forked meanwhile is in the next pass.

    Raises:
        HaopError: one of them goes on.
    """
    end = time.monotonic() + seconds
    while left := _signalled(data):
        if time.monotonic() > end:
            raise HaopError(f"process {left[0]} does not end", hint="a disk or network file system may hang")
        time.sleep(0.001)


def _signalled(data: Path) -> list[int]:
    """Processes that were sent SIGKILL; the dead work nowhere. An operator's shell in that folder is no server."""
    folder = _identity(data)
    return [pid for pid in _pids() if _works_in(pid, folder) and _kill_server(pid, folder)]


def server_in(data: Path) -> int | None:
    """A process of PostgreSQL that works in a data directory, where there is one."""
    folder = _identity(data)
    for pid in _pids():
        with suppress(OSError, psutil.Error):
            if _works_in(pid, folder) and _name(pid) == SERVER:
                return pid
    return None


def _kill_server(pid: int, folder: tuple[int, int] | None) -> bool:
    """Whether it was one. Among hundreds that compete for the machine each millisecond counts: psutil takes three."""
    handle = None
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        if _name(pid) != SERVER or not _works_in(pid, folder):  # asked again: a stranger may have got its id
            return False
        if handle is None:
            psutil.Process(pid).kill()
        else:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError, psutil.NoSuchProcess):
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _name(pid: int) -> str:
    if not _PROC:
        return psutil.Process(pid).name()
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as _identity
        return file.read().strip()


def works_in(pid: int, data: Path) -> bool:
    """Whether a process has that folder as its working directory, as PostgreSQL's have their data directory.

    By whichever path: through a link, a bind mount, from inside a container.
    """
    return _works_in(pid, _identity(data))


def _works_in(pid: int, folder: tuple[int, int] | None) -> bool:
    with suppress(psutil.Error):
        return folder is not None and folder == _identity(f"/proc/{pid}/cwd" if _PROC else psutil.Process(pid).cwd())
    return False


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - twice as quick, and this is in the path of every failover
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if _PROC else psutil.pids()  # noqa: PTH208


def port_holder(port: int) -> str | None:
    """Who listens on a TCP port of this machine; None where nobody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return "the system (ports below 1024 need root)"
        except OSError:
            return _listener(port)
    return None


def _listener(port: int) -> str:
    with suppress(psutil.Error):
        for held in psutil.net_connections("tcp"):
            if held.status == psutil.CONN_LISTEN and held.laddr and held.laddr.port == port and held.pid:
                process = psutil.Process(held.pid)
                return f"process {held.pid} ({' '.join(process.cmdline()[:3]) or process.name()}){_deleted(process)}"
    return "another user's process"


def _deleted(process: psutil.Process) -> str:
    """Of a server whose data directory is gone: what it still serves is nowhere else."""
    with suppress(psutil.Error, OSError):
        link = str(Path(f"/proc/{process.pid}/cwd").readlink()) if _PROC else ""
        if link.endswith(" (deleted)"):
            return ", whose folder was deleted: dump what it still serves (pg_dump) before you end it"
    return ""
