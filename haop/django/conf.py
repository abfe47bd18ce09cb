"""The kit's settings: each has a default that suits most; all are optional.

DATABASE_FAILOVER    False: reads do not fall back to a standby (also as an environment variable)
HAOP_REPLICA_APPS    labels of apps whose reads always go to the standby: heavy reports
HAOP_RETRY_AFTER     seconds that a client is told to wait when a page needs a database that is away
HAOP_HEALTH_DETAILS  who sees hosts in /api/health/: True, False, or the path of a function of the request
HAOP_HEALTH_SECONDS  deadline of an answer of /api/health/
"""

import os
from typing import Any

from django.conf import settings

_DEFAULTS: dict[str, Any] = {
    "HAOP_REPLICA_APPS": (),
    "HAOP_RETRY_AFTER": 2,
    "HAOP_HEALTH_DETAILS": False,
    "HAOP_HEALTH_SECONDS": 2.0,
}
_NO = {"0", "false", "no", "off"}


def value(name: str) -> Any:
    """What the project's settings say, else the default."""
    return getattr(settings, name, _DEFAULTS[name])


def falls_back() -> bool:
    """Whether reads go to a standby while there is no primary."""
    told = getattr(settings, "DATABASE_FAILOVER", None)
    if told is None:
        told = os.environ.get("DATABASE_FAILOVER", "true")
    return str(told).strip().lower() not in _NO
