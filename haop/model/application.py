"""What an application says of its databases, beside what they say themselves. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from haop.model.checking import Check, Outcome
from haop.model.status import ClusterStatus, Reachable

CHECK, NODE = "application", "web"
CONNECTED, DISCONNECTED = "connected", "disconnected"
_STATES = ("healthy", "degraded", "unavailable")
_HINT = "restart nothing yet: haop status, then the log of the application, and its health endpoint with details"
_PINNED = "it keeps a connection to a node that takes no writes: restart it, and connect it as haop dsn says"


def judge(told: object, status: ClusterStatus, seconds: float) -> Check:
    """Hold the answer of its health endpoint against the cluster.

    Args:
        told: the answer, as JSON has it.
        status: what the nodes said; it has one primary.
        seconds: how long the answer took.
    """
    if not isinstance(told, Mapping) or (databases := _databases(told)) is None:
        return not_compared(
            "it answers something else than the health of databases", hint="the path is often /api/health/"
        )
    pinned = [*_pinned(told, status)]
    differences = [*_differences(told, databases, status), *pinned] or [*_word(told, status)]
    evidence = f"it says {told['status']}"
    if differences:
        evidence, hint = f"{evidence}: {'; '.join(differences)}", _PINNED if pinned else _HINT
        return Check(check=CHECK, node=NODE, outcome=Outcome.DIFFERENT, evidence=evidence, seconds=seconds, hint=hint)
    redis = f", Redis {told['redis']}" if "redis" in told else ""
    words = ", ".join(f"{alias} {word}" for alias, word in databases.items())
    evidence = f"{evidence}, and so it is: {words}{redis}"
    return Check(check=CHECK, node=NODE, outcome=Outcome.OK, evidence=evidence, seconds=seconds)


def not_compared(reason: str, hint: str | None = None) -> Check:
    """Nothing could be found out."""
    return Check(check=CHECK, node=NODE, outcome=Outcome.NOT_COMPARED, evidence=reason, hint=hint)


def _databases(told: Mapping[str, Any]) -> Mapping[str, str] | None:
    """What it says of each; None where the answer is of another shape, or holds what a terminal would obey."""
    found = told.get("databases")
    if not isinstance(found, Mapping) or "default" not in found or told.get("status") not in _STATES:
        return None
    words = [*found, *found.values(), told.get("redis", CONNECTED)]
    return found if all(isinstance(word, str) and word.isprintable() for word in words) else None


def _differences(told: Mapping[str, Any], databases: Mapping[str, str], status: ClusterStatus) -> Iterator[str]:
    primary, standbys = status.primary, [node.name for node in status.standbys]
    assert primary, "the caller has asked for one"
    if databases["default"] != CONNECTED:
        yield f"it cannot write, and {primary.name} is primary"
    replica = databases.get("replica")  # an application that never reads from a standby names none
    if replica and (replica == CONNECTED) != bool(standbys):
        there = f"{' and '.join(standbys)} can" if standbys else "no standby can"
        yield f"its replica is {replica}, and {there} answer"
    if told.get("redis") == DISCONNECTED:
        yield "it does not reach Redis"
    servers = _at(told, "details", "servers")
    for server in servers if isinstance(servers, list) else ():
        yield from _role(server, status)


def _pinned(told: Mapping[str, Any], status: ClusterStatus) -> Iterator[str]:
    place, primary = _at(told, "details", "routes", "default", "connected_to"), status.primary
    node = _node(place, status) if isinstance(place, str) else None
    if node and primary and node.name != primary.name:
        yield f"it is pinned: it writes through a connection to {node.name}, and {primary.name} is primary (25006)"


def _word(told: Mapping[str, Any], status: ClusterStatus) -> Iterator[str]:
    """Its one word for all, where what it says of each database is so."""
    assert status.primary
    match told["status"]:
        case "unavailable":
            yield f"{status.primary.name} is primary, and answers"
        case "healthy" if not status.standbys:
            yield "no standby answers"


def _role(server: object, status: ClusterStatus) -> Iterator[str]:
    host, role = (_at(server, key) for key in ("host", "role"))
    node = _node(host, status) if isinstance(host, str) else None
    mine, other = ("primary", "standby") if node in status.primaries else ("standby", "primary")
    if node and role == "unknown":
        yield f"it gets no answer of {node.name}, which answers here"
    elif node and role == other:
        yield f"it takes {node.name} for a {other}, which is {mine}"


def _node(place: str, status: ClusterStatus) -> Reachable | None:
    """The node at that host and port, as an application on this machine names it, or one inside the stack."""
    host = place.rpartition(":")[0]
    reachable = (node for node in status.nodes if isinstance(node, Reachable))
    return next((node for node in reachable if place == str(node.endpoint) or host == node.name), None)


def _at(value: object, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
