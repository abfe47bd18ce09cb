"""The demo's settings. What makes it follow a failover are the three lines that name haop."""

import hashlib
import os

import haop.django
from haop.django.config import told

INSTALLED_APPS = ["django.contrib.messages", "inventory"]
INSTALLED_APPS += ["haop.django"]
DATABASES = haop.django.databases()
MIDDLEWARE = [
    "haop.django.HealthCheckMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Signs cookies. All processes must have the same, and they have the database's password in common.
SECRET_KEY = told("SECRET_KEY") or hashlib.sha256(f"laboratory {DATABASES['default']['PASSWORD']}".encode()).hexdigest()
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],web").split(",")
ROOT_URLCONF = "laboratory.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True

# Neither reading a page nor a message after saving needs a database that takes writes.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

REDIS = told("REDIS_URL")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS}
    if REDIS
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# It is a demo: everybody may see which node answers.
HAOP_HEALTH_DETAILS = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "haop.django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
    },
}
