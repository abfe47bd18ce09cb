"""The Docker engine: found as the `docker` command finds it, with errors that an operator can act on."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env

from haop.errors import DeadlineExceeded, HaopError, Refused
from haop.waiting import wait_until

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# 20.10, the oldest that Debian 12 and Ubuntu 22.04 bring, speaks 1.41.
_OLDEST_API = (1, 41)
_SECONDS = 60
_SETTLING_SECONDS = 10
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ABSENT = "start Docker, or install it: https://docs.docker.com/engine/install/"


def connect() -> docker.APIClient:
    """A client of the engine that `docker` itself would use: DOCKER_HOST, DOCKER_CONTEXT, the current context.

    Raises:
        Refused: no engine answers, it may not be asked, or it is too old.
    """
    address = "the Docker engine"
    try:
        parameters = _parameters()
        address = str(parameters.get("base_url") or address)
        _require_near(address)
        _knock(address)
        client = docker.APIClient(**parameters, version="auto", timeout=_SECONDS)
        told = client.version()
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unanswered(address, error) from error
    api = tuple(int(part) for part in told["ApiVersion"].split("."))
    if api < _OLDEST_API:
        raise Refused(
            f"Docker engine {told['Version']} is too old", hint="haop needs 20.10 or newer; upgrade the engine"
        )
    return client


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of the engine as `HaopError`: "cannot kill db1: ..."."""
    begun = time.monotonic()
    try:
        yield
        _LOG.debug("engine: %s  %.3f s", what, time.monotonic() - begun)
    except NotFound as error:
        raise HaopError(f"cannot {what}: {_told(error)}", hint="haop up makes what is missing") from error
    except (DockerException, requests.RequestException) as error:
        raise HaopError(f"cannot {what}: {_told(error)}", hint="is the engine well? docker info") from error


def settled(ask: Callable[[], T]) -> T:
    """What the engine answers; asked again, for some seconds, where it fails itself.

    While a container ends, its runtime fails in a dozen different words what the engine still asks of it; asked again,
    the engine knows that it ended. So does one whose processes begin others too quickly to be frozen.

    Raises:
        APIError: it refuses, or goes on failing.
    """
    failures: list[APIError] = []

    def answer() -> tuple[T] | None:
        try:
            return (ask(),)
        except APIError as error:
            if not error.is_server_error():
                raise
            failures.append(error)
            return None

    try:
        return wait_until(answer, deadline=_SETTLING_SECONDS, pause=0.05, waiting_for="the engine to know better")[0]
    except DeadlineExceeded:
        raise failures[-1] from None


def _parameters() -> dict[str, Any]:
    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
    except Exception as error:  # docker-py raises it bare where a file of a context is broken
        raise Refused(f"Docker's contexts cannot be read: {_told(error)}", hint="docker context ls") from error
    if context is None:
        raise Refused(f"there is no Docker context '{os.environ.get('DOCKER_CONTEXT')}'", hint="docker context ls")
    return {"base_url": context.Host, "tls": context.TLSConfig}


def _require_near(address: str) -> None:
    """Nodes are reached by their ports on 127.0.0.1, and their files are this machine's."""
    url = urlsplit(address)
    if url.scheme == "ssh" or (url.scheme in {"tcp", "http", "https"} and url.hostname not in _LOOPBACK):
        raise Refused(
            f"the Docker engine at {address} is on another machine",
            hint="run haop on that machine, or choose an engine of this one: docker context ls",
        )


def _knock(address: str) -> None:
    """Whether somebody listens on a socket of this machine: the SDK's own attempt would leave its socket open."""
    _, separator, path = address.partition("unix://")
    if separator:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_SECONDS)
            door.connect(path)


def _unanswered(address: str, error: Exception) -> Refused:
    if isinstance(error, PermissionError):
        hint = "join the group that owns the socket (sudo usermod -aG docker $USER, then log in again), or use sudo"
        return Refused(f"no permission to talk to the Docker engine at {address}", hint=hint)
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return Refused(f"no Docker engine answers at {address}", hint=_ABSENT)
    return Refused(f"no Docker engine answers at {address}: {_told(error)}", hint=_ABSENT)


def _told(error: Exception) -> str:
    """The engine's own words, in one line."""
    text = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(text).split())
