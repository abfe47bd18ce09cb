"""Observing a cluster: every node at once, each within its own deadline."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from haop.clock import SYSTEM_CLOCK
from haop.model.probe import NoAnswer
from haop.model.service import ServiceState, State
from haop.model.spec import ClusterSpec
from haop.model.status import ClusterStatus, NodeStatus, Reachable, Unreachable
from haop.postgres import observe
from haop.postgres.answers import Unanswered
from haop.postgres.connection import Login
from haop.runtimes.base import Runtime


def observe_cluster(
    spec: ClusterSpec,
    runtime: Runtime,
    login: Login,
    has_primarys_data: Callable[[str], bool],
    silent: frozenset[str] = frozenset(),
) -> ClusterStatus:
    """Ask the runtime and every server. A node that does not answer costs its own deadline once, never the sum.

    Args:
        spec: of the cluster.
        runtime: that runs it.
        login: as whom to ask.
        has_primarys_data: whether a node would be primary, asked of one whose server lives and does not let us ask it.
        silent: servers that are not asked: they do not answer, as the caller knows.
    """
    names = [node.name for node in spec.nodes]
    look = partial(_node, runtime=runtime, login=login, has_primarys_data=has_primarys_data, silent=silent)
    with ThreadPoolExecutor(max_workers=len(names), thread_name_prefix="observe") as pool:
        status = ClusterStatus(tuple(pool.map(look, names)), SYSTEM_CLOCK.now())
    if status.primary and any(map(status.lost_by_primary, status.standbys)):
        # It may have been asked just before it wrote what a standby has by now: only what it says after that counts.
        late = look(status.primary.name)
        status = replace(status, nodes=tuple(late if node.name == late.name else node for node in status.nodes))
    return status


def _node(
    name: str, *, runtime: Runtime, login: Login, has_primarys_data: Callable[[str], bool], silent: frozenset[str]
) -> NodeStatus:
    endpoint, service = runtime.endpoint(name), runtime.state(name)
    if why_not := _silent(service) or ("it does not answer" if name in silent else None):
        return Unreachable(name=name, endpoint=endpoint, service=service, reason=why_not)
    try:
        server = observe.server(endpoint, login)
    except Unanswered as error:
        primarys = error.kind is NoAnswer.DENIED and has_primarys_data(name)
        return Unreachable(
            name=name, endpoint=endpoint, service=service, reason=error.message, kind=error.kind, code=error.code,
            primarys=primarys,
        )  # fmt: skip
    return Reachable(name=name, endpoint=endpoint, service=service, server=server)


def _silent(service: ServiceState) -> str | None:
    """Why it is no use to ask that server; None when it should answer."""
    match service.state:
        case State.ABSENT:
            return "it has no data yet"
        case State.PAUSED:
            return "its processes are paused"
        case State.STOPPED:
            return "fenced" if service.fenced else f"stopped ({service.remark})" if service.remark else "stopped"
        case State.RUNNING:
            return None
