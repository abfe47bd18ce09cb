"""`haop up` is killed at random instants, on first boot and while it converges; the next one completes.

The runtimes take turns: with HAOP_SOAK=1 it is killed 30 times on each of them.
"""

import random
import re
import secrets
import shutil
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

# An `up` is killed within so many seconds: of a first boot, of a converge with a restart, of one without. Where it had
# ended by then, that was no kill: once more, sooner.
SECONDS = {"local": (3.0, 2.5, 1.0), "compose": (5.0, 6.0, 1.5)}
ROWS = 1000
# What a converge has to change, alternately.
CHANGES = ("max_connections up", "a password", "max_connections down", "every password")


def begun(cluster: Cluster) -> subprocess.Popen[str]:
    argv = (sys.executable, "-m", "haop", "-C", str(cluster.project.root), "up", "--yes")
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed(cluster: Cluster, what: str, most: float) -> bool:
    """Kill `haop up --yes` at a random instant; whether it had not ended by then."""
    instant = random.uniform(0.2, max(most, 0.3))
    process = begun(cluster)
    try:
        told, _ = process.communicate(timeout=instant)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        told, _ = process.communicate()
        print(f"seed {SEED}: {what}, killed after {instant:.2f} s, after: {(told.splitlines() or ['nothing'])[-1]}")
        return True
    assert process.returncode == 0, told
    return False


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
    boot, restarting, quick = SECONDS[runtime]
    cluster = support.make_project(folder / "shop", runtime=runtime)
    try:
        while not killed(cluster, f"{runtime} {repetition}, first boot", boot):
            support.end(cluster)
            boot *= 0.7
            shutil.rmtree(folder / "shop")
            cluster = support.make_project(folder / "shop", runtime=runtime)
        completed(cluster)
        with support.connect(cluster, support.primary_of(cluster), cluster.engine.application) as link:
            link.execute(f"CREATE TABLE kept AS SELECT id FROM generate_series(1, {ROWS}) AS id")
        most = quick if "password" in what else restarting
        cluster = change(cluster.project.root, what)
        while not killed(cluster, f"{runtime} {repetition}, {what}", most):
            most *= 0.7
            cluster = change(cluster.project.root, what)
        as_asked_for(completed(cluster))
    except BaseException:
        support.print_logs(cluster)
        raise
    finally:
        support.end(cluster)
