"""The services of a streaming cluster: one a node, with what the node script starts with."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from haop.model.endpoint import Endpoint
from haop.model.service import Service
from haop.model.spec import NodeSpec
from haop.postgres import passfile
from haop.project import Secrets


def service(
    node: NodeSpec, own: Secrets, places: Mapping[str, Endpoint], tls: Path | None, *, unattended: bool
) -> Service:
    """A node with its files: how it reaches its peers as whom, its certificate, and what a new cluster is made with.

    Args:
        node: as `haop.toml` has it.
        own: what `.env` holds.
        places: where each node is reached by its peers.
        tls: the folder of the cluster's authority; None where the servers have no TLS.
        unattended: whether it may initialise with no haop around; then the node script makes the roles.
    """
    accounts = {
        own.monitor_user: own.monitor_password,
        own.replication_user: own.replication_password,
        own.rewind_user: own.rewind_password,
    }
    lines = [passfile.line(place, user, word) for place in places.values() for user, word in accounts.items()]
    secrets = {"passfile": "\n".join(lines) + "\n", "superuser_password": own.postgres_password + "\n"}
    if unattended:
        secrets["owner_password"] = own.database_password + "\n"
    if tls:
        from haop import certificates  # noqa: PLC0415 - 30 ms that only starting a server pays for

        certificate, key = certificates.issue(tls, node.name)
        authority = (tls / "ca.crt").read_text(encoding="utf-8")
        secrets |= {"ca.crt": authority, "server.crt": certificate, "server.key": key}
    return Service(
        name=node.name,
        command=("sh", "node.sh"),
        environment={
            "HAOP_NODE": node.name,
            "HAOP_REPLICATION_USER": own.replication_user,
            "HAOP_REWIND_USER": own.rewind_user,
            "HAOP_MONITOR_USER": own.monitor_user,
        },
        secrets={PurePosixPath(path): text for path, text in secrets.items()},
        port=node.port,
    )
