"""`haop up` is killed at random instants, on first boot and while it converges; the next one completes.

The runtimes take turns: with HAOP_SOAK=1 it is killed 30 times on each of them.
"""

import random
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from haop.model.health import Health
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.project import load
from tests import support
from tests.conftest import RUNTIMES, SEED, require

# How long an `up` may take here until it is killed: what comes later is found by the others.
SECONDS = {"local": (4.0, 3.0), "compose": (10.0, 12.0)}
ROWS = 1000
# What a converge has to change, alternately.
CHANGES = ("max_connections up", "a password", "max_connections down", "every password")


def begun(cluster: Cluster) -> subprocess.Popen[str]:
    argv = (sys.executable, "-m", "haop", "-C", str(cluster.project.root), "up", "--yes")
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed(cluster: Cluster, after: float) -> str:
    """`haop up --yes`, killed after so many seconds; what it had said."""
    process = begun(cluster)
    try:
        told, _ = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        told, _ = process.communicate()
    return told


def completed(cluster: Cluster) -> Cluster:
    """The next one ends well, and the cluster is as asked for."""
    process = begun(cluster)
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    found = status.observe(cluster)
    assert found.health is Health.HEALTHY, (found.findings, told)
    assert "restart-needed" not in told
    return cluster


def change(root: Path, what: str) -> Cluster:
    """The cluster, of which something else is asked for now."""
    config, env = root / "haop.toml", root / ".env"
    if what.startswith("max_connections"):
        value = random.randrange(110, 130) if what.endswith("up") else random.randrange(60, 90)
        text = re.sub(r"^max_connections = .*\n", "", config.read_text(), flags=re.MULTILINE)
        line = f'max_connections = "{value}"\n'
        config.write_text(re.sub(r"^(\[postgres\.parameters\].*\n)", rf"\g<1>{line}", text, flags=re.MULTILINE))
    else:
        key = r"\w+" if what.startswith("every") else random.choice(["POSTGRES", "REPLICATION", "MONITOR", "DATABASE"])
        env.write_text(
            re.sub(
                rf"^({key}_PASSWORD)=.*",
                lambda found: f"{found[1]}={secrets.token_urlsafe(12)}",
                env.read_text(),
                flags=re.MULTILINE,
            )
        )
    return Cluster.of(load(root))


def as_asked_for(cluster: Cluster) -> None:
    wanted = cluster.project.spec.parameters.get("max_connections", "100")
    for node in cluster.project.spec.nodes:
        assert support.sql(cluster, node.name, "SHOW max_connections") == [(wanted,)]
        with support.connect(cluster, node.name, cluster.engine.application) as link:
            assert link.execute("SELECT count(*), sum(id) FROM kept").fetchall() == [(ROWS, ROWS * (ROWS + 1) // 2)]


@pytest.mark.repeated(60)
def test_up_killed_at_a_random_instant_is_completed_by_the_next(folder: Path, repetition: int) -> None:
    runtime, what = RUNTIMES[repetition % 2], CHANGES[repetition // 2 % len(CHANGES)]
    require(18, runtime)
    random.seed(f"{SEED} {repetition}")
    cluster = support.make_project(folder / "shop", runtime=runtime)
    first, later = (random.uniform(0.2, most) for most in SECONDS[runtime])
    print(f"seed {SEED}, {runtime} {repetition}: first boot killed after {first:.2f} s, {what} after {later:.2f} s")
    try:
        print(killed(cluster, first))
        completed(cluster)
        with support.connect(cluster, support.primary_of(cluster), cluster.engine.application) as link:
            link.execute(f"CREATE TABLE kept AS SELECT id FROM generate_series(1, {ROWS}) AS id")
        cluster = change(cluster.project.root, what)
        print(killed(cluster, later))
        as_asked_for(completed(cluster))
    except BaseException:
        support.print_logs(cluster)
        raise
    finally:
        support.end(cluster)
