"""`path("api/health/", include("haop.django.urls"))`."""

from django.urls import path

from haop.django import views

app_name = "haop"
urlpatterns = [
    path("", views.health, name="health"),
    path("live", views.live, name="live"),
    path("ready", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]
