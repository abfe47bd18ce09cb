"""What `haop up` changes of a cluster that runs, so that it is as `haop.toml` and `.env` say."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from haop.errors import Degraded, NoPrimary
from haop.model.health import Finding, Severity
from haop.model.settings import Restarts
from haop.operations import restart as restarts
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.postgres import replication, settings
from haop.postgres.connection import connected


def reload(cluster: Cluster) -> tuple[str, ...]:
    """Let every server read its files again that has not; says where."""
    admin = cluster.engine.admin
    nodes = [node for node in cluster.engine.observe().reachable if settings.reload_stale(node.endpoint, admin)]
    return (f"settings on {', '.join(node.name for node in nodes)}",) if nodes else ()


def restart(
    cluster: Cluster, outdated: Sequence[str], progress: Progress, consent: Callable[[Sequence[str]], bool]
) -> status.Assessment:
    """Restart for what takes effect only then, if that is allowed; else it is a finding."""
    waiting = restarts.pending(cluster, outdated)
    if not waiting:
        return status.observe(cluster)
    if not consent(_plan(cluster, waiting)):
        found = status.observe(cluster)
        return replace(found, findings=(*found.findings, _needed(waiting)))
    nodes = {node.name for node in cluster.project.spec.nodes}
    if waiting.nodes or nodes & set(outdated):
        restarts.rolling(cluster, progress, outdated)
    if beside := [name for name in outdated if name not in nodes]:
        restarts.addons(cluster, beside, progress)
    if left := restarts.pending(cluster):
        raise Degraded(f"still waiting for a restart: {'; '.join(left.told())}", hint="haop restart --rolling")
    return status.observe(cluster)


def told(strays: Sequence[str]) -> tuple[str, ...]:
    """What pruning would do, a line each."""
    return tuple(f"remove {name}, which haop.toml no longer names: it, its data, and its slot" for name in strays)


def prune(cluster: Cluster, strays: Sequence[str], progress: Progress) -> None:
    """Stop and remove what `haop.toml` no longer names, with its data and its slot."""
    for name in strays:
        with progress.step(f"remove {name}"):
            cluster.runtime.stop(name)
            primary = cluster.engine.observe().primary
            if not primary:
                raise NoPrimary(f"{name} was stopped, and there is no primary", hint="haop status says what to do")
            with connected(primary.endpoint, cluster.engine.admin) as link:
                replication.drop_slots(link, [name.replace("-", "_")])
            cluster.runtime.remove(name)


def strays_left(strays: Sequence[str]) -> tuple[Finding, ...]:
    """Something that `haop.toml` no longer names and that is still there."""
    return tuple(
        Finding(
            code="not-in-haop-toml", severity=Severity.INFO, node=name,
            message=f"{name} is not in haop.toml, and still here",
            hint="haop up --prune removes it with its data; or put it back into haop.toml",
        )
        for name in strays
    )  # fmt: skip


def _plan(cluster: Cluster, waiting: Restarts) -> tuple[str, ...]:
    spec, found = cluster.project.spec, cluster.engine.observe()
    nodes = frozenset(node.name for node in spec.nodes)
    primary = found.primary.name if found.primary else "the primary"
    lines = list(waiting.told())
    if waiting.primary_first(nodes):
        lines.append(f"restart {primary}, the primary, in its place; then {', '.join(sorted(nodes - {primary}))}")
    elif waiting.nodes or nodes & set(waiting.outdated):
        lines.append(f"restart {', '.join(sorted(nodes - {primary}))}; switch over; {primary} follows")
        lines += ["then lower in their places, the new primary first, what was lowered"] if waiting.lowers else []
    beside = [name for name in waiting.outdated if name not in nodes]
    return (*lines, *([f"restart {', '.join(beside)}"] if beside else []))


def _needed(waiting: Restarts) -> Finding:
    return Finding(
        code="restart-needed", severity=Severity.INFO, message=f"not yet in effect: {'; '.join(waiting.told())}",
        hint="haop up --yes restarts what needs it, one after the other",
    )  # fmt: skip
