"""PostgreSQL's own streaming replication: one primary, physical standbys through slots."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath

from haop.engines import failover, fences, rejoining, words
from haop.engines.base import AS_USUAL, Note, Promotion, Rejoining, Terms
from haop.engines.candidate import absent
from haop.engines.observation import observe_cluster
from haop.engines.services import service
from haop.engines.timelines import Timelines
from haop.errors import HaopError, Refused
from haop.model import session
from haop.model.service import Service, State
from haop.model.spec import ClusterSpec, Durability
from haop.model.status import ClusterStatus, Reachable, Role
from haop.postgres import control, replay, replication
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.pointing import pointed_at
from haop.project import Secrets
from haop.runtimes.base import Runtime
from haop.waiting import wait_until

_STANDBY_SIGNAL, _VERSION = PurePosixPath("standby.signal"), PurePosixPath("PG_VERSION")
_PROMOTION_SECONDS = 60.0


class StreamingEngine:
    """Fences and promotes by itself: its runtime owns every process, so no quorum is needed."""

    def __init__(self, spec: ClusterSpec, runtime: Runtime, secrets: Secrets, tls: Path, timelines: Timelines) -> None:
        self.spec = spec
        self.timelines = timelines
        self.runtime = runtime
        self.sync = spec.durability is Durability.SYNC
        self._secrets = secrets
        self._tls = tls

    @property
    def admin(self) -> Login:
        """The superuser that is kept for haop."""
        ca = self._tls / "ca.crt"
        return Login(
            user="postgres", password=self._secrets.postgres_password, ca=ca if ca.exists() else None,
            session=session.superuser(self.spec.postgres),
        )  # fmt: skip

    @property
    def application(self) -> Login:
        """The owner of the application's database, as the application connects."""
        admin = self.admin
        return Login(
            user=self.spec.owner,
            password=self._secrets.database_password,
            database=self.spec.database,
            ca=admin.ca,
        )

    def services(self) -> Mapping[str, Service]:
        """One service a node."""
        if self.runtime.tls:
            from haop import certificates  # noqa: PLC0415 - 30 ms that only starting a server pays for

            self._require_authority()
            certificates.authority(self._tls, self.spec.name)
        return {
            node.name: service(
                node, self._secrets, self.runtime.places(), self._tls if self.runtime.tls else None,
                unattended=self.runtime.unattended,
            )
            for node in self.spec.nodes
        }  # fmt: skip

    def _require_authority(self) -> None:
        """A new one would not vouch for what runs with the certificates of another: nobody could connect any more."""
        if (self._tls / "ca.crt").exists():
            return
        try:
            states = {node.name: self.runtime.state(node.name) for node in self.spec.nodes}
        except Refused:  # of a new project, where no engine can be asked: whatever starts something asks it
            return
        if running := {n: found for n, found in states.items() if found.state in {State.RUNNING, State.PAUSED}}:
            origin = next((found.origin for found in running.values() if found.origin), "the folder that started them")
            raise Refused(
                f"{' and '.join(running)} run with certificates of an authority that {self._tls} does not have: "
                f"they were started from {origin}",
                hint=f"bring .env and .haop from {origin}, or from a backup; or, with an outage: haop down, then haop "
                "up with a new one, which applications need then",
            )

    def observe(self, silent: frozenset[str] = frozenset()) -> ClusterStatus:
        """Ask every node, all at once, but for those of which it is known that they do not answer."""
        return observe_cluster(self.spec, self.runtime, self.admin, self.has_primarys_data, silent)

    def was_primary(self, name: str) -> bool:
        """Whether a node, running or not, has data that it would start as a primary with."""
        return self.runtime.state(name).state is not State.ABSENT and self.has_primarys_data(name)

    def is_standby(self, name: str) -> bool:
        """Whether a node, running or not, has data that it would start as a standby with.

        Who was killed in the middle of its promotion may look like a primary, and starts as a standby all the same; see
        the node script. Where it had begun its timeline it counts as a primary here: it may have accepted something.
        """
        if self.runtime.holds(name, _STANDBY_SIGNAL):
            return True
        if self.timelines.promoting() != name or self.runtime.state(name).state is not State.STOPPED:
            return False
        with suppress(HaopError):  # what cannot be read counts as a primary's
            content = self.runtime.read(name, control.PATH) or b""
            return not self.timelines.has_begun(name) and control.parse(content).standby
        return False

    def is_empty(self, name: str) -> bool:
        """Whether a node, running or not, has no data yet."""
        return self.runtime.state(name).state is State.ABSENT or not self.runtime.holds(name, _VERSION)

    def has_primarys_data(self, name: str) -> bool:
        """Whether the data of a node are a primary's; one that still initialises or clones has none."""
        return not self.is_standby(name) and self.runtime.holds(name, _VERSION)

    def plan_failover(self, status: ClusterStatus, to: str | None, terms: Terms = AS_USUAL) -> Promotion:
        """The most advanced standby; before it, every node that could come back as a primary is fenced.

        Raises:
            Refused: a primary answers; or what the standby lacks would be lost, and nobody has accepted that.
            NoPrimary: no standby answers.
        """
        return failover.plan(self, status, to, terms)

    def failover(
        self, to: str | None, note: Note, *, terms: Terms = AS_USUAL, silent: frozenset[str] = frozenset()
    ) -> Promotion:
        """Fence, salvage, promote, and let the other standbys follow.

        Args:
            to: the standby that is wanted; None: the most advanced.
            note: told "fenced", "salvaged" where something was, "promoting", "promoted", "follows".
            terms: on which a standby may be promoted.
            silent: nodes that do not answer, as the caller knows; they are not asked.

        Raises:
            HaopError: nothing was promoted; the message says whether the primary is fenced.
        """
        return failover.Failover(self, to, note, terms, silent).run()

    def tidy_promotion(self, name: str) -> None:
        """What a node was lent for a promotion is gone from it, and its own settings are back; safe to repeat."""
        with connected(self.runtime.endpoint(name), self.admin) as connection:
            replay.put_back(connection)
            replication.fill_histories(connection)
        self.runtime.take_back(name)

    def crown(self, connection: BoundedConnection, status: ClusterStatus, name: str, note: Note) -> None:
        """Promote the standby at the other end, once nothing else can be primary, and give it a slot for each node.

        With sync it waits for the other standbys from its first write on; where there is none, writes are on it alone
        until one has joined.
        """
        fences.require(self.runtime, self.spec, name)
        highest = self.timelines.highest(status)
        self.timelines.note(highest + 1, name)
        note("promoting", name)
        if self.sync:
            replication.set_synchronous(connection, [node.name for node in status.standbys if node.name != name])
        with replication.above_timeline(connection, highest):
            self._promote(connection, name, note)
        note("promoted", name)
        self.timelines.promoted()
        try:
            with connected(self.runtime.endpoint(name), self.admin) as another:
                replication.fill_histories(another)
                replication.ensure_slots(another, [n.slot for n in self.spec.nodes if n.name != name])
        except HaopError as error:
            if name not in {node.name for node in self.observe().primaries}:
                raise  # it has ended since
            note(f"lacks slots: {error.message}", name)  # it is primary: who brings the others back makes them

    def point_others(self, status: ClusterStatus, primary: str, note: Note) -> None:
        """Let the other standbys that were seen follow the new primary; who does not now is brought back later."""
        for standby in status.standbys:
            if standby.name != primary:
                try:
                    self.point(standby.name, primary)
                    note("follows", standby.name)
                except (HaopError, OSError) as error:
                    note(f"does not follow yet: {error}", standby.name)

    def _promote(self, connection: BoundedConnection, name: str, note: Note) -> None:
        """Recovery ends once everything that the standby has is replayed: nobody may hold that now."""

        def ended() -> bool:
            if not replication.in_recovery(connection):
                return True
            if replay.release(connection):
                note("ended sessions that blocked replay", name)
            return False

        replication.promote(connection)
        wait_until(
            ended, deadline=_PROMOTION_SECONDS, pause=0.002,
            waiting_for=f"{name} to end recovery", hint=f"haop logs --node {name}",
        )  # fmt: skip

    def point(self, standby: str, primary: str) -> None:
        """Let a running standby follow another primary, through its slot there."""
        with connected(self.runtime.endpoint(standby), self.admin) as connection:
            followed = replication.upstream(connection)
            if followed:
                conninfo = pointed_at(followed, self.runtime.places()[primary])
                replication.follow(connection, conninfo, self.spec.node(standby).slot)
            replication.drop_slots(connection, [node.slot for node in self.spec.nodes])
        if not followed:  # by somebody's hand; the node script knows it
            self.runtime.stop(standby)
            self.runtime.start(self.services()[standby])

    def rejoin(self, node: str, note: Note) -> None:
        """Follow where that is possible, else rewind; the node script finds out which. A rebuild is completed."""
        rejoining.rejoin(self, node, note)

    def restart_as_standby(self, status: ClusterStatus, node: str) -> None:
        """Start a node so that it becomes a standby, and do not wait for that."""
        rejoining.restart_as_standby(self, status, node)

    def await_streaming(self, names: frozenset[str], deadline: float) -> ClusterStatus:
        """Wait until these nodes stream from the primary; who follows another, since one changed, is led to it."""
        return rejoining.await_streaming(self, names, deadline)

    def plan_rejoin(self, status: ClusterStatus, node: str) -> Rejoining:
        """What `rejoin` would do.

        Raises:
            Refused: only a rebuild can help.
        """
        return rejoining.plan(self, status, node)

    def last_decision(self, name: str, since: datetime | None = None) -> str:
        """What the node script decided when it last started a node, since that moment."""
        return words.last_decision(self.runtime, name, since)

    def last_words(self, name: str) -> str:
        """What the runtime says of its end where that is telling, else the gravest entry at the end of its log."""
        return words.last_words(self.runtime, name)

    def primary_for(self, status: ClusterStatus, node: str) -> str:
        """The node to follow; where two are primary, the one that is ahead."""
        primaries = sorted(status.primaries, key=lambda p: (p.server.timeline, p.server.lsn))
        if not primaries:
            raise absent(status, f"no primary answers that {node} could follow", "haop status says why; haop failover")
        if primaries[-1].name == node:
            raise Refused(f"{node} is the primary; there is no other that is ahead of it")
        return primaries[-1].name

    def needs_rewind(self, status: ClusterStatus, name: str) -> bool:
        """Former primaries, and running standbys that went down another timeline; of others the node script knows."""
        node = status.node(name)
        if node.service.state is State.ABSENT:
            return False
        if self.was_primary(name):
            return True
        return isinstance(node, Reachable) and status.diverged(node) is not None

    def take_down(self, status: ClusterStatus, name: str) -> None:
        """A standby stops cleanly, as pg_rewind needs it; whatever else runs there is fenced."""
        node = status.node(name)
        if isinstance(node, Reachable) and node.server.role is Role.STANDBY and not node.service.intruder:
            self.runtime.stop(name)
        else:
            self.runtime.fence(name)

    def drop_slots_of_standby(self, name: str) -> None:
        """A former primary's slots retain WAL that nobody fetches."""
        with connected(self.runtime.endpoint(name), self.admin) as connection:
            replication.drop_slots(connection, [node.slot for node in self.spec.nodes])
