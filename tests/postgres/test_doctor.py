"""The doctor beside real servers: what is broken for real is found, what `--fix` may mend is mended, the rest is left.

Each of the tests of a pair breaks many things at once: an examination costs less than a cluster.
"""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from haop.errors import HaopError
from haop.model.health import Health, Severity
from haop.model.status import Reachable
from haop.operations import rejoin
from haop.operations.cluster import Cluster
from haop.operations.doctor.examination import Examination, examine
from haop.operations.up import up
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import Haop, only_local
from tests.support import Quiet

# How large this machine's disk and memory are is not the cluster's fault.
MACHINES = {"disk-short", "memory-short"}


@pytest.fixture(scope="module")
def pair(runtime: str) -> Iterator[Cluster]:
    """A pair with settings as a user's: the other tests' do without fsync."""
    settings = {"fsync": "on"} if runtime == "local" else None
    with support.folder() as folder:
        made = support.make_project(folder / "shop", runtime=runtime, parameters=settings)
        with support.running(made) as cluster:
            yield cluster


@pytest.fixture
def shop(pair: Cluster) -> Iterator[Cluster]:
    """Healthy before a test, and after it."""
    yield pair
    assert up(pair, Quiet()).health is Health.HEALTHY
    wait_until(lambda: not troubles(examine(pair.project)), deadline=30, pause=0.3, waiting_for="everything to be well")


def troubles(examination: Examination) -> set[str]:
    """Codes of errors and warnings."""
    return {f.code for f in examination.findings if f.severity is not Severity.INFO} - MACHINES


def codes(cluster: Cluster) -> set[str]:
    return {finding.code for finding in examine(cluster.project).findings}


def found(document: dict[str, Any], *severities: str) -> set[str]:
    """Codes of a document of `haop doctor --json`."""
    findings = (finding for check in document["checks"] for finding in check["findings"])
    return {finding["code"] for finding in findings if finding["severity"] in severities}


def message(cluster: Cluster, code: str) -> str:
    return next(finding.message for finding in examine(cluster.project).findings if finding.code == code)


def doctor(haop: Haop, cluster: Cluster, *options: str) -> "support.Finished":
    return haop("-C", str(cluster.project.root), "doctor", *options)


def set_all(cluster: Cluster, name: str, **settings: str) -> None:
    for setting, value in settings.items():
        support.sql(cluster, name, f"ALTER SYSTEM SET {setting} = {value}")
    support.sql(cluster, name, "SELECT pg_reload_conf()")


def reset_all(cluster: Cluster, name: str, *settings: str) -> None:
    for setting in settings:
        support.sql(cluster, name, f"ALTER SYSTEM RESET {setting}")
    support.sql(cluster, name, "SELECT pg_reload_conf()")


def restart(cluster: Cluster, name: str) -> None:
    """And wait until it answers: a node that starts while its peer stops may find nobody to follow."""
    cluster.runtime.stop(name)
    cluster.runtime.start(cluster.engine.services()[name])
    wait_until(
        lambda: isinstance(cluster.engine.observe().node(name), Reachable), deadline=60, pause=0.1,
        waiting_for=f"{name} to answer",
    )  # fmt: skip


def caught_up(cluster: Cluster, standby: str) -> None:
    """Wait until it streams, and has replayed everything."""

    def has() -> bool:
        status = cluster.engine.observe()
        node = status.node(standby)
        return isinstance(node, Reachable) and status.streams(standby) and status.lag_bytes(node) == 0

    wait_until(has, deadline=60, pause=0.1, waiting_for=f"{standby} to catch up")


def silent(event: str, node: str) -> None:
    """A rejoin's events."""


def test_a_fresh_cluster_has_no_error_and_no_warning(shop: Cluster, haop: Haop) -> None:
    done = doctor(haop, shop, "--json")
    told = json.loads(done.out)
    assert (told["schema"], told["health"]) == ("haop.doctor/1", "healthy")
    assert found(told, "error", "warning") <= MACHINES
    assert told["not_examined"] == 0, [check for check in told["checks"] if check["not_examined"]]
    # Who takes haop's defaults runs the official image of a major version, and the wheel's build has no TLS.
    assert found(told, "info") <= {"image-floating", "tls-off"}
    shown = doctor(haop, shop)
    assert re.search(
        rf"^{told['errors']} errors?, {told['warnings']} warnings?; {told['passed']} checks", shown.out, re.MULTILINE
    )
    for secret in (shop.secrets.postgres_password, shop.secrets.monitor_password):
        assert secret not in shown.out + done.out


