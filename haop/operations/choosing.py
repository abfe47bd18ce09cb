"""What `haop init` chooses where nobody said: the runtime, the newest PostgreSQL image, free ports."""

from contextlib import closing
from dataclasses import dataclass

from haop.errors import HaopError, Refused
from haop.model.spec import POSTGRES_VERSIONS
from haop.runtimes.processes import port_holder


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime, and the reason in words."""

    runtime: str
    why: str


def choose_runtime() -> Choice:
    """Compose where a Docker engine and Compose v2 answer, else local."""
    from haop.docker import compose, engine  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

    try:
        with closing(engine.connect()) as client:
            version = client.version()["Version"]
        compose.check_version()
    except Refused as problem:
        return Choice("local", f"{problem.message}; to run on Docker Compose: --runtime compose")
    return Choice("compose", f"Docker engine {version} answers; for processes: --runtime local")


def newest_image(wished: int | None) -> int:
    """The major version that was wished for, else the newest whose official image is here, else the newest of all."""
    if wished:
        return wished
    from haop.docker import engine  # noqa: PLC0415 - beside the other

    try:
        with closing(engine.connect()) as client:
            tags = {tag for image in client.images() for tag in image["RepoTags"] or []}
    except HaopError:
        tags = set()
    return next((n for n in reversed(POSTGRES_VERSIONS) if f"postgres:{n}" in tags), POSTGRES_VERSIONS[-1])


def free_ports(count: int, first: int) -> int:
    """The first of so many free ports in a row, from `first` on.

    Raises:
        Refused: there are none.
    """
    while first + count <= 65535:
        taken = [port for port in range(first, first + count) if port_holder(port)]
        if not taken:
            return first
        first = taken[-1] + 1
    raise Refused("no free ports", hint="--first-port")
