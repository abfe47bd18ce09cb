"""Judgement: what is wrong with an observed cluster, given what was asked for. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from haop.model.refusing import FULL, refusal, remedy
from haop.model.service import ServiceState, State
from haop.model.spec import ClusterSpec, Durability, NodeSpec
from haop.model.status import ClusterStatus, Reachable, Role, Unreachable, version

# A standby further behind than this is named: a segment of WAL, or half a minute.
LAGGING_BYTES = 16 * 2**20
LAGGING_SECONDS = 30.0
# A file of WAL that has waited for its archive so long: the command hangs, or is too slow.
ARCHIVING_SECONDS = 300.0


class Severity(StrEnum):
    """Error: clients feel it, or the next failure would hurt. Warning: less than asked for. Info: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Health(StrEnum):
    """The whole cluster in a word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NO_PRIMARY = "no primary"
    TWO_PRIMARIES = "two primaries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One named judgement."""

    code: str
    severity: Severity
    message: str
    node: str | None = None
    hint: str | None = None


def assess(spec: ClusterSpec, status: ClusterStatus) -> tuple[Finding, ...]:
    """Everything about the servers that is not as asked for."""
    findings = [
        *_fences(status),
        *_primaries(status),
        *_lost(status),
        *_differences(spec, status),
        *_durability(spec, status),
        *_tls(status),
        *_archiving(status),
    ]
    for node in spec.nodes:
        findings += [*_node(status, node), *_slot(status, node)]
    return tuple(findings)


def health(status: ClusterStatus, findings: tuple[Finding, ...]) -> Health:
    """The word for the cluster line and the exit code."""
    if len(status.primaries) > 1 or (status.primaries and status.breached):
        return Health.TWO_PRIMARIES
    if not status.primaries and not status.refusing_primary:
        return Health.NO_PRIMARY
    return Health.DEGRADED if any(f.severity is not Severity.INFO for f in findings) else Health.HEALTHY


def _fences(status: ClusterStatus) -> Iterator[Finding]:
    for node in status.breached:
        primary = isinstance(node, Reachable) and node.server.role is Role.PRIMARY
        runs = "runs as primary" if primary else "its data are served"
        yield Finding(
            code="fence-broken", severity=Severity.ERROR, node=node.name,
            message=f"{node.name} is fenced, and {runs} all the same: {node.service.intruder}",
            hint=f"what it accepts will be discarded; end it and make it a standby: haop rejoin {node.name}",
        )  # fmt: skip


def _primaries(status: ClusterStatus) -> Iterator[Finding]:
    primaries = sorted(status.primaries, key=lambda node: (node.server.timeline, node.server.lsn))
    if status.refusing_primary:
        return  # which is a finding of its own
    if not primaries and status.standbys:
        yield Finding(
            code="no-primary", severity=Severity.ERROR, message="no node accepts writes",
            hint="start what is stopped: haop up; if the primary's machine or disk is gone: haop failover",
        )  # fmt: skip
    elif not primaries:
        yield Finding(code="no-primary", severity=Severity.ERROR, message="no node answers", hint="haop up")
    elif len(primaries) > 1:
        told = ", ".join(f"{node.name} (timeline {node.server.timeline})" for node in primaries)
        ahead, behind = primaries[-1].name, primaries[0].name
        yield Finding(
            code="two-primaries", severity=Severity.ERROR, message=f"more than one node accepts writes: {told}",
            hint=f"{ahead} is ahead; what only {behind} has will be discarded by: haop rejoin {behind}",
        )  # fmt: skip


def lost(services: Mapping[str, ServiceState]) -> tuple[str, str] | None:
    """What runs with files that are gone, and the ways back; None where nothing does."""
    names = [name for name, service in services.items() if service.lost]
    if not names:
        return None
    folder, back = services[names[0]].origin, "put the project's folder back where it was, or its .env and .haop"
    return (
        f"{' and '.join(names)} run with files of {folder}/.haop that are gone: they cannot be started again",
        f"{back} from a copy; or, with an outage: haop down, haop up",
    )


def _lost(status: ClusterStatus) -> Iterator[Finding]:
    if told := lost({node.name: node.service for node in status.nodes}):
        yield Finding(code="folder-lost", severity=Severity.ERROR, message=told[0], hint=told[1])


