"""`haop down`: stop cleanly, applications first, then the primary, the standbys last."""

from collections.abc import Callable

from haop.engines import stopping
from haop.errors import Refused
from haop.model.service import State
from haop.operations import guarding, maintenance, places
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress


def down(cluster: Cluster, progress: Progress, *, volumes: bool, say: Callable[[str], None]) -> tuple[str, ...]:
    """Stop everything that runs; with `volumes`, delete the data afterwards. Returns the services that were stopped.

    A primary that stops first hands its last WAL, the shutdown checkpoint included, to the standbys that still run.

    Raises:
        Refused: what would stay of the data is an adopted standby's, and no primary's; or would not be all of it.
    """
    spec, runtime = cluster.project.spec, cluster.runtime
    left = runtime.strays()
    nodes = [*(node.name for node in spec.nodes), *left]
    if volumes:
        _check_adopted(cluster)
    else:
        places.require_own(cluster, nodes)
    addons = list(spec.addons)[::-1]
    running = {name for name in (*addons, *nodes) if runtime.state(name).state in {State.RUNNING, State.PAUSED}}
    by_role = sorted((name for name in nodes if name in running), key=lambda name: not cluster.engine.was_primary(name))
    order = [*(name for name in addons if name in running), *by_role]
    if guarding.stop(cluster.project) or order:
        maintenance.pause(cluster.project, None, maintenance.DOWN)  # for one that the system starts at boot
    if not order and not volumes:
        runtime.down(volumes=False, say=say)
        return ()
    with audited(cluster.project, "down --volumes" if volumes else "down") as outcome:
        outcome.detail = f"stopped {', '.join(order)}" if order else "nothing ran"
        for name in order:
            with progress.step(f"stop {name}"):
                if name in nodes:
                    stopping.stop(runtime, name)
                else:
                    runtime.stop(name)
        if volumes or runtime.unattended:
            with progress.step("delete the data" if volumes else "remove the containers") as tell:
                for name in left if volumes else ():
                    runtime.remove(name)
                runtime.down(volumes=volumes, say=say if volumes else tell)
    return tuple(order)


def _check_adopted(cluster: Cluster) -> None:
    """A volume that was adopted is kept: what stays in it must be the newest, and able to start by itself."""
    engine, runtime, spec = cluster.engine, cluster.runtime, cluster.project.spec
    for name in spec.adopted:
        if runtime.state(name).state is State.ABSENT:
            continue
        others = [node.name for node in spec.nodes if node.name != name and engine.was_primary(node.name)]
        newer = [other for other in others if not runtime.state(other).fenced]
        if engine.is_standby(name) or runtime.state(name).fenced or newer:
            raise Refused(
                f"{name}, whose adopted volume would be kept, is not the primary: what is newest would be deleted",
                hint=f"make it the primary first: haop up, then haop switchover --to {name}",
            )
