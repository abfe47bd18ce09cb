"""One assessment, not four: what status, check, doctor and the guard's status find, side by side."""

import json
from typing import Any, TypeAlias

from typer.testing import CliRunner

from haop.cli.app import app
from haop.errors import DeadlineExceeded
from haop.operations.cluster import Cluster
from haop.waiting import wait_until

COMMANDS = (("status",), ("check",), ("doctor",), ("guard", "status"))


Found: TypeAlias = set[tuple[str, str, str | None]]


def assert_all_agree(cluster: Cluster) -> Found:
    """Code, severity and node of all findings, which the four commands have alike.

    They look one after the other: in a cluster that has just changed it may take them a while.
    """
    told: list[dict[str, Found]] = []

    def agree() -> bool:
        told.append({" ".join(command): _findings(cluster, *command) for command in COMMANDS})
        return len({frozenset(found) for found in told[-1].values()}) == 1

    try:
        wait_until(agree, deadline=30, waiting_for="one assessment")
    except DeadlineExceeded:
        raise AssertionError(told[-1]) from None
    return told[-1]["status"]


def _findings(cluster: Cluster, *command: str) -> Found:
    done = CliRunner().invoke(app, ["-C", str(cluster.project.root), *command, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    document: dict[str, Any] = json.loads(done.stdout)
    return {(found["code"], found["severity"], found["node"]) for found in document["findings"]}
