"""Requests while a database is away: an answer that says so, and no error page. And what a client has written."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connections
from django.db.utils import Error, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from haop.django import conf, reading
from haop.django.config import DEFAULT, REPLICA
from haop.django.postgresql.base import LOST, READ_ONLY
from haop.django.routes import RouteDown
from haop.django.scope import Scope, begin

_LOG = logging.getLogger("haop.django")
_NAME, _SALT = "haop_written", "haop.django.written"
_KEPT_SECONDS = 86_400


class RequestDatabase:
    """The databases as templates and views see them: `request.database`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @property
    def state(self) -> str:
        """As this process knows it: `healthy`, `degraded` (reads only, or no second server), `unavailable`."""
        away = [getattr(connections[alias], "route", None) for alias in (DEFAULT, REPLICA)]
        down = [route is not None and route.down is not None for route in away]
        return "unavailable" if all(down) else "degraded" if any(down) else "healthy"

    @property
    def read_only(self) -> bool:
        """Whether nothing can be saved at the moment."""
        route = getattr(connections[DEFAULT], "route", None)
        return route is not None and route.down is not None

    @property
    def stale(self) -> bool:
        """Whether this page may lack what its client saved a moment ago."""
        return self._scope.stale


class HealthCheckMiddleware(MiddlewareMixin):
    """First in MIDDLEWARE, so that whatever happens in the others is seen. For WSGI and ASGI."""

    def process_request(self, request: HttpRequest) -> None:
        """A client brings along how far it has written."""
        mine = begin(_brought(request))
        request.haop_scope = mine  # type: ignore[attr-defined]
        request.database = RequestDatabase(mine)  # type: ignore[attr-defined]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A view could not reach its database."""
        return unavailable(request, exception) if is_outage(exception) else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """A client takes along how far it has written."""
        mine: Scope | None = getattr(request, "haop_scope", None)
        if mine is None:
            return response
        if mine.failure is not None and response.status_code == 500:  # in another middleware: the session's, say
            response = unavailable(request, mine.failure)
        try:
            position = reading.written()
        except Error:
            return response
        if position is None:
            if _NAME in request.COOKIES:
                response.delete_cookie(_NAME, samesite="Lax")
        elif position != _brought(request):
            response.set_signed_cookie(
                _NAME, position, salt=_SALT, max_age=_KEPT_SECONDS, httponly=True, secure=request.is_secure(),
                samesite="Lax",
            )  # fmt: skip
        return response


def is_outage(exception: BaseException) -> bool:
    """Whether an error says that a database is away, and not that something is wrong with what it was asked."""
    for error in _chain(exception):
        if isinstance(error, RouteDown):
            return True
        if isinstance(error, psycopg.Error) and error.sqlstate in (*LOST, READ_ONLY):
            return True
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
            return True
        if isinstance(error, InterfaceError):
            return True
    return False


def unavailable(request: HttpRequest, exception: BaseException) -> HttpResponse:
    """503, with when to come again, as a page or as JSON."""
    mine: Scope | None = getattr(request, "haop_scope", None)
    unsent = any(isinstance(error, RouteDown) for error in _chain(exception)) and not (mine and mine.wrote)
    safe = request.method in {"GET", "HEAD", "OPTIONS"}
    seconds = int(conf.value("HAOP_RETRY_AFTER"))
    outcome = "nothing was sent" if safe else "not saved" if unsent else "unknown"
    _LOG.info("%s %s: 503, the database is away (%s)", request.method, request.path, outcome)
    told = {"error": "database unavailable", "outcome": outcome, "retry_after": seconds}
    if _wants_json(request):
        response: HttpResponse = JsonResponse(told, status=503)
    else:
        page = render_to_string("haop/unavailable.html", told | {"safe": safe}, request=None)
        response = HttpResponse(page, status=503)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    # Django logs each 5xx as an error, and mails it; the outage has been told once, when it began.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - its own mark for that
    return response


def _chain(exception: BaseException) -> Iterator[BaseException]:
    error: BaseException | None = exception
    while error is not None:
        yield error
        error = error.__cause__ or (error.__context__ if isinstance(error, Error | psycopg.Error) else None)


def _wants_json(request: HttpRequest) -> bool:
    accepts = request.META.get("HTTP_ACCEPT", "")
    return "json" in (request.content_type or "") or ("json" in accepts and "html" not in accepts)


def _brought(request: HttpRequest) -> str | None:
    if _NAME not in request.COOKIES:
        return None
    found: str | None = request.get_signed_cookie(_NAME, default=None, salt=_SALT, max_age=_KEPT_SECONDS)
    return found


def note_failure(request: HttpRequest | None = None, **_: Any) -> None:
    """Receiver of Django's `got_request_exception`: what another middleware failed on."""
    error = sys.exc_info()[1]
    mine: Scope | None = getattr(request, "haop_scope", None)
    if mine is not None and error is not None and is_outage(error):
        mine.failure = error