def test_what_is_wrong_in_running_servers_is_found_and_mended_where_that_is_safe(shop: Cluster, haop: Haop) -> None:
    primary, standby, root = support.primary_of(shop), support.standby_of(shop), shop.project.root
    on_primary = {
        "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_slot_wal_keep_size": "-1",
        "password_encryption": "'md5'",
    }  # fmt: skip
    on_standby = {"hot_standby_feedback": "off", "max_slot_wal_keep_size": "'900TB'"}
    set_all(shop, primary, **on_primary)
    set_all(shop, standby, **on_standby)
    for statement in (
        "SET password_encryption = 'scram-sha-256'", "ALTER ROLE shop PASSWORD 'another'",
        "ALTER ROLE rewinder NOLOGIN",
        "ALTER DATABASE shop OWNER TO postgres", "SELECT pg_create_physical_replication_slot('stranger', true)",
        "UPDATE pg_database SET datcollversion = '0' WHERE datname = 'shop'",
    ):  # fmt: skip
        support.sql(shop, primary, statement)
    support.sql(shop, standby, "SELECT pg_wal_replay_pause()")
    support.by_hand(shop, standby, 'mkdir "$PGDATA.clone"; chmod 755 "$PGDATA"')
    hba = root / "stack" / "pg_hba.conf"
    with hba.open("a") as file:
        file.write("host all all 0.0.0.0/0 trust\nhost nonsense\n")
    (root / ".env").chmod(0o644)
    private = root / ".haop" / ("local" if shop.project.spec.runtime == "local" else "secrets")
    private.chmod(0o755)

    expected = {
        "not-durable", "commit-not-durable", "slot-unlimited", "password-encryption", "feedback-off",
        "settings-overridden", "password-differs", "role-missing", "database-missing", "slot-unknown", "replay-paused",
        "collation-changed", "clone-left-over", "data-mode", "hba-weak", "hba-open", "hba-broken", "stack-edited",
        "env-readable", "secrets-readable", "disk-short",
    }  # fmt: skip
    missing = expected - codes(shop)
    assert not missing

    done = doctor(haop, shop, "--fix")
    assert done.code == 3
    assert "drop the slot stranger" in done.err
    assert "--yes" in done.err, "nobody was there to ask"
    assert "slot-unknown" in done.out, "what is left is shown"
    assert "stack-edited" in done.out
    done = doctor(haop, shop, "--fix", "--yes", "--json")
    told = json.loads(done.out)
    assert [(fix["code"], fix["outcome"]) for fix in told["fixes"]] == [("slot-unknown", "done")]
    assert not found(told, "error", "warning") & {"env-readable", "secrets-readable", "slot-unknown"}
    assert (root / ".env").stat().st_mode & 0o777 == 0o600
    assert any(event.action == "doctor --fix" and "stranger" in (event.detail or "") for event in shop.project.events())

    hba.unlink()  # what somebody edited is theirs to remove; then it is stale, and written anew
    assert "haop render: done" in doctor(haop, shop, "--fix").err
    reset_all(shop, primary, *on_primary)
    reset_all(shop, standby, *on_standby)
    for statement in (
        f"ALTER ROLE shop PASSWORD '{shop.secrets.database_password}'", "ALTER ROLE rewinder LOGIN",
        "ALTER DATABASE shop OWNER TO shop", "ALTER DATABASE shop REFRESH COLLATION VERSION",
    ):  # fmt: skip
        support.sql(shop, primary, statement)
    support.sql(shop, standby, "SELECT pg_wal_replay_resume()")
    support.by_hand(shop, standby, 'rmdir "$PGDATA.clone"; chmod 700 "$PGDATA"')


