"""Looks at where the data lie, and at the containers of a Compose stack; makes and starts none."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from haop.errors import HaopError
from haop.model.diagnosis import Gap
from haop.model.examined import ContainerSeen, PlaceSeen
from haop.operations.cluster import Cluster
from haop.operations.doctor.gather_project import passwords
from haop.operations.status import Assessment
from haop.project import ENV, Project
from haop.runtimes.local import LocalRuntime

if TYPE_CHECKING:
    from haop.docker.containers import Containers

Places: TypeAlias = dict[str, PlaceSeen | Gap]
Seen: TypeAlias = Mapping[str, ContainerSeen | Gap]


def look(project: Project, cluster: Cluster | Gap, assessment: Assessment | Gap) -> tuple[Places, Seen]:
    """Each node's disk, and each service's container."""
    nodes = [node.name for node in project.spec.nodes]
    services = [*nodes, *project.spec.addons] if project.spec.runtime == "compose" else []
    reason = next((it for it in (cluster, assessment) if isinstance(it, Gap)), None)
    if isinstance(cluster, Gap):
        return dict.fromkeys(nodes, cluster), dict.fromkeys(services, cluster)
    if isinstance(cluster.runtime, LocalRuntime):
        return {name: _folder(cluster, name, cluster.runtime) for name in nodes}, {}
    if reason:
        return dict.fromkeys(nodes, reason), dict.fromkeys(services, reason)
    containers = _containers(cluster)
    hashes = _hashes(cluster)
    with ThreadPoolExecutor(max_workers=len(services), thread_name_prefix="doctor") as pool:
        seen = dict(
            zip(services, pool.map(lambda s: _container(cluster, containers, s, hashes), services), strict=True)
        )
        places = dict(zip(nodes, pool.map(lambda n: _place(containers, n, seen[n]), nodes), strict=True))
    return places, seen


def may_look(cluster: Cluster, node: str) -> bool:
    """Whether a stopped node's data can be looked at without making a container for it."""
    return cluster.project.spec.runtime != "compose" or _containers(cluster).inspect(node) is not None


def _containers(cluster: Cluster) -> "Containers":
    from haop.docker.containers import Containers  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

    return Containers(cluster.project.spec.name, cluster.secrets.cluster_id)


def _folder(cluster: Cluster, node: str, runtime: LocalRuntime) -> PlaceSeen | Gap:
    data = cluster.project.state / "local" / node / "data"
    try:
        found, disk = data.stat(), os.statvfs(data)
        owned = found.st_uid == runtime.run_as.uid
    except FileNotFoundError:
        return Gap(f"{node} has no data yet")
    except (HaopError, OSError) as problem:
        return Gap(f"{node}: {problem}")
    free = disk.f_bavail * disk.f_frsize
    return PlaceSeen(filesystem=str(found.st_dev), free_bytes=free, mode=found.st_mode & 0o777, owned=owned)


def _container(
    cluster: Cluster, containers: "Containers", service: str, hashes: Mapping[str, str]
) -> ContainerSeen | Gap:
    from haop.docker import examination  # noqa: PLC0415 - see above

    try:
        seen = examination.container(
            containers, service, passwords=passwords(cluster.secrets), wanted_hash=hashes.get(service)
        )
    except HaopError as problem:
        return Gap(f"{service}: {problem.message}")
    return seen or Gap(f"{service} has no container")


def _place(containers: "Containers", node: str, seen: ContainerSeen | Gap) -> PlaceSeen | Gap:
    from haop.docker import examination  # noqa: PLC0415 - see above

    if isinstance(seen, Gap):
        return seen
    if not seen.running:
        return Gap(f"{node} does not run, or is paused")
    try:
        return examination.place(containers, node)
    except HaopError as problem:
        return Gap(f"{node}: {problem.message}")


def _hashes(cluster: Cluster) -> Mapping[str, str]:
    """What Compose would label containers with today; nothing where it cannot read stack/."""
    from haop.docker.compose import Compose  # noqa: PLC0415 - see above

    try:
        return Compose(cluster.project.stack / "compose.yaml", cluster.project.root / ENV).hashes()
    except HaopError:
        return {}
