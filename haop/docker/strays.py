"""What a stack has that `haop.toml` no longer names: containers, and volumes."""

from contextlib import suppress

from docker.errors import NotFound

from haop.docker.containers import Containers
from haop.docker.engine import translated

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_VOLUME = "com.docker.compose.volume"


def find(containers: Containers, project: str) -> set[str]:
    """The services of a project that have a container or a volume of this cluster's."""
    containers.check_all()
    mine = f"{_PROJECT}={project}"
    with translated("list containers and volumes"):
        listed = containers.client.containers(all=True, filters={"label": [mine, "com.docker.compose.oneoff=False"]})
        volumes = containers.client.volumes(filters={"label": mine})["Volumes"] or []
    names = {volume["Labels"][_VOLUME] for volume in volumes}
    return {c["Labels"][_SERVICE] for c in listed} | {name for name in names if containers.volume_exists(name)}


def former_name(containers: Containers, identity: str, project: str) -> str | None:
    """Under which other project this cluster has volumes: its name in `haop.toml` was changed."""
    with translated("list volumes"):
        volumes = containers.client.volumes(filters={"label": f"io.haop.id={identity}"})["Volumes"] or []
    return next((name for v in volumes if (name := v["Labels"].get(_PROJECT, project)) != project), None)


def remove(containers: Containers, project: str, name: str) -> None:
    """The container, then the volume, so that a second attempt finds what the first has left."""
    there = containers.volume_exists(name)  # refuses what is not this cluster's
    with translated(f"remove {name}"):
        if found := containers.inspect(name):
            containers.client.remove_container(found["Id"], force=True)
        if there:
            with suppress(NotFound):
                containers.client.remove_volume(f"{project}_{name}")
