"""`haop check` finds what differs, names what it could not compare, and finds nothing on a busy cluster."""

import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haop.model.checking import Outcome
from haop.operations.check import check
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.postgres.binaries import installation
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, only_local, require
from tests.support import Quiet

ODD_TABLES = """
CREATE SCHEMA "We ird.""x";
CREATE TABLE "We ird.""x"."t.""1" (t int, "a b" text, "T" jsonb);
INSERT INTO "We ird.""x"."t.""1" SELECT g, 'ü' || g, jsonb_build_object('a', g) FROM generate_series(1, 100) AS g;
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE dropped (a int, b text, c int);
ALTER TABLE dropped DROP COLUMN b;
INSERT INTO dropped VALUES (1, 2);
CREATE TABLE kinds (
    a int, twice int GENERATED ALWAYS AS (a * 2) STORED, x xml, j json, f float8, r real,
    at timestamptz DEFAULT now(), raw bytea, span interval, price money, class regclass, list int[], nothing text
);
INSERT INTO kinds (a, j, f, r, raw, span, price, class, list)
SELECT g, '{"a": 1}', random(), random(), decode(md5(g::text), 'hex'), make_interval(hours => g), 12.5, 'kinds',
    ARRAY[g, NULL] FROM generate_series(1, 100) AS g;
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE "Rest" PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT g, repeat(md5(g::text), 200) FROM generate_series(1, 200) AS g;
CREATE TABLE parent (a int);
CREATE TABLE child (b int) INHERITS (parent);
INSERT INTO child VALUES (1, 2);
CREATE MATERIALIZED VIEW seen AS SELECT * FROM parts;
CREATE MATERIALIZED VIEW unseen AS SELECT 1 AS one WITH NO DATA;
CREATE UNLOGGED TABLE quick (a int);
INSERT INTO quick VALUES (1);
"""
XML = "UPDATE kinds SET x = '<a>ü</a>'"


@pytest.fixture
def shop(shared: Cluster) -> Cluster:
    return shared


def checked(haop: Haop, cluster: Cluster, *options: str) -> tuple[int, Any]:
    """The exit code and the document."""
    done = haop("-C", str(cluster.project.root), "check", "--json", *options)
    return done.code, json.loads(done.out)


def rows(document: Any, outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(c["check"], c["node"], c["evidence"]) for c in document["checks"] if c["outcome"] == outcome]


@contextmanager
def odd_tables(cluster: Cluster) -> Iterator[dict[str, int]]:
    """Tables of every kind in the application's database, and how many rows each holds itself."""
    primary = support.primary_of(cluster)
    support.sql(cluster, primary, ODD_TABLES, database="shop")
    if cluster.runtime.tls:  # the build that has no TLS has no XML either
        support.sql(cluster, primary, XML, database="shop")
    yield {
        't."1': 100, "no_columns": 1, "dropped": 1, "kinds": 100, "low": 99, "Rest": 101, "parent": 0, "child": 1,
        "seen": 200,
    }  # fmt: skip
    gone = (
        'DROP TABLE no_columns, dropped, kinds, parts, parent, child, quick CASCADE; DROP SCHEMA "We ird.""x" CASCADE;'
    )
    support.sql(cluster, primary, f"DROP MATERIALIZED VIEW unseen; {gone}", database="shop")


def test_every_table_of_every_database_is_compared(shop: Cluster, haop: Haop) -> None:
    with odd_tables(shop) as expected:
        code, document = checked(haop, shop, "--contents")
    assert code == 0, document
    assert document["schema"] == "haop.check/1"
    assert document["outcome"] == "ok"
    primary, standby = document["primary"], support.standby_of(shop)
    counts = {table["table"]: table["nodes"][primary]["rows"] for table in document["tables"]}
    assert counts == {**expected, "quick": None}
    for table in document["tables"]:
        assert table["nodes"][primary] == table["nodes"][standby]
        assert table["table"] == "quick" or table["lsn"]
    assert [row for row in rows(document, Outcome.SKIPPED) if row[0] == "contents"] == [
        ("contents", standby, "postgres: no tables"),
        ("contents", standby, "shop: public.quick: unlogged: a standby has none of its rows"),
    ]
    (replay,) = [row for row in document["checks"] if row["check"] == "replay"]
    assert 0 < replay["seconds"] < 15
    kinds = {row["check"] for row in document["checks"]}
    assert kinds == {"replay", "read-only", "replication-role", "tls", "pg_hba", "contents"}
    (read_only,) = [row for row in rows(document, Outcome.OK) if row[0] == "read-only"]
    assert read_only[2] == "25006: cannot execute CREATE SCHEMA in a read-only transaction"
    tls = {row["outcome"] for row in document["checks"] if row["check"] == "tls"}
    assert tls == {"ok" if shop.runtime.tls else "skipped"}


