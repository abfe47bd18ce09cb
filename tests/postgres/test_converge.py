"""`haop up` brings a running cluster to what haop.toml and .env say; `haop restart`, in place and rolling.

One pair on each runtime for all of it. Each test changes what it is about, and leaves the cluster healthy.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from haop.cli.app import app
from haop.drills.ledger import Ledger, Outcome
from haop.drills.measure import measure
from haop.drills.workload import Workload
from haop.errors import HaopError, Refused
from haop.model.health import Finding, Health
from haop.operations import failover, restart
from haop.operations import up as operation
from haop.operations.cluster import Cluster
from haop.operations.down import down
from haop.operations.status import Assessment
from haop.postgres import drilling
from haop.postgres.connection import Login
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import only_compose, only_local, require
from tests.support import Quiet

# Writes fail for as long as a primary takes to stop and another to start, not longer: generous, this machine is busy.
OUTAGE_SECONDS = 10.0
PASSWORDS = ("POSTGRES", "DATABASE", "REPLICATION", "REWIND", "MONITOR")


@dataclass
class Shop:
    """A cluster whose haop.toml and .env change under it."""

    root: Path
    runtime: str

    @property
    def cluster(self) -> Cluster:
        """As its files say now."""
        return Cluster.of(load(self.root))

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text, count = re.subn(old, new, path.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{count} times {old!r} in {file}"
        path.write_text(text)

    def ask(self, **parameters: str | None) -> None:
        """Settings of [postgres.parameters]; None takes one out."""
        path = self.root / "haop.toml"
        for name, value in parameters.items():
            text = re.sub(rf"^{name} = .*\n", "", path.read_text(), flags=re.MULTILINE)
            line = f'{name} = "{value}"\n' if value else ""
            path.write_text(re.sub(r"^(\[postgres.parameters\].*\n)", rf"\g<1>{line}", text, flags=re.MULTILINE))

    def up(self, consent: operation.Consent = operation.nobody, *, prune: bool = False) -> Assessment:
        return operation.up(self.cluster, Quiet(), consent, prune=prune)

    def started(self) -> Mapping[str, datetime]:
        return {node.name: node.server.started_at for node in self.cluster.engine.observe().reachable}

    def everywhere(self, name: str) -> set[object]:
        """A setting's values on all nodes that answer."""
        cluster = self.cluster
        return {support.sql(cluster, node, f"SHOW {name}")[0][0] for node in self.started()}

    def events(self) -> list[str]:
        return [f"{event.action}: {event.detail}" for event in load(self.root).events()]

    def haop(self, *arguments: str) -> support.Finished:
        done = CliRunner().invoke(app, ["-C", str(self.root), *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return support.Finished(done.exit_code, done.stdout, done.stderr)


def yes(_plan: Sequence[str]) -> bool:
    return True


def never(plan: Sequence[str]) -> bool:
    raise AssertionError(f"nobody should be asked about {plan}")


@pytest.fixture(scope="module")
def pair(runtime: str) -> Iterator[Shop]:
    major = require(15 if runtime == "local" else 18, runtime)  # the oldest and the newest
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, postgres=major)) as cluster,
    ):
        shop = Shop(cluster.project.root, runtime)
        yield shop
        support.end(shop.cluster)


@pytest.fixture
def shop(pair: Shop) -> Iterator[Shop]:
    kept = (pair.root / "haop.toml").read_text()
    yield pair
    (pair.root / "haop.toml").write_text(kept)
    found = pair.up(yes, prune=True)
    assert found.health is Health.HEALTHY
    assert {finding.code for finding in found.findings} <= {"tls-off"}


def named(found: Assessment, code: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.code == code]


