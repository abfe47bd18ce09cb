"""What `haop up` changes of a cluster that runs, so that it is as `haop.toml` and `.env` say."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from haop.errors import Degraded
from haop.model.health import Finding, Severity
from haop.model.settings import Restarts
from haop.operations import restart as restarts
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress


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
    if nodes & waiting.waiting:
        restarts.rolling(cluster, progress, outdated, only=waiting.waiting)
    if beside := [name for name in outdated if name not in nodes]:
        restarts.addons(cluster, beside, progress)
    if left := restarts.pending(cluster):
        raise Degraded(f"still waiting for a restart: {'; '.join(left.told())}", hint="haop restart --rolling")
    return status.observe(cluster)


def _plan(cluster: Cluster, waiting: Restarts) -> tuple[str, ...]:
    spec, found = cluster.project.spec, cluster.engine.observe()
    nodes = frozenset(node.name for node in spec.nodes)
    primary = found.primary.name if found.primary else "the primary"
    lines = list(waiting.told())
    if waiting.primary_first(nodes):
        first = [f"{primary}, the primary, in its place"] if waiting.settings.get(primary) else []
        others = sorted({*waiting.nodes} - {primary})
        lines.append(f"restart {'; then '.join([*first, *([', '.join(others)] if others else [])])}")
    elif names := nodes & waiting.waiting:
        standbys = sorted(names - {primary})
        steps = [f"restart {', '.join(standbys)}"] if standbys else []
        lines.append("; ".join([*steps, *([f"switch over; {primary} follows"] if primary in names else [])]))
        lines += ["then lower in their places, the new primary first, what was lowered"] if waiting.lowers else []
    beside = [name for name in waiting.outdated if name not in nodes]
    return (*lines, *([f"restart {', '.join(beside)}"] if beside else []))


def _needed(waiting: Restarts) -> Finding:
    return Finding(
        code="restart-needed", severity=Severity.INFO, message=f"not yet in effect: {'; '.join(waiting.told())}",
        hint="haop up --yes restarts what needs it, one after the other",
    )  # fmt: skip