def test_a_changed_byte_and_a_torn_page_on_a_standby_are_found(shop: Cluster, haop: Haop) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    for name in ("changed", "torn", "whole"):
        make = f"CREATE TABLE {name} AS SELECT g, 'needle-' || g AS v FROM generate_series(1, 100) AS g"
        support.sql(shop, primary, make, database="shop")
        # Hint bits that reading sets go into the WAL as whole pages, which replay would write again.
        support.sql(shop, primary, f"VACUUM (FREEZE) {name}", database="shop")
    files = [
        str(support.sql(shop, primary, f"SELECT pg_relation_filepath('{name}')", database="shop")[0][0])
        for name in ("changed", "torn")
    ]
    support.sql(shop, primary, "CHECKPOINT")
    assert checked(haop, shop, "--contents")[0] == 0  # and so the checkpoint is replayed
    support.sql(shop, standby, "CHECKPOINT")  # and replay begins after it
    shop.runtime.stop(standby)

    code, document = checked(haop, shop)
    assert code == 5
    assert {row[:2] for row in rows(document, Outcome.NOT_COMPARED)} == {
        (name, standby) for name in ("replay", "read-only", "tls", "pg_hba", "rows")
    }
    assert not rows(document, Outcome.DIFFERENT)

    flip = 'cd "$PGDATA"; at=$(grep -abo needle-77 {0} | cut -d: -f1); printf N | dd of={0} bs=1 seek=$at conv=notrunc'
    changed, torn = (flip.format(path) for path in files)
    rewrite = "pg_checksums --disable; pg_checksums --enable"
    support.by_hand(shop, standby, f"({changed}) 2>&1; ({rewrite}); ({torn}) 2>&1")
    up(shop, Quiet())
    code, document = checked(haop, shop)
    assert code == 3
    ((kind, node, evidence),) = rows(document, Outcome.DIFFERENT)  # as many rows as before; one page is not to be read
    assert (kind, node) == ("rows", standby)
    assert "shop: public.torn: cannot be read here: invalid page in block 0" in evidence

    code, document = checked(haop, shop, "--contents")
    assert code == 3
    (first, second) = rows(document, Outcome.DIFFERENT)
    assert first[:2] == second[:2] == ("contents", standby)
    assert f"shop: public.changed: 100 rows here and on {primary}, but their contents differ (at 0/" in first[2]
    assert "shop: public.torn: cannot be read here" in second[2]
    assert any("1 table, 100 rows as on" in row[2] for row in rows(document, Outcome.OK))
    support.sql(shop, primary, "DROP TABLE changed, torn, whole", database="shop")
    assert checked(haop, shop, "--contents")[0] == 0


PRIVILEGES = {
    "ALTER ROLE replicator CREATEDB": ("CREATEDB", "ALTER ROLE replicator NOCREATEDB"),
    "GRANT pg_monitor TO replicator": ("member of pg_monitor", "REVOKE pg_monitor FROM replicator"),
    "GRANT SELECT (a), UPDATE ON mine TO replicator": (
        "SELECT on column a of table public.mine of shop; UPDATE on table public.mine of shop",
        "REVOKE ALL ON mine FROM replicator; REVOKE ALL (a) ON mine FROM replicator",
    ),
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO replicator": (
        "EXECUTE on function pg_read_file(text) of shop", "REVOKE ALL ON FUNCTION pg_read_file(text) FROM replicator",
    ),
    "ALTER TABLE owned OWNER TO replicator": ("owns table public.owned of shop", "ALTER TABLE owned OWNER TO postgres"),
    "GRANT CONNECT ON DATABASE shop TO replicator": (
        "CONNECT on database shop", "REVOKE ALL ON DATABASE shop FROM replicator",
    ),
    "GRANT CONNECT ON DATABASE postgres TO PUBLIC": (
        "CONNECT on database postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
    ),
    "GRANT SET ON PARAMETER work_mem TO replicator": (
        "SET on parameter work_mem", "REVOKE ALL ON PARAMETER work_mem FROM replicator",
    ),
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO replicator": (
        "SELECT on default privileges on new relations belonging to role postgres of shop",
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM replicator",
    ),
}  # fmt: skip


