"""What of a node's data lies outside its own folder or volume: there other nodes overwrite it, or it is lost. Pure."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from haop.model.containers import layout
from haop.model.health import Finding, Severity
from haop.model.spec import ClusterSpec
from haop.model.status import ClusterStatus, Place, Reachable

_MOVE = "ALTER TABLE ... SET TABLESPACE pg_default for what is in it, then DROP TABLESPACE {}"


def assess(spec: ClusterSpec, status: ClusterStatus) -> Iterator[Finding]:
    """Of every node that answers."""
    for node in status.reachable:
        yield from of_node(spec, node)


def of_node(spec: ClusterSpec, node: Reachable) -> Iterator[Finding]:
    """Tablespaces, and paths of settings."""
    own = own_place(spec, node.server.data_directory)
    for place in node.server.places:
        if PurePosixPath(place.path or "/").is_relative_to(own):
            continue
        if place.kind == "tablespace":
            yield _tablespace(spec, node.name, place)
        else:
            yield Finding(
                code="path-outside", severity=Severity.WARNING,
                message=f"{place.name} of {node.name} is {place.path}, outside its own folder: {_harm(spec)}",
                hint=f"take it back: ALTER SYSTEM RESET {place.name}, or its line in haop.toml; then haop up",
            )  # fmt: skip


def own_place(spec: ClusterSpec, data_directory: str) -> PurePosixPath:
    """What stays with a node, and no other node has: its volume, or its folder."""
    if spec.runtime == "compose":
        return PurePosixPath(layout(spec.postgres, adopted=bool(spec.adopted)).mount)
    return PurePosixPath(data_directory).parent


def _tablespace(spec: ClusterSpec, node: str, place: Place) -> Finding:
    if place.path:
        message = f"the tablespace {place.name} of {node} lies at {place.path}, outside its own folder: {_harm(spec)}"
        first = "" if spec.runtime == "compose" else "end the standbys first (haop restart NODE does not start them); "
        hint = first + _MOVE.format(place.name)
    else:
        message = f"the folder of the tablespace {place.name} is gone on {node}: its tables cannot be read there"
        hint = "another node may have them: haop failover; or restore them from a backup"
    return Finding(code="tablespace", severity=Severity.ERROR, node=node, message=message, hint=hint)


def _harm(spec: ClusterSpec) -> str:
    if spec.runtime == "compose":
        return "it is gone when the container is made anew"
    return "every node of this machine writes there, into the others' files"
