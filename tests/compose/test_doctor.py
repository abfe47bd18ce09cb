"""What the doctor says of containers that are not as stack/compose.yaml should make them. None of them runs."""

import re
from pathlib import Path

from haop.model.diagnosis import Outcome
from haop.operations.doctor.examination import examine
from haop.project import load
from tests import support
from tests.compose import stacks


def test_containers_that_were_made_otherwise_are_found_out(folder: Path) -> None:
    made = support.make_project(folder / "shop", runtime="compose", redis=True, postgres=18)
    web = '\n[web]\nimage = "busybox"\n[web.environment]\nDATABASE_URL = "postgres://shop@db2/shop"\n'
    cluster = stacks.more_toml(made, web)
    file, name = cluster.project.stack / "compose.yaml", cluster.project.spec.name
    with stacks.ended(cluster):
        stacks.rendered(cluster)
        right = file.read_text()
        wrong = right.replace('"127.0.0.1:', '"0.0.0.0:').replace("stop_grace_period: 2m", "stop_grace_period: 10s")
        wrong = wrong.replace("restart: unless-stopped", "restart: always")
        wrong = wrong.replace(" db1:/var/lib/postgresql\n", " /var/lib/postgresql\n")
        wrong = wrong.replace("test: [CMD, sh, /etc/haop/health.sh]", "test: [CMD-SHELL, pg_isready]")
        wrong = re.sub(r'(HAOP_PORT: "5432")', rf'\1\n  OLD: "{cluster.secrets.monitor_password}"', wrong)
        file.write_text(wrong)
        stacks.compose(cluster, "up", "--no-start", "--no-deps", "db1", "db2", "redis")
        found = {finding.code: finding for finding in examine(load(cluster.project.root)).findings}
        expected = {
            "port-open", "stop-too-hard", "restart-policy", "mount-wrong", "anonymous-volume", "health-check",
            "password-inspected", "password-committed", "stack-edited", "image-floating", "single-host", "addon-down",
        }  # fmt: skip
        assert not expected - set(found)
        assert "OLD of db" in found["password-inspected"].message
        file.write_text(right)
        again = examine(load(cluster.project.root))
        assert "container-outdated" in {finding.code for finding in again.findings}
        assert "stack-edited" not in {finding.code for finding in again.findings}
        # It looked, and made nothing: web's container was never there.
        assert f"{name}-web-1" not in stacks.docker("ps", "--all", "--format", "{{.Names}}")
        assert any("web has no container" in d.gaps for d in again.ended(Outcome.NOT_EXAMINED))
