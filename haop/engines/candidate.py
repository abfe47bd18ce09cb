"""Who is promoted. Pure."""

from haop.errors import Degraded, HaopError, NoPrimary, Refused
from haop.model.refusing import refusal, remedy
from haop.model.status import ClusterStatus, Reachable

# To replay that takes longer than to salvage a quarter of it.
MUCH_BYTES = 256 * 2**20


def candidate(status: ClusterStatus, to: str | None) -> str:
    """The most advanced standby: the highest timeline, then the furthest WAL that it has received.

    Of those with the same WAL it is the one that has the least of it left to replay: it is primary soonest.

    Args:
        status: what was observed.
        to: the node that the operator wants; it must be as far as any other.

    Raises:
        Refused: a primary answers, or lives and refuses haop, or the wanted node cannot be promoted without losing what
            another standby has.
        NoPrimary: no standby answers.
    """
    if status.primaries:
        name = status.primaries[0].name
        raise Refused(
            f"{name} is primary and answers; a failover is for a primary that is gone",
            hint="to move it on purpose: haop switchover; to rehearse a failure: haop drill failover",
        )
    if living := status.refusing_primary:
        raise Refused(f"{refusal(living)}; a failover is for a primary that is gone", hint=remedy(living))
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


def sooner(status: ClusterStatus, foremost: str) -> str | None:
    """Who would be primary much sooner than the foremost, once salvage has given it the little that it lacks, if any.

    A standby that is delayed on purpose, or whose replay is held, may have received a little more than another.
    """
    best = status.node(foremost)
    assert isinstance(best, Reachable)
    close = [node for node in status.standbys if _lacks_little(node, best)]
    ready = max(close, key=lambda node: node.server.lsn)
    return ready.name if ready.server.lsn - best.server.lsn > MUCH_BYTES else None


def _lacks_little(node: Reachable, best: Reachable) -> bool:
    lacks = best.server.reach - node.server.reach
    return node.server.timeline == best.server.timeline and lacks <= MUCH_BYTES // 4


def absent(status: ClusterStatus, message: str, hint: str) -> HaopError:
    """What a command that needs one primary raises where none answers, or two do: one that lives is not absent."""
    if living := status.refusing_primary:
        return Degraded(refusal(living), hint=remedy(living))
    return NoPrimary(message, hint=hint)


def _advance(node: Reachable) -> tuple[int, int]:
    return node.server.timeline, node.server.reach.position
