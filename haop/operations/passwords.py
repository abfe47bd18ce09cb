"""Passwords of `.env` that have changed become those of the running servers."""

from dataclasses import replace
from itertools import product

from haop.errors import ConnectionFailed
from haop.model.refusing import FULL
from haop.model.status import Unreachable
from haop.operations.audit import record
from haop.operations.cluster import Cluster
from haop.postgres import replication, roles
from haop.postgres.connection import BoundedConnection, connected
from haop.postgres.pointing import followed_by
from haop.project import Project

_KNOWN = "secrets/superuser_password"


def converge(cluster: Cluster, primary: BoundedConnection) -> None:
    """Set what has changed on the primary, and let every node that runs have it."""
    own, owner = cluster.secrets, cluster.project.spec.owner
    changed = roles.ensure_passwords(primary, {
        owner: own.database_password, own.replication_user: own.replication_password,
        own.rewind_user: own.rewind_password, own.monitor_user: own.monitor_password,
    })  # fmt: skip
    if changed:
        record(cluster.project, "change passwords", ", ".join(changed))
    cluster.runtime.refresh([node.name for node in cluster.project.spec.nodes])
    for standby in cluster.engine.observe().standbys:
        with connected(standby.endpoint, cluster.engine.admin) as link:
            if upstream := followed_by(replication.upstream(link), own.replication_user):
                replication.follow(link, upstream, cluster.project.spec.node(standby.name).slot)
    _remember(cluster.project, own.postgres_password)


def admit(cluster: Cluster) -> bool:
    """Where servers reject the superuser's password of `.env`: set it, with the one that worked last; whether done.

    Standbys have it once they have replayed that, for which they may need the other passwords first.
    """
    wanted, admin = cluster.secrets.postgres_password, cluster.engine.admin
    known = [password for password in _recall(cluster.project) if password != wanted]
    if not known:
        return False
    nodes = [node for node in cluster.engine.observe().nodes if isinstance(node, Unreachable)]
    for node, password in product(nodes, known):
        if node.refuses and node.code != FULL:
            try:
                with connected(node.endpoint, replace(admin, password=password)) as connection:
                    if not replication.in_recovery(connection):
                        _remember(cluster.project, wanted, *known)  # killed now, and .env changed again: one will fit
                        roles.ensure_passwords(connection, {admin.user: wanted})
                        record(cluster.project, "change passwords", admin.user)
                        return True
            except ConnectionFailed:
                continue
    return False


def _recall(project: Project) -> tuple[str, ...]:
    """The one that worked last; before it, while one is being changed, what it is changed to."""
    try:
        return tuple((project.state / _KNOWN).read_text(encoding="utf-8").split("\n"))
    except FileNotFoundError:
        return ()


def _remember(project: Project, *passwords: str) -> None:
    """Nobody but who owns the project can read it, or enter its folder; whole or not at all."""
    if _recall(project) != passwords:
        known = project.state / _KNOWN
        known.parent.mkdir(mode=0o700, exist_ok=True)
        making = known.with_suffix(".new")
        making.touch(mode=0o600)
        making.write_text("\n".join(passwords), encoding="utf-8")
        making.replace(known)
