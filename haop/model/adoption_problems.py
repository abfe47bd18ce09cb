"""Why an existing database cannot be adopted as it is. Pure; each problem with what to do about it."""

from pathlib import PurePosixPath

from haop.model.adoption import SQL_NAME, OldContainer, OldDatabase, OldServer, Remark, Taken
from haop.model.spec import POSTGRES_VERSIONS

# What a standby needs beyond the data: WAL that is written while it is cloned, and to spare.
_SPARE_BYTES = 2**28


def of_container(old: OldContainer) -> list[Remark]:
    """As far as that can be told without asking its server."""
    major = old.environment.get("PG_MAJOR", "").split(".")[0]
    official = major.isdigit() and "PGDATA" in old.environment
    grave = _remarks(
        (old.ours, "ours", "it is a node of a haop cluster already", "haop status, in that cluster's folder"),
        (
            not official,
            "image",
            f"{old.image} does not keep the contract of the official postgres image",
            "pg_dump it into a container of that image",
        ),
        (
            official and int(major) not in POSTGRES_VERSIONS,
            "version",
            f"it runs PostgreSQL {major}; haop knows {POSTGRES_VERSIONS[0]} to {POSTGRES_VERSIONS[-1]}",
            "upgrade it first",
        ),
    )
    return grave or _remarks(
        (
            not old.running,
            "stopped",
            "it does not run, so that its settings and roles cannot be read",
            f"docker start {old.name}",
        ),
        (
            old.removed_when_stopped,
            "auto-remove",
            "it was started with --rm: once stopped, it is gone, and unnamed volumes with it",
            "start it without --rm first",
        ),
        (
            old.user not in {"", "0", "root", "postgres"},
            "user",
            f"it runs as the user {old.user}; haop's nodes run as the image's own postgres",
            "run it without `user:` first",
        ),
        (
            bool(old.sharers),
            "shared-volume",
            f"its volume is in use by {', '.join(old.sharers)} as well",
            f"docker stop {' '.join(old.sharers)}",
        ),
    )


def of_server(old: OldContainer, server: OldServer, nodes: int) -> list[Remark]:
    """What only its server knows."""
    alone = _remarks(
        (server.in_recovery, "standby", "it is a standby", "adopt its primary"),
        (
            server.receivers > 0,
            "has-standbys",
            f"{server.receivers} standbys or backups stream from it",
            "take them down first; haop makes standbys of its own",
        ),
        (
            bool(server.slots),
            "slots",
            f"it has replication slots: {', '.join(server.slots)}",
            "SELECT pg_drop_replication_slot(...) once nobody needs them; logical ones do not work with haop",
        ),
        ("postgres" not in server.names, "no-postgres", "it has no database postgres", "CREATE DATABASE postgres"),
    )
    return [*alone, *_of_disk(old, server, nodes), *_of_roles(old, server)]


def _of_disk(old: OldContainer, server: OldServer, nodes: int) -> list[Remark]:
    mount = Taken.of(old.mounts, server.data, server.major)
    nested = [m.at for m in old.mounts if _below(m.at, server.data) and not m.at.endswith(".conf")]
    needed = (nodes - 1) * (server.bytes + server.bytes // 10 + _SPARE_BYTES)
    return _remarks(
        (
            mount is None,
            "no-volume",
            f"its data directory {server.data} lies in no volume, but in the container itself",
            "pg_dump it into a container that has one",
        ),
        (
            bool(mount and nested),
            "nested-mount",
            f"{', '.join(nested)} is a mount of its own inside the data directory",
            "move what it holds into the data directory first",
        ),
        (
            bool(server.links),
            "links",
            f"its data directory has symbolic links: {', '.join(server.links)}",
            "move what they point to into the data directory first",
        ),
        (
            bool(server.tablespaces),
            "tablespaces",
            f"it has tablespaces outside of the data directory: {', '.join(server.tablespaces)}",
            "ALTER TABLE ... SET TABLESPACE pg_default, then DROP TABLESPACE",
        ),
        (
            server.free_bytes < needed,
            "disk",
            f"{nodes - 1} more copies need {_mb(needed)}; {_mb(server.free_bytes)} are free",
            "make room where Docker keeps its volumes",
        ),
    )


def _of_roles(old: OldContainer, server: OldServer) -> list[Remark]:
    postgres = server.role("postgres")
    others = [role for role in server.roles if role.login and role.name not in {old.login, "postgres"}]
    stale = [role.name for role in others if (role.verifier or "").startswith("md5")]
    bare = [role.name for role in others if role.verifier is None] if server.lax else []
    return _remarks(
        (
            bool(postgres and not (postgres.superuser and postgres.login)),
            "postgres-role",
            "its role postgres is no superuser that can log in; haop needs that name",
            "ALTER ROLE postgres RENAME TO ...",
        ),
        (
            bool(stale),
            "md5",
            f"passwords kept as MD5, with which nobody gets into a haop cluster: {', '.join(stale)}",
            "SET password_encryption = 'scram-sha-256', then \\password ROLE in psql",
        ),
        (
            bool(bare),
            "no-password",
            f"roles that get in with no password, and would not any more: {', '.join(bare)}",
            "\\password ROLE in psql, and tell its applications; or ALTER ROLE ... NOLOGIN",
        ),
    )


def application(old: OldContainer, server: OldServer, wished: str | None) -> OldDatabase | Remark:
    """The application's database, or why it cannot be told which that is."""
    candidates = {database.name: database for database in server.databases if database.name != "postgres"}
    told = wished or old.environment.get("POSTGRES_DB") or old.login
    if not wished and told not in candidates and len(candidates) == 1:
        told = next(iter(candidates))
    if told in candidates and SQL_NAME.fullmatch(told):
        return candidates[told]
    names = ", ".join(candidates)
    problem, *_ = _remarks(
        (
            told in candidates,
            "database-name",
            f"the name of the database {told} has other characters than a-z, 0-9 and _",
            "ALTER DATABASE ... RENAME TO ...",
        ),
        (wished is not None, "database", f"it has no database {wished}", f"it has: {names or 'only postgres'}"),
        (
            not candidates,
            "database",
            "its only database is postgres, which haop keeps for administration",
            "connected to template1: ALTER DATABASE postgres RENAME TO app; CREATE DATABASE postgres",
        ),
        (True, "database", f"it has several databases: {names}", "say which is the application's: --database"),
    )
    return problem


def _remarks(*checks: tuple[bool, str, str, str]) -> list[Remark]:
    return [Remark(code=code, message=message, hint=hint) for wrong, code, message, hint in checks if wrong]


def _below(path: str, folder: str) -> bool:
    return path != folder and PurePosixPath(path).is_relative_to(folder)


def _mb(count: int) -> str:
    return f"{count / 2**20:.0f} MB"
