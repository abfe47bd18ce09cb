"""What `haop up` is going to do. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from haop.errors import NoPrimary
from haop.model.service import ServiceState, State


@dataclass(frozen=True, slots=True)
class Plan:
    """Which nodes are touched, and how; the rest are left alone."""

    resume: tuple[str, ...]
    primary: str | None  # started first
    standbys: tuple[str, ...]  # started, or cloned where they are empty
    rejoin: tuple[str, ...]  # fenced
    left: tuple[str, ...] = ()  # only a clone in place of its data helps, and that is not begun unasked

    def __str__(self) -> str:
        """What is done, for the audit trail."""
        parts = {"resumed": self.resume, "started": (self.primary,) if self.primary else (), "and": self.standbys,
                 "rejoined": self.rejoin}  # fmt: skip
        parts["left for a rebuild"] = self.left
        told = " ".join(f"{word} {', '.join(names)}" for word, names in parts.items() if names)
        return told or "everything ran already"


def plan_up(states: Mapping[str, ServiceState], primaries: frozenset[str], empty: frozenset[str]) -> Plan:
    """Decide from what the runtime knows. Pure.

    Args:
        states: of every node, in the order of `haop.toml`.
        primaries: nodes whose data is a primary's.
        empty: nodes that have no data; one of them may run, and be about to initialise or to clone.

    Raises:
        NoPrimary: there is data, but not one unfenced primary's: none, or several of which none runs.
    """
    down = [name for name, state in states.items() if state.state in {State.STOPPED, State.ABSENT}]
    fenced = [name for name in down if states[name].fenced]
    able = [name for name in primaries if not states[name].fenced]
    if empty == states.keys():
        able = [next(iter(states))]
    elif not able:
        hint = "haop failover promotes the most advanced standby; haop up has started those that were stopped"
        if primaries and primaries | empty == states.keys():
            former = " or ".join(sorted(primaries))
            hint = f"bring back who was primary since, or do without it: haop failover --to {former} --accept-loss"
        raise NoPrimary("every node that was primary is fenced, and none was promoted", hint=hint)
    # A primary that runs already is the one to follow: what else was primary then becomes its standby.
    serves = any(name not in down for name in able)
    first = [] if serves else [name for name in down if name in able]
    if len(first) > 1 and len(first) == len(able):
        hint = (
            "pg_controldata says which is ahead; take away the other's data (.haop/local/NODE/data, or after haop down "
            "its volume), and haop up clones it again"
        )
        raise NoPrimary(f"{' and '.join(first)} all have a primary's data, and none of them runs", hint=hint)
    return Plan(
        resume=tuple(name for name, state in states.items() if state.state is State.PAUSED),
        primary=first[0] if first else None,
        standbys=tuple(name for name in down if name not in fenced and name not in first[:1]),
        rejoin=tuple(name for name in fenced if not states[name].needs_rebuild),
        left=tuple(name for name, state in states.items() if state.needs_rebuild),
    )