@only_local  # the same statements, whatever runs the server
@pytest.mark.parametrize("contents", [False, True], ids=["rows", "contents"])
def test_many_small_tables_are_read_together_and_each_is_judged_by_itself(shop: Cluster, contents: bool) -> None:
    primary = support.primary_of(shop)
    make = "; ".join(f"CREATE TABLE many.t{number:03} AS SELECT {number} AS a" for number in range(300))
    statement = f"CREATE SCHEMA many; {make}; CREATE MATERIALIZED VIEW many.t150_view AS SELECT 1 AS a"
    support.sql(shop, primary, statement, database="shop")
    login = replace(shop.engine.admin, database="shop")
    with support.connect(shop, primary, login) as writer, writer.transaction():
        writer.execute("INSERT INTO many.t042 VALUES (1)")
        found = check(shop, Quiet(), contents=contents, patience=1.0)
    (busy,) = (each for each in found.checks if each.outcome is Outcome.NOT_COMPARED)
    assert busy.evidence == "shop: many.t042: it could not be locked in time: somebody works on it"
    many = [reading for reading in found.readings if reading.table.schema == "many"]
    assert len(many) == 301
    assert any("300 tables, 300 rows as on" in each.evidence for each in found.checks), found.checks
    assert len({reading.lsn for reading in many}) < 30, "one position for many tables"
    support.sql(shop, primary, "DROP SCHEMA many CASCADE", database="shop")


@only_local  # the same statements, whatever runs the server
def test_each_privilege_too_many_of_the_replication_role_is_named(shop: Cluster, haop: Haop) -> None:
    primary, role = support.primary_of(shop), shop.secrets.replication_user
    support.sql(shop, primary, "CREATE TABLE mine (a int); CREATE TABLE owned (a int)", database="shop")
    for grant in PRIVILEGES:
        support.sql(shop, primary, grant.replace("replicator", role), database="shop")
    code, document = checked(haop, shop)
    assert code == 3
    ((kind, node, evidence),) = rows(document, Outcome.DIFFERENT)
    assert (kind, node) == ("replication-role", primary)
    found = evidence.removeprefix(f"{role}: ").split("; ")
    assert sorted(found) == sorted(part for told, _ in PRIVILEGES.values() for part in told.split("; "))
    for _, revoke in PRIVILEGES.values():
        support.sql(shop, primary, revoke.replace("replicator", role), database="shop")
    support.sql(shop, primary, "DROP TABLE mine, owned", database="shop")
    code, document = checked(haop, shop)
    assert code == 0, rows(document, Outcome.DIFFERENT)


def test_a_line_that_trusts_is_a_difference(shop: Cluster, haop: Haop) -> None:
    rules = shop.project.stack / "pg_hba.conf"
    before = rules.read_text()
    try:
        with rules.open("a") as file:
            file.write("host all all 203.0.113.0/24 trust\n")
        code, document = checked(haop, shop)
        assert code == 3
        found = rows(document, Outcome.DIFFERENT)
        assert [row[:2] for row in found] == [("pg_hba", "db1"), ("pg_hba", "db2")]
        assert all("host all all 203.0.113.0 255.255.255.0 trust" in row[2] for row in found)
    finally:
        with rules.open("w") as file:  # the same file: containers have it mounted
            file.write(before)
    assert checked(haop, shop)[0] == 0


def test_a_stream_without_tls_is_a_difference_where_the_build_has_it(shop: Cluster) -> None:
    if not shop.runtime.tls:
        pytest.skip("this machine's newest PostgreSQL has no TLS")
    standby = support.standby_of(shop)
    ((conninfo,),) = support.sql(shop, standby, "SHOW primary_conninfo")
    plain = f"{conninfo} sslmode=disable"
    for value in (plain, conninfo):
        support.sql(shop, standby, "ALTER SYSTEM SET primary_conninfo = '{}'".format(str(value).replace("'", "''")))
        support.sql(shop, standby, "SELECT pg_reload_conf()")
        wanted = Outcome.DIFFERENT if value == plain else Outcome.OK

        def seen(wanted: Outcome = wanted) -> bool:
            found = check(shop, Quiet(), contents=False).checks
            return [row.outcome for row in found if row.check == "tls" and row.node == standby] == [wanted]

        wait_until(seen, deadline=30, waiting_for=f"the stream to be {wanted}", pause=0.1)


