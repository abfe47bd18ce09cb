"""The record of what haop has begun to do to a primary, and what undoes or completes it.

A drill or a switchover writes down what it is about to do before it does it, and takes the record away once redundancy
is back. One that is still there belongs to a haop that was killed: `haop up` and `haop drill heal` settle it.
"""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from haop import state_file
from haop.clock import SYSTEM_CLOCK
from haop.engines import switching, upstream
from haop.engines.base import Note
from haop.errors import DeadlineExceeded, NoPrimary
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.model.status import Reachable
from haop.operations import behind, last, verify
from haop.operations.cluster import Cluster
from haop.postgres import drilling, replication
from haop.postgres.connection import connected
from haop.project import Project
from haop.runtimes.base import Partitionable
from haop.waiting import wait_until

_LOG = logging.getLogger(__name__)
_RECORD = "open.json"
_ON_ITS_WAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What was begun, and how far it came."""

    action: str  # "drill failover kill", "switchover"
    node: str  # the primary that it is done to
    at: str  # ISO 8601, UTC
    fault: str | None = None  # what a drill breaks it with; None while nothing is broken
    promoting: str | None = None  # the node that it was about to promote: from then on it can only be completed

    @property
    def told(self) -> str:
        """What is open, in a phrase."""
        when = self.at.replace("T", " ").partition(".")[0]
        return f"{self.action} of {self.node}, begun at {when}" + (" UTC" if when != self.at else "")

    @property
    def remedy(self) -> str:
        """The command that brings everything back."""
        return "haop drill heal" if self.action.startswith("drill") else "haop up"


def begin(project: Project, action: str, node: str) -> Open:
    """Write down, before anything is changed, what is going to be done to which primary."""
    begun = Open(action=action, node=node, at=SYSTEM_CLOCK.now().isoformat(timespec="milliseconds"))
    write(project, begun)
    return begun


def write(project: Project, record: Open) -> None:
    """Write the record, whole or not at all."""
    state_file.write(project.state / _RECORD, json.dumps(asdict(record)))


def reserve(project: Project) -> None:
    """Keep room for a record, for a day on which the disk is full.

    Raises:
        OSError: there is none.
    """
    state_file.reserve(project.state / _RECORD)


def read(project: Project) -> Open | None:
    """What is open, if anything is."""
    try:
        found = Open(**json.loads((project.state / _RECORD).read_text(encoding="utf-8")))
        if all(isinstance(value, str) for value in (found.action, found.node, found.at)):
            return found
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        pass
    return Open(action="something that its record does not tell any more", node="unknown", at="an unknown time")


def clear(project: Project) -> None:
    """It is settled."""
    (project.state / _RECORD).unlink(missing_ok=True)


def noting(project: Project, note: Note) -> Note:
    """Pass on what the engine notes; that a promotion begins, and who is behind then, is written down first.

    Who may lack writes must be written down, or nothing is promoted. Who is about to be promoted is for a haop that
    comes after this one was killed in that moment: where it cannot be written, a cluster without a primary is worse.
    """

    def noted(event: str, node: str) -> None:
        if event == "promoting":
            behind.promoting(project, node)
            try:
                if record := read(project):
                    write(project, replace(record, promoting=node))
            except OSError as error:
                _LOG.warning("cannot write down that %s is about to be promoted: %s", node, error.strerror)
        note(event, node)
        if event == "promoted":
            last.note(project, node)

    return noted


def settle(cluster: Cluster, record: Open) -> None:
    """Give a cluster that has lost its primary to this record a primary again, and let its standbys follow that.

    Before a promotion was begun that is the old one, so that nothing is lost. A primary that is only stopped is left
    to whoever starts the cluster.
    """
    engine, runtime = cluster.engine, cluster.runtime
    names = [node.name for node in cluster.project.spec.nodes]
    if record.node in names:
        _release(cluster, record.node)
        if _nobody_is_primary(cluster) and runtime.state(record.node).fenced:
            require_last(cluster, record.node)
            if record.promoting in names:
                switching.settle(engine, record.node, record.promoting)
            else:
                switching.reinstate(engine, record.node)
    point_the_lost(cluster)


def last_primaries(project: Project) -> frozenset[str]:
    """The node that was primary last, and the one that was about to be promoted, and may have been."""
    record = read(project)
    names = {last.read(project), record.promoting if record else None}
    return frozenset(node.name for node in project.spec.nodes if node.name in names)


def require_last(cluster: Cluster, name: str) -> None:
    """A fenced node may be primary again only where nobody can have been so after it.

    Raises:
        NoPrimary: another one may have, and its data are gone.
    """
    for other in last_primaries(cluster.project) - {name}:
        if cluster.engine.is_empty(other):
            raise NoPrimary(
                f"{name} is not primary again: {other} may have been since, and its data are gone",
                hint=f"do without what only {other} had: haop failover --to {name} --accept-loss",
            )


def _nobody_is_primary(cluster: Cluster) -> bool:
    """No server accepts writes, or will once it is started: an operator may have promoted one since."""
    engine, runtime = cluster.engine, cluster.runtime
    if engine.observe().primaries:
        return False
    names = [node.name for node in cluster.project.spec.nodes]
    return not any(engine.was_primary(name) and not runtime.state(name).fenced for name in names)


def _release(cluster: Cluster, name: str) -> None:
    """Undo what a drill does to a node that lives, and wait until it answers or has ended, whichever it is about to."""

    def known() -> bool:
        node = cluster.engine.observe().node(name)
        return isinstance(node, Reachable) or node.service.state is not State.RUNNING

    if isinstance(cluster.runtime, Partitionable):
        cluster.runtime.mend(name)
    cluster.runtime.resume(name)
    with suppress(DeadlineExceeded):  # then it is not the record that keeps it from answering
        wait_until(known, deadline=_ON_ITS_WAY_SECONDS, pause=0.05, waiting_for=f"{name} to answer or to end")


def point_the_lost(cluster: Cluster) -> None:
    """Let standbys that follow a former primary follow this one: they were away when it was promoted, or haop was.

    What one of them was lent for a promotion that came to nothing is taken back.
    """
    engine, status = cluster.engine, cluster.engine.observe()
    if primary := status.primary:
        with connected(primary.endpoint, engine.admin) as link:
            replication.fill_histories(link)
        for node in status.nodes:
            if not isinstance(node, Reachable):
                upstream.lead(engine, status, node.name)
        for standby in status.standbys:
            engine.tidy_promotion(standby.name)
            if not status.streams(standby.name) and not status.diverged(standby):
                engine.point(standby.name, primary.name)


def withdraw(cluster: Cluster) -> None:
    """Nothing was broken yet: nothing is left of it."""
    _drop_ledger(cluster)
    clear(cluster.project)


def finish(cluster: Cluster) -> None:
    """All is restored: the drill's table is gone from every node, then the record.

    Raises:
        DeadlineExceeded: a standby does not replay that.
    """
    dropped = _drop_ledger(cluster)
    verify.replayed(cluster, dropped, cluster.engine.observe().standbys)
    for unfinished in (cluster.project.state / "drills").glob("*.new"):
        unfinished.unlink(missing_ok=True)
    clear(cluster.project)


def _drop_ledger(cluster: Cluster) -> Lsn:
    primary = cluster.engine.observe().primary
    if not primary:
        raise NoPrimary("the primary went away", hint="haop status")
    return drilling.drop_ledger(primary.endpoint, cluster.engine.admin, cluster.project.spec.database)
