"""Looks at this machine: memory, and the programs that haop needs."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing

from haop.errors import HaopError
from haop.model.diagnosis import Gap
from haop.model.examined import MachineSeen
from haop.operations.cluster import Cluster
from haop.postgres import binaries
from haop.project import Project


def look(project: Project, cluster: Cluster | Gap) -> MachineSeen:
    """Of the machine that the servers run on: the engine's, where there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if project.spec.runtime == "compose":
        problems = tuple(_engine())
        if not problems and not isinstance(cluster, Gap):
            memory = _engine_memory(project, cluster) or memory
    else:
        problems = tuple(_programs(project))
    return MachineSeen(system=sys.platform, memory_bytes=memory, problems=problems)


def _engine() -> Iterator[tuple[str, str]]:
    from haop.docker import compose  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

    for ask in (_knock, compose.check_version):
        try:
            ask()
        except HaopError as problem:
            yield problem.message, problem.hint or ""


def _knock() -> None:
    from haop.docker import engine  # noqa: PLC0415 - see above

    with closing(engine.connect()):
        pass


def _engine_memory(project: Project, cluster: Cluster) -> int | None:
    from haop.docker import examination  # noqa: PLC0415 - see above
    from haop.docker.containers import Containers  # noqa: PLC0415 - see above

    try:
        return examination.memory(Containers(project.spec.name, cluster.secrets.cluster_id))
    except HaopError:
        return None


def _programs(project: Project) -> Iterator[tuple[str, str]]:
    try:
        binaries.installation(project.spec.postgres, project.spec.local.bindir)
    except HaopError as problem:
        yield problem.message, problem.hint or ""
