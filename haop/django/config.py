"""`DATABASES`, from where the application is told of its cluster: files, variables, or the project of haop itself."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haop.django.routes import PREFER_STANDBY, READ_WRITE
from haop.model.spec import ClusterSpec
from haop.model.table import SpecError

DEFAULT, REPLICA = "default", "replica"
ENGINE = "haop.django.postgresql"
_URL, _READ_URL = "DATABASE_URL", "DATABASE_READ_URL"
_CONFIG = "haop.toml"
# A dead peer is noticed after 5 s of silence and three unanswered probes, or with data on the way after 10 s.
_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 2, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000, "gssencmode": "disable",
}  # fmt: skip


def databases(folder: str | Path | None = None, *, pool: bool | Mapping[str, Any] = False, **settings: Any) -> Any:
    """The value of `DATABASES`: `default` follows the primary, `replica` prefers a standby.

    Read from the first of these that there is: the file that DATABASE_URL_FILE names, DATABASE_URL, the haop.toml and
    .env of `folder` or of the folder above the current one that has them. DATABASE_READ_URL_FILE or DATABASE_READ_URL
    may give `replica` a route of its own; else it has the same hosts.

    Args:
        folder: of haop.toml.
        pool: Django's own pool of connections; a mapping holds its options.
        settings: for both aliases, such as CONN_MAX_AGE (seconds; 60 unless there is a pool).

    Raises:
        ImproperlyConfigured: nothing says where the databases are, or what does cannot be read.
    """
    url, read_url = told(_URL), told(_READ_URL)
    if read_url and not url:
        raise _wrong(f"{_READ_URL} is set and {_URL} is not")
    write = _parameters(_URL, url) if url else _from_project(folder)
    read = _parameters(_READ_URL, read_url) if read_url else write
    options = None if pool is False else {} if pool is True else pool
    return {
        DEFAULT: _alias(write, READ_WRITE, options, settings),
        REPLICA: _alias(read, PREFER_STANDBY, options, settings),
    }


def told(name: str) -> str | None:
    """The content of the file that the variable NAME_FILE names, else the variable's own; None: neither is set.

    Raises:
        ImproperlyConfigured: the file cannot be read.
    """
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(f"{name}_FILE names {path}, which cannot be read ({error})") from None
    return os.environ.get(name) or None


def _parameters(name: str, url: str) -> dict[str, Any]:
    from psycopg import ProgrammingError  # noqa: PLC0415 - a project that is configured otherwise may lack it
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        secret = str(error).replace(url, "...").split('"')[0].strip()  # libpq quotes what it could not read
        raise _wrong(f"{name} is not a connection URI that libpq understands: {secret}") from None


def _alias(
    found: Mapping[str, Any], wants: str, pool: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    words = {**_OPTIONS, **found, "target_session_attrs": wants}
    if found.get("target_session_attrs") == "any":
        words["target_session_attrs"] = "any"  # a single server that is asked for as what it is
    alias: dict[str, Any] = {
        "ENGINE": ENGINE,
        "NAME": words.pop("dbname", ""),
        "USER": words.pop("user", ""),
        "PASSWORD": words.pop("password", ""),
        "HOST": words.pop("host", ""),
        "PORT": str(words.pop("port", "")),
        "CONN_MAX_AGE": 60 if pool is None else 0,
        **settings,
        "OPTIONS": {**words, **settings.get("OPTIONS", {})},
    }
    if pool is not None:
        alias["OPTIONS"]["pool"] = dict(pool)
    if wants == PREFER_STANDBY:
        alias["TEST"] = {"MIRROR": DEFAULT, **settings.get("TEST", {})}
    return alias


def _from_project(folder: str | Path | None) -> dict[str, Any]:
    root = _project(Path(folder) if folder else None)
    try:
        spec = ClusterSpec.from_toml(tomllib.loads((root / _CONFIG).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, SpecError) as error:
        raise _wrong(f"{root / _CONFIG}: {error}") from None
    authority = root / ".haop" / "tls" / "ca.crt"
    tls = {"sslmode": "verify-full", "sslrootcert": str(authority)} if authority.exists() else {}
    return {
        "host": ",".join("127.0.0.1" for _ in spec.nodes),
        "port": ",".join(str(node.port) for node in spec.nodes),
        "dbname": spec.database, "user": spec.owner, "password": _password(root / ".env"), **tls,
    }  # fmt: skip


def _project(folder: Path | None) -> Path:
    places = [folder] if folder else [Path.cwd(), *Path.cwd().parents]
    for place in places:
        if (place / _CONFIG).is_file():
            return place
    where = f"{folder} has no {_CONFIG}" if folder else f"no {_CONFIG} is in this folder or above it"
    raise _wrong(f"{_URL}_FILE and {_URL} are not set, and {where}")


def _password(path: Path) -> str:
    import dotenv  # noqa: PLC0415 - only who has a project needs it

    try:
        password = dotenv.dotenv_values(path, interpolate=False).get("DATABASE_PASSWORD")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"{path}: cannot be read ({error})") from None
    if not password:
        raise _wrong(f"{path}: DATABASE_PASSWORD is missing or empty")
    return password


def _wrong(what: str) -> Exception:
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - settings.py imports this module

    return ImproperlyConfigured(f"haop.django.databases(): {what}")
