"""The pages."""

from django.urls import path

from inventory import views

urlpatterns = [
    path("", views.items, name="items"),
    path("items/new/", views.edit, name="new"),
    path("items/<int:pk>/", views.item, name="item"),
    path("items/<int:pk>/edit/", views.edit, name="edit"),
    path("items/<int:pk>/take/", views.take, name="take"),
    path("report/", views.report, name="report"),
    path("live/", views.live, name="live"),
    path("live/data/", views.live_data, name="live-data"),
    path("health/", views.health, name="health-page"),
    path("api/items/", views.api_items, name="api-items"),
    path("api/beat/", views.beat, name="beat"),
]
