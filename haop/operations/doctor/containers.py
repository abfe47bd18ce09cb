"""Checks of the containers of a Compose stack, as the engine has them."""

import re
from collections.abc import Iterator
from functools import partial

from haop.model.containers import WebSecrets, layout
from haop.model.diagnosis import Check, Gap, Group, Told, checking, error, info, warning
from haop.model.examined import ContainerSeen, MountSeen
from haop.operations.doctor.facts import Facts
from haop.operations.doctor.settings import near

_check = partial(checking, Group.CONTAINERS)
_COMES_BACK = (
    "`restart: always` brings an old primary back as a second one (bitnami/charts#20998, EnterpriseDB/repmgr#766)."
)
_MOUNT = "PostgreSQL 18's image moved its data, and a mount of before keeps nothing (docker-library/postgres#1370)."
_INSPECT = "`docker inspect` shows variables to everybody who may ask the engine (docker-library/postgres#111)."

_HEALTH = ("CMD", "sh", "/etc/haop/health.sh")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_STOP_SECONDS = 60
_AGAIN = "make the container anew: haop down; haop up"


@_check("fenced-restarts", "the engine starts no fenced node", why=_COMES_BACK, runtime="compose")
def fenced_restarts(facts: Facts) -> Told:
    """A fence that the engine runs against."""
    for name, seen in _containers(facts):
        if isinstance(seen, Gap):
            yield seen
        elif fenced_and_restarted(seen):
            yield error(
                f"{name} is fenced, and the engine may start it (restart policy {seen.restart})", node=name,
                hint=f"haop doctor --fix, or docker update --restart no {facts.spec.name}-{name}-1",
            )  # fmt: skip


def fenced_and_restarted(seen: ContainerSeen) -> bool:
    """Whether a node that must not start has a policy that starts it."""
    return seen.fence in {"fenced", "rewinding", "stranded"} and not seen.running and seen.restart != "no"


@_check(
    "restart-policy",
    "the engine starts nodes after a reboot",
    why=("A machine that reboots at night should need nobody (Docker's manual, 'Start containers automatically')."),
    runtime="compose",
)
def restart_policy(facts: Facts) -> Told:
    """A node that a reboot leaves stopped, or that does not stay stopped."""
    for name, seen in _nodes(facts):
        if isinstance(seen, Gap):
            yield seen
        elif not seen.fence and seen.restart != "unless-stopped":
            yield warning(
                f"the restart policy of {name} is {seen.restart}, not unless-stopped", node=name,
                hint=f"docker update --restart unless-stopped {facts.spec.name}-{name}-1",
            )  # fmt: skip


@_check(
    "health-check",
    "health is asked over TCP, by role",
    why="`pg_isready` on the socket answers while the image still initialises (keploy/samples-go#241).",
    runtime="compose",
)
def health_check(facts: Facts) -> Told:
    """A health check that is not the one by TCP and by role."""
    for name, seen in _nodes(facts):
        if isinstance(seen, Gap):
            yield seen
        elif seen.health != _HEALTH:
            told = " ".join(seen.health) or "none"
            yield warning(f"the health check of {name} is not haop's ({told})", node=name, hint=_AGAIN)


@_check(
    "stop-too-hard",
    "a stop leaves time for a checkpoint",
    why="Ten seconds, then SIGKILL: crash recovery at each stop (docker-library/postgres#544, #1207).",
    runtime="compose",
)
def stop_hard(facts: Facts) -> Told:
    """A stop that ends in SIGKILL."""
    for name, seen in _nodes(facts):
        if isinstance(seen, Gap):
            yield seen
        elif seen.stop_signal not in {"SIGINT", "2"} or seen.stop_seconds < _STOP_SECONDS:
            yield warning(
                f"{name} is stopped with {seen.stop_signal}, and killed after {seen.stop_seconds} s",
                node=name, hint=_AGAIN,
            )  # fmt: skip


@_check("mount-wrong", "data lie in a named volume, where this version keeps them", why=_MOUNT, runtime="compose")
def mount_wrong(facts: Facts) -> Told:
    """Data that do not lie where this version's image keeps them."""
    target = layout(facts.spec.postgres).mount
    for name, seen in _nodes(facts):
        if isinstance(seen, Gap):
            yield seen
            continue
        mount = next((mount for mount in seen.mounts if mount.target == target), None)
        if mount is None or _nameless(facts, mount):
            yield error(
                f"no volume of {name} is at {target}, where PostgreSQL {facts.spec.postgres} keeps its data", node=name,
                hint=_AGAIN,
            )  # fmt: skip