@only_local  # it is PostgreSQL's own doing, and takes six restarts
def test_a_primary_that_was_given_more_room_than_its_standby_stops_replay_and_that_is_told(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    set_all(shop, primary, max_connections="150")
    assert message(shop, "restart-needed") == f"not yet in effect on {primary}: max_connections 100 → 150"
    restart(shop, primary)
    wait_until(lambda: "replay-paused" in codes(shop), deadline=30, pause=0.2, waiting_for="replay to stop")
    assert message(shop, "settings-lower").startswith(f"max_connections is 100 on {standby}, 150 on the primary")
    # Lowered on the primary only, the standby would meet the larger value in the WAL, and not start: raise it first.
    set_all(shop, standby, max_connections="150")
    restart(shop, standby)
    caught_up(shop, standby)
    reset_all(shop, primary, "max_connections")
    restart(shop, primary)
    support.sql(shop, primary, "CHECKPOINT")
    caught_up(shop, standby)
    reset_all(shop, standby, "max_connections")
    restart(shop, standby)


def test_nodes_that_are_away_are_named_and_nothing_of_them_passes(shop: Cluster, haop: Haop) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.stop(standby)
    support.sql(shop, primary, f"SELECT pg_drop_replication_slot('{shop.project.spec.node(standby).slot}')")
    done = doctor(haop, shop, "--json")
    checks = {check["code"]: check for check in json.loads(done.out)["checks"]}
    assert checks["slot-missing"]["outcome"] == "found"
    assert checks["hba-weak"]["outcome"] == "not examined"
    assert checks["hba-weak"]["not_examined"][0].startswith(f"{standby}: stopped")
    assert f"make the slots {standby} on {primary}: done" in doctor(haop, shop, "--fix").err
    assert "slot-missing" not in codes(shop)
    restart(shop, standby)
    caught_up(shop, standby)

    shop.runtime.stop(primary)
    assert doctor(haop, shop).code == 4
    support.sql(shop, standby, "SELECT pg_promote()")
    assert message(shop, "unmarked-primary").startswith(f"{primary} is stopped with a primary's data and no fence")

    shop.runtime.fence(primary)
    assert not codes(shop) & {"unmarked-primary", "fenced-restarts"}
    if shop.project.spec.runtime == "compose":
        name = stacks.container(shop, primary)
        stacks.docker("update", "--restart", "unless-stopped", name)
        assert "fenced-restarts" in codes(shop)
        assert f"restart policy of {primary}: no: done" in doctor(haop, shop, "--fix").err
        assert stacks.restart_policy(shop, primary) == "no"
    assert "fenced" in codes(shop)
    rejoin.execute(shop, primary, silent)


def git(root: Path, *arguments: str) -> None:
    environment = {**os.environ, "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(("git", "-C", str(root), *arguments), check=True, capture_output=True, env=environment)


def test_secrets_that_git_would_take_along_are_found_and_ignored_by_fix(folder: Path, haop: Haop) -> None:
    cluster = support.make_project(folder / "shop")
    root = cluster.project.root
    git(root, "init")
    assert not codes(cluster) & {"env-tracked", "not-ignored"}
    (root / ".gitignore").write_text("*.pyc")
    assert "not-ignored" in codes(cluster)
    assert "add .env and .haop/ to .gitignore: done" in doctor(haop, cluster, "--fix").err
    assert (root / ".gitignore").read_text() == "*.pyc\n.env\n.haop/\n"
    assert "not-ignored" not in codes(cluster)
    git(root, "add", "--force", ".env")
    assert message(cluster, "env-tracked") == ".env is tracked by git"


def test_each_secret_below_haop_that_others_reach_is_named_and_closed(folder: Path, haop: Haop) -> None:
    cluster = support.make_project(folder / "shop")
    state = cluster.project.state
    folders = [state / name for name in ("secrets/db1", "local/db1/secrets", "salvage/db1-1")]
    files = [state / name for name in ("secrets/superuser_password", "local/db1/secrets/passfile", "tls/ca.key")]
    for path in folders:
        path.mkdir(parents=True)
        path.chmod(0o755)
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.chmod(0o644)
    found = {f.message.split()[0] for f in examine(cluster.project).findings if f.code == "secrets-readable"}
    assert {str(path.relative_to(cluster.project.root)) for path in (*folders, *files)} <= found
    doctor(haop, cluster, "--fix")
    assert "secrets-readable" not in codes(cluster)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_project_that_is_broken_is_examined_all_the_same(folder: Path, haop: Haop) -> None:
    cluster = support.make_project(folder / "shop")
    root, config = cluster.project.root, (cluster.project.root / "haop.toml").read_text()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after another cluster's connections there
        taken.bind(("127.0.0.1", cluster.project.spec.nodes[0].port))
        taken.listen()
        assert "is in use by" in message(cluster, "up-refused")
    (root / "haop.toml").write_text(f"{config}\n# {cluster.secrets.rewind_password}\n")
    assert message(cluster, "password-committed") == "haop.toml holds a password of .env"
    (root / "haop.toml").write_text(re_postgres(config))
    other = Cluster.of(load(root))
    assert "is not on this machine" in message(other, "program-missing")
    (root / "haop.toml").write_text(config.replace("fsync", "work_mem = '5MB'\nfsync"))
    (root / "stack" / "node.sh").unlink()
    assert {"stack-stale", "not-durable"} <= codes(Cluster.of(load(root)))
    assert "haop render: done" in doctor(haop, cluster, "--fix").err
    assert "stack-stale" not in codes(Cluster.of(load(root)))
    (root / ".env").unlink()
    done = doctor(haop, cluster)
    assert (done.code, ".env is missing" in done.out) == (3, True)
    assert "not examined because:" in done.out
    (root / "haop.toml").write_text("[cluster")
    assert doctor(haop, cluster).code == 2


def re_postgres(config: str) -> str:
    """That haop.toml, for a version that is not here."""
    missing = next(major for major in (16, 17, 15, 18) if major not in support.available())
    return "\n".join(f"postgres = {missing}" if line.startswith("postgres =") else line for line in config.splitlines())


def test_no_engine_is_a_finding_and_no_abort(folder: Path, haop: Haop, no_engine: None) -> None:
    done = haop("init", "shop", "--runtime", "compose", "--postgres", "18", "--first-port", str(support.free_ports(3)))
    assert done.code == 0, done.err
    cluster = Cluster.of(load(folder / "shop"))
    assert "no Docker engine answers" in message(cluster, "program-missing")
    done = doctor(haop, cluster)
    assert done.code == 3
    assert "no Docker engine answers" in done.out.partition("not examined because:")[2]
    with pytest.raises(HaopError):
        cluster.runtime.state("db1")
