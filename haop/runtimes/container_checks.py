"""What the Compose runtime makes sure of before it starts anything. Each check refuses with the reason and the mend."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from haop.errors import HaopError, Refused
from haop.model.containers import layout
from haop.model.spec import POSTGRES_VERSIONS, ClusterSpec, node_image
from haop.postgres.log import complaints
from haop.project import CONFIG, Project
from haop.runtimes import processes

if TYPE_CHECKING:
    from haop.docker.containers import Containers


def published(spec: ClusterSpec) -> dict[str, int]:
    """Every service of the stack, and its port on this host."""
    return {node.name: node.port for node in spec.nodes} | {name: addon.port for name, addon in spec.addons.items()}


def check(project: Project, containers: "Containers", identity: str, settings: str) -> None:
    """Refuse an engine that cannot be used, what belongs to somebody else, ports in use, settings that are wrong.

    Raises:
        Refused: with what is in the way.
    """
    from haop.docker.compose import check_version  # noqa: PLC0415 - beside the engine, which is imported when asked
    from haop.docker.strays import former_name  # noqa: PLC0415 - the same
    from haop.docker.volumes import check_adopted  # noqa: PLC0415 - the same

    spec = project.spec
    _ = containers.client
    check_version()
    for folder, key in (
        (spec.compose.init_scripts, "compose.init_scripts"),
        (spec.web and spec.web.build, "web.build"),
    ):
        if folder and not (project.root / folder).is_dir():
            raise Refused(
                f"{key} in {CONFIG}: there is no folder {project.root / folder}", hint="it is relative to haop.toml"
            )
    containers.check_all()
    if former := former_name(containers, identity, spec.name):
        raise Refused(
            f"this cluster is named {former}: its volumes are; under the name {spec.name} it would begin anew, empty",
            hint=f'set name = "{former}" in {CONFIG}; a new cluster is made by: haop init, in another folder',
        )
    for name in (*(node.name for node in spec.nodes), "cluster", "redis"):
        containers.volume_exists(name)
    for name, volume in spec.adopted.items():
        check_adopted(containers.client, name, volume)
    for name, port in published(spec).items():
        _check_port(containers, name, port)
    if spec.parameters:
        check_settings(containers, node_image(spec), settings)


def hash_of(container: Mapping[str, Any]) -> str:
    """The hash of the configuration that a container was made with."""
    return str(container["Config"]["Labels"].get("com.docker.compose.config-hash"))


def check_data(spec: ClusterSpec, containers: "Containers", data: PurePosixPath, cluster: PurePosixPath) -> None:
    """Refuse volumes with data of another major version or of another cluster, in containers that do not run.

    The first 8 bytes of the control file are the system identifier (pg_control.h).

    Raises:
        Refused: with the volume.
    """
    for node in spec.nodes:
        found = containers.inspect(node.name)
        if not found or found["State"]["Running"]:
            continue
        volume = node.volume or f"{spec.name}_{node.name}"
        version = _version(containers, node.name, spec.postgres, data)
        if version and version != str(spec.postgres):
            raise Refused(
                f"the volume {volume} is of PostgreSQL {version}; haop.toml asks for {spec.postgres}",
                hint=f"set postgres = {version} in haop.toml; a major upgrade is another matter",
            )
        ours = (containers.read(node.name, cluster / "system_identifier") or b"").decode().strip()
        control = containers.read(node.name, data / "global" / "pg_control") or b""
        if ours and version and str(system := int.from_bytes(control[:8], sys.byteorder)) != ours:
            raise Refused(
                f"the volume {volume} belongs to another cluster (system identifier {system}, not {ours})",
                hint=f"keep what you need of it, then: docker compose -p {spec.name} down; docker volume rm {volume}",
            )


def explained(error: HaopError, images: Sequence[str]) -> HaopError:
    """An error of `docker compose` that an operator can act on, as that; `images` are those that were not here."""
    text = error.message
    if not images:
        return error if "no space left" not in text.lower() else HaopError(f"No space left on device: {text}")
    told, wanted = text.partition(": ")[2] or text, " or ".join(images)
    if any(word in text for word in ("manifest unknown", "pull access denied", "repository does not exist")):
        return Refused(f"no image {wanted}: {told}", hint="correct the image in haop.toml, or log in: docker login")
    if any(word in text for word in ("No such image", "failed to resolve reference", "Client.Timeout", "dial tcp")):
        hint = f"is the registry within reach? docker pull {images[0] if images else ''} says more"
        return Refused(f"the image {wanted} cannot be pulled: {told}", hint=hint)
    if "no space left on device" in text.lower():
        return HaopError(f"No space left on device: {told}", hint="docker system df shows what Docker keeps")
    if "incorrect label" in text:
        return Refused(
            f"a network of that name belongs to somebody else: {told}",
            hint="give the cluster another name in haop.toml, or remove the network",
        )
    return error


def _version(containers: "Containers", name: str, postgres: int, data: PurePosixPath) -> str:
    """The major version of a volume's data, wherever the image of its version keeps them; nothing where it has none."""
    mount = PurePosixPath(layout(postgres).mount)
    places = [
        data,
        mount / "pgdata",
        *(mount / f"{n}/docker" for n in POSTGRES_VERSIONS),
    ]
    found = next((place for place in places if containers.size(name, place / "PG_VERSION") is not None), None)
    return (containers.read(name, found / "PG_VERSION") or b"").decode().strip() if found else ""


def _check_port(containers: "Containers", name: str, port: int) -> None:
    """Refuse a port that another container publishes or a process listens on."""
    found = containers.inspect(name)
    if found and found["State"]["Running"]:
        bound = [b["HostPort"] for ports in (found["HostConfig"]["PortBindings"] or {}).values() for b in ports or []]
        if str(port) not in bound:
            raise Refused(
                f"{name} runs on port {', '.join(bound)}; haop.toml says {port}",
                hint=f"set it back to {', '.join(bound)}, run haop down, and change it then",
            )
        return
    holder: str | None = None
    for other in containers.client.containers():
        if any(published.get("PublicPort") == port for published in other["Ports"]):
            holder = f"the container {other['Names'][0].lstrip('/')}"
    if holder := holder or processes.port_holder(port):
        raise Refused(
            f"port {port} of {name} is in use by {holder}", hint=f"stop it, or give {name} another port in haop.toml"
        )


def check_settings(containers: "Containers", image: str, settings: str) -> None:
    """Let PostgreSQL itself read the settings before they are written, where its image is here.

    Raises:
        Refused: it rejects them.
    """
    path = PurePosixPath("/tmp/postgresql.conf")  # noqa: S108 - of a container that lives for this alone
    argv = ["postgres", "-C", "wal_level", "-c", f"config_file={path}", "-D", "/"]
    if problem := containers.try_out(image, argv, path, settings):
        told = complaints(problem).replace(str(path), "stack/postgresql.conf")
        hint = "correct [postgres.parameters] in haop.toml"
        raise Refused(f"PostgreSQL rejects its settings: {told}", hint=hint)
