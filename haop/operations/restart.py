"""`haop restart`: in place, or round the cluster without an outage beyond a switchover's."""

from collections.abc import Sequence

from haop.engines import stopping
from haop.engines.candidate import absent
from haop.engines.rejoining import REJOIN_SECONDS
from haop.errors import HaopError, NoPrimary, Refused
from haop.model.service import State
from haop.model.settings import Restarts
from haop.model.status import ClusterStatus, Reachable
from haop.operations import places, render, status, switchover, verify
from haop.operations.audit import audited, record
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.postgres import settings
from haop.postgres.connection import connected
from haop.waiting import wait_until

_START_SECONDS = 300.0


def pending(cluster: Cluster, outdated: Sequence[str] = ()) -> Restarts:
    """What waits for a restart, on the nodes that answer."""
    found = {node.name: settings.pending(node.endpoint, cluster.engine.admin)
             for node in cluster.engine.observe().reachable}  # fmt: skip
    return Restarts(settings=found, outdated=tuple(outdated))


def prepare(cluster: Cluster, progress: Progress) -> Sequence[str]:
    """Lay out what nodes start with, as `haop.toml` says now; returns services whose containers are older than that.

    Raises:
        Refused: they could not start with it; nothing was changed.
    """
    cluster.runtime.check(cluster.settings())
    render.write(cluster.project, cluster.stack())
    outdated = cluster.runtime.create(cluster.services(), progress.step)
    reload(cluster, cluster.engine.observe())  # only a server that has read them knows what waits for a restart
    return outdated


def reload(cluster: Cluster, observed: ClusterStatus) -> None:
    """Let every server read its files again that has not."""
    admin = cluster.engine.admin
    changed = Restarts(settings={n.name: settings.reload_stale(n.endpoint, admin) for n in observed.reachable})
    if changed:
        record(cluster.project, "reload settings", "; ".join(changed.told()))


def unblock(cluster: Cluster, progress: Progress) -> None:
    """Restart standbys whose replay stands still because the primary has more of a setting than they have yet."""
    observed = cluster.engine.observe()
    for standby in observed.standbys:
        waiting = settings.pending(standby.endpoint, cluster.engine.admin)
        if any(each.raised for each in waiting) and settings.replay_paused(standby.endpoint, cluster.engine.admin):
            _restart(cluster, standby.name, progress)


def is_primary(cluster: Cluster, name: str) -> bool:
    """Whether that node is primary, or would be if it answered."""
    cluster.require_node(name)
    return cluster.engine.was_primary(name) and not cluster.runtime.state(name).fenced


def one(cluster: Cluster, name: str, progress: Progress) -> None:
    """Restart a node in its place. Of the primary, clients notice: nothing takes over meanwhile.

    Raises:
        Refused: it does not run.
        HaopError: it did not come back.
    """
    cluster.require_node(name)
    if (found := cluster.runtime.state(name)).state is not State.RUNNING:
        hint = f"clone it again: haop rebuild {name}" if found.needs_rebuild else "haop up brings it back"
        raise Refused(f"{name} does not run: it is {found.state}", hint=hint)
    if is_primary(cluster, name) and (raised := [each for each in pending(cluster).of(name) if each.raised]):
        raise Refused(
            f"{name} is the primary, and would have more than its standbys: {', '.join(map(str, raised))}",
            hint="haop restart --rolling restarts these first",
        )
    with audited(cluster.project, "restart", node=name):
        _restart(cluster, name, progress)


def everything(cluster: Cluster, progress: Progress) -> None:
    """Restart all nodes in their places: the standbys first, the primary first where it must be lowered first."""
    primary = _primary(cluster)
    with audited(cluster.project, "restart") as outcome:
        standbys = [node.name for node in cluster.engine.observe().standbys]
        first = pending(cluster).primary_first(frozenset())
        names = [primary, *standbys] if first else [*standbys, primary]
        outcome.detail = ", ".join(names)
        for name in names:
            _restart(cluster, name, progress)
            if name == primary:
                _replayed(cluster, frozenset(standbys))
        if pending(cluster).nodes:  # of what was raised and what was lowered at once, the second
            _lower(cluster, progress)


