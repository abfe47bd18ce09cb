"""Passwords of `.env` that have changed become those of the running servers."""

from dataclasses import replace

from haop.errors import ConnectionFailed
from haop.model.status import Unreachable
from haop.operations.cluster import Cluster
from haop.postgres import replication, roles
from haop.postgres.connection import BoundedConnection, connected
from haop.project import Project
from haop.waiting import wait_until

_KNOWN = "superuser_password"
_REJECTED = "the server rejects the password"


def converge(cluster: Cluster, primary: BoundedConnection) -> tuple[str, ...]:
    """Set what has changed on the primary, and let every node that runs have it; returns the roles concerned."""
    own, owner = cluster.secrets, cluster.project.spec.owner
    changed = roles.ensure_passwords(primary, {
        owner: own.database_password, own.replication_user: own.replication_password,
        own.rewind_user: own.rewind_password, own.monitor_user: own.monitor_password,
    })  # fmt: skip
    cluster.runtime.refresh([node.name for node in cluster.project.spec.nodes])
    _remember(cluster.project, own.postgres_password)
    return changed


def admit(cluster: Cluster) -> bool:
    """Where servers reject the superuser's password of `.env`: set it, with the one that worked last; whether done."""
    known = _recall(cluster.project)
    if not known or known == cluster.secrets.postgres_password:
        return False
    login = replace(cluster.engine.admin, password=known)
    for node in cluster.engine.observe().nodes:
        if isinstance(node, Unreachable) and node.reason.startswith(_REJECTED):
            try:
                with connected(node.endpoint, login) as connection:
                    if not replication.in_recovery(connection):
                        roles.ensure_passwords(connection, {login.user: cluster.secrets.postgres_password})
                        break
            except ConnectionFailed:
                continue
    else:
        return False
    wait_until(lambda: not _rejecting(cluster), deadline=60, waiting_for="every standby to know the new password")
    return True


def _rejecting(cluster: Cluster) -> bool:
    nodes = cluster.engine.observe().nodes
    return any(isinstance(node, Unreachable) and node.reason.startswith(_REJECTED) for node in nodes)


def _recall(project: Project) -> str | None:
    try:
        return (project.state / _KNOWN).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _remember(project: Project, password: str) -> None:
    """Only who owns the project can read it; whole or not at all."""
    if _recall(project) != password:
        making = project.state / f"{_KNOWN}.new"
        making.touch(mode=0o600)
        making.write_text(password, encoding="utf-8")
        making.replace(project.state / _KNOWN)
