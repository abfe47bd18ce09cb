"""What the local runtime makes sure of before it starts anything. Each check refuses with the reason and the mend."""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from haop.errors import CommandFailed, Refused
from haop.model.spec import NodeSpec
from haop.postgres.binaries import Installation
from haop.postgres.log import complaints
from haop.process import RunAs, run
from haop.runtimes import processes

# PostgreSQL's MAXPGPATH is 1024; what it appends to a data directory is shorter than this.
_LONGEST_PATH = 900


def check_length(state: Path) -> None:
    """Refuse a state folder whose data directories would lie too deep.

    Raises:
        Refused: PostgreSQL cannot use paths as long as these would be.
    """
    if len(os.fsencode(state)) > _LONGEST_PATH:
        raise Refused(f"the path of {state} is too long for PostgreSQL", hint=f"at most {_LONGEST_PATH} bytes")


def check_writable(state: Path) -> None:
    """Refuse a state folder that cannot be written to, or made."""
    present = next(folder for folder in (state, *state.parents) if folder.exists())
    if not os.access(present, os.W_OK):
        raise Refused(f"cannot write to {present}", hint="it belongs to another user, or is mounted read-only")


def check_data(data: Path, major: int, cluster: Path) -> None:
    """Refuse a data directory of another major version, or of another cluster.

    The first 8 bytes of the control file are the system identifier (pg_control.h).
    """
    with suppress(FileNotFoundError):
        if (found := (data / "PG_VERSION").read_text(encoding="utf-8").strip()) != str(major):
            raise Refused(
                f"{data} is of PostgreSQL {found}; haop.toml asks for {major}",
                hint=f"set postgres = {found} in haop.toml; a major upgrade is another matter",
            )
        ours = (cluster / "system_identifier").read_text(encoding="utf-8").strip()
        with (data / "global" / "pg_control").open("rb") as file:
            system = int.from_bytes(file.read(8), sys.byteorder)
        if str(system) != ours:
            raise Refused(
                f"{data} belongs to another cluster (system identifier {system}, not {ours})",
                hint="move it away; haop up then clones the node anew",
            )


def check_port(node: NodeSpec) -> None:
    """Refuse a port that somebody listens on."""
    if holder := processes.port_holder(node.port):
        raise Refused(
            f"port {node.port} of {node.name} is in use by {holder}",
            hint="stop it, or give the node another port in haop.toml",
        )


def check_port_unchanged(node: NodeSpec, data: Path) -> None:
    """Refuse another port than the one on which a node runs: the fourth line of its lock file (miscadmin.h)."""
    with suppress(FileNotFoundError, ValueError):
        process, _, _, port, *_ = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        # Negative: a session without a server, as pg_rewind runs one first; it listens nowhere.
        if port != str(node.port) and not process.startswith("-"):
            raise Refused(
                f"{node.name} runs on port {port}; haop.toml says {node.port}",
                hint=f"set it back to {port}, run haop down, and change it then",
            )


def check_settings(settings: str, bindir: Path, run_as: RunAs) -> None:
    """Let PostgreSQL itself read the settings before they are written, and pass on what it rejects."""
    with tempfile.NamedTemporaryFile("w", prefix="postgresql-", suffix=".conf", encoding="utf-8") as file:
        file.write(settings)
        file.flush()
        Path(file.name).chmod(0o644)
        argv = (str(bindir / "postgres"), "-C", "wal_level", "-c", f"config_file={file.name}", "-D", "/")
        try:
            run(argv, run_as=run_as, cwd=Path("/"))
        except CommandFailed as error:
            told = complaints(error.message.partition(": ")[2]).replace(file.name, "stack/postgresql.conf")
            hint = "correct [postgres.parameters] in haop.toml"
            raise Refused(f"PostgreSQL rejects its settings: {told}", hint=hint) from error


def copied(found: Installation, state: Path) -> Path:
    """The wheel's package, and the libraries that its build put beside it, copied where everybody can read them."""
    package = found.bindir.parent.parent
    target = state / f"postgres-{found.major}"
    copy = target / package.name / "pginstall" / "bin"
    if not copy.exists():
        making = target.with_suffix(f".{os.getpid()}")
        for source in package.parent.glob(f"{package.name}*"):
            if source.is_dir() and source.suffix in {"", ".libs"}:
                shutil.copytree(source, making / source.name, symlinks=True)
        for made in (making, *making.rglob("*")):
            made.chmod(0o755 if made.is_dir() or made.stat().st_mode & 0o100 else 0o644)
        making.rename(target)
    return copy
