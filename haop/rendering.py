"""Templates and a specification become texts. Writes nothing; a name that a template misses is an error."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from haop.model.endpoint import Endpoint
from haop.model.spec import ClusterSpec

# --locale-provider=builtin sorts alike on every machine, whatever its C library; it came with 17.
_LOCALE_BUILTIN = "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
_LOCALE_OLDER = "--locale=C.UTF-8"


def stack(spec: ClusterSpec, places: Mapping[str, Endpoint], networks: Sequence[str]) -> dict[str, str]:
    """The files of `stack/`: file name to content.

    Args:
        spec: the cluster as it is asked for.
        places: where each node is reached by its peers.
        networks: the CIDR blocks that clients and standbys come from.
    """
    environment = _environment()
    values = {
        "cluster": spec.name,
        "postgres": spec.postgres,
        "nodes": [{"name": name, "host": place.host, "port": place.port} for name, place in places.items()],
        "node_count": len(spec.nodes),
        "locale": _LOCALE_BUILTIN if spec.postgres >= 17 else _LOCALE_OLDER,
        "networks": networks,
        "parameters": spec.parameters,
    }
    names = ("node.sh", "pg_hba.conf", "postgresql.conf")
    return {name: environment.get_template(f"{name}.j2").render(values) for name in names}


def project(spec: ClusterSpec) -> dict[str, str]:
    """The files that `haop init` writes beside `stack/`: file name to content. `.env` is new at every call."""
    environment = _environment()
    toml = environment.get_template("haop.toml.j2").render(
        name=spec.name, postgres=spec.postgres, runtime=spec.runtime, engine=spec.engine, durability=spec.durability,
        database=spec.database, owner=spec.owner, nodes=spec.nodes, parameters=spec.parameters,
        bindir=spec.local.bindir,
    )  # fmt: skip
    env = environment.get_template("env.j2")
    return {
        "haop.toml": toml,
        ".env": env.render(name=spec.name, example=False, secret=lambda: secrets.token_urlsafe(24)),
        ".env.example": env.render(name=spec.name, example=True, secret=lambda: "change-me"),
        ".gitignore": environment.get_template("gitignore.j2").render(),
    }


def _environment() -> Environment:
    """The templates of the installed package, or of the checkout that an editable installation points to."""
    inside = Path(__file__).parent / "templates"
    folder = inside if inside.is_dir() else Path(__file__).parent.parent / "templates"
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - shell, TOML, PostgreSQL's settings; no HTML
    )
