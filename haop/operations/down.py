"""`haop down`: stop cleanly, the primary first and the standbys last."""

from collections.abc import Callable

from haop.model.service import State
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress


def down(cluster: Cluster, progress: Progress, *, volumes: bool, say: Callable[[str], None]) -> tuple[str, ...]:
    """Stop every node that runs; with `volumes`, delete their data afterwards. Returns the nodes that were stopped.

    A primary that stops first hands its last WAL, the shutdown checkpoint included, to the standbys that still run.
    """
    names = [node.name for node in cluster.project.spec.nodes]
    running = [name for name in names if cluster.runtime.state(name).state in {State.RUNNING, State.PAUSED}]
    order = sorted(running, key=lambda name: not cluster.engine.was_primary(name))
    if not order and not volumes:
        return ()
    with audited(cluster.project, "down --volumes" if volumes else "down") as outcome:
        outcome.detail = f"stopped {', '.join(order)}" if order else "nothing ran"
        for name in order:
            with progress.step(f"stop {name}"):
                cluster.runtime.stop(name)
        if volumes:
            with progress.step("delete the data"):
                cluster.runtime.remove_data(say)
    return tuple(order)
