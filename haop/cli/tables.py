"""Values become what rich draws, or JSON. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from haop.cli.fitting import Column, Fitting
from haop.cli.text import elapsed, seconds, size
from haop.model.containers_health import short
from haop.model.health import Finding, Health, Severity
from haop.model.service import State
from haop.model.spec import ClusterSpec
from haop.model.status import NodeStatus, Reachable, Role, version
from haop.operations.status import Assessment

STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
HEALTH_STYLES = {Health.HEALTHY: "bold green", Health.DEGRADED: "bold yellow"}
NODE_COLOURS = (
    "cyan",
    "magenta",
    "green",
    "blue",
    "yellow",
    "bright_red",
    "bright_cyan",
    "bright_magenta",
    "white",
)


def status(spec: ClusterSpec, assessment: Assessment) -> RenderableType:
    """The cluster line, the table of nodes, the findings."""
    beside = _beside(spec, assessment)
    return Group(_cluster_line(spec, assessment), _nodes(spec, assessment), *beside, *map(finding, assessment.findings))


def finding(found: Finding) -> Text:
    """A judgement in two lines."""
    text = Text.assemble((f"{found.severity}: ", STYLES[found.severity]), found.message)
    if found.hint:
        text.append(f"\n  hint: {found.hint}", "dim")
    return text


def status_document(spec: ClusterSpec, assessment: Assessment) -> dict[str, Any]:
    """`haop status --json`: raw numbers; absent where unknown."""
    observed = assessment.status
    return {
        "schema": "haop.status/1",
        "cluster": spec.name,
        "health": str(assessment.health),
        "at": observed.at.isoformat(timespec="milliseconds"),
        "runtime": spec.runtime,
        "engine": spec.engine,
        "durability": str(spec.durability),
        "primary": observed.primary.name if observed.primary else None,
        "primary_since": observed.primary.server.primary_since if observed.primary else None,
        "addons": [
            {
                "name": name,
                "port": spec.addons[name].port,
                "service": str(addon.state),
                "image": addon.image,
                "remark": addon.remark,
            }
            for name, addon in assessment.addons.items()
        ],
        "nodes": [_node_document(spec, assessment, node) for node in observed.nodes],
        "findings": findings_document(assessment.findings),
    }


def _cluster_line(spec: ClusterSpec, assessment: Assessment) -> Text:
    observed, word = assessment.status, assessment.health
    line = Text.assemble(
        (spec.name, "bold"), " is ", (str(word), HEALTH_STYLES.get(word, "bold red")), " · ",
        f"PostgreSQL {_version(assessment, spec)} · {spec.engine} · {spec.runtime} · {spec.durability}",
    )  # fmt: skip
    if primary := observed.primary:
        since = primary.server.primary_since
        line.append(f" · primary {primary.name}" + (f" for {elapsed(since, observed.at)}" if since else ""))
    return line


def findings_document(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The same in status, check, doctor and guard status: one assessment."""
    return [asdict(found) for found in findings]


def _beside(spec: ClusterSpec, assessment: Assessment) -> Iterator[Text]:
    """What stands beside the nodes, and the images."""
    for name, service in assessment.addons.items():
        where = f" on 127.0.0.1:{spec.addons[name].port}" if service.state is State.RUNNING else ""
        style = "green" if service.state is State.RUNNING and not service.remark else "red"
        yield Text.assemble((f"{name} ", "bold"), (str(service.state), style), where)
    services = {node.name: node.service for node in assessment.status.nodes} | dict(assessment.addons)
    if images := dict.fromkeys(short(service.image) for service in services.values() if service.image):
        yield Text(f"images: {' · '.join(images)}", "dim")


def _version(assessment: Assessment, spec: ClusterSpec) -> str:
    return next((version(node.server.version_num) for node in assessment.status.reachable), str(spec.postgres))


def _nodes(spec: ClusterSpec, assessment: Assessment) -> Fitting:
    table = Fitting([
        Column("Node"), Column("Endpoint"), Column("Role"), Column("State"), Column("TL", figures=True, left_out=3),
        Column("LSN", figures=True, left_out=1), Column("Lag", figures=True, left_out=5), Column("Sync", left_out=4),
        Column("Slot", figures=True, left_out=2),
    ])  # fmt: skip
    for index, node in enumerate(assessment.status.nodes):
        table.add_row(Text(node.name, NODE_COLOURS[index]), str(node.endpoint), *_row(spec, assessment, node))
    return table


def _row(spec: ClusterSpec, assessment: Assessment, node: NodeStatus) -> tuple[Text | str, ...]:
    observed = assessment.status
    if not isinstance(node, Reachable):
        return "–", Text(_state(assessment, node), "red"), "–", "–", "–", "–", _slot(spec, assessment, node)
    server, sender = node.server, observed.sender(node.name)
    state = _state(assessment, node)
    lag = "–"
    if server.role is Role.STANDBY:
        lag = f"{size(observed.lag_bytes(node))}, {seconds(server.lag_seconds)}"
    sync = sender.sync_state if sender else "–"
    style = "green" if state in {"running", "streaming"} else "red"
    role = Text(str(server.role), "bold" if server.role is Role.PRIMARY else "")
    return (
        role,
        Text(state, style),
        str(server.timeline),
        str(server.lsn),
        lag,
        sync,
        _slot(spec, assessment, node),
    )


def _state(assessment: Assessment, node: NodeStatus) -> str:
    if node.service.intruder:
        return "fence broken"
    if isinstance(node, Reachable):
        if node.server.role is Role.PRIMARY:
            return "running"
        return "streaming" if assessment.status.streams(node.name) else "not streaming"
    if node.service.fenced:
        return "fenced"
    return "unreachable" if node.service.state is State.RUNNING else str(node.service.state)


def _slot(spec: ClusterSpec, assessment: Assessment, node: NodeStatus) -> str:
    slot = assessment.status.slot(spec.node(node.name).slot)
    if not slot:
        return "–"
    return f"{'active' if slot.active else slot.wal_status or 'unused'} {size(slot.retained_bytes)}"


def _node_document(spec: ClusterSpec, assessment: Assessment, node: NodeStatus) -> dict[str, Any]:
    observed = assessment.status
    slot, sender = observed.slot(spec.node(node.name).slot), observed.sender(node.name)
    document: dict[str, Any] = {
        "name": node.name,
        "host": node.endpoint.host,
        "port": node.endpoint.port,
        "service": str(node.service.state),
        "fenced": node.service.fenced,
        "intruder": node.service.intruder,
        "image": node.service.image,
        "state": _state(assessment, node),
        "reachable": isinstance(node, Reachable),
        "sync_state": sender.sync_state if sender else None,
        "slot": asdict(slot) if slot else None,
    }
    if not isinstance(node, Reachable):
        return {**document, "role": None, "reason": node.reason}
    server = node.server
    return {
        **document,
        "role": str(server.role),
        "timeline": server.timeline,
        "lsn": str(server.lsn),
        "lag_bytes": observed.lag_bytes(node),
        "lag_seconds": server.lag_seconds,
        "version": version(server.version_num),
        "checksums": server.checksums,
        "tls": server.tls,
        "system_identifier": server.system_identifier,
        "started_at": server.started_at.isoformat(timespec="milliseconds"),
    }
