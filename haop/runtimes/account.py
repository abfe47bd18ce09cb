"""As which user PostgreSQL runs: it refuses to be root."""

import os
import pwd
import shlex
from collections.abc import Iterator
from pathlib import Path

from haop.errors import Refused
from haop.process import RunAs


def choose(configured: str | None, existing: Path) -> RunAs:
    """The user for the servers: oneself, unless that is root.

    For root: the user named in the configuration, the owner of an existing data directory, the user behind sudo,
    `postgres`, `nobody`. No user is ever created.

    Raises:
        Refused: the named user does not exist, or may not be used.
    """
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        if configured and configured != me.pw_name:
            raise Refused(f"local.user is '{configured}', but haop runs as '{me.pw_name}'", hint="only root can switch")
        return RunAs(me.pw_name, me.pw_uid, me.pw_gid)
    for entry in _candidates(configured, existing):
        if entry.pw_uid:
            return RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise Refused("PostgreSQL refuses to run as root", hint="name another user under [local] in haop.toml: user = ...")


def _candidates(configured: str | None, existing: Path) -> Iterator[pwd.struct_passwd]:
    if configured:
        try:
            entry = pwd.getpwnam(configured)
        except KeyError:
            raise Refused(f"local.user: there is no user '{configured}' on this machine") from None
        if entry.pw_uid == 0:
            raise Refused("local.user: PostgreSQL refuses to run as root", hint="name another user")
        yield entry
    if existing.exists():
        yield pwd.getpwuid(existing.stat().st_uid)
    if sudo := os.environ.get("SUDO_UID"):
        yield pwd.getpwuid(int(sudo))
    for name in ("postgres", "nobody"):
        try:
            yield pwd.getpwnam(name)
        except KeyError:
            continue


def check_reach(folder: Path, run_as: RunAs) -> None:
    """Refuse a folder that the user cannot enter, naming the parent that is in the way.

    Raises:
        Refused: with the parent and what to do.
    """
    if not run_as.switches:
        return
    for parent in reversed([folder, *folder.parents]):
        if not parent.exists():
            return
        found = parent.stat()
        shift = 6 if found.st_uid == run_as.uid else 3 if found.st_gid == run_as.gid else 0
        if not found.st_mode >> shift & 0o1:
            raise Refused(
                f"PostgreSQL would run as '{run_as.name}', who cannot enter {parent} (mode {found.st_mode & 0o777:o})",
                hint=f"put the project somewhere else, or run: chmod o+x {shlex.quote(str(parent))}",
            )
