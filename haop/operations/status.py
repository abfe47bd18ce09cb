"""`haop status`: what the cluster is, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from haop.model import outside
from haop.model.containers_health import assess_containers
from haop.model.health import Finding, Health, Severity, assess, health
from haop.model.service import ServiceState
from haop.model.status import ClusterStatus
from haop.operations import access, guarding, heal, maintenance
from haop.operations.cluster import Cluster

# What concerns the replication of all nodes together. What concerns that of one names it.
_GRAVE = {"no-primary", "two-primaries", "foreign-node", "interrupted"}


@dataclass(frozen=True, slots=True)
class Assessment:
    """A cluster as observed, and the judgement."""

    status: ClusterStatus
    findings: tuple[Finding, ...]
    health: Health
    addons: Mapping[str, ServiceState]  # what stands beside the nodes


def observe(cluster: Cluster) -> Assessment:
    """Ask all nodes at once and judge what they say."""
    return judged(cluster, cluster.engine.observe())


def judged(cluster: Cluster, status: ClusterStatus) -> Assessment:
    """Judge a status that was observed already."""
    spec = cluster.project.spec
    addons = {name: cluster.runtime.state(name) for name in spec.addons}
    findings = (*assess(spec, status), *outside.assess(spec, status), *assess_containers(spec, status, addons))
    if begun := heal.read(cluster.project):
        findings += (
            Finding(
                code="interrupted", severity=Severity.WARNING, node=begun.node,
                message=f"interrupted: {begun.told}",
                hint=f"bring everything back: {begun.remedy}",
            ),
        )  # fmt: skip
    findings += (*_guard(cluster, status), *access.findings(cluster, status))
    findings = tuple(sorted(findings, key=lambda finding: list(Severity).index(finding.severity)))
    return Assessment(status, findings, health(status, findings), addons)


def _guard(cluster: Cluster, status: ClusterStatus) -> tuple[Finding, ...]:
    """Whether somebody would replace the primary, where somebody should."""
    if not cluster.project.spec.guard.enabled or not any(status.reachable):
        return ()
    if (there := guarding.found(cluster.project)) is None:
        return (
            Finding(
                code="guard-absent", severity=Severity.WARNING,
                message="no guard watches: nobody would replace a primary that is gone", hint="haop up starts it",
            ),
        )  # fmt: skip
    if why := guarding.stalled(cluster.project, there):
        return (
            Finding(
                code="guard-stalled", severity=Severity.WARNING, message=f"the guard does nothing: {why}",
                hint="haop up ends it and starts another",
            ),
        )  # fmt: skip
    if pause := maintenance.paused(cluster.project):
        return (
            Finding(
                code="guard-paused", severity=Severity.INFO if pause.until else Severity.WARNING,
                message=f"the guard is paused {pause.told}", hint="haop guard resume",
            ),
        )  # fmt: skip
    return ()


def disturbance(cluster: Cluster, found: Assessment) -> Finding | None:
    """What keeps a cluster from being steady enough to move its primary; None where nothing does.

    What is wrong beside replication, such as a missing checksum or an application that is down, does not.
    """
    nodes = {node.name for node in cluster.project.spec.nodes}
    grave = (f for f in found.findings if f.severity is Severity.ERROR or f.severity is Severity.WARNING)
    return next((f for f in grave if f.node in nodes or f.code in _GRAVE), None)