def rolling(
    cluster: Cluster, progress: Progress, outdated: Sequence[str] = (), *, only: frozenset[str] | None = None
) -> str:
    """The standbys, then a switchover, then the old primary; and what only then can be lowered, the primary first.

    Args:
        cluster: the cluster.
        progress: told each step.
        outdated: services whose containers are older than the stack.
        only: restart these alone, and switch over only where the primary is among them; None: all.

    Returns:
        The node that is primary now.

    Raises:
        NoPrimary: the cluster is not steady; nothing was restarted.
    """
    found = status.observe(cluster)
    if trouble := status.disturbance(cluster, found):
        raise NoPrimary(f"no rolling restart while the cluster is not steady: {trouble.message}", hint=trouble.hint)
    with audited(cluster.project, "restart --rolling") as outcome:
        nodes, waiting = frozenset(node.name for node in cluster.project.spec.nodes), pending(cluster, outdated)
        if not waiting.primary_first(nodes):
            _round(cluster, progress, nodes if only is None else only)
        if pending(cluster).nodes:
            _lower(cluster, progress)
        outcome.detail = "; ".join((*waiting.told(), f"{(primary := _primary(cluster))} is primary"))
    return primary


def addons(cluster: Cluster, names: Sequence[str], progress: Progress) -> None:
    """Make what stands beside the nodes anew."""
    with audited(cluster.project, "restart") as outcome:
        outcome.detail = ", ".join(names)
        for name in names:
            with progress.step(f"restart {name}"):
                _anew(cluster, name, progress)


def _round(cluster: Cluster, progress: Progress, names: frozenset[str]) -> None:
    for standby in cluster.engine.observe().standbys:
        if standby.name in names:
            _restart(cluster, standby.name, progress)
    if _primary(cluster) in names:
        switchover.execute(cluster, switchover.plan(cluster, None), progress, lambda _event, _node: None)


def _lower(cluster: Cluster, progress: Progress) -> None:
    """A standby may have less than its primary had only once it has replayed that the primary has less."""
    primary = _primary(cluster)
    if pending(cluster).settings.get(primary):
        _restart(cluster, primary, progress)
        _replayed(cluster, frozenset(node.name for node in cluster.project.spec.nodes) - {primary})
    for name in pending(cluster).nodes:
        _restart(cluster, name, progress)


def _replayed(cluster: Cluster, standbys: frozenset[str]) -> None:
    verify.token_replayed(cluster, cluster.engine.await_streaming(standbys, REJOIN_SECONDS))


def _restart(cluster: Cluster, name: str, progress: Progress) -> None:
    observed = cluster.engine.observe()
    node = observed.node(name)
    if not is_primary(cluster, name):
        with progress.step(f"restart {name}"):
            _anew(cluster, name, progress)
            cluster.engine.await_streaming(frozenset({name}), REJOIN_SECONDS)
        return
    with progress.step(f"restart {name}, the primary"):
        if isinstance(node, Reachable):
            with connected(node.endpoint, cluster.engine.admin, answer_seconds=300) as connection:
                connection.execute("CHECKPOINT")  # so that the stop, which writes another, is quick
        _anew(cluster, name, progress)
        wait_until(
            lambda: _accepts_writes(cluster, name), deadline=_START_SECONDS, pause=0.02,
            waiting_for=f"{name} to accept writes", hint=f"haop logs --node {name}",
        )  # fmt: skip
        followers = frozenset(standby.name for standby in observed.standbys if observed.streams(standby.name))
        cluster.engine.await_streaming(followers, REJOIN_SECONDS)


def _accepts_writes(cluster: Cluster, name: str) -> bool:
    observed = cluster.engine.observe()
    if (node := observed.node(name)).service.state is State.STOPPED:
        hint = "correct haop.toml where that is the cause, then haop up starts it again"
        raise HaopError(f"{name}, the primary, ended: {cluster.engine.last_words(name)}", hint=hint)
    return node in observed.primaries


def _anew(cluster: Cluster, name: str, progress: Progress) -> None:
    """Stop it, and start it as haop.toml says now."""
    services = cluster.services()
    outdated = cluster.runtime.create(services, progress.step)
    places.require_own(cluster, {name} & {*outdated})
    stopping.stop(cluster.runtime, name)
    if name in outdated:
        cluster.runtime.create(services, progress.step)
    cluster.runtime.start(services[name])


def _primary(cluster: Cluster) -> str:
    observed = cluster.engine.observe()
    if not observed.primary:
        raise absent(observed, "a restart needs one primary that answers", "haop status says what to do")
    return observed.primary.name
