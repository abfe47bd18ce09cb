"""Templates and a specification become texts. Writes nothing; a name that a template misses is an error."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from haop.model import session
from haop.model.containers import layout
from haop.model.endpoint import Endpoint
from haop.model.service import Service
from haop.model.spec import NODES_AT_MOST, ClusterSpec, Durability, node_image, quorum

# --locale-provider=builtin sorts alike on every machine, whatever its C library; it came with 17.
_LOCALE_BUILTIN = "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
_LOCALE_OLDER = "--locale=C.UTF-8"


def stack(spec: ClusterSpec, places: Mapping[str, Endpoint], networks: Sequence[str]) -> dict[str, str]:
    """The files of `stack/` that every runtime needs: file name to content.

    Args:
        spec: the cluster as it is asked for.
        places: where each node is reached by its peers.
        networks: what `pg_hba.conf` calls the addresses that clients and standbys come from.
    """
    names = ["node.sh", "pg_hba.conf", "postgresql.conf"]
    values = {
        "cluster": spec.name,
        "postgres": spec.postgres,
        "nodes": [{"name": name, "host": place.host, "port": place.port} for name, place in places.items()],
        "most_nodes": NODES_AT_MOST,
        "locale": _LOCALE_BUILTIN if spec.postgres >= 17 else _LOCALE_OLDER,
        "networks": networks,
        "parameters": spec.parameters,
        "container": spec.runtime == "compose",
        "mount": layout(spec.postgres).mount,
        "adopted": list(spec.adopted),
        "session": session.options(session.own(spec.postgres)),
        "log_bytes": spec.local.log_bytes,
        "log_files": spec.local.log_files,
    }
    return _rendered(names, values)


def compose(
    spec: ClusterSpec, services: Mapping[str, Service], places: Mapping[str, Endpoint], environment: Mapping[str, str]
) -> dict[str, str]:
    """The files of `stack/` that only a Compose stack has.

    Args:
        spec: the cluster as it is asked for.
        services: the nodes, and what stands beside them. Only the names of their secrets are read.
        places: where each node is reached by its peers.
        environment: what every node's container finds where.
    """
    nodes = [services[node.name] for node in spec.nodes]
    own = {name: value for name, value in nodes[0].environment.items() if nodes[1].environment.get(name) != value}
    shared = {name: value for name, value in nodes[0].environment.items() if name not in own}
    web = services.get("web")
    values = {
        "cluster": spec.name,
        "image": node_image(spec),
        "compose": spec.compose,
        "mount": layout(spec.postgres).mount,
        "shared_environment": {**shared, **environment},
        "nodes": [
            {
                "name": node.name,
                "port": node.port,
                "host": places[node.name].host,
                "volume": spec.adopted.get(node.name),
                "environment": {name: node.environment[name] for name in own},
                "secrets": [str(path) for path in node.secrets],
            }
            for node in nodes
        ],
        "session": session.options(session.own(spec.postgres)),
        "database": spec.database,
        "owner": spec.owner,
        "confirming": quorum(node.name for node in spec.nodes[1:]) if spec.durability is Durability.SYNC else "",
        "redis": spec.redis,
        "web": spec.web,
        "web_environment": web.environment if web else {},
        "web_secrets": [str(path) for path in web.secrets] if web else [],
    }
    names = ["compose.yaml", "health.sh", "new_cluster.sh", *(["redis.sh"] if spec.redis else [])]
    roles = {"roles.sql": (Path(__file__).parent / "postgres/sql/roles.sql").read_text(encoding="utf-8")}
    demo = _demo() if spec.web and not (spec.web.image or spec.web.build) else {}
    return {**_rendered(names, values), **roles, **demo}


def project(spec: ClusterSpec) -> dict[str, str]:
    """The files that `haop init` writes beside `stack/`: file name to content. `.env` is new at every call."""
    environment = _environment()
    toml = environment.get_template("haop.toml.j2").render(
        name=spec.name, postgres=spec.postgres, runtime=spec.runtime, engine=spec.engine, durability=spec.durability,
        database=spec.database, owner=spec.owner, nodes=spec.nodes, parameters=spec.parameters,
        bindir=spec.local.bindir, redis=spec.redis, image=spec.compose.image,
    )  # fmt: skip
    env, shape = environment.get_template("env.j2"), {"name": spec.name, "runtime": spec.runtime, "redis": spec.redis}
    return {
        "haop.toml": toml,
        ".env": env.render(
            shape, example=False, secret=lambda: secrets.token_urlsafe(24), identity=lambda: secrets.token_hex(8)
        ),
        ".env.example": env.render(shape, example=True, secret=lambda: "change-me", identity=lambda: "change-me"),
        ".gitignore": environment.get_template("gitignore.j2").render(),
    }


def demo_folder() -> Path:
    """Where the demo application lies."""
    return _shipped("compose") / "web"


def _demo() -> dict[str, str]:
    """What the demo's image is built from: the application, and of haop what that needs at run time."""
    package, application = Path(__file__).parent, demo_folder()
    files = {f"web/{path.relative_to(application)}": path for path in application.rglob("*")}
    needed = (package / "__init__.py", *(package / "model").rglob("*.py"), *(package / "django").rglob("*"))
    files |= {f"web/haop/{path.relative_to(package)}": path for path in needed}
    here = {name: path for name, path in sorted(files.items()) if path.is_file() and path.suffix != ".pyc"}
    return {name: path.read_text(encoding="utf-8") for name, path in here.items()}


def unit(values: Mapping[str, object]) -> str:
    """A unit of systemd that runs the guard."""
    return _rendered(["guard.service"], values)["guard.service"]


def _rendered(names: Sequence[str], values: Mapping[str, object]) -> dict[str, str]:
    environment = _environment()
    return {name: environment.get_template(f"{name}.j2").render(values) for name in names}


def _yaml(value: object) -> str:
    """A scalar or a list as YAML reads it: JSON. Compose would replace what follows a dollar, but for a doubled one."""
    return json.dumps(value).replace("$", "$$")


def _toml(text: str) -> str:
    """A basic string: its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_shipped("templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - shell, TOML, PostgreSQL's settings; no HTML
    )
    environment.filters |= {"yaml": _yaml, "interpolated": json.dumps, "toml": _toml}
    return environment


def _shipped(folder: str) -> Path:
    """A folder of the installed package, or of the checkout that an editable installation points to."""
    inside = Path(__file__).parent / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder
