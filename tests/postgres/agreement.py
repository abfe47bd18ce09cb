"""One assessment, not four: what status, check, doctor and the guard's status find, side by side."""

import json
from typing import Any

from typer.testing import CliRunner

from haop.cli.app import app
from haop.operations.cluster import Cluster

COMMANDS = (("status",), ("check",), ("doctor",), ("guard", "status"))


def assert_all_agree(cluster: Cluster) -> set[tuple[str, str, str | None]]:
    """Code, severity and node of all findings, which the four commands have alike; the cluster may not be changing."""
    told = {" ".join(command): _findings(cluster, *command) for command in COMMANDS}
    assert len({frozenset(found) for found in told.values()}) == 1, told
    return told["status"]


def _findings(cluster: Cluster, *command: str) -> set[tuple[str, str, str | None]]:
    done = CliRunner().invoke(app, ["-C", str(cluster.project.root), *command, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    document: dict[str, Any] = json.loads(done.stdout)
    return {(found["code"], found["severity"], found["node"]) for found in document["findings"]}
