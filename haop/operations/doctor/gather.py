"""Gathers what the doctor judges. Nothing here fails: what cannot be looked at becomes a `Gap`."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from haop.errors import HaopError, Refused
from haop.model.diagnosis import Gap
from haop.model.examined import ServerSeen
from haop.model.service import State
from haop.model.status import NodeStatus, Unreachable
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.operations.doctor import gather_containers, gather_machine, gather_project
from haop.operations.doctor.facts import Facts
from haop.postgres import examine
from haop.project import Project

T = TypeVar("T")


def gather(project: Project) -> Facts:
    """Look at everything once; servers, disks and containers all at once."""
    cluster = tried(lambda: Cluster.of(project, exposed=True))
    assessment = cluster if isinstance(cluster, Gap) else tried(lambda: status.observe(cluster))
    nodes = [node.name for node in project.spec.nodes]
    if isinstance(cluster, Gap) or isinstance(assessment, Gap):
        reason = assessment if isinstance(assessment, Gap) else Gap("")
        servers: Mapping[str, ServerSeen | Gap] = dict.fromkeys(nodes, reason)
        stale: Mapping[str, bool | Gap] = dict.fromkeys(nodes, reason)
    else:
        servers = _at_once(assessment.status.nodes, partial(_server, cluster))
        stale = {node.name: _is_primarys(cluster, node) for node in assessment.status.nodes if _over(node)}
    secrets = cluster if isinstance(cluster, Gap) else cluster.secrets
    places, containers = gather_containers.look(project, cluster, assessment)
    for name, why in servers.items():  # one reason for each node that is away
        if isinstance(why, Gap) and isinstance(places[name], Gap):
            places[name] = why
    return Facts(
        spec=project.spec,
        project=gather_project.look(project, cluster, secrets, refusal=_refusal(cluster)),
        secrets=secrets,
        machine=gather_machine.look(project, cluster),
        assessment=assessment,
        servers=servers,
        places=places,
        containers=containers,
        stale_primaries=stale,
        strays=cluster if isinstance(cluster, Gap) else tried(lambda: tuple(cluster.runtime.strays())),
    )


def tried(look: Callable[[], T]) -> T | Gap:
    """What it returns, or why it did not."""
    try:
        return look()
    except (HaopError, OSError) as problem:
        return Gap(problem.message if isinstance(problem, HaopError) else str(problem))


def _at_once(nodes: tuple[NodeStatus, ...], ask: Callable[[NodeStatus], T]) -> dict[str, T]:
    with ThreadPoolExecutor(max_workers=len(nodes), thread_name_prefix="doctor") as pool:
        return dict(zip([node.name for node in nodes], pool.map(ask, nodes), strict=True))


def _server(cluster: Cluster, node: NodeStatus) -> ServerSeen | Gap:
    if isinstance(node, Unreachable):
        return Gap(f"{node.name}: {node.reason}")
    told = tried(lambda: examine.server(node.endpoint, cluster.engine.admin, cluster.project.spec.database))
    return Gap(f"{node.name}: {told.why}") if isinstance(told, Gap) else told


def _over(node: NodeStatus) -> bool:
    return isinstance(node, Unreachable) and node.service.state is State.STOPPED and not node.service.fenced


def _is_primarys(cluster: Cluster, node: NodeStatus) -> bool | Gap:
    if not gather_containers.may_look(cluster, node.name):
        return Gap(f"{node.name} has no container through which its volume could be looked at")
    told = tried(lambda: cluster.engine.was_primary(node.name))
    return Gap(f"{node.name}: {told.why}") if isinstance(told, Gap) else told


def _refusal(cluster: Cluster | Gap) -> tuple[str, str] | Gap | None:
    """Make sure of what `haop up` makes sure of before it starts anything."""
    if isinstance(cluster, Gap):
        return cluster
    try:
        cluster.runtime.check(cluster.settings())
        if gather_project.certified(cluster.project):
            cluster.services()
    except Refused as problem:
        return problem.message, problem.hint or "haop up says the same, and starts nothing"
    except (HaopError, OSError) as problem:
        return Gap(str(problem))
    return None
