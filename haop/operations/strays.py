"""What a cluster has that `haop.toml` no longer names: nodes that were taken out of it, services that were disabled."""

from collections.abc import Sequence
from functools import partial

from haop.errors import HaopError, NoPrimary, Refused
from haop.model.health import Finding, Severity
from haop.model.spec import slot_of
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.waiting import wait_until

_ADDONS = {"redis", "web"}


def find(cluster: Cluster) -> Sequence[str]:
    """Their names.

    Raises:
        Refused: one of them has the primary's data. The nodes that are left would be promoted beside it, or wait for
            ever for one of their own.
    """
    found = cluster.runtime.strays()
    nodes = [name for name in found if name not in _ADDONS]
    if primary := next((name for name in nodes if _is_primary(cluster, name)), None):
        raise Refused(f"{primary} is the primary, and haop.toml no longer names it", hint=_hint(primary))
    if nodes and not any(_is_primary(cluster, node.name) for node in cluster.project.spec.nodes):
        raise Refused(
            f"no node in haop.toml is the primary; {' or '.join(nodes)}, which it no longer names, may be",
            hint=_hint(nodes[0]),
        )
    return found


def told(cluster: Cluster, names: Sequence[str]) -> tuple[str, ...]:
    """What removing them would do, a line each."""
    return tuple(f"remove {name}, which haop.toml no longer names: {_told(cluster, name)}" for name in names)


def _told(cluster: Cluster, name: str) -> str:
    if name in _ADDONS:
        return "its container and its data" if name == "redis" else "its container"
    alone = "; it was primary, and rows that only it has go with it" if _was_primary(cluster, name) else ""
    return f"it, its data, and its slot{alone}"


def remove(cluster: Cluster, names: Sequence[str], progress: Progress) -> None:
    """Stop them and delete a node's data, and its slot on every node: one that is kept keeps WAL."""
    for name in names:
        with progress.step(f"remove {name}"):
            cluster.runtime.stop(name)
            if name not in _ADDONS:
                _drop_slots(cluster, name)
            cluster.runtime.remove(name)


def _drop_slots(cluster: Cluster, name: str) -> None:
    observed = cluster.engine.observe()
    if not observed.primary:
        raise NoPrimary(f"{name} was stopped, and there is no primary", hint="haop status says what to do")
    for node in observed.reachable:
        with connected(node.endpoint, cluster.engine.admin) as link:
            wait_until(
                partial(replication.drop_slot, link, slot_of(name)), deadline=30, pause=0.02,
                waiting_for=f"{node.name} to see that {name} is gone", hint="haop up --prune",
            )  # fmt: skip


def findings(names: Sequence[str]) -> tuple[Finding, ...]:
    """Something that `haop.toml` no longer names and that is still there."""
    return tuple(
        Finding(
            code="not-in-haop-toml", severity=Severity.INFO, node=name,
            message=f"{name} is not in haop.toml, and still here",
            hint="haop up --prune removes it, a node with its data; or put it back into haop.toml",
        )
        for name in names
    )  # fmt: skip


def _was_primary(cluster: Cluster, name: str) -> bool:
    try:
        return cluster.engine.was_primary(name)
    except HaopError:  # see below
        return False


def _is_primary(cluster: Cluster, name: str) -> bool:
    """Whether its data are a primary's; those of one that was fenced have what no other node has, perhaps."""
    try:
        return cluster.engine.was_primary(name) and not cluster.runtime.state(name).fenced
    except HaopError:  # a volume without a container, which stack/ no longer tells how to make
        return False


def _hint(name: str) -> str:
    return f"put {name} back into haop.toml; haop up; haop switchover; then take it out again"
