"""What an operator should know before an adoption: what changes for applications, for the data, in the old stack."""

from collections.abc import Sequence

from haop.model.adoption import OldContainer, OldDatabase, OldServer, Remark
from haop.model.spec import ClusterSpec

_UNSAFE = {
    "fsync": "a power cut can destroy the data",
    "full_page_writes": "a former primary cannot be rewound",
    "synchronous_commit": "what was acknowledged can be lost",
}
# Mounts of the image's own conventions: read when a database is made, or before settings were carried over.
_UNUSED = ("/docker-entrypoint-initdb.d", "/run/secrets", "/etc/postgresql")


def of_access(
    old: OldContainer, server: OldServer, spec: ClusterSpec, database: OldDatabase, *, known: bool
) -> list[Remark]:
    """Who gets in, and with which password. `known`: the one that the container was made with is that of its login."""
    owner, postgres = server.role(spec.owner), server.role("postgres")
    return _remarks(
        (
            known and old.login in {spec.owner, "postgres"},
            "password-kept",
            f"applications that log in as {old.login} go on with its password, which .env gets",
            None,
        ),
        (
            not owner,
            "new-owner",
            f"the role {spec.owner} is made and owns nothing: the database stays {database.owner}'s",
            f"applications go on as {database.owner}; to let them use {spec.owner}, GRANT it what they need",
        ),
        (
            bool(owner) and not (known and old.login == spec.owner),
            "new-password",
            f"the password of {spec.owner} is not known, or cannot be kept in .env: it gets a new one",
            "give applications DATABASE_PASSWORD of .env",
        ),
        (
            bool(owner and owner.superuser),
            "superuser-owner",
            f"{spec.owner} is a superuser, and stays one",
            "let the application use a role of less power",
        ),
        (not postgres, "postgres-made", "a superuser postgres is made, for haop", None),
        (
            bool(postgres) and not (known and old.login == "postgres"),
            "postgres-password",
            "the superuser postgres gets a new password: POSTGRES_PASSWORD of .env",
            None,
        ),
        (
            bool(server.rules),
            "hba",
            f"its pg_hba.conf is not read any more; it says: {'; '.join(server.rules)}",
            "in a haop cluster all of its networks may log in, with scram-sha-256 passwords alone",
        ),
        (
            server.tls,
            "tls",
            "its certificate is replaced by one of the cluster's own authority",
            "clients that verify it: sslrootcert=.haop/tls/ca.crt",
        ),
    )


def of_place(old: OldContainer, server: OldServer, spec: ClusterSpec) -> list[Remark]:
    """Where clients find it, and what of it is left elsewhere."""
    address, published = old.published.get(server.port, ("", 0))
    port, hosts = spec.nodes[0].port, ",".join(node.name for node in spec.nodes)
    return _remarks(
        (
            bool(published) and address not in {"127.0.0.1", "::1"},
            "port",
            f"port {published} is published on {address or 'every address'} now, and on 127.0.0.1 alone then",
            "clients on other machines need a tunnel or a proxy",
        ),
        (
            bool(published) and published != port,
            "port-changed",
            f"clients that use port {published} must use {port}",
            None,
        ),
        (
            bool(old.neighbours),
            "network",
            f"{', '.join(old.neighbours)} may reach it as {old.service or old.name}:{server.port}, and will not then",
            f"attach them to the network {spec.name}, and let them use host={hosts} target_session_attrs=read-write",
        ),
        (
            bool(old.stack),
            "old-stack",
            f"the Compose project {old.stack} still declares it: `down --volumes` there deletes a volume not in use",
            f"take {old.service} out of that compose.yaml, and mark its volume `external: true`",
        ),
    )


def of_container(old: OldContainer, spec: ClusterSpec) -> list[Remark]:
    """What of the container the nodes do not have."""
    elsewhere = [m.at for m in old.mounts if m.source not in spec.adopted.values() and not m.at.startswith(_UNUSED)]
    return _remarks(
        (
            bool(old.limits),
            "limits",
            f"it has {old.limits}; the nodes have other limits",
            "memory, cpus and shm_size of [compose] in haop.toml, then haop up --yes",
        ),
        (
            bool(elsewhere),
            "mounts",
            f"the nodes do not get its other mounts: {', '.join(elsewhere)}",
            "what archive_command or the like need there is missing then",
        ),
        (
            spec.parameters.get("archive_mode", "off") != "off",
            "archiving",
            "archive_command is carried over: while it fails in the new containers, WAL fills the disk",
            "make sure that it works there: SELECT * FROM pg_stat_archiver",
        ),
        (
            any(mount.anonymous for mount in old.mounts),
            "anonymous-volume",
            "its volume has no name: `docker rm -v` or `docker volume prune` would delete it while the cluster is down",
            "do neither",
        ),
    )


def of_data(server: OldServer, spec: ClusterSpec, dropped: Sequence[str]) -> list[Remark]:
    """What comes along, and what stays behind: `dropped` settings."""
    others = [name for name in server.names if name not in {"postgres", spec.database}]
    unsorted = [database.name for database in server.databases if not database.sorts_alike]
    unsafe = [name for name in _UNSAFE if spec.parameters.get(name) == "off"]
    return _remarks(
        (bool(others), "other-databases", f"replicated as well, and let alone: {', '.join(others)}", None),
        (
            not server.checksums,
            "checksums-off",
            "it has no data checksums: damage by the disk stays unnoticed. Rewinding needs wal_log_hints then: set",
            "to turn them on: haop down, then pg_checksums --enable on every node's data directory",
        ),
        (
            bool(unsorted),
            "collation",
            f"collation of another version than the image's, so that indexes may be wrong: {', '.join(unsorted)}",
            "REINDEX DATABASE ..., then ALTER DATABASE ... REFRESH COLLATION VERSION",
        ),
        *(
            (True, "unsafe", f"{name} = off is carried over: {_UNSAFE[name]}", "take it out of haop.toml")
            for name in unsafe
        ),
        (bool(dropped), "settings-left", f"not carried over, for haop decides them: {', '.join(dropped)}", None),
    )


def _remarks(*checks: tuple[bool, str, str, str | None]) -> list[Remark]:
    return [Remark(code=code, message=message, hint=hint) for true, code, message, hint in checks if true]
