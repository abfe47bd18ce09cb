"""gunicorn's settings."""

import os

bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104 - a container's own
workers = 2
threads = 8
worker_class = "gthread"
graceful_timeout = 5
control_socket_disable = True
