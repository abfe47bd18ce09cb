"""`haop psql`: psql as the superuser, on the node that was meant."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

from haop.engines.candidate import absent
from haop.errors import Refused
from haop.operations.cluster import Cluster
from haop.postgres import passfile
from haop.process import hand_over
from haop.runtimes.base import Enterable

_CONNECT_SECONDS = "5"


class Which(StrEnum):
    """A node by its role."""

    PRIMARY = "primary"
    STANDBY = "standby"


def choose(cluster: Cluster, which: Which) -> str:
    """The primary, or the first standby that streams.

    Raises:
        NoPrimary: there is no primary, or two.
        Refused: no standby streams.
    """
    status = cluster.engine.observe()
    if which is Which.STANDBY:
        for node in status.standbys:
            if status.streams(node.name):
                return node.name
        raise Refused("no standby streams", hint="haop status; a node by its name works too: haop psql NODE")
    if not status.primary:
        found = " and ".join(node.name for node in status.primaries) or "none"
        raise absent(status, f"expected one primary, found {found}", "haop status; a node by its name works too")
    return status.primary.name


def psql(cluster: Cluster, node: str, arguments: Sequence[str]) -> int:
    """Run psql on a node, on the terminal that haop has; returns psql's exit code.

    The machine's psql where it has one, else the one in the node's container.

    Raises:
        Refused: there is no psql.
        CommandFailed: it could not be started.
    """
    runtime = cluster.runtime
    if program := runtime.psql():
        with _passfile(cluster) as path:
            environment = {**os.environ, **_connection(cluster, node), "PGPASSFILE": path}
            return hand_over((str(program), *arguments), environment=environment)
    if isinstance(runtime, Enterable):
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return hand_over(runtime.psql_within(node, arguments, terminal=terminal), environment=os.environ)
    raise Refused("no psql on this machine", hint="Debian: apt-get install postgresql-client")


def _connection(cluster: Cluster, node: str) -> dict[str, str]:
    """Variables rather than arguments: what is given after `--` wins."""
    endpoint, ca = cluster.runtime.endpoint(node), cluster.engine.admin.ca
    tls = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(ca)} if ca else {"PGSSLMODE": "disable"}
    return {
        "PGHOST": endpoint.host, "PGPORT": str(endpoint.port), "PGUSER": "postgres",
        "PGDATABASE": cluster.project.spec.database, "PGAPPNAME": "haop psql", "PGCONNECT_TIMEOUT": _CONNECT_SECONDS,
        **tls,
    }  # fmt: skip


@contextmanager
def _passfile(cluster: Cluster) -> Iterator[str]:
    """The passwords of superuser and owner in a file of mode 0600, in memory where there is such a place."""
    places = (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm")  # noqa: S108 - the file's name is random, its mode 0600
    folder = next((place for place in places if place and os.access(place, os.W_OK | os.X_OK)), None)
    spec, secrets = cluster.project.spec, cluster.secrets
    accounts = {"postgres": secrets.postgres_password, spec.owner: secrets.database_password}
    with tempfile.NamedTemporaryFile("w", prefix="haop-", dir=folder, encoding="utf-8") as file:
        for endpoint in (cluster.runtime.endpoint(node.name) for node in spec.nodes):
            for user, password in accounts.items():
                file.write(f"{passfile.line(endpoint, user, password)}\n")
        file.flush()
        yield file.name
