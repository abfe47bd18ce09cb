"""The kit as an app of a Django project: it sets its router and its checks."""

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.signals import got_request_exception
from django.db import router

_ROUTER = "haop.django.DatabaseFailoverRouter"


class HaopConfig(AppConfig):
    """`haop.django` in INSTALLED_APPS."""

    name = "haop.django"
    label = "haop"
    verbose_name = "haop"

    def ready(self) -> None:
        """The project's own routers come first."""
        from haop.django import checks as mine  # noqa: PLC0415 - what needs the settings waits for them
        from haop.django.middleware import note_failure  # noqa: PLC0415

        if _ROUTER not in settings.DATABASE_ROUTERS:
            settings.DATABASE_ROUTERS = [*settings.DATABASE_ROUTERS, _ROUTER]
            vars(router).pop("routers", None)  # what was asked before now
        got_request_exception.connect(note_failure, dispatch_uid="haop.django")
        checks.register(mine.settings_fit)
        checks.register(mine.databases_fit, checks.Tags.database)
