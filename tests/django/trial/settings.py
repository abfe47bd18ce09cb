"""As a user writes them. What a test changes comes from the environment."""

import json
import os

import haop.django

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["tests.django.trial"]
INSTALLED_APPS += ["haop.django"]
DATABASES = haop.django.databases(**json.loads(os.environ.get("TRIAL_DATABASES", "{}")))
MIDDLEWARE = ["haop.django.HealthCheckMiddleware", "tests.django.trial.views.Touching"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "tests.django.trial.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
if "REDIS_URL" in os.environ:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}
    }
globals().update(json.loads(os.environ.get("TRIAL_SETTINGS", "{}")))
