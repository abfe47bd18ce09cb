"""What the doctor asks of the engine. Looks only: makes, starts and stops nothing."""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from haop.docker.containers import Containers
from haop.docker.engine import translated
from haop.errors import HaopError
from haop.model.examined import ContainerSeen, MountSeen, PlaceSeen

# Where the data lie: disk, free kB, mode, owner.
_LOOK = 'df -Pk "$PGDATA" | tail -n 1; stat -c "%a %U" "$PGDATA"'


def container(
    containers: Containers, service: str, *, passwords: Collection[str], wanted_hash: str | None
) -> ContainerSeen | None:
    """One service's container; None where there is none."""
    found = containers.inspect(service)
    if found is None:
        return None
    config, host = found["Config"], found["HostConfig"]
    environment = dict(entry.partition("=")[::2] for entry in config["Env"] or ())
    return ContainerSeen(
        running=bool(found["State"]["Running"] and not found["State"]["Paused"]),
        restart=str(host["RestartPolicy"]["Name"] or "no"),
        fence=_fence(containers, service, environment),
        stop_signal=str(config.get("StopSignal") or "SIGTERM"),
        stop_seconds=int(config.get("StopTimeout") or 10),
        health=tuple((config.get("Healthcheck") or {}).get("Test") or ()),
        mounts=tuple(_mount(mount) for mount in found["Mounts"]),
        published=tuple(sorted(_published(host["PortBindings"] or {}))),
        leaking=tuple(sorted(name for name, value in environment.items() if any(p in value for p in passwords))),
        outdated=None if wanted_hash is None else config["Labels"].get("com.docker.compose.config-hash") != wanted_hash,
        memory_bytes=int(host["Memory"]),
    )


def place(containers: Containers, service: str) -> PlaceSeen:
    """Where a running node keeps its data, as its container sees it.

    Raises:
        HaopError: it does not run, or cannot tell.
    """
    with translated(f"look into {service}"):
        client, argv, told = containers.client, ["sh", "-c", _LOOK], []
        for _ in range(3):  # a busy engine may end a short program before it passes on what that printed
            started = client.exec_create(containers.id(service), argv)["Id"]
            if told := client.exec_start(started).decode(errors="replace").split():
                break
    try:
        disk, free, mode, owner = told[0], int(told[3]), int(told[-2], 8), told[-1]
    except (IndexError, ValueError):
        raise HaopError(f"{service} cannot tell where its data lie: {' '.join(told)}") from None
    return PlaceSeen(filesystem=disk, free_bytes=free * 1024, mode=mode, owned=owner == "postgres")


def memory(containers: Containers) -> int:
    """Bytes of memory of the engine's machine: Docker's own virtual machine, where it has one."""
    with translated("ask the engine about its machine"):
        return int(containers.client.info()["MemTotal"])


def _fence(containers: Containers, service: str, environment: Mapping[str, str]) -> str:
    """The word of the marker beside a node's data; what has no PGDATA has none."""
    if not (data := environment.get("PGDATA")):
        return ""
    marker = PurePosixPath(f"{data}.fence")
    if containers.size(service, marker) is None:
        return ""
    return (containers.read(service, marker) or b"").decode().strip()


def _mount(mount: Mapping[str, Any]) -> MountSeen:
    source = mount.get("Name") or mount.get("Source") or ""
    return MountSeen(kind=str(mount["Type"]), source=str(source), target=str(mount["Destination"]))


def _published(bindings: Mapping[str, Any]) -> set[str]:
    return {f"{bound['HostIp'] or '*'}:{bound['HostPort']}" for ports in bindings.values() for bound in ports or ()}