@contextmanager
def clients(shop: Shop) -> Iterator[None]:
    """Clients write all the time; no row is lost, and writes are never away for longer than a switchover takes."""
    cluster, ledger = shop.cluster, Ledger()
    spec, engine = cluster.project.spec, cluster.engine
    nodes = {node.name: cluster.runtime.endpoint(node.name) for node in spec.nodes}
    old = support.primary_of(cluster)
    drilling.make_ledger(nodes[old], engine.admin, spec.database, spec.owner)
    workload = Workload(ledger, nodes, engine.application, old)
    with workload.running():
        yield
        seen = len(ledger.writes)
        wait_until(
            lambda: any(w.outcome is Outcome.ACKNOWLEDGED for w in ledger.writes.copy()[seen:]),
            deadline=OUTAGE_SECONDS, waiting_for="a last acknowledged write",
        )  # fmt: skip
    primary = cluster.runtime.endpoint(support.primary_of(cluster))
    survivors = drilling.read_ledger(primary, engine.admin, spec.database)
    found = measure(ledger, survivors, fault_at=0.0, promoted_at=None, redundant_at=None, old_primary="")
    drilling.drop_ledger(primary, engine.admin, spec.database)
    print(f"{shop.runtime}: {found.acknowledged_writes} writes, longest gap {found.longest_write_gap_seconds:.2f} s")
    assert found.acknowledged_writes > 20
    assert (found.lost, found.unexpected) == ((), ())
    assert found.longest_write_gap_seconds is not None
    assert found.longest_write_gap_seconds < OUTAGE_SECONDS


# Each class of parameter, up and down again: what is asked for, and what every node says afterwards. The order in which
# nodes are restarted is the same on both runtimes; containers, which take longer, see all classes in two changes.
CHANGES: dict[str, tuple[dict[str, str | None], ...]] = {
    "local": (
        {"work_mem": "8MB", "shared_buffers": "24MB"},
        {"max_connections": "120"},
        {"max_connections": "60"},
        {"max_connections": "90", "max_worker_processes": "6"},
        {"max_connections": None, "max_worker_processes": None, "work_mem": None, "shared_buffers": "16MB"},
    ),
    "compose": (
        {"max_connections": "120", "max_worker_processes": "6", "work_mem": "8MB", "shared_buffers": "24MB"},
        {"max_connections": None, "max_worker_processes": None, "work_mem": None, "shared_buffers": None},
    ),
}
DEFAULTS = {"max_connections": "100", "max_worker_processes": "8", "work_mem": "4MB", "shared_buffers": "128MB"}


def test_every_class_of_parameter_is_changed_without_an_outage_beyond_a_switchover(shop: Shop) -> None:
    for number, asked in enumerate(CHANGES[shop.runtime]):
        shop.ask(**asked)
        if shop.runtime == "compose":  # where containers are made anew on the way, for another limit
            shop.edit("haop.toml", *((r'^# memory = "2g"', 'memory = "1g"') if number == 0 else ("^memory = .*", "")))
        print(asked)
        plan: list[str] = []
        with clients(shop):
            if number == 0:
                before = shop.started()
                assert named(shop.up(), "restart-needed")
                assert shop.started() == before, "without consent nothing is restarted"
            assert shop.up(lambda lines, plan=plan: bool(plan.extend(lines)) or True).health is Health.HEALTHY  # type: ignore[misc]
        for name, value in asked.items():
            assert shop.everywhere(name) == {value or DEFAULTS[name]}, name
            assert any(line.startswith(f"{name} ") for line in plan) is (name != "work_mem"), plan
        for standby in shop.cluster.engine.observe().standbys:
            paused = support.sql(shop.cluster, standby.name, "SELECT pg_get_wal_replay_pause_state()")
            assert paused == [("not paused",)]
        if shop.runtime == "compose":
            limits = {stacks.inspect(shop.cluster, node)["HostConfig"]["Memory"] for node in ("db1", "db2")}
            assert limits == {2**30 if number == 0 else 0}
    before = shop.started()
    shop.up(never)
    assert shop.started() == before, "a second up changes nothing"
    told = "\n".join(shop.events())
    assert "reload settings: work_mem 4MB → 8MB on db1, db2" in told
    assert "restart --rolling: " in told
    assert "max_connections 120 → " in told


@only_local  # no runtime has a part in it
def test_a_reload_is_enough_where_it_is_and_asks_nobody(shop: Shop) -> None:
    before = shop.started()
    shop.ask(log_min_duration_statement="2s")
    assert shop.up(never).health is Health.HEALTHY
    assert shop.everywhere("log_min_duration_statement") == {"2s"}
    shop.ask(log_min_duration_statement=None)
    shop.up(never)
    assert shop.everywhere("log_min_duration_statement") == {"1s"}
    assert shop.started() == before


