"""Checks of the project's folder. They need no server."""

import re
from collections.abc import Iterator
from functools import partial

from haop.model.diagnosis import Check, Gap, Group, Symptom, Told, checking, error, info, warning
from haop.model.spec import ClusterSpec, Durability, node_image
from haop.operations import salvages, strays
from haop.operations.doctor.cluster import symptom
from haop.operations.doctor.facts import Facts

_check = partial(checking, Group.PROJECT)
_PLAIN_TEXT = (
    "Passwords that others can read are the usual way in (docker-library/postgres#111, bitnami/containers#25317)."
)
_STACK = "An edit that nobody knows of is lost, or wins, at the worst moment (docker-library/postgres#1226)."
_STRAY = "A node that nobody names is not watched, and its slot keeps WAL (zalando/postgres-operator#2012)."
_FLOATING = (
    "A tag that moves brings another C library, which sorts text differently: indexes are then silently "
    "wrong (docker-library/postgres#1356)."
)
_SINGLE_HOST = (
    "A client that knows one host stays with it when the primary moves (zalando/postgres-operator#1928, "
    "vitabaks/autobase#1562)."
)
_WITHIN_A_LOOK = 64 * 2**20  # what a log may grow by before it is looked at again
# Hosts as URLs and connection strings have them: "db1:5432,db2:5432".
_HOSTS = re.compile(r"(?:@|//|\bhost=)([\w.,:-]+)(?![\w.,:@-])")


@_check(
    "env-unusable",
    ".env is there and whole",
    why="Without its passwords nobody reaches the servers (docker-library/postgres#345).",
)
def env_unusable(facts: Facts) -> Told:
    """A `.env` with which nobody can work."""
    if isinstance(facts.secrets, Gap):
        absent = facts.project.env_mode is None
        told = ".env is missing" if absent else facts.secrets.why
        mend = "restore it from your backup: the passwords in it are those of the running cluster"
        yield error(told, hint=mend if absent else "correct .env; .env.example shows its keys")


@_check("env-readable", "only its owner can read .env", why=_PLAIN_TEXT)
def env_readable(facts: Facts) -> Told:
    """A `.env` that others can read: every other command refuses it."""
    mode = facts.project.env_mode
    if mode is None:
        yield Gap("there is no .env")
    elif mode & 0o077:
        yield error(f".env can be read by others (mode {mode:o})", hint="chmod 600 .env")


@_check("secrets-readable", "only their owner can read the secrets below .haop", why=_PLAIN_TEXT)
def secrets_readable(facts: Facts) -> Told:
    """Keys and passwords below `.haop` that others can reach."""
    for path, mode in facts.project.exposed:
        yield error(f"{path} is open to others (mode {mode:o})", hint=f"chmod {narrowed(mode):o} {path}")


def narrowed(mode: int) -> int:
    """The same for its owner, nothing for others.

    >>> oct(narrowed(0o755))
    '0o700'
    """
    return mode & 0o700


@_check("password-committed", "no committed file holds a password", why=_PLAIN_TEXT)
def password_committed(facts: Facts) -> Told:
    """A password in a file that a repository holds."""
    if isinstance(facts.project.leaks, Gap):
        yield facts.project.leaks
        return
    for path in facts.project.leaks:
        yield error(
            f"{path} holds a password of .env", hint="name it as ${KEY} in [web.environment], and choose another one"
        )


@_check("env-tracked", "git does not track secrets", why=_PLAIN_TEXT)
def env_tracked(facts: Facts) -> Told:
    """Secrets in git's history."""
    if isinstance(facts.project.git, Gap):
        yield facts.project.git
        return
    for path in facts.project.git.tracked:
        yield error(
            f"{path} is tracked by git", hint=f"git rm --cached {path}; whoever has the repository has its passwords"
        )


@_check("not-ignored", "git ignores .env and .haop", why=_PLAIN_TEXT)
def not_ignored(facts: Facts) -> Told:
    """Secrets that the next `git add` would take along."""
    if isinstance(facts.project.git, Gap):
        yield facts.project.git
        return
    for path in facts.project.git.unignored:
        yield warning(f"git does not ignore {path}", hint="put .env and .haop/ into .gitignore")


@_check("stack-edited", "nobody edited stack/", why=_STACK)
def stack_edited(facts: Facts) -> Told:
    """A file of `stack/` that somebody changed."""
    if isinstance(facts.project.stack, Gap):
        yield facts.project.stack
        return
    for name in facts.project.stack.edited:
        yield warning(
            f"stack/{name} was edited by hand",
            hint=f"haop render --check shows it; put it into haop.toml, remove stack/{name}, run haop render",
        )


@_check("stack-stale", "stack/ is as haop.toml says", why=_STACK)
def stack_stale(facts: Facts) -> Told:
    """A `stack/` that is not as haop.toml says."""
    if isinstance(facts.project.stack, Gap):
        yield facts.project.stack
        return
    if facts.project.stack.stale:
        names = ", ".join(f"stack/{name}" for name in facts.project.stack.stale)
        yield warning(f"{names} is not as haop.toml says now", hint="haop render, or haop up, which renders too")
    if facts.project.stack.unprovided:
        yield warning("files below .haop that the stack mounts are missing", hint="haop render writes them")


