"""The health endpoint: how it is, whether this process lives, whether it can serve."""

import time
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from haop.django import conf
from haop.django.config import DEFAULT, REPLICA
from haop.django.probing import PROBER

_CODES = {"healthy": 200, "degraded": 200, "unavailable": 503}


@require_safe
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """200 while something can be served, 503 when nothing can."""
    found = PROBER.health()
    routes = {alias: _route(alias) for alias in (DEFAULT, REPLICA)} if _may_see_details(request) else None
    return JsonResponse(found.document(routes), status=_CODES[found.status])


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """This process answers. The databases are not asked: who restarts it for their sake makes an outage worse."""
    return JsonResponse({"status": "alive"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Whether requests make sense here: pages can be read, at least."""
    found = PROBER.health()
    ready = found.status != "unavailable"
    return JsonResponse({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, where its client is installed; of servers by name only for those who may see details."""
    try:
        from haop.django import metrics as figures  # noqa: PLC0415 - its library is optional
    except ImportError:
        return JsonResponse({"error": "prometheus_client is not installed"}, status=404)
    text, kind = figures.text(PROBER.health(), names=_may_see_details(request))
    return HttpResponse(text, content_type=kind)


def _may_see_details(request: HttpRequest) -> bool:
    wanted = conf.value("HAOP_HEALTH_DETAILS")
    return bool(import_string(wanted)(request) if isinstance(wanted, str) else wanted)


def _route(alias: str) -> dict[str, Any]:
    """What this process knows of an alias."""
    wrapper: Any = connections[alias]
    route = wrapper.route
    return {
        "connected_to": ":".join(wrapper.connection.place) if wrapper.connection is not None else None,
        "down_for_seconds": round(time.monotonic() - route.down.since, 3) if route.down else None,
        "shunned": [":".join(route.hosts[index]) for index in sorted(route.shunned)],
    }
