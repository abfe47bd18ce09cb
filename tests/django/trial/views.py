"""One view for each promise. `node` is the cluster_name of the server that answered."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connections, transaction
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from haop.django import from_replica, reads_from_replica, use_replica
from tests.django.trial.models import Sample

NODE = RawSQL("current_setting('cluster_name')", [])


def look(queryset: Any = None) -> dict[str, Any]:
    """What a page reads through the ORM."""
    rows = list((Sample.objects.all() if queryset is None else queryset).annotate(node=NODE).order_by("-id")[:1])
    return {"count": Sample.objects.count(), "last": rows[0].pk, "node": node_of(rows[0])}


def node_of(row: Any) -> str:
    """Who answered: an annotation, which the model does not know."""
    return str(row.node)


def page(request: HttpRequest) -> HttpResponse:
    return JsonResponse(look() | {"read_only": request.database.read_only, "stale": request.database.stale})  # type: ignore[attr-defined]


def listing(request: HttpRequest) -> HttpResponse:
    """A page that needs nothing of the kit."""
    return JsonResponse({"rows": list(Sample.objects.order_by("-id").values("id", "name")[:20])})


@csrf_exempt
def save(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"id": Sample.objects.create(name="saved").pk})


@reads_from_replica
def report(request: HttpRequest) -> HttpResponse:
    return JsonResponse(look())


@method_decorator(reads_from_replica, name="dispatch")
class Report(View):
    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return JsonResponse(look())


@reads_from_replica
async def asynchronous_report(request: HttpRequest) -> HttpResponse:
    rows = [row async for row in Sample.objects.annotate(node=NODE).order_by("-id")[:1]]
    return JsonResponse({"count": await Sample.objects.acount(), "node": node_of(rows[0])})


async def asynchronous(request: HttpRequest) -> HttpResponse:
    rows = [row async for row in Sample.objects.annotate(node=NODE).order_by("-id")[:1]]
    return JsonResponse({"count": await Sample.objects.acount(), "node": node_of(rows[0])})


def both(request: HttpRequest) -> HttpResponse:
    """Reads asked for on a standby, each way, and one that was not."""
    with use_replica():
        inside = look()["node"]
        with transaction.atomic():
            in_transaction = look()["node"]
    queryset = look(from_replica(Sample.objects.all()))["node"]
    return JsonResponse({"with": inside, "atomic": in_transaction, "queryset": queryset, "plain": look()["node"]})


@csrf_exempt
def add(request: HttpRequest) -> HttpResponse:
    made = Sample.objects.create(name=request.GET.get("name", "a sample"))
    with use_replica():
        seen = Sample.objects.filter(pk=made.pk).exists()
    return JsonResponse({"id": made.pk, "seen": seen})


@csrf_exempt
@transaction.atomic
def add_atomic(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"id": Sample.objects.create(name="in a transaction").pk})


def slow(request: HttpRequest) -> HttpResponse:
    """One statement that takes a while, and says where it began."""
    seconds = float(request.GET["seconds"])
    row = Sample.objects.annotate(node=NODE, slept=RawSQL("pg_sleep(%s)::text", [seconds])).order_by("-id")[:1].get()
    return JsonResponse({"node": node_of(row)})


def atomic(request: HttpRequest) -> HttpResponse:
    """Two reads in a transaction; between them the test does something."""
    with transaction.atomic():
        before = look()
        meet(request)
        return JsonResponse({"before": before, "after": look()})


@csrf_exempt
def write_then_read(request: HttpRequest) -> HttpResponse:
    """A read of a request that wrote; between them the test does something."""
    made = Sample.objects.create(name="before the fault")
    meet(request)
    return JsonResponse({"id": made.pk, "after": look()})


def raw(request: HttpRequest) -> HttpResponse:
    """Which server the application's own SQL reaches, and as which backend."""
    found = {}
    for alias in ("default", "replica"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting('cluster_name'), pg_backend_pid()")
            found[alias] = cursor.fetchone()
    return JsonResponse(found)


def pin(request: HttpRequest) -> HttpResponse:
    """Leave behind a connection that takes no writes."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    return raw(request)


def meet(request: HttpRequest) -> None:
    """Say that this place is reached, and wait for the test."""
    place = Path(request.GET["meet"])
    (place / "reached").touch()
    while not (place / "go").exists():
        time.sleep(0.01)


def may_see(request: HttpRequest) -> bool:
    return request.headers.get("X-Operator") == "yes"


class Touching:
    """Another middleware that writes: a session's, say."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "touch" in request.GET:
            Sample.objects.create(name="touched")
        return response
