"""What the primary must hold: roles and slots before a standby can follow it, and the application's database."""

from contextlib import AbstractContextManager

from haop.engines.candidate import absent
from haop.operations import access, passwords
from haop.operations.audit import record
from haop.operations.cluster import Cluster
from haop.postgres import replication, roles
from haop.postgres.connection import BoundedConnection, connected


def converge(cluster: Cluster) -> None:
    """Roles, their passwords, and the slots of the other nodes."""
    own, spec, primary = cluster.secrets, cluster.project.spec, primary_of(cluster)
    wanted = {
        "owner": (spec.owner, own.database_password),
        "replication": (own.replication_user, own.replication_password),
        "rewind": (own.rewind_user, own.rewind_password),
        "monitor": (own.monitor_user, own.monitor_password),
    }
    with _link(cluster, primary) as link:
        link.execute("SET synchronous_commit = local")
        roles.ensure_roles(link, wanted)
        if freed := access.free(cluster, link):
            record(cluster.project, "free roles", "; ".join(freed))
        replication.ensure_slots(link, [node.slot for node in spec.nodes if node.name != primary])
        passwords.converge(cluster, link)


def make_database(cluster: Cluster) -> None:
    """The application's database and its owner's rights."""
    spec = cluster.project.spec
    with _link(cluster, primary_of(cluster)) as link:
        link.execute("SET synchronous_commit = local")  # the standbys that would confirm may be yet to start
        done = roles.ensure_database(link, spec.database, spec.owner, cluster.secrets.monitor_user)
    if done:
        record(cluster.project, "change database", done)


def primary_of(cluster: Cluster) -> str:
    """Who it is now.

    Raises:
        NoPrimary: there is none, or more than one.
    """
    observed = cluster.engine.observe()
    if not observed.primary:
        raise absent(observed, "the primary went away", "haop status")
    return observed.primary.name


def _link(cluster: Cluster, primary: str) -> AbstractContextManager[BoundedConnection]:
    """A connection to the primary that waits a minute for an answer."""
    return connected(cluster.runtime.endpoint(primary), cluster.engine.admin, answer_seconds=60)