@_check("not-in-haop-toml", "haop.toml names everything that is here", why=_STRAY)
def not_named(facts: Facts) -> Told:
    """A node or a service that is still here."""
    if isinstance(facts.strays, Gap):
        yield facts.strays
        return
    yield from map(symptom, strays.findings(facts.strays))


@_check(
    "up-refused",
    "nothing is in the way of haop up",
    why=(
        "After an outage is a bad time to learn of a taken port or a folder out of reach (docker-library/postgres#558)."
    ),
)
def up_refused(facts: Facts) -> Told:
    """What would keep `haop up` from starting anything."""
    match facts.project.refusal:
        case Gap() as gap:
            yield gap
        case (message, _) if message in dict(facts.machine.problems):
            yield Gap(message)
        case (message, hint):
            yield error(f"haop up would refuse: {message}", hint=hint)


@_check("image-floating", "images are pinned", why=_FLOATING, runtime="compose")
def image_floating(facts: Facts) -> Told:
    """Tags that mean another build tomorrow."""
    spec = facts.spec
    wanted = {"the nodes": node_image(spec)} | {name: it.image for name, it in spec.addons.items() if it.image}
    for who, image in wanted.items():
        name, at, _ = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if at:
            continue
        hint = f"name a whole version ({tag if tag.isdigit() else 18}.1, say) or a digest in haop.toml"
        if tag in {"", "latest"}:
            yield warning(f"the image of {who} is {image}: any version at all", hint=hint)
        elif tag.isdigit():
            yield info(f"the image of {who} is {image}: the next pull may bring another build", hint=hint)


@_check("single-host", "the application knows every node", why=_SINGLE_HOST, runtime="compose")
def single_host(facts: Facts) -> Told:
    """An application that is told one node's name."""
    nodes = {node.name for node in facts.spec.nodes}
    for variable, value in (facts.spec.web.environment if facts.spec.web else {}).items():
        for hosts in (value, *_HOSTS.findall(value)):
            names = [host.partition(":")[0] for host in hosts.split(",")]
            if len(names) == 1 and names[0] in nodes:
                yield warning(
                    f"{variable} of the application names {names[0]} alone: it stays with it when the primary moves",
                    hint="leave it out and read DATABASE_URL_FILE, which names every node",
                )
                break


@_check(
    "sync-one-standby",
    "sync has a standby to spare",
    why=("One synchronous standby that dies stops every write (zalando/patroni#2019, kartoza/docker-postgis#299)."),
)
def sync_one_standby(facts: Facts) -> Told:
    """Synchronous, with nobody to spare."""
    spec = facts.spec
    if spec.durability is Durability.SYNC and len(spec.nodes) == 2:
        yield warning(
            f"durability is sync with one standby: while {spec.nodes[1].name} is away, writes wait, or are on one node",
            hint="add a third node to haop.toml, then haop up; or durability = async",
        )


@_check(
    "salvage-large",
    "what .haop/salvage keeps is within 1 GB",
    why="It is never removed by itself: acknowledged writes may be in it that no node has any more.",
)
def salvage_large(facts: Facts) -> Told:
    """WAL that was kept at each rewind and each rebuild, and that nobody has looked at since."""
    if facts.project.salvage_bytes > salvages.LIMIT:
        told = f"{facts.project.salvage_bytes / 2**30:.1f} GB of discarded WAL are kept in .haop/salvage"
        yield info(told, hint="haop salvage list; what nobody needs: haop salvage remove --older 90d")


@_check(
    "log-long",
    "logs of local nodes are rotated",
    why="A log that nobody rotates fills the disk, and a full disk stops the primary (zalando/postgres-operator#2012).",
    runtime="local",
)
def log_long(facts: Facts) -> Told:
    """A log far over its bound: what rotates it was ended, or the server is from before it was rotated."""
    limit = facts.spec.local.log_bytes
    for name, count in facts.project.log_bytes.items():
        if count > 2 * limit + _WITHIN_A_LOOK:
            yield warning(
                f"the log of {name} is {count // 2**20} MB, and should be rotated at {limit // 2**20} MB", node=name,
                hint=f"what rotates it starts with the node: haop restart {name}",
            )  # fmt: skip


def unsafe_parameters(spec: ClusterSpec) -> Iterator[Symptom]:
    """What `[postgres.parameters]` says that costs data; asked where no server can be."""
    for name in ("fsync", "full_page_writes"):
        if spec.parameters.get(name) in {"off", "false", "no", "0"}:
            yield error(f"{name} is off in haop.toml", hint=f"remove {name} from [postgres.parameters], then haop up")


PROJECT: tuple[Check[Facts], ...] = (
    env_unusable,
    env_readable,
    secrets_readable,
    password_committed,
    env_tracked,
    not_ignored,
    stack_edited,
    stack_stale,
    not_named,
    up_refused,
    image_floating,
    single_host,
    sync_one_standby,
    salvage_large,
    log_long,
)
