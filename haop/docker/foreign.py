"""A container that haop did not make and its database, for `haop adopt`: found, asked, stopped, its data moved."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import docker

from haop.docker.engine import connect, translated
from haop.docker.volumes import users
from haop.errors import HaopError, Refused
from haop.model import session
from haop.model.adoption import NOTE, Mount, OldContainer, OldServer, Taken

_SERVICE, _STACK = "com.docker.compose.service", "com.docker.compose.project"
_ONEOFF = "com.docker.compose.oneoff"
_STOP_SECONDS = 600
_SHARED_NETWORKS = {"bridge", "host", "none"}

_ASK, _MOVE = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("ask.sh", "move.sh"))

_MAKE_POSTGRES = """
SELECT 'CREATE ROLE postgres SUPERUSER' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') \\gexec
"""


class Foreign:
    """Asks the engine about one container, and changes as little of it as it can."""

    def __init__(self, client: docker.APIClient) -> None:
        self._client = client

    def find(self, word: str) -> OldContainer:
        """A container by its name or id, by its Compose service, or by its volume.

        Raises:
            Refused: there is none, or there are several.
        """
        with translated("list containers"):
            listed: list[dict[str, Any]] = self._client.containers(all=True)
        named = [c for c in listed if f"/{word}" in c["Names"] or (len(word) >= 12 and c["Id"].startswith(word))]
        serving = [c for c in listed if c["Labels"].get(_SERVICE) == word and c["Labels"].get(_ONEOFF) != "True"]
        found = named or serving or users(self._client, word, stopped=True)
        if len(found) != 1:
            names = ", ".join(sorted(c["Names"][0].lstrip("/") for c in found))
            told = f"several containers are called '{word}': {names}" if found else f"there is no container '{word}'"
            raise Refused(
                told, hint="give the name of one container: docker ps" if found else "docker ps --all lists them"
            )
        with translated(f"look at {word}"):
            return self._described(self._client.inspect_container(found[0]["Id"]))

    def _described(self, found: Mapping[str, Any]) -> OldContainer:
        config, host, labels = found["Config"], found["HostConfig"], found["Config"]["Labels"] or {}
        environment = dict(entry.partition("=")[::2] for entry in config["Env"] or [])
        mounts = tuple(
            Mount(m.get("Name") or m["Source"], m["Destination"], bool(re.fullmatch("[0-9a-f]{64}", m.get("Name", ""))))
            for m in found["Mounts"]
            if m["Type"] in {"volume", "bind"}
        )
        state = found["State"]
        running = state["Running"] and not state["Paused"] and not state["Restarting"]
        return OldContainer(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            image=self._image(config["Image"], found["Image"]),
            service=labels.get(_SERVICE),
            stack=labels.get(_STACK),
            running=running,
            restart=_policy(host["RestartPolicy"]),
            removed_when_stopped=bool(host["AutoRemove"]),
            ours="io.haop.id" in labels,
            user=config["User"],
            environment=environment,
            password=self._password(found["Id"], environment) if running else "",
            mounts=mounts,
            published=_published(host["PortBindings"] or {}),
            host_network=host["NetworkMode"] == "host",
            limits=_limits(host),
            neighbours=self._neighbours(found),
            sharers=self._sharers(found["Id"], mounts, environment.get("PGDATA", "")),
        )

    def ask(self, old: OldContainer, query: str) -> OldServer:
        """What its server says.

        Raises:
            Refused: it does not answer.
        """
        try:
            told = json.loads(self._sql(old, query))
        except HaopError as error:
            raise Refused(
                f"{old.name}: {error.message}", hint="haop asks it as `psql` would inside the container"
            ) from error
        data = told["data"]
        disk = self._shell(
            old.id, 'df -Pk / | tail -n 1; find "$HAOP_DATA" -maxdepth 1 -type l', "root", {"HAOP_DATA": data}
        )
        free, *links = disk.splitlines()
        return OldServer.from_rows(told, [PurePosixPath(link).name for link in links], int(free.split()[3]) * 1024)

    def give_passwords(self, old: OldContainer, roles: Sequence[tuple[str, bool, str]]) -> None:
        """Set passwords of roles in the running server.

        Args:
            old: its container.
            roles: name, whether to make it a superuser where it is missing, SCRAM verifier. Names are quoted here.
        """
        lines = [
            "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;"
        ]
        variables = {}
        for number, (name, made, verifier) in enumerate(roles):
            variables[f"HAOP_VERIFIER_{number}"] = verifier
            quoted = name.replace('"', '""')
            lines.append(f"\\getenv verifier HAOP_VERIFIER_{number}")
            if made:
                lines.append(_MAKE_POSTGRES)
            rights = "LOGIN SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS" if made else "LOGIN"
            lines.append(f"ALTER ROLE \"{quoted}\" {rights} PASSWORD :'verifier';")
        # What the server, the database or the role is set to is carried over, and stops nothing here.
        self._sql(old, "\n".join(lines), {**variables, "PGOPTIONS": session.options(session.superuser(15))})

    def stop(self, old: OldContainer) -> None:
        """Stop it cleanly, and let nothing start it again by itself: the one change to the container."""
        with translated(f"stop {old.name}"):
            self._client.update_container(old.id, restart_policy={"Name": "no"})  # type: ignore[arg-type]  # the count is optional
            self._client.stop(old.id, timeout=_STOP_SECONDS)

    def move(self, old: OldContainer, taken: Taken, cluster: str) -> None:
        """Rename the data directory within its volume to where the cluster's nodes look.

        Raises:
            HaopError: somebody works in the volume, or the server was not shut down cleanly.
        """
        working = [c for c in users(self._client, taken.volume) if "io.haop.id" not in c["Labels"]]
        if others := [c["Names"][0].lstrip("/") for c in working]:
            raise HaopError(f"{', '.join(others)} works in {taken.volume}", hint="stop it, then run haop adopt again")
        variables = {"BEFORE": taken.before, "AFTER": taken.after, "NOTE": NOTE, "CLUSTER": cluster}
        with translated(f"move the data in {taken.volume}"), self._helper(old, taken.volume, variables) as helper:
            self._client.start(helper)
            code = self._client.wait(helper, timeout=_STOP_SECONDS)["StatusCode"]
            said = " / ".join(self._client.logs(helper).decode(errors="replace").strip().splitlines()[-3:])
        if code:
            hint = f"docker start {old.name}, then run haop adopt again" if code == 3 else "run haop adopt again"
            raise HaopError(f"cannot take over {taken.volume}: {said}", hint=hint)

    @contextmanager
    def _helper(self, old: OldContainer, volume: str, variables: Mapping[str, str]) -> Iterator[str]:
        """A container of the same image that has the volume and nothing else; gone afterwards, the volume is not."""
        made = self._client.create_container(
            old.image, ["-c", _MOVE], entrypoint=["sh"], user="root", environment=dict(variables),
            host_config=self._client.create_host_config(binds=[f"{volume}:/volume"], network_mode="none"),
        )["Id"]  # fmt: skip
        try:
            yield made
        finally:
            self._client.remove_container(made, force=True, v=False)

    def _sql(self, old: OldContainer, text: str, variables: Mapping[str, str] | None = None) -> str:
        environment = {"HAOP_SQL": text, "HAOP_LOGIN": old.login, "HAOP_DATA": old.environment.get("PGDATA", "")}
        return self._shell(old.id, _ASK, "postgres", {**environment, **(variables or {})})

    def _shell(self, container: str, script: str, user: str, variables: Mapping[str, str] | None = None) -> str:
        with translated("look into the container"):
            made = self._client.exec_create(
                container, ["sh", "-c", script], user=user, environment=dict(variables or {})
            )
            out, told = self._client.exec_start(made["Id"], demux=True)
            code = self._client.exec_inspect(made["Id"])["ExitCode"]
        if code:
            last = (told or b"").decode(errors="replace").strip().splitlines()[-2:]
            raise HaopError(f"the database does not answer: {' / '.join(last) or f'code {code}'}")
        return (out or b"").decode()

    def _password(self, container: str, environment: Mapping[str, str]) -> str:
        if told := environment.get("POSTGRES_PASSWORD"):
            return told
        file = environment.get("POSTGRES_PASSWORD_FILE")
        with suppress(HaopError):  # then it is not known
            return self._shell(container, 'cat "$POSTGRES_PASSWORD_FILE"', "root").rstrip("\n") if file else ""
        return ""

    def _image(self, name: str, identity: str) -> str:
        """The reference that means exactly this image: a tag may be moved, to libraries that sort differently."""
        with translated(f"look at the image {name}"):
            image = self._client.inspect_image(identity)  # type: ignore[no-untyped-call]
        repository = name.partition("@")[0].rpartition(":")[0] or name
        digests = image["RepoDigests"] or []
        if exact := next((d for d in digests if d.partition("@")[0] == repository), digests[0] if digests else None):
            return str(exact)
        if name in (image["RepoTags"] or []):
            return name
        hint = f"docker tag {identity[7:19]} NAME, then run the service with that image"
        raise Refused(
            f"{name} means another image by now than the one that runs, which came from no registry", hint=hint
        )

    def _neighbours(self, found: Mapping[str, Any]) -> tuple[str, ...]:
        names: set[str] = set()
        for network in found["NetworkSettings"]["Networks"]:
            if network not in _SHARED_NETWORKS:
                with translated(f"look at the network {network}"):
                    names |= {c["Names"][0].lstrip("/") for c in self._client.containers(filters={"network": network})}
        return tuple(sorted(names - {found["Name"].lstrip("/")}))

    def _sharers(self, own: str, mounts: Sequence[Mount], data: str) -> tuple[str, ...]:
        taken = Taken.of(mounts, data, 15) if data else None
        others = [c for c in users(self._client, taken.volume) if c["Id"] != own] if taken else []
        return tuple(sorted(c["Names"][0].lstrip("/") for c in others))


@contextmanager
def foreign() -> Iterator[Foreign]:
    """The engine, for as long as the context lasts."""
    with closing(connect()) as client:
        yield Foreign(client)


def _policy(policy: Mapping[str, Any]) -> str:
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if count else str(name)


def _limits(host: Mapping[str, Any]) -> str:
    """What it may use, where that differs from what a node gets; "" where it does not."""
    memory, cpus, shared = host["Memory"] or 0, host["NanoCpus"] or 0, host["ShmSize"] or 0
    parts = [f"memory {memory >> 20}m" if memory else "", f"cpus {cpus / 1e9:g}" if cpus else ""]
    return ", ".join(part for part in (*parts, f"shm_size {shared >> 20}m" if shared > 2**28 else "") if part)


def _published(bindings: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Port inside to address and port outside; a port that the engine chose itself is none that clients know."""
    found = {}
    for inside, outside in bindings.items():
        port, _, protocol = inside.partition("/")
        if protocol == "tcp" and outside and outside[0]["HostPort"]:
            found[int(port)] = (outside[0]["HostIp"], int(outside[0]["HostPort"]))
    return found
