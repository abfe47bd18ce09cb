"""What `haop up` finds, and what it does about that."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from haop.errors import DeadlineExceeded, NoPrimary
from haop.model.service import Service, State
from haop.operations import verify
from haop.operations.cluster import Cluster
from haop.operations.planning import Plan, plan_up
from haop.waiting import wait_until

_ANSWER_SECONDS = 30.0


def survey(cluster: Cluster, services: Mapping[str, Service]) -> Plan:
    """Ask the runtime what is there, and decide.

    Raises:
        NoPrimary: no node may be the primary. The standbys run now, so that an operator can promote one.
    """
    nodes = [node.name for node in cluster.project.spec.nodes]
    states = {name: cluster.runtime.state(name) for name in nodes}
    primaries = frozenset(name for name in nodes if cluster.engine.was_primary(name))
    try:
        return plan_up(states, primaries, frozenset(name for name in nodes if cluster.engine.is_empty(name)))
    except NoPrimary:
        _start_standbys(cluster, services, [n for n, s in states.items() if s.state is State.STOPPED])
        raise


def _start_standbys(cluster: Cluster, services: Mapping[str, Service], stopped: Sequence[str]) -> None:
    """Where no node may be the primary, standbys that run let the operator promote one."""
    standbys = [name for name in stopped if not cluster.runtime.state(name).fenced and cluster.engine.is_standby(name)]
    for name in standbys:
        cluster.runtime.start(services[name])
    with suppress(DeadlineExceeded):
        wait_until(
            lambda: verify.settled(cluster, standbys), deadline=_ANSWER_SECONDS, pause=0.05,
            waiting_for=f"{', '.join(standbys)} to answer",
        )  # fmt: skip