def _differences(spec: ClusterSpec, status: ClusterStatus) -> Iterator[Finding]:
    nodes = list(status.reachable)
    versions = {node.server.version_num for node in nodes}
    if len(versions) > 1:
        told = ", ".join(f"{node.name} {version(node.server.version_num)}" for node in nodes)
        yield Finding(
            code="versions-differ", severity=Severity.WARNING, message=f"different versions: {told}",
            hint="install the same minor version for every node, then restart the older ones: haop down; haop up",
        )  # fmt: skip
    if len({node.server.system_identifier for node in nodes}) > 1:
        yield Finding(
            code="foreign-node", severity=Severity.ERROR,
            message="the nodes do not come from one cluster: their system identifiers differ",
            hint=f"find out whose data these are; then {_takes_away(spec)}, and haop up clones it again",
        )  # fmt: skip
    if without := [node.name for node in nodes if not node.server.checksums]:
        # An adopted database may have none, and can be rewound all the same: that is how it is asked for.
        hinted = len(without) == len(nodes) and spec.parameters.get("wal_log_hints") == "on"
        severity = Severity.INFO if hinted else Severity.WARNING
        yield Finding(
            code="checksums-off", severity=severity, message=f"no data checksums on {', '.join(without)}",
            hint="stop the node cleanly and run pg_checksums --enable on its data directory",
        )  # fmt: skip


def _takes_away(spec: ClusterSpec) -> str:
    """How the wrong node loses its data; a volume cannot be moved."""
    if spec.runtime == "compose":
        return f"haop down, docker volume rm {spec.name}_NODE of the wrong node"
    return "stop the wrong node, move its .haop/local/NODE/data away"


def _durability(spec: ClusterSpec, status: ClusterStatus) -> Iterator[Finding]:
    if spec.durability is not Durability.SYNC or not (primary := status.primary):
        return
    confirming = [s for s in primary.server.senders if s.sync_state in {"sync", "quorum"} and s.state == "streaming"]
    if not primary.server.synchronous_standby_names:
        yield Finding(
            code="sync-unsatisfied", severity=Severity.WARNING, node=primary.name,
            message="durability is sync, but no standby is asked to confirm: acknowledged writes are on one node only",
            hint="haop up brings the standbys back and sets it",
        )  # fmt: skip
    elif not confirming:
        yield Finding(
            code="sync-unsatisfied", severity=Severity.ERROR, node=primary.name,
            message="durability is sync and no standby confirms: writes hang",
            hint="bring a standby back: haop up",
        )  # fmt: skip


def _tls(status: ClusterStatus) -> Iterator[Finding]:
    if without := [node.name for node in status.reachable if not node.server.tls]:
        yield Finding(
            code="tls-off", severity=Severity.INFO,
            message=f"no TLS on {', '.join(without)} (its build of PostgreSQL has none): listening on loopback only",
        )  # fmt: skip


def _archiving(status: ClusterStatus) -> Iterator[Finding]:
    """Names no node: who moves the primary is not kept from it."""
    for node in status.primaries:
        if (now := node.server.archiving) and (now.failing or now.waiting_seconds > ARCHIVING_SECONDS):
            last = "the last attempt failed, " if now.failing else ""
            yield Finding(
                code="archiving", severity=Severity.WARNING,
                message=f"{node.name} cannot archive its WAL: {last}{now.waiting} files wait, the oldest for "
                f"{now.waiting_seconds:.0f} s; they fill its disk",
                hint=f"mend archive_command; what it says: haop logs --node {node.name} --level warning",
            )  # fmt: skip


def _node(status: ClusterStatus, spec: NodeSpec) -> Iterator[Finding]:
    match node := status.node(spec.name):
        case _ if node.service.intruder:
            return  # that is a finding by itself
        case Unreachable():
            yield _unreachable(node)
        case Reachable() if node.server.role is Role.STANDBY and status.primary:
            yield from _standby(status, node, spec)


