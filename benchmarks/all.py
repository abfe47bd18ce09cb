"""Every benchmark, one after the other."""

import subprocess
import sys

for name in (
    "startup",
    "status",
    "up",
    "limit",
    "switchover",
    "compose",
    "faults",
    "failover",
    "guard",
    "hang",
    "django_router",
):
    subprocess.run((sys.executable, "-m", f"benchmarks.{name}"), check=True)