@only_local  # no runtime has a part in it
def test_without_a_terminal_what_needs_a_restart_is_named_and_exits_0(shop: Shop) -> None:
    before, (now,) = shop.started(), shop.everywhere("max_locks_per_transaction")
    shop.ask(max_locks_per_transaction="80")
    done = shop.haop("up")
    assert done.code == 0, done.err
    assert f"max_locks_per_transaction {now} → 80 on db1, db2" in done.err
    assert "restart-needed" in shop.haop("up", "--json").out
    assert shop.started() == before
    shop.ask(max_locks_per_transaction=None)
    assert not named(shop.up(never), "restart-needed")


def test_settings_that_postgresql_rejects_are_refused_and_nothing_changes(shop: Shop) -> None:
    conf = shop.root / "stack/postgresql.conf"
    before, text = shop.started(), conf.read_text()
    shop.ask(checkpoint_timeout="lots")
    with pytest.raises(Refused, match="checkpoint_timeout"):
        shop.up(yes)
    assert conf.read_text() == text
    shop.ask(checkpoint_timeout=None)
    assert shop.started() == before


def test_a_setting_with_which_no_server_starts_costs_a_standby_not_the_primary(shop: Shop) -> None:
    primary = support.primary_of(shop.cluster)
    before = shop.started()[primary]
    config = shop.root / "haop.toml"
    kept = config.read_text()
    shop.ask(huge_pages="on", shared_buffers="4000GB")
    with pytest.raises(HaopError, match=r"db\d ended: "):
        shop.up(yes)
    assert shop.started()[primary] == before
    config.write_text(kept)
    assert shop.up(yes).health is Health.HEALTHY
    assert shop.started()[primary] == before


def accepts(shop: Shop, node: str, login: Login) -> bool:
    try:
        support.connect(shop.cluster, node, login).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def logins(shop: Shop) -> list[Login]:
    """The superuser, the application's owner, and the monitor, as .env says now."""
    cluster, own = shop.cluster, shop.cluster.secrets
    admin = cluster.engine.admin
    return [admin, cluster.engine.application, replace(admin, user=own.monitor_user, password=own.monitor_password)]


def new_passwords(shop: Shop) -> None:
    for key in PASSWORDS:
        shop.edit(".env", rf"^{key}_PASSWORD=.*", f"{key}_PASSWORD={secrets.token_urlsafe(12)}")
    support.awkward_passwords(shop.root)


def test_new_passwords_in_env_become_those_of_the_servers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    old, before = logins(shop), shop.started()
    new_passwords(shop)
    # Killed when the superuser's is changed, and no other; then another one is chosen.
    with monkeypatch.context() as patched:
        patched.setattr("haop.operations.passwords._remember", _killed)
        with pytest.raises(KeyboardInterrupt):
            shop.up(never)
    new_passwords(shop)
    assert shop.up(never).health is Health.HEALTHY
    assert shop.started() == before
    for node in before:
        assert [accepts(shop, node, login) for login in (*logins(shop), *old)] == [True] * 3 + [False] * 3
    secret = [line.split("=")[1] for line in (shop.root / ".env").read_text().splitlines() if "_PASSWORD=" in line]
    told = "\n".join(shop.events())
    assert "change passwords: postgres" in told
    assert "change passwords: " in told
    assert not [password for password in secret if password in told]
    assert (shop.root / ".haop/secrets/superuser_password").stat().st_mode & 0o777 == 0o600


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_passwords_that_changed_while_the_cluster_was_down(shop: Shop) -> None:
    old = logins(shop)
    down(shop.cluster, Quiet(), volumes=False, say=print)
    new_passwords(shop)
    assert shop.up(never).health is Health.HEALTHY, "every node starts with them"
    standby = support.standby_of(shop.cluster)
    shop.cluster.runtime.stop(standby)
    support.set_aside(shop.cluster, standby)
    assert shop.up(never).health is Health.HEALTHY, "and a new one is cloned with them"
    for node in shop.started():
        assert [accepts(shop, node, login) for login in (*logins(shop), *old)] == [True] * 3 + [False] * 3


@only_local  # names of roles are in the environment of containers: there a restart is asked for as well
def test_standbys_follow_with_another_role(shop: Shop) -> None:
    shop.edit(".env", r"^REPLICATION_USER=\w+", "REPLICATION_USER=follower")
    assert shop.up(never).health is Health.HEALTHY
    assert shop.haop("restart", support.standby_of(shop.cluster)).code == 0
    users = "SELECT usename FROM pg_stat_replication"
    assert support.sql(shop.cluster, support.primary_of(shop.cluster), users) == [("follower",)]


