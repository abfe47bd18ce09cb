"""Whether the application can write, and haop's roles can connect: a server that is well may let nobody work."""

from collections.abc import Iterator

from haop.model.health import Finding, Severity
from haop.model.status import ClusterStatus
from haop.operations.cluster import Cluster
from haop.postgres import access
from haop.postgres.answers import Unanswered
from haop.postgres.connection import BoundedConnection, connected

# Findings of an application that cannot work, and all of them.
LOCKED_OUT = frozenset({"application-refused", "application-read-only"})
CODES = LOCKED_OUT | {"role-hindered"}


def findings(cluster: Cluster, status: ClusterStatus) -> Iterator[Finding]:
    """Asked of the primary, as the application asks; none of it is a reason to replace the primary."""
    if primary := status.primary:
        yield from _application(cluster, primary.name)
        yield from _roles(cluster, primary.name)


def free(cluster: Cluster, link: BoundedConnection) -> tuple[str, ...]:
    """Let haop's roles connect again; what an operator has put in the application's way stays."""
    return access.free(link, cluster.secrets.replication_user, _own(cluster))


def _own(cluster: Cluster) -> tuple[str, ...]:
    return "postgres", cluster.secrets.rewind_user, cluster.secrets.monitor_user


def _application(cluster: Cluster, primary: str) -> Iterator[Finding]:
    spec = cluster.project.spec
    try:
        read_only = access.is_read_only(cluster.runtime.endpoint(primary), cluster.engine.application)
    except Unanswered as error:
        yield Finding(
            code="application-refused", severity=Severity.ERROR,
            message=f"{spec.owner} cannot connect to {spec.database} on {primary}, the primary: {error.message}",
            hint="its limits and settings: \\du, \\drds and \\l in haop psql; where it is its password: haop up",
        )  # fmt: skip
        return
    if read_only:
        yield Finding(
            code="application-read-only", severity=Severity.ERROR,
            message=f"{spec.owner} cannot write to {spec.database}: default_transaction_read_only is on for it",
            hint=f"ALTER DATABASE {spec.database} or ALTER ROLE {spec.owner} RESET default_transaction_read_only",
        )  # fmt: skip


def _roles(cluster: Cluster, primary: str) -> Iterator[Finding]:
    try:
        with connected(cluster.runtime.endpoint(primary), cluster.engine.admin) as link:
            found = access.hindrances(link, cluster.secrets.replication_user, _own(cluster))
    except Unanswered:
        return  # it answered a moment ago: the next look tells
    for each in found:
        yield Finding(
            code="role-hindered", severity=Severity.ERROR,
            message=f"{each.role}, a role of haop's, has {', '.join(each.told)}: its next connection may be refused",
            hint="haop up takes that away",
        )  # fmt: skip
