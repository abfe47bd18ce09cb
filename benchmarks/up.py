"""`haop up` from an empty folder to verified replication, against the bare commands typed in a row."""

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.timing import HAOP, in_turn, ratio, wall
from haop.postgres.binaries import Installation, installations
from haop.process import RunAs
from haop.runtimes import account
from tests import support


def main() -> None:
    """Both sides in turn, with the system's PostgreSQL and its default durability (fsync on)."""
    print("up, from nothing to streaming")
    system = next(found for found in installations() if not found.wheel)
    with support.folder() as folder:
        found = in_turn({
            "haop up": lambda: haop_up(folder / "haop", system),
            "initdb, start, pg_basebackup, start, wait": lambda: bare(folder / "bare", system),
        })  # fmt: skip
    ours, theirs = found.values()
    ratio("haop up / bare commands", ours, theirs, 1.5)


def haop_up(root: Path, system: Installation) -> float:
    """Seconds of `haop up`, in a project that was just made."""
    first = str(support.free_ports(2))
    subprocess.run(
        (HAOP, "init", str(root), "--runtime", "local", "--postgres", str(system.major), "--first-port", first),
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = wall((HAOP, "-C", str(root), "up"))
    subprocess.run((HAOP, "-C", str(root), "status"), check=True, stdout=subprocess.DEVNULL)
    subprocess.run((HAOP, "-C", str(root), "down", "--volumes", "--yes"), check=True, capture_output=True)
    shutil.rmtree(root)
    return seconds


def bare(root: Path, system: Installation) -> float:
    """Seconds of the commands that a person would type, checksums and locale as haop has them."""
    user = account.choose(None, root)
    root.mkdir()
    if user.switches:
        shutil.chown(root, user.uid, user.gid)
    one, port = root / "one", support.free_ports(2)
    begun = time.perf_counter()
    typed(system, user, "initdb", "-D", one, "-U", "postgres", "--auth=trust", "--data-checksums", "-E", "UTF8",
          "--locale=C.UTF-8")  # fmt: skip
    settings = "-c unix_socket_directories= -c listen_addresses=127.0.0.1"
    typed(system, user, "pg_ctl", "-D", one, "-l", root / "log1", "-w", "-o", f"{settings} -c port={port}", "start")
    typed(system, user, "pg_basebackup", "-D", root / "two", "-c", "fast", "-R", "-C", "-S", "two",
          "-d", f"host=127.0.0.1 port={port} user=postgres")  # fmt: skip
    typed(system, user, "pg_ctl", "-D", root / "two", "-l", root / "log2", "-w", "-o",
          f"{settings} -c port={port + 1}", "start")  # fmt: skip
    state = "SELECT state FROM pg_stat_replication"
    while "streaming" not in typed(system, user, "psql", "-XAtd",
                                   f"host=127.0.0.1 port={port} user=postgres", "-c", state):  # fmt: skip
        time.sleep(0.01)
    seconds = time.perf_counter() - begun
    for data in (root / "two", one):
        typed(system, user, "pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(root)
    return seconds


def locale(major: int) -> tuple[str, ...]:
    """As templates/node.sh.j2 is rendered."""
    if major >= 17:
        return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    return ("--locale=C.UTF-8",)


def typed(system: Installation, user: RunAs, program: str, *arguments: Path | str) -> str:
    """What a program printed."""
    identity = {"user": user.uid, "group": user.gid, "extra_groups": []} if user.switches else {}
    done = subprocess.run(
        (str(system.bindir / program), *map(str, arguments)), check=True, text=True, cwd="/",
        stdout=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE, stderr=subprocess.DEVNULL, **identity,  # type: ignore[call-overload]
    )  # fmt: skip
    return str(done.stdout or "")


if __name__ == "__main__":
    main()
