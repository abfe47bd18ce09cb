"""`docker compose`, for one project: what makes and removes containers, networks and volumes."""

import os
from collections.abc import Callable
from pathlib import Path

from haop.errors import CommandFailed, Refused
from haop.process import run, watch

# The oldest Compose that was tried; 2.20 brought `up --no-start` and long secrets as they are used here.
_OLDEST = (2, 20)
# What `docker` reads of the environment. Nothing else: a POSTGRES_PASSWORD of the operator's shell would win over .env.
_KEPT = ("HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
         "DOCKER_BUILDKIT", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY",
         "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")  # fmt: skip


class Compose:
    """One stack: its `compose.yaml`, and the `.env` beside `haop.toml`."""

    def __init__(self, file: Path, env: Path) -> None:
        self._argv = ("docker", "compose", "--env-file", str(env), "--file", str(file), "--progress", "plain")

    def run(self, *arguments: str, say: Callable[[str], None]) -> None:
        """Run a command of Compose; each line of its progress is passed to `say`.

        Raises:
            CommandFailed: with its last words.
        """
        watch((*self._argv, *arguments), say, environment=_environment())

    def hashes(self) -> dict[str, str]:
        """Service to the hash of its configuration, as Compose labels containers with it."""
        told = run((*self._argv, "config", "--hash", "*"), environment=_environment()).stdout
        return dict(line.split() for line in told.splitlines() if line.strip())


def check_version() -> None:
    """Refuse to go on without Compose v2.

    Raises:
        Refused: it is missing, or too old.
    """
    hint = "install the Compose plugin: https://docs.docker.com/compose/install/"
    try:
        told = run(("docker", "compose", "version", "--short"), environment=_environment()).stdout.strip()
    except CommandFailed as error:
        raise Refused("`docker compose` does not work: Compose v2 is missing", hint=hint) from error
    numbers = told.lstrip("v").split("-")[0].split("+")[0].split(".")
    if not all(part.isdigit() for part in numbers[:2]) or tuple(int(part) for part in numbers[:2]) < _OLDEST:
        raise Refused(f"Compose {told} is too old", hint=f"haop needs 2.20 or newer; {hint}")


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
