"""A drill's report: one value, stored as JSON, shown by the command line."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from haop import __version__
from haop.drills.application import Application
from haop.drills.ledger import Ledger, Moment
from haop.drills.measure import Measurement, acknowledged_per_bucket
from haop.drills.verdict import Verdict
from haop.model.status import Server, version
from haop.operations.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "haop.drill.failover/1"
BUCKETS = 60

DRILL, GUARD = "haop drill", "guard"
NOTES = {
    DRILL: "this drill promoted by itself; without an operator nothing would have, and the time to detect the failure "
    "is not in the figures",
    GUARD: "the guard promoted; the time to detect the failure is in the figures",
}


class Run(Protocol):
    """What the report needs of a finished drill."""

    id: str
    fault: Any
    began_at: datetime
    cluster: Cluster
    ledger: Ledger
    server: Server
    old_primary: str
    new_primary: str | None
    salvaged_bytes: int | None
    fault_at: float

    @property
    def promoted_by(self) -> str:
        """Who promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a drill has to say."""

    id: str
    at: datetime
    cluster: str
    fault: str
    old_primary: str
    new_primary: str | None
    measured: Measurement
    verdict: Verdict
    events: tuple[tuple[float, str, str | None], ...]  # seconds after the fault, what, which node
    buckets: tuple[int, ...]
    bucket_span: tuple[float, float]  # seconds after the fault
    settings: dict[str, Any]
    promoted_by: str
    note: str
    salvaged_bytes: int | None = None  # WAL that only the dead primary had; None where nobody has counted it
    application: Application | None = None  # where haop.toml names pages of one

    @property
    def told(self) -> str:
        """The figures in a sentence, for the audit trail."""
        m = self.measured
        recovery = "never" if m.write_recovery_seconds is None else f"after {m.write_recovery_seconds:.2f} s"
        told = f"writes came back {recovery}, {len(m.lost)} of {m.acknowledged_writes} acknowledged writes lost"
        pages = self.application.told if self.application else ""
        return f"{told}; {pages}" if pages else told

    def document(self) -> dict[str, Any]:
        """The report as JSON has it: raw numbers, seconds."""
        m = self.measured
        return {
            "schema": SCHEMA,
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "cluster": self.cluster,
            "verdict": str(self.verdict.word),
            "reasons": list(self.verdict.reasons),
            "fault": self.fault,
            "old_primary": self.old_primary,
            "new_primary": self.new_primary,
            "promoted_by": self.promoted_by,
            "note": self.note,
            "salvaged_bytes": self.salvaged_bytes,
            "write_recovery_seconds": m.write_recovery_seconds,
            "longest_write_gap_seconds": m.longest_write_gap_seconds,
            "read_recovery_seconds": m.read_recovery_seconds,
            "redundancy_seconds": m.redundancy_seconds,
            "acknowledged_writes": m.acknowledged_writes,
            "acknowledged_before_fault": m.acknowledged_before_fault,
            "indeterminate_writes": m.indeterminate_writes,
            "refused_writes": m.refused_writes,
            "lost_writes": len(m.lost),
            "recovered_writes": len(m.recovered),
            "unexpected_writes": len(m.unexpected),
            "old_primary_writes": len(m.old_primary),
            "lost": list(m.lost),
            "recovered": list(m.recovered),
            "unexpected": list(m.unexpected),
            "old_primary_acknowledged": list(m.old_primary),
            "events": [{"seconds": s, "event": event, "node": node} for s, event, node in self.events],
            "acknowledged_per_bucket": list(self.buckets),
            "bucket_span_seconds": list(self.bucket_span),
            "application": asdict(self.application) if self.application else None,
            "settings": self.settings,
        }


def compile_report(run: Run, measured: Measurement, verdict: Verdict, application: Application | None) -> Report:
    """Put a finished drill into a report, and store it under `.haop/drills/`."""
    end = max((write.ended for write in run.ledger.writes), default=run.fault_at)
    start = min((write.begun for write in run.ledger.writes), default=run.fault_at)
    report = Report(
        id=run.id,
        at=run.began_at,
        cluster=run.cluster.project.spec.name,
        fault=str(run.fault),
        old_primary=run.old_primary,
        new_primary=run.new_primary,
        measured=measured,
        verdict=verdict,
        events=_events(run, measured),
        buckets=acknowledged_per_bucket(run.ledger, start=start, end=end, buckets=BUCKETS),
        bucket_span=(start - run.fault_at, end - run.fault_at),
        settings=_settings(run),
        promoted_by=run.promoted_by,
        note=NOTES[run.promoted_by],
        salvaged_bytes=run.salvaged_bytes,
        application=application,
    )
    store(run.cluster.project.state / "drills" / f"{run.id}.json", report)
    return report


def store(path: Path, report: Report) -> None:
    """Write the report, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".new")
    making.write_text(json.dumps(report.document(), indent=2) + "\n", encoding="utf-8")
    making.replace(path)


def _events(run: Run, measured: Measurement) -> tuple[tuple[float, str, str | None], ...]:
    moments: list[Moment] = sorted(run.ledger.moments, key=lambda moment: moment.at)
    told = [(moment.at - run.fault_at, moment.event, moment.node) for moment in moments]
    if measured.write_recovery_seconds is not None:
        told.append((measured.write_recovery_seconds, "first surviving write", run.new_primary))
    return tuple(sorted(told, key=lambda event: event[0]))


def _settings(run: Run) -> dict[str, Any]:
    """What the figures depend on."""
    spec = run.cluster.project.spec
    nodes: Sequence[str] = [node.name for node in spec.nodes]
    return {
        "haop": __version__,
        "postgres": version(run.server.version_num),
        "runtime": spec.runtime,
        "engine": spec.engine,
        "durability": str(spec.durability),
        "tls": run.server.tls,
        "nodes": list(nodes),
        "parameters": dict(spec.parameters),
        "objectives": {
            "write_recovery_seconds": spec.objectives.write_recovery_seconds,
            "read_recovery_seconds": spec.objectives.read_recovery_seconds,
            "lost_writes": spec.objectives.lost_writes,
        },
    }
