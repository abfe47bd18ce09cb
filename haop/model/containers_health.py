"""Judgement of what only containers have: images, limits, and the services beside the nodes. Pure."""

from collections.abc import Iterator, Mapping

from haop.model.containers import WebSecrets
from haop.model.health import Finding, Severity
from haop.model.service import ServiceState, State
from haop.model.spec import ClusterSpec
from haop.model.status import ClusterStatus

CUT_OFF = "cut off from the network"
OUT_OF_MEMORY = "out of memory: the kernel killed it"


def assess_containers(
    spec: ClusterSpec, status: ClusterStatus, addons: Mapping[str, ServiceState]
) -> tuple[Finding, ...]:
    """Everything about containers that is not as asked for."""
    nodes = {node.name: node.service for node in status.nodes}
    return (
        *_memory({**nodes, **addons}, set(nodes)),
        *_cut(nodes),
        *_images(nodes),
        *_addons(spec, addons),
        *_secrets(spec),
    )


def _memory(services: Mapping[str, ServiceState], nodes: set[str]) -> Iterator[Finding]:
    for name, service in services.items():
        if service.remark == OUT_OF_MEMORY:
            runs = service.state is State.RUNNING
            limit = "raise compose.memory in haop.toml, then haop up --yes; or" if name in nodes else "give it more or"
            yield Finding(
                code="out-of-memory", severity=Severity.INFO if runs else Severity.ERROR, node=name,
                message=f"{name} ran out of memory and was killed" + ("; it runs again" if runs else ""),
                hint=f"{limit} lower shared_buffers, work_mem or max_connections",
            )  # fmt: skip


def _cut(nodes: Mapping[str, ServiceState]) -> Iterator[Finding]:
    for name, service in nodes.items():
        if service.state is State.RUNNING and (service.remark or "").startswith(CUT_OFF):
            yield Finding(
                code="cut-off", severity=Severity.ERROR, node=name, message=f"{name} is {service.remark}",
                hint="haop up connects it again",
            )  # fmt: skip


def _images(nodes: Mapping[str, ServiceState]) -> Iterator[Finding]:
    """Another build can sort text differently; indexes are then silently wrong (docker-library/postgres#1356)."""
    images = {name: service.image for name, service in nodes.items() if service.image}
    if len(set(images.values())) > 1:
        told = ", ".join(f"{name} {short(image)}" for name, image in images.items())
        yield Finding(
            code="images-differ", severity=Severity.WARNING, message=f"the nodes come from different images: {told}",
            hint="make them alike: haop down; haop up",
        )  # fmt: skip


def _addons(spec: ClusterSpec, addons: Mapping[str, ServiceState]) -> Iterator[Finding]:
    for name, service in addons.items():
        if service.state is not State.RUNNING:
            told = f"{name} is {service.state}" + (f": {service.remark}" if service.remark else "")
            yield Finding(
                code="addon-down", severity=Severity.WARNING, node=name, message=told,
                hint=f"haop up starts it; docker logs {spec.name}-{name}-1 says why it ended",
            )  # fmt: skip
        elif service.remark:
            yield Finding(
                code="addon-unhealthy", severity=Severity.WARNING, node=name, message=f"{name} is {service.remark}",
                hint=f"docker inspect says what its health check found: docker inspect {spec.name}-{name}-1",
            )  # fmt: skip


def _secrets(spec: ClusterSpec) -> Iterator[Finding]:
    if spec.web and spec.web.secrets is WebSecrets.ENV:
        yield Finding(
            code="secrets-in-environment", severity=Severity.INFO, node="web",
            message="passwords are in the environment of web, where docker inspect shows them",
            hint='let the application read DATABASE_URL_FILE, and set web.secrets = "files" in haop.toml',
        )  # fmt: skip


def short(image: str) -> str:
    """An image's name and the first letters of its digest.

    >>> short("postgres:17@sha256:0123456789abcdef")
    'postgres:17 0123456789ab'
    """
    name, _, digest = image.partition("@sha256:")
    return f"{name} {digest[:12]}"
