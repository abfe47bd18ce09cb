"""Ordinary settings of servers, databases and roles stop no command and no guard."""

from collections.abc import Iterator

import pytest

from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import Haop
from tests.guard.conftest import await_whole
from tests.guard.events import events

# Of everybody, in haop.toml.
SETTINGS = {
    "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "TimeZone": "America/Bogota", "bytea_output": "escape",
    "default_transaction_isolation": "serializable", "quote_all_identifiers": "on",
}  # fmt: skip
# Of haop's own roles and of the database that they connect to: the application lives elsewhere.
OWN = {
    "default_transaction_read_only": "on", "default_transaction_deferrable": "on", "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'", "idle_in_transaction_session_timeout": "'1ms'", "idle_session_timeout": "'50ms'",
    "client_encoding": "LATIN1", "search_path": "shadow, pg_catalog", "extra_float_digits": "-15",
    "standard_conforming_strings": "off", "exit_on_error": "on", "session_replication_role": "replica",
}  # fmt: skip
SHADOW = """
    CREATE SCHEMA shadow; GRANT USAGE ON SCHEMA shadow TO PUBLIC;
    CREATE FUNCTION shadow.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
    CREATE VIEW shadow.pg_replication_slots AS SELECT 1 AS nothing
"""
# An audit of logins turns everybody away from a standby, which cannot write it (from 17 on).
TRIGGER = """
    CREATE FUNCTION shadow.audit() RETURNS event_trigger LANGUAGE plpgsql
        AS 'BEGIN IF session_user = ''postgres'' THEN RAISE EXCEPTION ''nobody gets in''; END IF; END';
    CREATE EVENT TRIGGER audit ON login EXECUTE FUNCTION shadow.audit();
    ALTER EVENT TRIGGER audit ENABLE ALWAYS
"""


@pytest.fixture
def hostile(runtime: str) -> Iterator[Cluster]:
    with support.folder() as folder:
        made = support.make_project(folder / "shop", runtime=runtime, guard=True, parameters=SETTINGS)
        with support.running(made) as cluster:
            statements, secrets = [SHADOW], cluster.secrets
            if cluster.project.spec.postgres >= 17:
                statements.append(TRIGGER)
            for role in (secrets.replication_user, secrets.rewind_user, secrets.monitor_user, "postgres"):
                rules = OWN if role == "postgres" else {k: v for k, v in OWN.items() if "replication" not in k}
                for name, value in rules.items():
                    setting = f"{name} {'TO' if name == 'search_path' else '='} {value}"
                    statements.append(
                        f"ALTER ROLE {role} SET {setting}; ALTER ROLE {role} IN DATABASE postgres SET {setting}"
                    )
            support.sql(cluster, "db1", "; ".join(statements))
            yield cluster


def test_ordinary_settings_stop_no_command_and_no_guard(hostile: Cluster, haop: Haop) -> None:
    root = str(hostile.project.root)

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        done = haop("-C", root, *arguments)
        assert done.code in codes, (arguments, done.out, done.err)
        return done.out

    run("status")
    run("status", "--json")
    run("up", "--yes")
    assert "not examined" not in run("doctor", codes=(0, 3))  # the quick settings of tests are errors to it
    run("check", "--contents")
    run("dsn")
    run("psql", "-c", "SELECT 1")
    run("guard", "status")
    run("switchover", "--to", "db2", "--yes")
    run("restart", "--rolling", "--yes")
    run("drill", "failover", "--yes", codes=(0, 3))  # an application that is serializable cannot read from a standby
    assert events(hostile, "guard failover")
    await_whole(hostile)
    run("guard", "pause", "--why", "by hand")
    old = support.primary_of(hostile)
    hostile.runtime.kill(old)
    run("failover", "--yes")
    run("rejoin", old, "--yes")
    run("rebuild", old, "--yes")
    run("guard", "resume")
    run("status")
