"""Volumes that haop did not make: known by name or path from `haop.toml`, because labels cannot be added later."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

import docker
from docker.errors import APIError, NotFound

from haop.docker.engine import settled, translated
from haop.errors import Refused


def users(client: docker.APIClient, volume: str, *, stopped: bool = False) -> list[dict[str, Any]]:
    """Containers that mount a volume, or a folder of this machine; those that run, unless told otherwise.

    A volume's folder may be mounted, too, or one below it.
    """
    with translated(f"look for what uses {volume}"):
        listed: list[dict[str, Any]] = client.containers(all=stopped)
    where = _folder(client, volume)
    return [c for c in listed if any(_is_of(mount, volume, where) for mount in c["Mounts"])]


def _folder(client: docker.APIClient, volume: str) -> str:
    """Where it lies on the engine's machine; "" where that cannot be told."""
    if volume.startswith("/"):
        return volume
    with suppress(APIError):  # no volume has that name, or can have it
        return str(client.inspect_volume(volume)["Mountpoint"])
    return ""


def _is_of(mount: Mapping[str, Any], volume: str, where: str) -> bool:
    source = PurePosixPath(mount.get("Source") or "/")
    return volume == mount.get("Name") or (where.startswith("/") and source.is_relative_to(where))


def servers(client: docker.APIClient, volume: str) -> list[dict[str, Any]]:
    """Those that run PostgreSQL; a backup that reads the volume does not."""
    return [container for container in users(client, volume) if _runs_postgres(client, container["Id"])]


def _runs_postgres(client: docker.APIClient, container: str) -> bool:
    with translated("look at the processes of a container"):
        try:
            told = settled(lambda: client.top(container, "-eo pid,comm"))
        except APIError as error:
            if error.status_code not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:  # it has just ended
                raise
            return False
    return any(process[-1] == "postgres" for process in told["Processes"] or [])


def exists(client: docker.APIClient, volume: str) -> bool:
    """Whether there is such a volume, or such a folder."""
    if volume.startswith("/"):
        return Path(volume).is_dir()
    with translated(f"look at the volume {volume}"):
        try:
            client.inspect_volume(volume)
        except NotFound:
            return False
    return True


def check_adopted(client: docker.APIClient, node: str, volume: str) -> None:
    """Refuse a volume that is gone, or in which a container works that is no node.

    Raises:
        Refused: with what is in the way.
    """
    if not exists(client, volume):
        raise Refused(
            f"the volume {volume} of {node} is gone: haop did not make it, and makes none in its place",
            hint=f"restore it, or take `volume` from {node} in haop.toml: then {node} gets a volume of its own",
        )
    others = [c["Names"][0].lstrip("/") for c in users(client, volume) if "io.haop.id" not in c["Labels"]]
    if others:
        raise Refused(
            f"the container {others[0]} works in {volume}, the volume of {node}",
            hint=f"stop it, or finish its adoption: haop adopt {others[0]}",
        )
