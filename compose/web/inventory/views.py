"""The pages. A page that shows something neither writes nor opens a transaction, so that it needs no primary."""

import time
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import connections, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.expressions import RawSQL
from django.db.models.functions import TruncMonth
from django.db.utils import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from haop.django import reads_from_replica, use_replica
from inventory.forms import ItemForm
from inventory.models import Item, Movement

# Which server answered: haop names each node in its setting cluster_name.
_NODE = RawSQL("current_setting('cluster_name')", [])
_BEAT = """
INSERT INTO inventory_heartbeat (id, beats) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE SET beats = inventory_heartbeat.beats + 1
RETURNING current_setting('cluster_name')
"""
_PAGE_SIZE = 15


@require_safe
def items(request: HttpRequest) -> HttpResponse:
    """All items, or those that a search finds."""
    query = request.GET.get("q", "").strip().replace("\0", "")
    found = Item.objects.all()
    if query:
        found = found.filter(Q(name__icontains=query) | Q(location__icontains=query) | Q(supplier__icontains=query))
    low = request.GET.get("low") == "1"
    if low:
        found = found.filter(quantity__lt=F("minimum"))
    page = Paginator(found, _PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "inventory/items.html", {"page": page, "query": query, "low": low})


@require_safe
def item(request: HttpRequest, pk: int) -> HttpResponse:
    """One item and what happened to it."""
    found = get_object_or_404(Item, pk=pk)
    return render(
        request, "inventory/item.html", {"item": found, "movements": Movement.objects.filter(item=found)[:12]}
    )


def edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """A new item, or another version of one."""
    found = get_object_or_404(Item, pk=pk) if pk else None
    form = ItemForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        saved = form.save()
        messages.success(request, f"{saved} is saved.")
        return redirect(saved)
    return render(request, "inventory/edit.html", {"form": form, "item": found})


@require_POST
def take(request: HttpRequest, pk: int) -> HttpResponse:
    """One unit out: the quantity and the movement, both or neither."""
    with transaction.atomic():
        found = get_object_or_404(Item.objects.select_for_update(), pk=pk)
        if found.quantity > 0:
            found.quantity -= 1
            found.save(update_fields=["quantity"])
            Movement.objects.create(item=found, at=timezone.now(), change=-1, reason="taken")
            messages.success(request, f"One of {found} is taken; {found.quantity} {found.unit} are left.")
        else:
            messages.warning(request, f"There is nothing left of {found}.")
    return redirect(found)


@require_safe
@reads_from_replica
def report(request: HttpRequest) -> HttpResponse:
    """Much to add up: a standby does that."""
    begun = time.perf_counter()
    months = list(
        Movement.objects.annotate(month=TruncMonth("at"))
        .values("month")
        .annotate(
            movements=Count("id"), into=Sum("change", filter=Q(change__gt=0)), out=Sum("change", filter=Q(change__lt=0))
        )
        .order_by("-month")[:12]
    )
    by_place = Movement.objects.values("item__location").annotate(movements=Count("id"))
    places = list(by_place.order_by("-movements")[:10])
    most = max((place["movements"] for place in places), default=1)
    told = {"months": months, "places": places, "most": most, "node": _answered_by()}
    return render(request, "inventory/report.html", told | {"ms": (time.perf_counter() - begun) * 1000})


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Who answers what, as it happens."""
    return render(request, "inventory/live.html")


@require_safe
@never_cache
def live_data(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """One read as pages do it, one asked for on a standby, one write; each with who answered, and how long it took."""

    def replica() -> str:
        with use_replica():
            return _answered_by()

    return JsonResponse({"read": _timed(_answered_by), "replica": _timed(replica), "write": _timed(_beat)})


@require_POST
@csrf_exempt
def beat(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """One write, for machines: a drill asks this page."""
    return JsonResponse({"node": _beat()})


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """What /api/health/ says, for people."""
    return render(request, "inventory/health.html")


async def api_items(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """All items as JSON, by Django's asynchronous interface."""
    return JsonResponse({"items": [found async for found in Item.objects.values("id", "name", "location", "quantity")]})


def _answered_by() -> str:
    row = Item.objects.annotate(node=_NODE).values("node").order_by("id").first()
    return str(row["node"]) if row else "nobody: there are no items"


def _beat() -> str:
    with connections["default"].cursor() as cursor:
        cursor.execute(_BEAT)
        return str(cursor.fetchone()[0])


def _timed(work: Callable[[], str]) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        node, error = work(), None
    except Error as problem:
        node, error = None, str(problem).splitlines()[0]
    return {"node": node, "ms": round((time.perf_counter() - begun) * 1000, 1), "error": error}
