"""From a history to figures. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from haop.drills.ledger import Ledger, Outcome, Read, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a drill measured. None: it could not be measured, which is never good news."""

    write_recovery_seconds: float | None
    longest_write_gap_seconds: float | None
    read_recovery_seconds: float | None
    redundancy_seconds: float | None
    acknowledged_before_fault: int
    acknowledged_writes: int
    indeterminate_writes: int
    refused_writes: int
    lost: tuple[int, ...]
    recovered: tuple[int, ...]
    unexpected: tuple[int, ...]
    old_primary: tuple[int, ...]  # acknowledged by the old primary after another was promoted


def measure(
    ledger: Ledger,
    survivors: frozenset[int],
    *,
    fault_at: float,
    promoted_at: float | None,
    redundant_at: float | None,
    old_primary: str,
) -> Measurement:
    """Compare what was acknowledged with what is there.

    Args:
        ledger: what the clients saw.
        survivors: identifiers of the rows that the new primary has once all is replayed.
        fault_at: when the fault began (monotonic clock, as all times here).
        promoted_at: when another node had become primary; None if none did.
        redundant_at: when every standby streamed again; None if they did not.
        old_primary: the node that the fault hit.
    """
    acknowledged = [write for write in ledger.writes if write.outcome is Outcome.ACKNOWLEDGED]
    ids = frozenset(write.id for write in acknowledged)
    attempted = frozenset(write.id for write in ledger.writes)
    lasting = sorted((write for write in acknowledged if write.id in survivors), key=lambda write: write.ended)
    recovered_at = next((w.ended for w in lasting if w.ended > fault_at and w.node != old_primary), None)
    return Measurement(
        write_recovery_seconds=None if recovered_at is None else recovered_at - fault_at,
        longest_write_gap_seconds=_longest_gap(lasting),
        read_recovery_seconds=_read_recovery(ledger.reads, fault_at),
        redundancy_seconds=None if redundant_at is None else redundant_at - fault_at,
        acknowledged_before_fault=sum(write.ended <= fault_at for write in acknowledged),
        acknowledged_writes=len(ids),
        indeterminate_writes=sum(write.outcome is Outcome.INDETERMINATE for write in ledger.writes),
        refused_writes=sum(write.outcome is Outcome.REFUSED for write in ledger.writes),
        lost=tuple(sorted(ids - survivors)),
        recovered=tuple(sorted((survivors & attempted) - ids)),
        unexpected=tuple(sorted(survivors - attempted)),
        old_primary=tuple(sorted(_late(acknowledged, old_primary, promoted_at))),
    )


def acknowledged_per_bucket(ledger: Ledger, *, start: float, end: float, buckets: int) -> tuple[int, ...]:
    """How many writes were acknowledged in each of so many equal spans from `start` to `end`."""
    counts = [0] * buckets
    width = (end - start) / buckets or 1.0
    for write in ledger.writes:
        if write.outcome is Outcome.ACKNOWLEDGED and start <= write.ended < end:
            counts[int((write.ended - start) / width)] += 1
    return tuple(counts)


def _longest_gap(lasting: list[Write]) -> float | None:
    return max((after.ended - before.ended for before, after in pairwise(lasting)), default=None)


def _read_recovery(reads: Iterable[Read], fault_at: float) -> float | None:
    """From the fault to the end of the last failed read's trouble: 0.0 where no read failed."""
    after = sorted((read for read in reads if read.ended >= fault_at), key=lambda read: read.begun)
    failed = [read for read in after if not read.answered]
    if not failed:
        return 0.0 if after else None
    back = next((read.ended for read in after if read.answered and read.begun >= failed[-1].begun), None)
    return None if back is None else back - fault_at


def _late(acknowledged: Iterable[Write], old_primary: str, promoted_at: float | None) -> Iterable[int]:
    """A write that was begun before the promotion may be told after it; one that was begun after it must not be."""
    return (w.id for w in acknowledged if promoted_at is not None and w.node == old_primary and w.begun > promoted_at)
