"""Ends of containers, as the engine tells them in its stream of events."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests
from docker.errors import DockerException

from haop.docker.containers import Containers
from haop.docker.engine import connect
from haop.model.containers_health import OUT_OF_MEMORY
from haop.model.service import Exit

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_TOLD = ["die", "oom", "destroy"]
_AGAIN_SECONDS = 0.5


def exits(containers: Containers, project: str, names: Sequence[str], until: threading.Event) -> Iterator[Exit]:
    """As `Runtime.exits`."""
    oom: set[str] = set()
    asked, running = _now(), _running(containers, names)
    while not until.is_set():
        client = connect()  # a connection of its own: a stream occupies it
        # Since the look, to the microsecond: a container may end and start again before the stream begins.
        told = {"label": [f"{_PROJECT}={project}"], "event": _TOLD}
        stream = client.events(decode=True, since=asked, filters=told)  # type: ignore[call-overload]
        ender = threading.Thread(target=_end_with, args=(stream, until), daemon=True)
        ender.start()
        try:
            # What ended between two streams, or while there was no engine.
            now_running = _running(containers, names)
            for name in running - now_running:
                yield Exit(name, time.monotonic(), "it does not run any more")
            for event in stream:
                name = event["Actor"]["Attributes"].get(_SERVICE, "")
                if name in names and (how := _judge(event, name, oom)):
                    yield Exit(name, time.monotonic(), how)
        except (DockerException, requests.RequestException, OSError, ValueError):
            pass  # the engine was ended; the next stream, or an error there, tells
        finally:
            asked, running = _now(), _running(containers, names) if not until.is_set() else frozenset()
            client.close()
        until.wait(_AGAIN_SECONDS)


def _now() -> str:
    """As the engine takes moments."""
    return f"{time.time():.6f}"


def _end_with(stream: Any, until: threading.Event) -> None:
    until.wait()
    stream.close()


def _running(containers: Containers, names: Sequence[str]) -> frozenset[str]:
    found = ((name, containers.inspect(name)) for name in names)
    return frozenset(name for name, container in found if container and container["State"]["Running"])


def _judge(event: Mapping[str, Any], name: str, oom: set[str]) -> str | None:
    """How it ended; None where it has not: the kernel may kill one session, and the server goes on."""
    attributes = event["Actor"]["Attributes"]
    if event["Action"] == "oom":
        oom.add(name)
        return None
    if event["Action"] == "destroy":
        return "its container was removed"
    told = f"exit code {attributes.get('exitCode', 'unknown')}"
    if name in oom:
        oom.discard(name)
        return f"{told}, {OUT_OF_MEMORY}"
    return told
