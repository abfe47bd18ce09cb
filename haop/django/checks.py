"""Django's system checks of the kit: `manage.py check` reads settings, `--database default` connects."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's name
from django.db import connections
from django.db.utils import Error as DatabaseProblem

from haop.django.config import DEFAULT, ENGINE, REPLICA
from haop.django.routes import PREFER_STANDBY, READ_WRITE

MIDDLEWARE = "haop.django.HealthCheckMiddleware"


def settings_fit(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    """What is missing or contradictory in the settings."""
    found: list[CheckMessage] = []
    for alias, wants in ((DEFAULT, READ_WRITE), (REPLICA, PREFER_STANDBY)):
        found += _alias_fits(alias, wants)
    if MIDDLEWARE not in settings.MIDDLEWARE:
        found.append(Warning(f"{MIDDLEWARE} is not in MIDDLEWARE: writes during an outage end as errors (500).",
                             hint=f'MIDDLEWARE = ["{MIDDLEWARE}", *MIDDLEWARE]', id="haop.W001"))  # fmt: skip
    elif settings.MIDDLEWARE[0] != MIDDLEWARE:
        found.append(Warning(f"{MIDDLEWARE} is not the first of MIDDLEWARE: what fails before it ends as an error.",
                             hint="Move it to the front.", id="haop.W002"))  # fmt: skip
    return found


def _alias_fits(alias: str, wants: str) -> list[CheckMessage]:
    if alias not in settings.DATABASES:
        return [Error(f"DATABASES has no '{alias}'.", hint="DATABASES = haop.django.databases()", id="haop.E001")]
    told = settings.DATABASES[alias]
    if told.get("TEST", {}).get("MIRRORS"):  # Django's tests run: there is one database
        return []
    found: list[CheckMessage] = []
    if told["ENGINE"] != ENGINE:
        return [Error(f"DATABASES['{alias}'] has the ENGINE {told['ENGINE']}: its connections follow no failover.",
                      hint=f"ENGINE = {ENGINE!r}, or DATABASES = haop.django.databases()", id="haop.E002")]  # fmt: skip
    asked = told.get("OPTIONS", {}).get("target_session_attrs")
    if asked != wants:
        found.append(Error(f"DATABASES['{alias}'] asks for target_session_attrs {asked!r}, and not {wants!r}.",
                           hint="Leave it to haop.django.databases().", id="haop.E003"))  # fmt: skip
    if "," not in str(told.get("HOST", "")):
        found.append(Warning(f"DATABASES['{alias}'] names one host: there is nowhere to fail over to.",
                             hint="`haop dsn` prints one with all hosts.", id="haop.W003"))  # fmt: skip
    if alias == DEFAULT and told.get("ATOMIC_REQUESTS"):
        found.append(Warning("ATOMIC_REQUESTS begins a transaction on the primary for each page: none can be read "
                             "without it.", hint="atomic() where something is written.", id="haop.W004"))  # fmt: skip
    return found


def databases_fit(app_configs: Any, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """What the servers say, of the aliases that the command was told to connect."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        told = settings.DATABASES[alias]
        if alias in {DEFAULT, REPLICA} and told["ENGINE"] == ENGINE and not told.get("TEST", {}).get("MIRRORS"):
            found += _server_fits(alias)
    return found


def _server_fits(alias: str) -> list[CheckMessage]:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            standby = bool(cursor.fetchone()[0])
    except DatabaseProblem as error:
        return [Error(f"'{alias}' cannot be reached: {str(error).splitlines()[0]}", hint="haop status", id="haop.E004")]
    if alias == REPLICA and not standby:
        return [Warning("'replica' is answered by the primary: there is no standby, or it does not follow.",
                        hint="haop status", id="haop.W005")]  # fmt: skip
    return []
