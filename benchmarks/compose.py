"""`haop up` and `haop status` on Docker Compose, against `docker compose` on a stack written by hand; same images."""

import shutil
import subprocess
import textwrap
from pathlib import Path

from benchmarks.timing import HAOP, in_turn, ratio, wall
from haop.waiting import wait_until
from tests import support

MAJOR = 15


def main() -> None:
    """Both sides in turn, images present."""
    print(f"docker compose, PostgreSQL {MAJOR}, a primary, a standby and Redis, images present")
    with support.folder() as folder:
        found = in_turn({
            "haop up: verified replication": lambda: haop_up(folder / "haop"),
            "docker compose up --wait, written by hand": lambda: by_hand(folder / "hand"),
        })  # fmt: skip
        ours, theirs = found.values()
        ratio("haop up / docker compose up --wait", ours, theirs, 1.3)
        root, stack = folder / "shop", "stack/compose.yaml"
        make(root)
        subprocess.run((HAOP, "-C", str(root), "up"), check=True, capture_output=True)
        found = in_turn({
            "haop status": lambda: wall((HAOP, "-C", str(root), "status")),
            "docker compose ps": lambda: wall(("docker", "compose", "--env-file", ".env", "-f", stack, "ps"), cwd=root),
        })  # fmt: skip
        ours, theirs = found.values()
        word = "met" if ours - theirs <= 0.3 else "MISSED"
        print(f"  haop status - docker compose ps: {(ours - theirs) * 1000:.0f} ms (at most 300: {word})")
        subprocess.run((HAOP, "-C", str(root), "down", "--volumes", "--yes"), check=True, capture_output=True)


def make(root: Path) -> None:
    """A project with haop's defaults."""
    argv = (HAOP, "init", str(root), "--name", "haop-bench", "--runtime", "compose", "--postgres", str(MAJOR))
    subprocess.run((*argv, "--first-port", str(support.free_ports(3))), check=True, stdout=subprocess.DEVNULL)


def haop_up(root: Path) -> float:
    """Seconds of `haop up`, in a project that was just made."""
    make(root)
    seconds = wall((HAOP, "-C", str(root), "up"))
    subprocess.run((HAOP, "-C", str(root), "status"), check=True, stdout=subprocess.DEVNULL)
    subprocess.run((HAOP, "-C", str(root), "down", "--volumes", "--yes"), check=True, capture_output=True)
    shutil.rmtree(root)
    return seconds


def by_hand(root: Path) -> float:
    """Seconds of `docker compose up --wait` on a stack as the usual tutorials have it, health checks each second."""
    root.mkdir()
    first = support.free_ports(3)
    (root / "replication.sh").write_text(
        textwrap.dedent("""\
        psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c "
            CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'bench'" -c "
            SELECT pg_create_physical_replication_slot('db2')"
        echo 'host replication replicator samenet scram-sha-256' >> "$PGDATA/pg_hba.conf"
    """)
    )
    (root / "compose.yaml").write_text(
        textwrap.dedent(f"""\
        name: haop-bench-hand
        x-health: &health
          test: [CMD-SHELL, "pg_isready -h 127.0.0.1 -U postgres"]
          interval: 1s
          retries: 60
        services:
          db1:
            image: postgres:{MAJOR}
            environment: {{ POSTGRES_PASSWORD: bench, POSTGRES_DB: app, POSTGRES_INITDB_ARGS: --data-checksums }}
            volumes:
              - db1:/var/lib/postgresql/data
              - ./replication.sh:/docker-entrypoint-initdb.d/replication.sh:ro
            healthcheck: *health
            ports: ["127.0.0.1:{first}:5432"]
          db2:
            image: postgres:{MAJOR}
            user: postgres
            environment: {{ PGPASSWORD: bench }}
            entrypoint: [sh, -c]
            command:
              - >-
                pg_basebackup -h db1 -U replicator -D "$$PGDATA" -S db2 -R -c fast &&
                chmod 0700 "$$PGDATA" && exec postgres
            volumes: [db2:/var/lib/postgresql/data]
            depends_on: {{ db1: {{ condition: service_healthy }} }}
            healthcheck: *health
            ports: ["127.0.0.1:{first + 1}:5432"]
          redis:
            image: redis:7
            command: [redis-server, --appendonly, "yes"]
            volumes: [redis:/data]
            healthcheck: {{ test: [CMD, redis-cli, ping], interval: 1s }}
            ports: ["127.0.0.1:{first + 2}:6379"]
        volumes: {{ db1: {{}}, db2: {{}}, redis: {{}} }}
    """)
    )
    seconds = wall(("docker", "compose", "up", "--detach", "--wait"), cwd=root)
    wait_until(lambda: streams(root), deadline=10, waiting_for="the stack written by hand to replicate", pause=0.2)
    subprocess.run(("docker", "compose", "down", "--volumes", "-t", "2"), cwd=root, check=True, capture_output=True)
    shutil.rmtree(root)
    return seconds


def streams(root: Path) -> bool:
    """Whether its standby streams; not in the figure."""
    query = ("exec", "-T", "db1", "psql", "-U", "postgres", "-Atc", "SELECT state FROM pg_stat_replication")
    done = subprocess.run(("docker", "compose", *query), cwd=root, capture_output=True, text=True, check=True)
    return "streaming" in done.stdout


if __name__ == "__main__":
    main()
