"""PostgreSQL's own streaming replication: one primary, physical standbys through slots."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from haop.engines.base import Note, Promotion
from haop.engines.candidate import candidate
from haop.engines.observation import observe_cluster
from haop.errors import HaopError, NoPrimary, Refused
from haop.model.containers_health import OUT_OF_MEMORY
from haop.model.service import Service, State
from haop.model.spec import ClusterSpec, quorum
from haop.model.status import ClusterStatus, Reachable, Role, Unreachable
from haop.postgres import replication
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.pointing import pointed_at
from haop.project import Secrets
from haop.runtimes.base import Runtime
from haop.waiting import wait_until

_STANDBY_SIGNAL, _VERSION = PurePosixPath("standby.signal"), PurePosixPath("PG_VERSION")
_PROMOTION_SECONDS = 60.0
REJOIN_SECONDS = 300.0


class StreamingEngine:
    """Fences and promotes by itself: its runtime owns every process, so no quorum is needed."""

    def __init__(self, spec: ClusterSpec, runtime: Runtime, secrets: Secrets, tls: Path) -> None:
        self._spec = spec
        self._runtime = runtime
        self._secrets = secrets
        self._tls = tls

    @property
    def spec(self) -> ClusterSpec:
        """What is asked for."""
        return self._spec

    @property
    def runtime(self) -> Runtime:
        """What runs the nodes."""
        return self._runtime

    @property
    def admin(self) -> Login:
        """The superuser that is kept for haop."""
        ca = self._tls / "ca.crt"
        return Login(user="postgres", password=self._secrets.postgres_password, ca=ca if ca.exists() else None)

    @property
    def application(self) -> Login:
        """The owner of the application's database, as the application connects."""
        admin = self.admin
        return Login(
            user=self._spec.owner,
            password=self._secrets.database_password,
            database=self._spec.database,
            ca=admin.ca,
        )

    def services(self) -> Mapping[str, Service]:
        """One service a node."""
        if self._runtime.tls:
            from haop import certificates  # noqa: PLC0415 - 30 ms that only starting a server pays for

            certificates.authority(self._tls, self._spec.name)
        return {node.name: self._service(node.name, node.port) for node in self._spec.nodes}

    def observe(self) -> ClusterStatus:
        """Ask every node, all at once."""
        return observe_cluster(self._spec, self._runtime, self.admin)

    def was_primary(self, name: str) -> bool:
        """Whether a node, running or not, has data that it would start as a primary with."""
        return self._runtime.state(name).state is not State.ABSENT and self._is_primarys(name)

    def is_standby(self, name: str) -> bool:
        """Whether a node, running or not, has data that it would start as a standby with."""
        return self._runtime.holds(name, _STANDBY_SIGNAL)

    def is_empty(self, name: str) -> bool:
        """Whether a node, running or not, has no data yet."""
        return self._runtime.state(name).state is State.ABSENT or not self._runtime.holds(name, _VERSION)

    def _is_primarys(self, name: str) -> bool:
        """Whether the data of a node are a primary's; one that still initialises or clones has none."""
        return not self.is_standby(name) and self._runtime.holds(name, _VERSION)

    def plan_failover(self, status: ClusterStatus, to: str | None) -> Promotion:
        """The most advanced standby; before it, every node that could come back as a primary is fenced."""
        chosen = candidate(status, to)
        silent = [node for node in status.nodes if isinstance(node, Unreachable) and not node.service.fenced]
        unknown = (node.name for node in silent if node.service.state is not State.ABSENT)
        return Promotion(chosen, tuple(name for name in unknown if self._is_primarys(name)))

    def failover(self, to: str | None, note: Note) -> Promotion:
        """Fence, promote, and let the other standbys follow."""
        status = self.observe()
        plan = self.plan_failover(status, to)
        with ThreadPoolExecutor(max_workers=len(status.nodes), thread_name_prefix="fence") as pool:
            fences = [pool.submit(self._fence, name, note) for name in plan.fence]
            with connected(self._runtime.endpoint(plan.node), self.admin) as primary:
                for fence in fences:
                    fence.result()  # raises where a node is not fenced: then nothing is promoted
                self.crown(primary, plan.node, note)
        self.point_others(status, plan.node, note)
        return plan

    def crown(self, connection: BoundedConnection, name: str, note: Note) -> None:
        """Promote the standby at the other end, once nothing else can be primary, and give it a slot for each node."""
        note("promoting", name)
        self._promote(connection, name)
        note("promoted", name)
        replication.ensure_slots(connection, [n.slot for n in self._spec.nodes if n.name != name])

    def point_others(self, status: ClusterStatus, primary: str, note: Note) -> None:
        """Let the other standbys that were seen follow the new primary."""
        for standby in status.standbys:
            if standby.name != primary:
                self.point(standby.name, primary)
                note("follows", standby.name)

    def _fence(self, name: str, note: Note) -> None:
        self._runtime.fence(name)
        note("fenced", name)

    def _promote(self, connection: BoundedConnection, name: str) -> None:
        replication.promote(connection)
        wait_until(
            lambda: not replication.in_recovery(connection), deadline=_PROMOTION_SECONDS, pause=0.002,
            waiting_for=f"{name} to end recovery", hint=f"haop logs --node {name}",
        )  # fmt: skip

    def point(self, standby: str, primary: str) -> None:
        """Let a running standby follow another primary, through its slot there."""
        with connected(self._runtime.endpoint(standby), self.admin) as connection:
            conninfo = pointed_at(replication.upstream(connection), self._runtime.places()[primary])
            replication.follow(connection, conninfo, self._spec.node(standby).slot)
            replication.drop_slots(connection, [node.slot for node in self._spec.nodes])

    def rejoin(self, node: str, note: Note) -> None:
        """Follow where that is possible, else rewind; the node script finds out which."""
        status = self.observe()
        primary = self._primary_for(status, node)
        if status.streams(node):
            return
        if isinstance(status.node(node), Reachable) or not self._runtime.rejoining(node):
            self._restart_as_standby(status, node)
            note("started", node)
        self.await_streaming(frozenset({node}), REJOIN_SECONDS)
        self._drop_slots_of_standby(node)
        note(f"streams from {primary}", node)

    def _restart_as_standby(self, status: ClusterStatus, node: str) -> None:
        service, rewind = status.node(node).service, self._needs_rewind(status, node)
        if rewind and service.state is not State.STOPPED:
            self._take_down(status, node)
        elif service.state is State.PAUSED:
            self._runtime.stop(node)
        if rewind or service.fenced or service.state in {State.STOPPED, State.PAUSED}:
            self._runtime.readmit(node)
        self._runtime.start(self.services()[node])

    def await_streaming(self, names: frozenset[str], deadline: float) -> ClusterStatus:
        """Wait until these nodes stream, then set whose confirmation the primary waits for: nobody's without sync."""
        status = wait_until(
            lambda: self._all_stream(names), deadline=deadline, pause=0.05,
            waiting_for=f"{', '.join(sorted(names))} to stream", hint="haop status, then haop logs --level warning",
        )  # fmt: skip
        confirming = [n.name for n in status.standbys if status.streams(n.name) and self._spec.durability == "sync"]
        if status.primary and status.primary.server.synchronous_standby_names != quorum(confirming):
            with connected(status.primary.endpoint, self.admin) as connection:
                replication.set_synchronous(connection, confirming)
        return status

    def _all_stream(self, names: frozenset[str]) -> ClusterStatus | None:
        status = self.observe()
        for name in names:
            if self._runtime.state(name).state in {State.STOPPED, State.ABSENT}:
                raise HaopError(self._how_it_ended(name), hint=f"haop logs --node {name}")
            self._require_hope(status, name)
        return status if all(status.streams(name) for name in names) else None

    def _require_hope(self, status: ClusterStatus, name: str) -> None:
        """Waiting brings back neither removed WAL nor another timeline's."""
        node, slot = status.node(name), status.slot(self._spec.node(name).slot)
        if isinstance(node, Reachable) and (why := status.diverged(node)):
            raise HaopError(f"{name} cannot follow: {why}", hint=f"haop rejoin {name}")
        if slot and slot.wal_status == "lost" and isinstance(node, Reachable) and not status.streams(name):
            hint = f"move {name}'s data directory away while it is stopped; haop up clones it again"
            raise HaopError(f"{name} cannot follow: the primary no longer has the WAL that it needs", hint=hint)

    def _how_it_ended(self, name: str) -> str:
        """A node's last words, and those of a primary that went with it: a full disk ends both."""
        told = f"{name} ended: {self.last_words(name)}"
        status = self.observe()
        if not status.primaries:
            gone = [
                n.name for n in status.nodes if n.name != name and not n.service.fenced and self.was_primary(n.name)
            ]
            told += "".join(f"; {other}, the primary, is gone as well: {self.last_words(other)}" for other in gone)
        return told

    def plan_rejoin(self, status: ClusterStatus, node: str) -> str:
        """What `rejoin` would do, in a sentence."""
        primary = self._primary_for(status, node)
        if status.streams(node):
            return f"{node} streams from {primary} already; nothing to do"
        if not self._needs_rewind(status, node):
            return f"start {node}; it follows {primary}"
        return f"{node} follows {primary}; what only {node} has written since {primary} was promoted is rewound"

    def last_decision(self, name: str) -> str:
        """What the node script decided when it last started a node."""
        lines = self._runtime.logs([name], follow=False, since=None)
        decisions = [line.message for line in lines if line.message.startswith("haop: ")]
        return decisions[-1].removeprefix("haop: ") if decisions else "nothing"

    def last_words(self, name: str) -> str:
        """What the runtime says of its end where that is telling, else the gravest entry at the end of its log."""
        if self._runtime.state(name).remark == OUT_OF_MEMORY:
            return OUT_OF_MEMORY
        lines = list(self._runtime.logs([name], follow=False, since=None))
        # What it told others while it started or ended is not why.
        lines = [line for line in lines if "the database system is " not in line.message] or lines
        grave = [line for line in lines if line.level in {"fatal", "panic", "error"}] or lines
        if not grave:
            return "it said nothing"
        first, *more = grave[-1].message.replace("haop: ", "", 1).splitlines() or [""]
        errors = [line for line in more if "error: " in line]  # of programs that do not log as PostgreSQL does
        details = [line for line in more if line.startswith("DETAIL: ")]
        return errors[-1] if errors and grave is lines else " / ".join([first, *details])

    def _primary_for(self, status: ClusterStatus, node: str) -> str:
        """The node to follow; where two are primary, the one that is ahead."""
        primaries = sorted(status.primaries, key=lambda p: (p.server.timeline, p.server.lsn))
        if not primaries:
            raise NoPrimary(f"no primary answers that {node} could follow", hint="haop status says why; haop failover")
        if primaries[-1].name == node:
            raise Refused(f"{node} is the primary; there is no other that is ahead of it")
        return primaries[-1].name

    def _needs_rewind(self, status: ClusterStatus, name: str) -> bool:
        """Former primaries, and running standbys that went down another timeline; of others the node script knows."""
        node = status.node(name)
        if node.service.state is State.ABSENT:
            return False
        if self.was_primary(name):
            return True
        return isinstance(node, Reachable) and status.diverged(node) is not None

    def _take_down(self, status: ClusterStatus, name: str) -> None:
        """A standby stops cleanly, as pg_rewind needs it; whatever else runs there is fenced."""
        node = status.node(name)
        if isinstance(node, Reachable) and node.server.role is Role.STANDBY:
            self._runtime.stop(name)
        else:
            self._runtime.fence(name)

    def _drop_slots_of_standby(self, name: str) -> None:
        """A former primary's slots retain WAL that nobody fetches."""
        with connected(self._runtime.endpoint(name), self.admin) as connection:
            replication.drop_slots(connection, [node.slot for node in self._spec.nodes])

    def _service(self, name: str, port: int) -> Service:
        own = self._secrets
        accounts = {
            own.monitor_user: own.monitor_password,
            own.replication_user: own.replication_password,
            own.rewind_user: own.rewind_password,
        }
        # One line for each account on each node; no wildcard, so that a password goes to no other server.
        lines = [
            f"{place.host}:{place.port}:*:{user}:{password}"
            for place in self._runtime.places().values()
            for user, password in accounts.items()
        ]
        secrets = {"passfile": "\n".join(lines) + "\n", "superuser_password": own.postgres_password + "\n"}
        if self._runtime.unattended:  # then the node script makes the roles
            secrets["owner_password"] = own.database_password + "\n"
        if self._runtime.tls:
            from haop import certificates  # noqa: PLC0415 - 30 ms that only starting a server pays for

            certificate, key = certificates.issue(self._tls, name)
            authority = (self._tls / "ca.crt").read_text(encoding="utf-8")
            secrets |= {"ca.crt": authority, "server.crt": certificate, "server.key": key}
        return Service(
            name=name,
            command=("sh", "node.sh"),
            environment={
                "HAOP_NODE": name,
                "HAOP_REPLICATION_USER": own.replication_user,
                "HAOP_REWIND_USER": own.rewind_user,
                "HAOP_MONITOR_USER": own.monitor_user,
            },
            secrets={PurePosixPath(path): text for path, text in secrets.items()},
            port=port,
        )
