"""For servers of the asynchronous kind."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "laboratory.settings")
application = get_asgi_application()
