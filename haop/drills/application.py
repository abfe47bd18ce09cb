"""From what users of the application saw to figures, and to why it came back later than its database. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from haop.drills.ledger import Ledger, Page

# An application that is back so soon after its database needs no explanation.
_LAG_SECONDS = 1.0
_WORDS = {
    "it cannot resolve the name of a node (DNS)": (
        "could not translate host name", "name or service not known", "getaddrinfo", "failed to resolve host",
    ),
    "its pool gives out no connection that works": ("pooltimeout", "queuepool", "couldn't get a connection"),
    "its connections stay on a node that takes no writes (25006)": ("25006", "read-only transaction", "read only sql"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What users of the application saw. None: it could not be measured; a page that was not asked for has none."""

    reads: int
    failed_reads: int
    read_recovery_seconds: float | None
    writes: int
    failed_writes: int
    write_recovery_seconds: float | None
    longest_write_gap_seconds: float | None  # between two that were served
    slowest_seconds: float
    cause: str | None  # why its writes were back so late; None: they were not

    @property
    def told(self) -> str:
        """Its writes in a sentence."""
        if not self.writes:
            return ""
        back = self.write_recovery_seconds
        return f"application writes {'never' if back is None else f'after {back:.2f} s'}"


def measure_pages(
    ledger: Ledger, *, fault_at: float, database_seconds: float | None, old: Collection[str]
) -> Application | None:
    """Figures of the pages; None where none was asked for.

    Args:
        ledger: what the users saw.
        fault_at: when the fault began.
        database_seconds: how long after it the database took writes again; None: it did not.
        old: what the old primary is called, as host and port.
    """
    if not ledger.pages:
        return None
    kinds = {write: [page for page in ledger.pages if page.write is write] for write in (False, True)}
    reads, writes = kinds[False], kinds[True]
    back = _recovery(writes, fault_at, quiet=False)
    return Application(
        reads=len(reads),
        failed_reads=sum(not page.served for page in reads),
        read_recovery_seconds=_recovery(reads, fault_at, quiet=True),
        writes=len(writes),
        failed_writes=sum(not page.served for page in writes),
        write_recovery_seconds=back,
        longest_write_gap_seconds=_longest_gap(writes),
        slowest_seconds=max(page.ended - page.begun for page in ledger.pages),
        cause=_cause(ledger, fault_at=fault_at, back=back, database=database_seconds, old=old) if writes else None,
    )


def _recovery(pages: Sequence[Page], fault_at: float, *, quiet: bool) -> float | None:
    """Until the first page that was served after the last that failed; where none failed, 0.0 if that is `quiet`."""
    after = [page for page in pages if page.ended >= fault_at]
    failed = [page.begun for page in after if not page.served]
    if not failed and quiet:
        return 0.0 if after else None
    since = max(failed, default=fault_at)
    return min((page.ended - fault_at for page in after if page.served and page.begun > since), default=None)


def _longest_gap(pages: Sequence[Page]) -> float | None:
    ended = sorted(page.ended for page in pages if page.served)
    return max((later - earlier for earlier, later in pairwise(ended)), default=None)


def _cause(
    ledger: Ledger, *, fault_at: float, back: float | None, database: float | None, old: Collection[str]
) -> str | None:
    if database is None or (back is not None and back - database <= _LAG_SECONDS):
        return None
    since = fault_at + database
    if any(seen.place in old for seen in ledger.pinned if seen.at > since):
        return "its connections stay on the old primary, which takes no writes (25006)"
    late = (page for page in ledger.pages if page.write and not page.served and page.ended > since)
    said = " ".join(page.said.lower() for page in late)
    return next((cause for cause, words in _WORDS.items() if any(word in said for word in words)), "unknown")
