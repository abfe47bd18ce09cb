"""shellcheck over the node script as it is rendered, and over .ci/run."""

import subprocess
import sys
import tempfile
from pathlib import Path

from haop import rendering
from haop.model.endpoint import Endpoint
from haop.model.spec import POSTGRES_VERSIONS, ClusterSpec, NodeSpec


def main() -> int:
    root = Path(__file__).parent.parent
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for major in POSTGRES_VERSIONS:
            nodes = (NodeSpec("db1", 5432), NodeSpec("db2", 5433))
            spec = ClusterSpec(name="shop", postgres=major, nodes=nodes, parameters={})
            places = {node.name: Endpoint("127.0.0.1", node.port) for node in nodes}
            script = Path(folder) / f"node-{major}.sh"
            script.write_text(rendering.stack(spec, places, ("127.0.0.1/32",))["node.sh"])
            worst |= subprocess.run(("shellcheck", "--shell=sh", str(script)), check=False).returncode
    return worst | subprocess.run(("shellcheck", str(root / ".ci" / "run")), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
