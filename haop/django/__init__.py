"""The Django kit: an application that stays up when its primary does not.

    INSTALLED_APPS += ["haop.django"]
    DATABASES = haop.django.databases()
    MIDDLEWARE = ["haop.django.HealthCheckMiddleware", *MIDDLEWARE]

It needs nothing of haop's command line: at run time it imports the model alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from haop.django.config import databases
from haop.django.scope import reads_from_replica, use_replica

if TYPE_CHECKING:
    from haop.django.middleware import HealthCheckMiddleware
    from haop.django.reading import from_replica
    from haop.django.routers import DatabaseFailoverRouter

__all__ = ["DatabaseFailoverRouter", "HealthCheckMiddleware", "databases", "from_replica", "reads_from_replica",
           "use_replica"]  # fmt: skip

# What needs Django's settings waits until they are there: settings.py imports this package.
_LATER = {"DatabaseFailoverRouter": "routers", "HealthCheckMiddleware": "middleware", "from_replica": "reading"}


def __getattr__(name: str) -> object:
    if module := _LATER.get(name):
        return getattr(import_module(f"haop.django.{module}"), name)
    raise AttributeError(f"module 'haop.django' has no attribute {name!r}")