def with_node(shop: Shop, name: str) -> None:
    port = support.free_ports(1)
    shop.edit("haop.toml", r"^\[objectives\]", f'[[nodes]]\nname = "{name}"\nport = {port}\n\n[objectives]')


def without_node(shop: Shop, name: str) -> None:
    shop.edit("haop.toml", rf'^\[\[nodes\]\]\nname = "{name}"\nport = .*\n\n', "")


def slots(shop: Shop, node: str) -> set[object]:
    return {name for (name,) in support.sql(shop.cluster, node, "SELECT slot_name FROM pg_replication_slots")}


def test_a_node_is_added_and_removed(shop: Shop) -> None:
    before = shop.started()
    with_node(shop, "db-3")
    found = shop.up(never)
    assert found.health is Health.HEALTHY
    assert len(shop.started()) == 3
    assert {name: at for name, at in shop.started().items() if name in before} == before
    old = support.primary_of(shop.cluster)
    kept = (shop.root / "haop.toml").read_text()

    # The primary is taken out of haop.toml: nothing is done, and nothing promoted beside it.
    without_node(shop, old)
    stack = (shop.root / "stack/node.sh").read_text()
    for attempt in (
        lambda: shop.up(yes, prune=True),
        lambda: failover.plan(shop.cluster, None),
        lambda: failover.execute(shop.cluster, None, lambda _event, _node: None),
    ):
        with pytest.raises(Refused, match=f"{old} is the primary, and haop.toml no longer names it") as refused:
            attempt()
        assert "haop switchover" in str(refused.value.hint)
    assert (shop.root / "stack/node.sh").read_text() == stack
    (shop.root / "haop.toml").write_text(kept)

    # A standby is.
    without_node(shop, "db-3")
    (left,) = named(shop.up(never), "not-in-haop-toml")
    assert left.node == "db-3"
    assert "--prune" in str(left.hint)
    done = shop.haop("up", "--prune")
    assert done.code == 2, "there is nobody to ask"
    assert "remove db-3" in done.err
    assert "db_3" in slots(shop, old)
    assert shop.haop("up", "--prune", "--yes").code == 0
    assert shop.cluster.runtime.strays() == []
    assert not [node for node in before if "db_3" in slots(shop, node)]
    assert any(event.startswith("up: ") and "removed db-3" in event for event in shop.events())
    assert not support.processes_in(shop.root / ".haop/local/db-3")


def test_another_owner_and_another_database(shop: Shop) -> None:
    cluster = shop.cluster
    primary = support.primary_of(cluster)
    with support.connect(cluster, primary, cluster.engine.application) as link:
        link.execute("DROP TABLE IF EXISTS kept")
        link.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    former = cluster.project.spec
    shop.edit("haop.toml", r'^owner = "\w+"', 'owner = "keeper"')
    assert shop.up(never).health is Health.HEALTHY
    with support.connect(shop.cluster, primary, shop.cluster.engine.application) as link:
        assert link.execute("SELECT answer FROM kept").fetchall() == [(42,)], "the new owner has what is there"
        link.execute("ALTER TABLE kept ADD added int")
    shop.edit("haop.toml", r'^(\[database\]\nname =) "\w+"', r'\1 "other"')
    assert shop.up(never).health is Health.HEALTHY
    owners = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ('shop', 'other') ORDER BY 1"
    assert support.sql(shop.cluster, primary, owners) == [("other", "keeper"), ("shop", "keeper")]
    assert support.sql(shop.cluster, primary, "SELECT answer FROM kept", database="shop") == [(42,)]
    assert {"change database: owner of shop shop → keeper", "change database: made the database other"} <= set(
        shop.events()
    )
    shop.edit("haop.toml", r'^owner = "\w+"', f'owner = "{former.owner}"')
    shop.edit("haop.toml", r'^(\[database\]\nname =) "\w+"', rf'\1 "{former.database}"')


