"""Changes of the databases' state, told once each: a line in the log, a signal."""

import logging
import time
from functools import partial

from haop.django.routes import Down, Route
from haop.django.signals import database_state_changed

_LOG = logging.getLogger("haop.django")


def over(alias: str, route: Route) -> None:
    """Tell what happens to that route, in the name of its alias."""
    route.changed = partial(_tell, alias)


def _tell(alias: str, now: Down | None, before: Down | None) -> None:
    up, seconds, down = now is None, None, now or before
    assert down, "one of the two, or nothing has changed"
    if up:
        seconds = time.monotonic() - down.since
        text = f"database '{alias}' can be reached again, after {seconds:.2f} s"
    else:
        text = f"database '{alias}' cannot be reached: {down.reason}"
    told = {"alias": alias, "up": up, "reason": down.reason, "seconds": seconds}
    _LOG.log(logging.INFO if up else logging.WARNING, "%s", text, extra=told)
    database_state_changed.send_robust(sender=Route, **told)
