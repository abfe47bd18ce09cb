"""Whether the application answers; the databases are not its business (`/api/health/live` never asks them)."""

import os
import urllib.request

port = os.environ.get("PORT", "8000")
with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health/live", timeout=2) as answer:
    assert answer.status == 200
