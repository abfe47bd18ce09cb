"""What `haop adopt` decides of what it finds."""

from dataclasses import replace
from typing import Any

import pytest

from haop.model.adoption import Mount, OldContainer, OldDatabase, OldRole, OldServer, Taken
from haop.model.adoption_problems import application, of_container, of_server
from haop.model.adoption_rules import Wanted, carried, decide
from haop.postgres.scram import matches, verifier

OLD = OldContainer(
    id="1", name="shop-db-1", image="postgres:17", service="db", stack="shop", running=True, restart="always",
    removed_when_stopped=False, ours=False, user="", password="secret",
    environment={"PG_MAJOR": "17", "PGDATA": "/var/lib/postgresql/data", "POSTGRES_USER": "shop"},
    mounts=(Mount("shop_data", "/var/lib/postgresql/data"),), published={5432: ("0.0.0.0", 5432)},  # noqa: S104 - found
)  # fmt: skip
SERVER = OldServer(
    major=17, data="/var/lib/postgresql/data", port=5432, in_recovery=False, checksums=False, tls=False, bytes=2**20,
    databases=(OldDatabase("postgres", "shop", True), OldDatabase("shop", "shop", True)),
    roles=(OldRole("shop", True, True, verifier("secret")),), tablespaces=(), slots=(), receivers=0, settings={},
    rules=(), lax=False, free_bytes=2**40,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"environment": {}}, "image"),
        ({"environment": {"PG_MAJOR": "14", "PGDATA": "/x"}}, "version"),
        ({"ours": True}, "ours"),
        ({"running": False}, "stopped"),
        ({"removed_when_stopped": True}, "auto-remove"),
        ({"user": "1000"}, "user"),
        ({"sharers": ("backup",)}, "shared-volume"),
    ],
)
def test_containers_that_cannot_be_adopted(change: dict[str, Any], code: str) -> None:
    assert of_container(OLD) == []
    assert [problem.code for problem in of_container(replace(OLD, **change))] == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": "/elsewhere"}, "no-volume"),
        ({"in_recovery": True}, "standby"),
        ({"receivers": 1}, "has-standbys"),
        ({"slots": ("events",)}, "slots"),
        ({"tablespaces": ("fast",)}, "tablespaces"),
        ({"links": ("pg_wal",)}, "links"),
        ({"free_bytes": 2**20}, "disk"),
        ({"databases": (OldDatabase("shop", "shop", True),)}, "no-postgres"),
        ({"roles": (OldRole("postgres", True, False, None),)}, "postgres-role"),
        ({"roles": (*SERVER.roles, OldRole("legacy", True, False, "md5" + "0" * 32))}, "md5"),
        ({"lax": True, "roles": (*SERVER.roles, OldRole("open", True, False, None))}, "no-password"),
    ],
)
def test_databases_that_cannot_be_adopted(change: dict[str, Any], code: str) -> None:
    assert of_server(OLD, SERVER, 2) == []
    assert [problem.code for problem in of_server(OLD, replace(SERVER, **change), 2)] == [code]


@pytest.mark.parametrize(
    ("mount", "data", "major", "before", "after"),
    [
        ("/var/lib/postgresql/data", "/var/lib/postgresql/data", 15, ".", "haop"),
        ("/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata", 17, "pgdata", "haop"),
        ("/var/lib/postgresql", "/var/lib/postgresql/18/docker", 18, "18/docker", "18/haop"),
        ("/var/lib/postgresql/18/docker", "/var/lib/postgresql/18/docker", 18, ".", "18/haop"),
    ],
)
def test_the_data_move_to_where_the_old_service_does_not_look(
    mount: str, data: str, major: int, before: str, after: str
) -> None:
    taken = Taken.of([Mount("v", "/var"), Mount("data", mount)], data, major)
    assert taken == Taken(volume="data", mount=mount, before=before, after=after)


