"""Volumes that haop did not make: known by name or path from `haop.toml`, because labels cannot be added later."""

from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from haop.docker.engine import translated
from haop.errors import Refused


def users(client: docker.APIClient, volume: str, *, stopped: bool = False) -> list[dict[str, Any]]:
    """Containers that mount a volume, or a folder of this machine; those that run, unless told otherwise."""
    with translated(f"look for what uses {volume}"):
        listed: list[dict[str, Any]] = client.containers(all=stopped)
    return [c for c in listed if any(volume in {m.get("Name"), m.get("Source")} for m in c["Mounts"])]


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
