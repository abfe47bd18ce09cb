"""`haop switchover`: move the primary on purpose, and lose nothing."""

from dataclasses import dataclass

from haop.engines import switching
from haop.engines.base import Note
from haop.engines.rejoining import REJOIN_SECONDS
from haop.errors import NoPrimary
from haop.operations import confirming, heal, status
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress


@dataclass(frozen=True, slots=True)
class Plan:
    """The primary stops, and that standby takes its place."""

    old: str
    new: str


def plan(cluster: Cluster, to: str | None) -> Plan:
    """What would be done; changes nothing.

    Raises:
        NoPrimary: there is no primary, or the cluster is not steady.
        Refused: the wanted node cannot take over.
    """
    if to:
        cluster.require_node(to)
    found = status.observe(cluster)
    chosen = Plan(*switching.choose(found.status, to))
    if trouble := status.disturbance(cluster, found):
        raise NoPrimary(f"no switchover while the cluster is not steady: {trouble.message}", hint=trouble.hint)
    return chosen


def execute(cluster: Cluster, chosen: Plan, progress: Progress, note: Note) -> None:
    """Do it; afterwards the old primary streams from the new one.

    Raises:
        HaopError: the standby did not make it; the message and the hint say which node is primary now.
    """
    with audited(cluster.project, "switchover", node=chosen.new) as outcome:
        outcome.detail = f"from {chosen.old} to {chosen.new}"
        switch = switching.Switchover(cluster.engine, chosen.old, chosen.new, heal.noting(cluster.project, note))
        with progress.step(f"checkpoint; {chosen.new} catches up"):
            switch.catch_up()
        heal.begin(cluster.project, "switchover", chosen.old)
        with progress.step(f"stop {chosen.old}, promote {chosen.new}"):
            try:
                switch.hand_over()
            except BaseException:
                if cluster.engine.observe().primary:
                    heal.clear(cluster.project)
                raise
        with progress.step(f"{chosen.old} follows {chosen.new}"):
            cluster.runtime.create(cluster.services(), progress.step)  # it comes back as haop.toml says now
            cluster.engine.rejoin(chosen.old, note)
            standbys = {node.name for node in cluster.project.spec.nodes} - {chosen.new}
            cluster.engine.await_streaming(frozenset(standbys), REJOIN_SECONDS)
            confirming.restore(cluster)
        heal.clear(cluster.project)