def test_the_applications_database_is_told_or_asked_for() -> None:
    several = replace(SERVER, databases=(*SERVER.databases, OldDatabase("reports", "shop", True)))
    only = replace(SERVER, databases=(SERVER.databases[0],))
    nobody = replace(OLD, environment={**OLD.environment, "POSTGRES_USER": "admin"})
    assert application(OLD, several, None) == SERVER.databases[1]
    assert application(nobody, SERVER, None) == SERVER.databases[1]
    assert application(nobody, several, "reports") == several.databases[2]
    for server, wished, told in (
        (several, None, "several"),
        (only, None, "only database"),
        (several, "x", "no database x"),
    ):
        found = application(nobody, server, wished)
        assert not isinstance(found, OldDatabase)
        assert told in found.message


def test_settings_are_carried_over_unless_haop_decides_them() -> None:
    settings = {"work_mem": "8MB", "TimeZone": "UTC", "wal_level": "logical", "max_wal_senders": "2", "fsync": "off",
                "max_replication_slots": "20", "password_encryption": "md5", "listen_addresses": "*"}  # fmt: skip
    kept, dropped = carried(replace(SERVER, settings=settings), nodes=3)
    assert kept == {"work_mem": "8MB", "timezone": "UTC", "fsync": "off", "max_replication_slots": "20",
                    "wal_log_hints": "on"}  # fmt: skip
    assert dropped == ["wal_level", "max_wal_senders", "password_encryption"]


@pytest.mark.parametrize(
    ("owner", "login", "known", "environment", "accounts", "codes"),
    [
        (
            "shop",
            "shop",
            True,
            {"DATABASE_PASSWORD"},
            ["postgres"],
            {"password-kept", "postgres-made", "superuser-owner"},
        ),
        ("shop", "shop", False, set(), ["postgres", "shop"], {"new-password", "postgres-made", "superuser-owner"}),
        ("postgres", "postgres", True, {"POSTGRES_PASSWORD"}, [], {"password-kept", "new-owner"}),
    ],
)
def test_who_gets_which_password(
    owner: str, login: str, *, known: bool, environment: set[str], accounts: list[str], codes: set[str]
) -> None:
    old = replace(OLD, environment={**OLD.environment, "POSTGRES_USER": login})
    database = OldDatabase("shop", owner, True)
    server = replace(
        SERVER, databases=(SERVER.databases[0], database), roles=(OldRole(login, True, True, verifier("secret")),)
    )
    found = decide(old, server, Wanted(name="ha", ports=(5432, 5433)), database, known=known)
    assert set(found.environment) == environment
    assert [account.name for account in found.accounts] == accounts
    assert {remark.code for remark in found.remarks} == codes | {"port", "old-stack", "checksums-off"}
    assert "secret" not in repr(found)


def test_haops_roles_have_names_that_nobody_has() -> None:
    roles = tuple(OldRole(name, True, False, None) for name in ("shop", "monitor", "replicator", "haop_replicator"))
    found = decide(OLD, replace(SERVER, roles=roles), Wanted(name="ha", ports=(1, 2)), SERVER.databases[1], known=False)
    assert found.environment == {"MONITOR_USER": "haop_monitor", "REPLICATION_USER": "haop2_replicator"}


def test_passwords_are_told_from_what_postgres_keeps_of_them() -> None:
    # As servers of 17 kept "secret" of the role shop.
    kept = (
        "md5f433c50293bc7afbe20b67ceb15a1e55",
        (
            "SCRAM-SHA-256$4096:5/PRO9CMe95MePZAJzRiBQ==$d1rPRQkQX1pyzUcKg0DB+4/B/jF/F9uUBfT+ZLK1vdA="
            ":buPS8/2kycNAb0clST24SYEh+FhrudrtW9w+zvKNtTU="
        ),
    )
    assert [matches(each, "shop", "secret") for each in kept] == [True, True]
    assert [matches(each, "shop", "Secret") for each in kept] == [False, False]
