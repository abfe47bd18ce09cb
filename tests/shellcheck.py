"""shellcheck over every script, as it is rendered where it is a template; hadolint over every Dockerfile."""

import subprocess
import sys
import tempfile
from pathlib import Path

from haop.model.containers import RedisSpec
from haop.model.spec import POSTGRES_VERSIONS, RUNTIMES, ClusterSpec, Durability, NodeSpec
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.operations.render import refresh
from haop.project import Project

ROOT = Path(__file__).parent.parent


def rendered(folder: Path) -> list[str]:
    """Every script of every stack that haop renders: each version on each runtime."""
    found = []
    for runtime in RUNTIMES:
        for major in POSTGRES_VERSIONS:
            first = NodeSpec("db1", 5432, "old" if runtime == "compose" else None)
            spec = ClusterSpec(
                name="shop", postgres=major, runtime=runtime, nodes=(first, NodeSpec("db2", 5433)),
                durability=Durability.SYNC, parameters={}, redis=RedisSpec() if runtime == "compose" else None,
            )  # fmt: skip
            project = initialise(folder / f"{runtime}-{major}", Wishes(runtime="compose", postgres=major)).project
            refresh(Cluster.of(Project(project.root, spec)))
            found += [str(path) for path in project.stack.glob("*.sh")]
    return found


def main() -> int:
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        worst |= subprocess.run(("shellcheck", "--shell=sh", *rendered(Path(folder))), check=False).returncode
    scripts = [
        str(path)
        for path in (
            *ROOT.glob(".ci/*"),
            *ROOT.glob("tests/images/*/*.sh"),
            *ROOT.glob("haop/docker/*.sh"),
            *ROOT.glob("compose/web/*.sh"),
        )
    ]
    worst |= subprocess.run(("shellcheck", *scripts), check=False).returncode
    dockerfiles = [str(path) for path in ROOT.glob("*/**/Dockerfile") if ".venv" not in path.parts]
    hadolint = str(Path(sys.executable).parent / "hadolint")
    return worst | subprocess.run((hadolint, *dockerfiles), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