def _unreachable(node: Unreachable) -> Finding:
    if node.refuses:
        return Finding(
            code="connections-full" if node.code == FULL else "refuses-haop", severity=Severity.ERROR, node=node.name,
            message=refusal(node), hint=remedy(node),
        )  # fmt: skip
    match node.service:
        case service if service.needs_rebuild:
            hint = f"its data can neither follow nor be rewound; clone it again: haop rebuild {node.name}"
        case service if service.fenced:
            hint = f"it was fenced before another node was promoted; make it a standby: haop rejoin {node.name}"
        case service if service.state is State.PAUSED:
            hint = "its processes are stopped by a signal; haop up lets them go on, haop failover replaces it"
        case service if service.state is State.RUNNING:
            hint = f"see what it says: haop logs --node {node.name}"
        case _:
            hint = "haop up"
    return Finding(
        code="fenced" if node.service.fenced else "unreachable", severity=Severity.ERROR, node=node.name,
        message=f"{node.name} does not answer: {node.reason}{_remark(node)}", hint=hint,
    )  # fmt: skip


def _remark(node: Unreachable) -> str:
    """What the runtime knows beyond what a connection told."""
    return f" ({node.service.remark})" if node.service.remark and node.service.remark not in node.reason else ""


def _standby(status: ClusterStatus, node: Reachable, spec: NodeSpec) -> Iterator[Finding]:
    name, slot = node.name, status.slot(spec.slot)
    if diverged := status.diverged(node):
        yield Finding(
            code="timeline-diverged", severity=Severity.ERROR, node=name, message=f"{name} cannot follow: {diverged}",
            hint=f"what only {name} has will be discarded by: haop rejoin {name}",
        )  # fmt: skip
    elif not status.streams(name) and slot and slot.wal_status == "lost":
        yield Finding(
            code="wal-removed", severity=Severity.ERROR, node=name,
            message=f"the primary no longer has the WAL that {name} needs (its slot is lost)",
            hint=f"clone it again: haop rebuild {name}",
        )  # fmt: skip
    elif node.server.replay_paused:
        yield Finding(
            code="not-streaming", severity=Severity.ERROR, node=name, message=paused(name), hint=resume(name),
        )  # fmt: skip
    elif not status.streams(name):
        sender = status.sender(name)
        yield Finding(
            code="not-streaming", severity=Severity.ERROR, node=name,
            message=f"{name} is not streaming (receiver: {node.server.receiver or 'none'}; "
            f"the primary says: {sender.state if sender else 'no connection'})",
            hint=f"haop logs --node {name} --level warning",
        )  # fmt: skip
    elif (lag := status.lag_bytes(node) or 0) > LAGGING_BYTES or (node.server.lag_seconds or 0) > LAGGING_SECONDS:
        yield Finding(
            code="lagging", severity=Severity.WARNING, node=name,
            message=f"{name} is {lag} bytes and {node.server.lag_seconds or 0:.0f} s behind",
            hint="a long query on the standby, a slow disk, or paused replay (pg_wal_replay_resume())",
        )  # fmt: skip


def paused(name: str) -> str:
    """Of a standby that does not stream for that reason."""
    return f"{name} is not streaming: its replay is paused, and it connects to no primary before it replays again"


def resume(name: str) -> str:
    """How it goes on."""
    return f'haop psql {name} -c "SELECT pg_wal_replay_resume()"'


def _slot(status: ClusterStatus, node: NodeSpec) -> Iterator[Finding]:
    if not status.primary or status.primary.name == node.name:
        return
    slot = status.slot(node.slot)
    back = f"haop rebuild {node.name}" if status.node(node.name).service.needs_rebuild else "haop up"
    if slot is None:
        yield Finding(
            code="slot-missing", severity=Severity.WARNING, node=node.name,
            message=f"{status.primary.name} has no slot for {node.name}: WAL it needs may be removed", hint="haop up",
        )  # fmt: skip
    elif slot.wal_status == "lost":
        yield Finding(
            code="slot-lost", severity=Severity.ERROR, node=node.name,
            message=f"the slot of {node.name} was invalidated: it fell behind further than max_slot_wal_keep_size",
            hint=f"clone it again: haop rebuild {node.name}",
        )  # fmt: skip
    elif not slot.active:
        yield Finding(
            code="slot-inactive", severity=Severity.WARNING, node=node.name,
            message=f"nobody reads the slot of {node.name}; it retains {slot.retained_bytes} bytes of WAL",
            hint=f"bring {node.name} back: {back}",
        )  # fmt: skip
