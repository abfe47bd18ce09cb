"""Who is promoted. Pure."""

from haop.errors import NoPrimary, Refused
from haop.model.status import ClusterStatus, Reachable


def candidate(status: ClusterStatus, to: str | None) -> str:
    """The most advanced standby: the highest timeline, then the furthest WAL that it has received.

    Of those with the same WAL it is the one that has the least of it left to replay: it is primary soonest.

    Args:
        status: what was observed.
        to: the node that the operator wants; it must be as far as any other.

    Raises:
        Refused: a primary answers, or the wanted node cannot be promoted without losing what another standby has.
        NoPrimary: no standby answers.
    """
    if status.primaries:
        name = status.primaries[0].name
        raise Refused(
            f"{name} is primary and answers; a failover is for a primary that is gone",
            hint="to move it on purpose: haop switchover; to rehearse a failure: haop drill failover",
        )
    standbys = status.standbys
    if not standbys:
        raise NoPrimary("no standby answers: there is nothing to promote", hint="haop status says why")
    best = max(standbys, key=lambda node: (*_advance(node), node.server.lsn))
    wanted = best if to is None else next((node for node in standbys if node.name == to), None)
    if wanted is None:
        raise Refused(f"{to} is not a standby that answers", hint="haop status says why")
    if _advance(wanted) < _advance(best):
        missing = best.server.reach - wanted.server.reach
        raise Refused(
            f"{best.name} has {missing} bytes of WAL that {wanted.name} lacks: they would be lost",
            hint=f"haop failover --to {best.name}",
        )
    return wanted.name


def _advance(node: Reachable) -> tuple[int, int]:
    return node.server.timeline, node.server.reach.position
