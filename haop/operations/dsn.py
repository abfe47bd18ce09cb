"""`haop dsn`: how an application connects, in its driver's own words. Clients follow a failover with no proxy.

Each form names every node, asks for the primary (or prefers a standby), and gives up soon on a node that is silent.
Without the password each still works where the driver finds one elsewhere: PGPASSWORD, PGPASSFILE.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from haop.errors import Refused
from haop.model.endpoint import Endpoint
from haop.operations.cluster import Cluster

CONNECT_SECONDS = 3
# A dead peer is noticed after 5 s of silence and three unanswered probes, or with data on the way after 10 s.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
_PLACEHOLDER = "<password>"
# Where stack/compose.yaml mounts the authority's certificate for [web].
_MOUNTED = "/run/secrets/ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an application connects to."""

    hosts: tuple[Endpoint, ...]
    database: str
    user: str
    password: str | None = field(repr=False)  # None: not told
    read: bool
    ca: str | None  # the file of the authority's certificate, where the application sees it; None: no TLS

    @property
    def session(self) -> str:
        """The value of libpq's `target_session_attrs`."""
        return "prefer-standby" if self.read else "read-write"

    @property
    def places(self) -> str:
        """Hosts with ports, as in a URI."""
        return ",".join(map(str, self.hosts))

    def parameters(self) -> dict[str, str | int]:
        """What libpq calls the rest, and those who took its words over."""
        tls = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {}
        return {"target_session_attrs": self.session, "connect_timeout": CONNECT_SECONDS, **tls}


def target(cluster: Cluster, *, read: bool, network: bool, show_password: bool) -> Target:
    """Where the application finds its cluster: from the host by published ports, inside a stack by service names.

    Raises:
        Refused: this runtime has no network of its own.
    """
    spec, runtime = cluster.project.spec, cluster.runtime
    if network and not runtime.unattended:
        raise Refused(f"the {spec.runtime} runtime has no network of its own: its nodes listen on this machine",
                      hint="--from host")  # fmt: skip
    authority = cluster.project.state / "tls" / "ca.crt"
    ca = _MOUNTED if network else str(authority)
    return Target(
        hosts=tuple(Endpoint(node.name, 5432) if network else runtime.endpoint(node.name) for node in spec.nodes),
        database=spec.database,
        user=spec.owner,
        password=cluster.secrets.database_password if show_password else None,
        read=read,
        ca=ca if authority.exists() or runtime.tls else None,
    )


def libpq(to: Target) -> str:
    """A URI for psql, pg_dump, psycopg and whatever else links libpq (its documentation, 34.1.1.3).

    >>> libpq(_EXAMPLE)
    'postgresql://shop@db1:1,db2:2/shop?target_session_attrs=read-write&connect_timeout=3&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=10000'
    """
    return f"postgresql://{_login(to)}@{to.places}/{to.database}?{_query({**to.parameters(), **_KEEPALIVE})}"


def go(to: Target) -> str:
    """A URI for pgx, alone or below database/sql. What it does not know it sends to the server, which refuses it."""
    return f"postgresql://{_login(to)}@{to.places}/{to.database}?{_query(to.parameters())}"


def sqlalchemy(to: Target) -> str:
    """A URL for SQLAlchemy 2 with psycopg 3; each host is a parameter of its own (its dialect, "fallback hosts")."""
    hosts = "&".join(f"host={host}" for host in to.hosts)
    rest = _query({**to.parameters(), **_KEEPALIVE})
    return f"postgresql+psycopg://{_login(to)}@/{to.database}?{hosts}&{rest}"


def django(to: Target) -> str:
    """`DATABASES` for a settings module; the password comes from the environment unless it is told."""
    told = to.password is not None
    words = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": to.database,
        "USER": to.user,
        "PASSWORD": to.password if told else _PLACEHOLDER,
        "HOST": ",".join(host.host for host in to.hosts),
        "PORT": ",".join(str(host.port) for host in to.hosts),
        "OPTIONS": {**to.parameters(), **_KEEPALIVE},
    }
    text = f"DATABASES = {json.dumps({'default': words}, indent=4, ensure_ascii=False)}"
    return text if told else "import os\n\n" + text.replace(f'"{_PLACEHOLDER}"', 'os.environ["DATABASE_PASSWORD"]')


def jdbc(to: Target) -> str:
    """A URL for pgJDBC 42.2 or newer. It remembers for 10 s which node was what, unless told otherwise."""
    words: dict[str, str | int] = {"user": to.user}
    if to.password is not None:
        words["password"] = to.password
    words |= {
        "targetServerType": "preferSecondary" if to.read else "primary",
        "hostRecheckSeconds": 2,
        "connectTimeout": CONNECT_SECONDS,
        "tcpKeepAlive": "true",
    }
    words |= {"sslmode": "verify-full", "sslrootcert": to.ca} if to.ca else {}
    return f"jdbc:postgresql://{to.places}/{to.database}?{_query(words)}"


def npgsql(to: Target) -> str:
    """A connection string for Npgsql 6 or newer.

    Before Npgsql 10, NpgsqlDataSourceBuilder takes the session attributes apart from the string:
    `BuildMultiHost().WithTargetSessionAttributes(...)`.
    """
    words = {"Host": to.places, "Database": to.database, "Username": to.user}
    words |= {} if to.password is None else {"Password": to.password}
    words |= {
        "Target Session Attributes": to.session,
        "Host Recheck Seconds": "2",
        "Timeout": str(CONNECT_SECONDS),
        "Tcp Keepalive": "true",
        "Tcp Keepalive Time": str(_KEEPALIVE["keepalives_idle"]),
        "Tcp Keepalive Interval": str(_KEEPALIVE["keepalives_interval"]),
    }
    words |= {"SSL Mode": "VerifyFull", "Root Certificate": to.ca} if to.ca else {}
    return ";".join(f"{key}={_net(value)}" for key, value in words.items())


def env(to: Target) -> str:
    """Variables for libpq, a line each, for a shell to read."""
    words = {
        "PGHOST": ",".join(host.host for host in to.hosts),
        "PGPORT": ",".join(str(host.port) for host in to.hosts),
        "PGDATABASE": to.database,
        "PGUSER": to.user,
        **({} if to.password is None else {"PGPASSWORD": to.password}),
        "PGTARGETSESSIONATTRS": to.session,
        "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
        **({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": to.ca} if to.ca else {}),
    }
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in words.items())


FORMATS: Mapping[str, Callable[[Target], str]] = {
    "libpq": libpq, "django": django, "sqlalchemy": sqlalchemy, "jdbc": jdbc, "npgsql": npgsql, "go": go, "env": env,
}  # fmt: skip


def _login(to: Target) -> str:
    return quote(to.user, safe="") + ("" if to.password is None else f":{quote(to.password, safe='')}")


def _query(words: Mapping[str, str | int]) -> str:
    """Percent-encoded throughout: a driver may read "+" as itself, another as a space."""
    return urlencode(words, quote_via=quote, safe="")


def _net(value: str) -> str:
    """A value of a .NET connection string: quoted where it holds what would end or open it.

    >>> _net("plain"), _net('a;b"c')
    ('plain', '"a;b""c"')
    """
    plain = value and not set(value) & set(";='\" \t{}") and value.isprintable()
    return value if plain else '"' + value.replace('"', '""') + '"'


_EXAMPLE = Target(
    hosts=(Endpoint("db1", 1), Endpoint("db2", 2)), database="shop", user="shop", password=None, read=False, ca=None
)
