"""The guard as a unit of systemd: it watches again after the machine was started anew, and after it was killed.

At most one guard watches: what `up` has started in the background is ended first, and `up` leaves the unit's guard
alone. Where haop.toml has changed, `up` ends that one and starts its own, until the machine is started again.
"""

import os
import pwd
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from haop.errors import CommandFailed, HaopError, Refused
from haop.operations import guarding
from haop.operations.guarding import Guarding
from haop.process import run
from haop.project import Project
from haop.waiting import wait_until

_KEPT = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "HAOP_PG_BINDIR")
_MANAGER = Path("/run/systemd/system")  # is there where systemd runs (sd_booted(3))
_SYSTEM, _USERS = Path("/etc/systemd/system"), Path("~/.config/systemd/user")
_START_SECONDS = 30.0


def text(project: Project) -> str:
    """What the unit says."""
    from haop import rendering  # noqa: PLC0415 - 20 ms that only who writes files pays for

    owner = project.root.stat().st_uid
    argv = (sys.executable, "-m", "haop", "-C", str(project.root), "guard", "run")
    values = {
        "mark": _mark(project),
        "cluster": project.spec.name,
        "container": project.spec.runtime == "compose",
        "command": " ".join(_quoted(word) for word in argv),
        "folder": str(project.root).replace("%", "%%"),
        "environment": [_quoted(f"{name}={os.environ[name]}") for name in _KEPT if os.environ.get(name)],
        "user": pwd.getpwuid(owner).pw_name if _system() and owner else "",
        "target": "multi-user.target" if _system() else "default.target",
    }
    return rendering.unit(values)


def path(project: Project) -> Path:
    """Where it is: the machine's for root, else the user's own."""
    return (_SYSTEM if _system() else _USERS.expanduser()) / f"haop-guard-{project.spec.name}.service"


def install(project: Project) -> Guarding:
    """Write the unit and start it; no harm where it is there already. Returns the guard that watches then.

    Raises:
        Refused: systemd does not run here; or there is another unit of that name, which somebody may have edited.
        HaopError: systemd does not take it, or the guard did not start; then the unit is gone again.
    """
    if not _MANAGER.is_dir() or not shutil.which("systemctl"):
        raise Refused(
            "systemd does not run here, and nothing else is known to haop that starts programs at boot",
            hint="haop guard install --print shows a unit; its ExecStart is what to start at boot",
        )
    unit, wanted = path(project), text(project)
    before = unit.read_text(encoding="utf-8") if unit.exists() else None
    if before not in {None, wanted}:
        raise Refused(
            f"{unit} is there already, and is not what haop would write", hint="look at it, then haop guard uninstall"
        )
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(wanted, encoding="utf-8")
    try:
        _systemctl("daemon-reload")
        if not _active(unit):
            guarding.stop(project)
        _systemctl("enable", "--now", unit.name)
        return wait_until(
            lambda: guarding.found(project), deadline=_START_SECONDS, waiting_for="the guard to start",
            hint=f"systemctl {'' if _system() else '--user '}status {unit.name}",
        )  # fmt: skip
    except HaopError:
        if before is None:
            uninstall(project)
        raise


def uninstall(project: Project) -> Path | None:
    """End the unit's guard and remove the unit; what was removed.

    Raises:
        Refused: haop has not written it, or not for this project.
    """
    unit = path(project)
    if not unit.exists():
        return None
    if _mark(project) not in unit.read_text(encoding="utf-8").partition("\n")[0]:
        raise Refused(f"{unit} was not written for {project.root}", hint="remove it by hand, if nobody needs it")
    with suppress(CommandFailed):  # where systemd never took it
        _systemctl("disable", "--now", unit.name)
    unit.unlink()
    with suppress(CommandFailed):
        _systemctl("daemon-reload")
    return unit


def _system() -> bool:
    return os.geteuid() == 0


def _mark(project: Project) -> str:
    return f"Written by haop guard install for {project.root}"


def _active(unit: Path) -> bool:
    try:
        _systemctl("is-active", "--quiet", unit.name)
    except CommandFailed:
        return False
    return True


def _systemctl(*arguments: str) -> None:
    run(("systemctl", *(() if _system() else ("--user",)), *arguments))


def _quoted(word: str) -> str:
    r"""A word of a unit's line; see systemd.syntax(7) and systemd.service(5), "Command lines".

    >>> print(_quoted('/srv/my "shop" 100%$'))
    "/srv/my \"shop\" 100%%$$"
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
