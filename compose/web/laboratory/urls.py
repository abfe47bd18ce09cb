"""The inventory, and the health endpoint."""

from django.urls import include, path

urlpatterns = [
    path("api/health/", include("haop.django.urls")),
    path("", include("inventory.urls")),
]
