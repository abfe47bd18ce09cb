"""`haop failover`: the primary is gone; fence it, then promote the most advanced standby."""

from haop.engines import switching
from haop.engines.base import Note, Promotion, Terms
from haop.model.status import ClusterStatus
from haop.operations import behind, confirming, heal, last, strays
from haop.operations.audit import audited
from haop.operations.cluster import Cluster


def terms(cluster: Cluster, *, accept_loss: bool = False) -> Terms:
    """On what terms a standby of that cluster may be promoted now."""
    project = cluster.project
    return Terms(
        salvage=project.spec.guard.salvage,
        behind=behind.names(project),
        last=heal.last_primaries(project),
        accept_loss=accept_loss,
    )


def plan(cluster: Cluster, to: str | None, *, accept_loss: bool = False) -> Promotion:
    """What would be done; changes nothing.

    Raises:
        Refused: a primary answers, or acknowledged writes may be lost, and that is not accepted.
        NoPrimary: no standby answers.
    """
    if to:
        cluster.require_node(to)
    strays.find(cluster)  # refuses where one of them is the primary: it would not be fenced
    status = cluster.engine.observe()
    if to and accept_loss and _is_all_there_is(cluster, status, to):
        return Promotion(to, (), again=True)
    return cluster.engine.plan_failover(status, to, terms(cluster, accept_loss=accept_loss))


def execute(cluster: Cluster, to: str | None, note: Note, *, accept_loss: bool = False) -> Promotion:
    """Do it. Returns what was done.

    Raises:
        HaopError: nothing was promoted; the message says whether the old primary is fenced.
    """
    strays.find(cluster)
    with audited(cluster.project, "failover") as outcome:
        if to and accept_loss and _is_all_there_is(cluster, cluster.engine.observe(), to):
            switching.reinstate(cluster.engine, to)
            last.note(cluster.project, to)
            outcome.detail = f"{to} is primary again; what others had since is lost"
            return Promotion(to, (), again=True)
        agreed = terms(cluster, accept_loss=accept_loss)
        done = cluster.engine.failover(to, heal.noting(cluster.project, note), terms=agreed)
        fenced = f"fenced {', '.join(done.fence)}; " if done.fence else ""
        outcome.detail = f"{fenced}promoted {done.node}" + "".join(f"; {each.told}" for each in done.salvaged)
        others = frozenset(
            node.name for node in cluster.engine.observe().standbys if node.name not in {done.node, *done.fence}
        )
        cluster.engine.await_streaming(others, deadline=60)
        confirming.restore(cluster)
    return done


def _is_all_there_is(cluster: Cluster, status: ClusterStatus, name: str) -> bool:
    """Whether only former primaries that are fenced have data, that node among them, and nobody answers."""
    engine, runtime = cluster.engine, cluster.runtime
    if status.primaries or status.standbys or not (runtime.state(name).fenced and engine.was_primary(name)):
        return False
    return all(engine.is_empty(node.name) or runtime.state(node.name).fenced for node in cluster.project.spec.nodes)