@only_local  # no runtime has a part in it
def test_durability_follows_haop_toml_there_and_back(shop: Shop) -> None:
    for durability, wanted in (("sync", True), ("async", False)):
        shop.edit("haop.toml", r'^durability = "\w+"', f'durability = "{durability}"')
        assert shop.up(never).health is Health.HEALTHY
        if wanted:
            with clients(shop):
                restart.rolling(shop.cluster, Quiet())
        primary = support.primary_of(shop.cluster)
        standby = support.standby_of(shop.cluster)
        (names,) = support.sql(shop.cluster, primary, "SHOW synchronous_standby_names")
        assert names == ((f'ANY 1 ("{standby}")' if wanted else ""),)


@only_local  # no runtime has a part in it
def test_up_changes_passwords_of_a_sync_cluster_whose_standby_is_down(shop: Shop) -> None:
    shop.edit("haop.toml", r'^durability = "\w+"', 'durability = "sync"')
    shop.up(never)
    shop.cluster.runtime.stop(support.standby_of(shop.cluster))
    new_passwords(shop)
    assert shop.up(never).health is Health.HEALTHY
    shop.edit("haop.toml", r'^durability = "\w+"', 'durability = "async"')


def test_another_port_of_a_node_that_runs_is_refused(shop: Shop) -> None:
    old = shop.cluster.project.spec.node("db2").port
    shop.edit("haop.toml", rf"^port = {old}$", f"port = {support.free_ports(1)}")
    with pytest.raises(Refused, match=f"db2 runs on port {old}; haop.toml says"):
        shop.up(yes)
    shop.edit("haop.toml", r'^name = "db2"\nport = .*', f'name = "db2"\nport = {old}')


@only_local  # no runtime has a part in it
def test_restart_of_one_of_all_and_rolling(shop: Shop) -> None:
    primary, standby = support.primary_of(shop.cluster), support.standby_of(shop.cluster)

    def restarted(*arguments: str) -> set[str]:
        before = shop.started()
        done = shop.haop("restart", *arguments)
        assert done.code == 0, done.err
        return {name for name, at in shop.started().items() if at != before[name]}

    assert restarted(standby) == {standby}, "nobody need be asked for a standby"
    refused = [shop.haop("restart", *it) for it in ((primary,), (), ("--rolling",))]
    assert [done.code for done in refused] == [2, 2, 2]
    assert all("--yes" in done.err for done in refused)
    assert shop.haop("restart", "db9").code == 2
    assert shop.haop("restart", standby, "--rolling").code == 2
    assert restarted(primary, "--yes") == {primary}
    assert support.primary_of(shop.cluster) == primary
    shop.ask(max_prepared_transactions="10")
    assert restarted("--yes") == {primary, standby}
    assert support.primary_of(shop.cluster) == primary
    assert shop.everywhere("max_prepared_transactions") == {"10"}
    shop.ask(max_prepared_transactions=None)
    assert restarted("--yes") == {primary, standby}
    assert shop.everywhere("max_prepared_transactions") == {"0"}, "lowered in one go"
    with clients(shop):
        assert restarted("--rolling", "--yes") == {primary, standby}
    assert support.primary_of(shop.cluster) == standby
    shop.cluster.runtime.stop(primary)
    assert shop.haop("restart", primary).code == 2, "it does not run"
    assert shop.haop("restart", "--rolling", "--yes").code == 4, "not steady"
    events = shop.events()
    assert any(event.startswith("restart --rolling: ") for event in events)


@only_compose
def test_a_service_beside_the_nodes_comes_changes_its_password_and_goes(shop: Shop) -> None:
    shop.edit("haop.toml", r"^enabled = false(?= +# default)", "enabled = true")
    shop.edit(".env", r"^REDIS_PASSWORD=.*", "REDIS_PASSWORD=first")
    assert shop.up(never).health is Health.HEALTHY
    shop.edit(".env", r"^REDIS_PASSWORD=.*", "REDIS_PASSWORD=second")
    (needed,) = named(shop.up(), "restart-needed")
    assert "redis" in needed.message
    before = shop.started()
    shop.up(yes)
    assert shop.started() == before
    assert "second" in stacks.execute(shop.cluster, "redis", "cat /run/secrets/password")
    shop.edit("haop.toml", r"^enabled = true(?= +# default)", "enabled = false")
    assert [finding.node for finding in named(shop.up(never), "not-in-haop-toml")] == ["redis"]
    shop.up(yes, prune=True)
    assert stacks.ask("inspect", stacks.container(shop.cluster, "redis")).returncode != 0
