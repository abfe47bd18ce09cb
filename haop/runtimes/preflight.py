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
from haop.process import run
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


def check_settings(settings: str, bindir: Path) -> None:
    """Let PostgreSQL itself read the settings before they are written, and pass on what it rejects.

    As haop's own user, who can run it wherever it lies: with -C PostgreSQL starts nothing, and accepts root (main.c).
    """
    with tempfile.NamedTemporaryFile("w", prefix="postgresql-", suffix=".conf", encoding="utf-8") as file:
        file.write(settings)
        file.flush()
        argv = (str(bindir / "postgres"), "-C", "wal_level", "-c", f"config_file={file.name}", "-D", "/")
        try:
            run(argv, cwd=Path("/"))
        except CommandFailed as error:
            told = complaints(error.message.partition(": ")[2]).replace(file.name, "stack/postgresql.conf")
            hint = "correct [postgres.parameters] in haop.toml"
            raise Refused(f"PostgreSQL rejects its settings: {told}", hint=hint) from error


def copied(found: Installation, state: Path) -> Path:
    """The wheel's package, and the libraries that its build put beside it, copied where everybody can read them.

    Whole or not at all.
    """
    package = found.bindir.parent.parent
    target = state / f"postgres-{found.major}"
    if any(letter in str(target) for letter in '$`"\\'):  # initdb asks a shell for the version of postgres beside it
        raise Refused(
            f"PostgreSQL cannot run in {target}: a $, a backquote, a quotation mark or a backslash is in its path",
            hint="put the project somewhere else, or Python where the servers' user can run it",
        )
    copy = target / package.name / "pginstall" / "bin"
    if not copy.exists():
        making = target.with_suffix(f".{os.getpid()}")
        try:
            _copy(package, making)
            making.rename(target)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return copy


def _copy(package: Path, making: Path) -> None:
    """File by file: `shutil.copytree` would tell that something failed, and no longer that the disk is full."""
    making.mkdir()
    making.chmod(0o755)
    beside = package.with_name(f"{package.name}.libs")
    for folder in (folder for folder in (package, beside) if folder.is_dir()):
        for source in (folder, *sorted(folder.rglob("*"))):
            made = making / source.relative_to(package.parent)
            if source.is_symlink():
                made.symlink_to(source.readlink())
            elif source.is_dir():
                made.mkdir()
                made.chmod(0o755)
            else:
                shutil.copyfile(source, made)
                made.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
