"""The services beside the nodes, as `haop.toml` wants them: Redis, the web application. Pure."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import quote

from haop.errors import BadConfiguration
from haop.model.containers import RedisSpec, WebSecrets, WebSpec
from haop.model.service import Service
from haop.model.spec import ClusterSpec
from haop.project import CONFIG, ENV, Secrets

_RUN = "/run/secrets"


def addons(spec: ClusterSpec, secrets: Secrets, authority: str) -> Mapping[str, Service]:
    """Each addon by its name.

    Args:
        spec: the cluster as it is asked for.
        secrets: what `.env` holds.
        authority: the certificate that clients trust, as PEM.

    Raises:
        BadConfiguration: a password cannot be used where it is wanted.
    """
    found = {}
    if spec.redis:
        found["redis"] = _redis(spec.redis, secrets)
    if spec.web:
        found["web"] = _web(spec, spec.web, secrets, authority)
    return found


def _redis(redis: RedisSpec, secrets: Secrets) -> Service:
    kept = {PurePosixPath("password"): f"{secrets.redis_password}\n"}
    return Service(name="redis", command=("sh", "redis.sh"), environment={}, secrets=kept, port=redis.port)


def _web(spec: ClusterSpec, web: WebSpec, secrets: Secrets, authority: str) -> Service:
    """An application learns where its databases are from files that variables name, or from variables alone."""
    if missing := sorted(web.wanted - secrets.given):
        raise BadConfiguration(
            f"{ENV}: {missing[0]} is missing; [web.environment] in {CONFIG} names it",
            hint=f"add {missing[0]}=... to {ENV}",
        )
    passwords = {"DATABASE_PASSWORD": secrets.database_password, "REDIS_PASSWORD": secrets.redis_password}
    files = {PurePosixPath("ca.crt"): authority}
    environment = {"PORT": str(web.listens_on)}
    for variable, (scheme, user, key, rest) in _urls(spec).items():
        environment[variable] = f"{scheme}://{user + '@' if user else ''}{rest}"
        if web.secrets is WebSecrets.ENV:
            if quote(passwords[key], safe="") != passwords[key]:
                raise BadConfiguration(
                    f'{ENV}: {key} has characters that a URL cannot hold, and web.secrets is "env"',
                    hint='choose a password of letters, digits, "-" and "_", or let the application read files',
                )
            environment[variable] = f"{scheme}://{user}:${{{key}}}@{rest}"
            continue
        name = variable.lower()
        environment[f"{variable}_FILE"] = f"{_RUN}/{name}"
        files[PurePosixPath(name)] = f"{scheme}://{user}:{quote(passwords[key], safe='')}@{rest}"
    # The application's own variables have the last word.
    return Service(
        name="web", command=web.command, environment={**environment, **web.environment}, secrets=files, port=web.port
    )


def _urls(spec: ClusterSpec) -> Mapping[str, tuple[str, str, str, str]]:
    """Variable to scheme, user, key of the password, and what follows the user. Clients find the primary themselves."""
    hosts = ",".join(f"{node.name}:5432" for node in spec.nodes)
    options = f"connect_timeout=3&sslmode=verify-full&sslrootcert={_RUN}/ca.crt"
    base = f"{hosts}/{spec.database}?{options}"
    urls = {
        "DATABASE_URL": ("postgresql", spec.owner, "DATABASE_PASSWORD", f"{base}&target_session_attrs=read-write"),
        "DATABASE_READ_URL": (
            "postgresql",
            spec.owner,
            "DATABASE_PASSWORD",
            f"{base}&target_session_attrs=prefer-standby",
        ),
    }
    return urls | ({"REDIS_URL": ("redis", "", "REDIS_PASSWORD", "redis:6379/0")} if spec.redis else {})
