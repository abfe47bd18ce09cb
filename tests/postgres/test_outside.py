"""Data outside a node's own folder or volume: found by every command, and nothing that would lose them begins."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from haop.errors import HaopError, Refused
from haop.model.health import Health
from haop.operations import failover, rebuild, status
from haop.operations.cluster import Cluster
from haop.operations.down import down
from haop.operations.up import up
from haop.process import run
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.conftest import only_compose, only_local
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet


def quiet(event: str, node: str) -> None:
    pass


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair: healthy before, and once the way out was taken, healthy afterwards."""
    yield shared
    primary = support.primary_of(shared)
    support.sql(shared, primary, "DROP TABLE IF EXISTS far")  # two processes have written its files
    support.sql(shared, primary, "DROP TABLESPACE IF EXISTS wide")
    for node in shared.engine.observe().nodes:
        if node.name != primary and shared.project.spec.runtime == "local":
            rebuild.execute(shared, node.name, Quiet())
    assert up(shared, Quiet()).health is Health.HEALTHY


def made(cluster: Cluster) -> Path:
    """A tablespace at a path that is no node's own, where every server can write."""
    where = cluster.project.root.parent / "space"
    if cluster.project.spec.runtime == "local":
        where.mkdir(exist_ok=True)
        run(("chown", support.local(cluster).run_as.name, str(where)))
    else:
        where = Path("/srv/space")
        for node in cluster.project.spec.nodes:
            container = support.containers(cluster)._containers.id(node.name)
            make = f"mkdir -p {where} && chown postgres {where}"
            run(("docker", "exec", "--user", "root", container, "sh", "-c", make))
    primary = support.primary_of(cluster)
    support.sql(cluster, primary, f"CREATE TABLESPACE wide LOCATION '{where}'")
    support.sql(cluster, primary, "CREATE TABLE far TABLESPACE wide AS SELECT generate_series(1, 1000) AS i")
    far = "SELECT 1 FROM pg_class WHERE relname = 'far'"
    wait_until(lambda: support.sql(cluster, support.standby_of(cluster), far), deadline=30, waiting_for="the table")
    return where


def test_a_tablespace_outside_is_found_by_every_command_and_nothing_is_cloned(shop: Cluster) -> None:
    where = made(shop)
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    agreed = assert_all_agree(shop)
    assert {("tablespace", "error", primary), ("tablespace", "error", standby)} <= agreed
    told = next(f for f in status.observe(shop).findings if f.code == "tablespace")
    assert f"wide of {told.node} lies at {where}" in told.message
    assert "DROP TABLESPACE wide" in (told.hint or "")
    with pytest.raises(Refused, match="tablespace wide"):
        rebuild.plan(shop, standby)
    with pytest.raises(HaopError, match=r"the tablespace wide of .* lies at .*outside of"):
        rebuild.execute(shop, standby, Quiet())


@only_local  # containers do not share their files
def test_a_second_server_in_the_same_files_is_not_started(shop: Cluster) -> None:
    made(shop)
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.stop(standby)
    with pytest.raises(HaopError, match=r"tablespace \d+ of .* lies at .*space, outside of"):
        up(shop, Quiet())
    assert support.primary_of(shop) == primary


@only_local
def test_a_former_primary_does_not_rewind_into_the_files_of_the_new_one(shop: Cluster) -> None:
    made(shop)
    old, new = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.kill(old)
    assert failover.execute(shop, None, quiet).node == new
    shop.runtime.readmit(old)
    shop.runtime.start(shop.engine.services()[old])
    wait_until(lambda: not shop.runtime.rejoining(old), deadline=60, waiting_for="its end")
    assert "outside of" in shop.engine.last_words(old)


@only_compose
def test_a_container_with_data_beside_its_volume_is_neither_removed_nor_made_anew(shop: Cluster) -> None:
    made(shop)
    primary = support.primary_of(shop)
    containers = support.containers(shop)._containers
    before = {node.name: containers.id(node.name) for node in shop.project.spec.nodes}
    with pytest.raises(Refused, match=r"the tablespace wide of .* lies at /srv/space"):
        down(shop, Quiet(), volumes=False, say=lambda _: None)
    assert support.primary_of(shop) == primary, "nothing was stopped"
    standby = support.standby_of(shop)
    config = shop.project.root / "haop.toml"
    written = config.read_text()
    config.write_text(re.sub(r'# shm_size = "256m"', 'shm_size = "300m"', written))
    shop.runtime.stop(standby)
    try:
        with pytest.raises(Refused, match=f"the container of {standby} cannot be removed: its tablespace"):
            up(Cluster.of(load(shop.project.root)), Quiet())
    finally:
        config.write_text(written)
    assert {node.name: containers.id(node.name) for node in shop.project.spec.nodes} == before


def test_a_setting_that_names_a_path_outside_is_found(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    support.sql(shop, standby, "ALTER SYSTEM SET ident_file = '/etc/elsewhere.conf'")
    shop.runtime.stop(standby)
    shop.runtime.start(shop.engine.services()[standby])
    shop.engine.await_streaming(frozenset({standby}), 60)
    told = [f.message for f in status.observe(shop).findings if f.code == "path-outside"]
    assert "path-outside" in {code for code, _, _ in assert_all_agree(shop)}
    support.sql(shop, standby, "ALTER SYSTEM RESET ident_file")
    shop.runtime.stop(standby)
    assert len(told) == 1
    assert f"ident_file of {standby} is /etc/elsewhere.conf, outside its own folder" in told[0]