@only_local  # locks and replay are the servers', whatever runs them
def test_what_is_locked_or_not_replayed_is_named(shop: Cluster, haop: Haop) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, primary, "CREATE TABLE busy (a int); CREATE TABLE idle (a int)", database="shop")
    with support.connect(shop, primary, replace(shop.engine.admin, database="shop")) as held:
        held.execute("BEGIN; INSERT INTO busy VALUES (1)")
        done = haop("-C", str(shop.project.root), "check")
        assert done.code == 5
        assert "shop: public.busy: it could not be locked in time: somebody works on it" in done.out
        assert "shop: 1 table, 0 rows as on" in done.out
        assert "not everything could be compared (0 different, 1 not compared)" in done.out
    support.sql(shop, standby, "SELECT pg_wal_replay_pause()")
    try:
        found = check(shop, Quiet(), contents=False, patience=0.5)
        assert found.outcome is Outcome.DIFFERENT
        told = {row.check: row.evidence for row in found.checks if row.outcome not in {Outcome.OK, Outcome.SKIPPED}}
        assert "was not replayed within 0.5 s" in told["replay"]
        assert "shop: public.busy, public.idle: it has not replayed" in told["rows"]
        support.sql(shop, primary, "INSERT INTO busy VALUES (1)", database="shop")  # nothing is locked any more
    finally:
        support.sql(shop, standby, "SELECT pg_wal_replay_resume()")
    support.sql(shop, primary, "DROP TABLE busy, idle", database="shop")


@pytest.mark.soak
@only_local  # pgbench lies beside the other programs; what it does to tables is the same on both
def test_nothing_differs_on_a_busy_cluster(folder: Path, haop: Haop, runtime: str) -> None:
    major = require(15)
    with support.running(support.make_project(folder / "shop", runtime=runtime, postgres=major)) as cluster:
        primary = support.primary_of(cluster)
        with odd_tables(cluster), pgbench(cluster, major), rewriting(cluster, primary):
            for _ in range(20 if os.environ.get("HAOP_SOAK") else 3):
                before = transactions(cluster, primary)
                code, document = checked(haop, cluster, "--contents")
                assert code == 0, [row for row in document["checks"] if row["outcome"] != "ok"]
                tables = {table["table"]: table for table in document["tables"]}
                assert tables["pgbench_accounts"]["nodes"]["db2"]["rows"] == 100_000
                assert tables["pgbench_history"]["nodes"]["db2"]["rows"] > 0
                assert transactions(cluster, primary) > before + 20  # it was busy


def test_without_a_primary_nothing_is_proved(folder: Path, haop: Haop) -> None:
    support.make_project(folder / "shop")
    done = haop("-C", "shop", "check", "--json")
    assert (done.code, json.loads(done.out)["primary"], json.loads(done.out)["checks"]) == (4, None, [])
    assert "error: no node accepts writes" in done.err


def transactions(cluster: Cluster, node: str) -> int:
    return int(str(support.sql(cluster, node, "SELECT count(*) FROM pgbench_history", database="shop")[0][0]))


@contextmanager
def pgbench(cluster: Cluster, major: int) -> Iterator[None]:
    """Four clients that read and write."""
    endpoint = cluster.runtime.endpoint(support.primary_of(cluster))
    environment = {**os.environ, "PGPASSWORD": cluster.secrets.postgres_password, "PGSSLMODE": "prefer"}
    program = str(installation(major).bindir / "pgbench")
    argv = (program, "-h", endpoint.host, "-p", str(endpoint.port), "-U", "postgres", "shop")
    subprocess.run((*argv, "-i", "-q"), env=environment, check=True, capture_output=True, timeout=60)
    running = subprocess.Popen(
        (*argv, "-c", "4", "-T", "600", "-n"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: transactions(cluster, support.primary_of(cluster)), deadline=30, waiting_for="pgbench")
        yield
        assert running.poll() is None, running.communicate()[1]
    finally:
        running.kill()
        running.communicate()


@contextmanager
def rewriting(cluster: Cluster, node: str) -> Iterator[None]:
    """A table that is emptied and filled, and a materialized view that is refreshed in both ways, again and again."""
    make = """
        CREATE TABLE churn (a int);
        CREATE MATERIALIZED VIEW view AS SELECT a FROM churn;
        CREATE UNIQUE INDEX ON view (a);
    """
    steps = (
        "BEGIN; TRUNCATE churn; INSERT INTO churn SELECT generate_series(1, {}); COMMIT",
        "REFRESH MATERIALIZED VIEW view",
        "INSERT INTO churn VALUES ({} + 1)",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY view",
    )
    support.sql(cluster, node, make, database="shop")
    over, turns = threading.Event(), itertools.count(1)

    def rewrite() -> int:
        for turn in turns:
            for step in steps:
                support.sql(cluster, node, step.format(turn), database="shop")
            if over.wait(0.05):
                break
        return turn

    with ThreadPoolExecutor(1) as pool:
        rewriter = pool.submit(rewrite)
        try:
            yield
        finally:
            over.set()
        assert rewriter.result() > 3
