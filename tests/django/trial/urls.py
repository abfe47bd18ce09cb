"""Its pages."""

from django.urls import include, path

from tests.django.trial import views

urlpatterns = [
    path("", views.page),
    path("list", views.listing),
    path("save", views.save),
    path("report", views.report),
    path("class-report", views.Report.as_view()),
    path("async", views.asynchronous),
    path("async-report", views.asynchronous_report),
    path("both", views.both),
    path("add", views.add),
    path("add-atomic", views.add_atomic),
    path("slow", views.slow),
    path("atomic", views.atomic),
    path("write-then-read", views.write_then_read),
    path("raw", views.raw),
    path("pin", views.pin),
    path("api/health/", include("haop.django.urls")),
]