@_check("anonymous-volume", "every volume has a name", why=_MOUNT, runtime="compose")
def anonymous_volume(facts: Facts) -> Told:
    """Data in a volume without a name, which nobody finds again."""
    for name, seen in _containers(facts, but="web"):
        if isinstance(seen, Gap):
            yield seen
            continue
        for mount in seen.mounts:
            if mount.kind == "volume" and _nameless(facts, mount):
                yield warning(
                    f"{mount.target} of {name} is a volume without a name: the next container starts empty", node=name,
                    hint=_AGAIN,
                )  # fmt: skip


def _nameless(facts: Facts, mount: MountSeen) -> bool:
    """Whether the next container would get another; haop.toml names the one that was adopted, whatever it is called."""
    return bool(_ANONYMOUS.fullmatch(mount.source)) and mount.source not in facts.spec.adopted.values()


@_check(
    "data-on-macos-folder",
    "data are in no shared folder",
    why=("Shared folders keep neither owner nor mode as PostgreSQL needs them (docker-library/postgres#558)."),
    runtime="compose",
)
def bind_on_macos(facts: Facts) -> Told:
    """Data through a shared folder."""
    target = layout(facts.spec.postgres).mount
    for name, seen in _nodes(facts):
        if isinstance(seen, Gap):
            yield seen
        elif facts.machine.system == "darwin":
            for mount in seen.mounts:
                if mount.kind == "bind" and mount.target.startswith(target):
                    yield warning(
                        f"the data of {name} are the folder {mount.source} of macOS: slow, and its fsync is not one",
                        node=name, hint="keep them in a named volume",
                    )  # fmt: skip


@_check(
    "port-open",
    "ports are published on loopback only",
    why=("A published port passes by the host's firewall (Docker's manual, 'Packet filtering and firewalls')."),
    runtime="compose",
)
def port_open(facts: Facts) -> Told:
    """Ports that other machines reach."""
    for name, seen in _containers(facts):
        if isinstance(seen, Gap):
            yield seen
            continue
        for published in seen.published:
            if not near(published.rpartition(":")[0].strip("[]")):
                yield warning(
                    f"{name} is published on {published}: other machines reach it, past the host's firewall", node=name,
                    hint=_AGAIN,
                )  # fmt: skip


@_check("password-inspected", "no variable holds a password of .env", why=_INSPECT, runtime="compose")
def password_inspected(facts: Facts) -> Told:
    """Passwords that `docker inspect` shows, but for those that haop.toml asks for."""
    asked = facts.spec.web is not None and facts.spec.web.secrets is WebSecrets.ENV
    for name, seen in _containers(facts):
        if isinstance(seen, Gap):
            yield seen
        elif seen.leaking and not (name == "web" and asked):
            yield error(
                f"docker inspect shows a password of .env in {', '.join(seen.leaking)} of {name}", node=name,
                hint="let it read a file instead, choose another password in .env, then haop up --yes",
            )  # fmt: skip


@_check(
    "container-outdated",
    "containers are made of today's stack/",
    why="A changed file has no effect on a container that exists (docker-library/postgres#1226).",
    runtime="compose",
)
def container_outdated(facts: Facts) -> Told:
    """Containers that were made of an older configuration."""
    for name, seen in _containers(facts):
        if isinstance(seen, Gap):
            yield seen
        elif seen.outdated is None:
            yield Gap(f"{name}: Compose cannot read stack/compose.yaml")
        elif seen.outdated:
            yield info(f"{name} was made of an older stack/compose.yaml", node=name, hint="haop up --yes makes it anew")


def _containers(facts: Facts, but: str = "") -> Iterator[tuple[str, ContainerSeen | Gap]]:
    return ((name, seen) for name, seen in facts.containers.items() if name != but)


def _nodes(facts: Facts) -> Iterator[tuple[str, ContainerSeen | Gap]]:
    return ((node.name, facts.containers[node.name]) for node in facts.spec.nodes)


CONTAINERS: tuple[Check[Facts], ...] = (
    fenced_restarts,
    restart_policy,
    health_check,
    stop_hard,
    mount_wrong,
    anonymous_volume,
    bind_on_macos,
    port_open,
    password_inspected,
    container_outdated,
)
