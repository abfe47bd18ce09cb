"""Files of containers as streams, running or not: read in part, and copied from one container into another."""

import tarfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import IO, cast

from urllib3.exceptions import HTTPError

from haop.docker.containers import Containers
from haop.docker.engine import translated
from haop.docker.nearby import OutOfReachError
from haop.errors import HaopError

_PIECE = 2**17


def pieces(containers: Containers, service: str, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
    """The bytes of a file from an offset on; none where there is no such file. What is not read is not sent."""
    if near := containers.near(service, path):
        with suppress(OutOfReachError):
            yield from near.pieces(path, offset)
            return
    with _archive(containers, service, path) as archive:
        if not archive:
            return
        with tarfile.open(fileobj=archive, mode="r|", bufsize=_PIECE) as unpacked:
            member = unpacked.next()
            file = unpacked.extractfile(member) if member and member.isfile() else None
            while file and offset and (skipped := file.read(min(offset, _PIECE))):
                offset -= len(skipped)
            while file and (piece := file.read(_PIECE)):
                yield piece


def copy(containers: Containers, service: str, paths: Sequence[PurePosixPath], to: str, folder: PurePosixPath) -> None:
    """Copy files into a folder of another container, made where needed; what is not there of them is left out.

    They keep their owner, and go from one request into the other: no file is ever whole in memory.
    """
    here, there = containers.near(service, paths[0]), containers.near(to, folder)
    if here and there:
        with suppress(OutOfReachError):
            for path in paths:
                here.copy(path, there, folder)
            return
    with translated(f"copy files of {service} to {to}"):
        stream = _packed(containers, service, paths, folder.name)
        containers.client.put_archive(containers.id(to), str(folder.parent), stream)


def _packed(
    containers: Containers, service: str, paths: Sequence[PurePosixPath], folder: str
) -> Generator[bytes, None, None]:
    """An archive of that folder with these files, while they are read."""
    entry = tarfile.TarInfo(folder)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    yield entry.tobuf()
    for path in paths:
        with _archive(containers, service, path) as archive:
            if archive:
                with tarfile.open(fileobj=archive, mode="r|", bufsize=_PIECE) as unpacked:
                    yield from _repacked(unpacked, f"{folder}/{path.name}")
    yield bytes(tarfile.RECORDSIZE)


def _repacked(unpacked: tarfile.TarFile, name: str) -> Generator[bytes, None, None]:
    member = unpacked.next()
    file = unpacked.extractfile(member) if member and member.isfile() else None
    if member and file:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.uid, entry.gid = member.size, member.mode, member.uid, member.gid
        yield entry.tobuf()
        while piece := file.read(_PIECE):
            yield piece
        yield bytes(-member.size % tarfile.BLOCKSIZE)


@contextmanager
def _archive(containers: Containers, service: str, path: PurePosixPath) -> Iterator[IO[bytes] | None]:
    client = containers.client
    url = f"{client.base_url}/v{client.api_version}/containers/{containers.id(service)}/archive"
    with translated(f"read {path} of {service}"):
        # Packed it would cost more time than it saves: it goes from one process to another.
        answer = client.get(
            url, params={"path": str(path)}, headers={"Accept-Encoding": "identity"}, stream=True,
            timeout=client.timeout,
        )  # fmt: skip
        with closing(answer):
            if answer.status_code == HTTPStatus.NOT_FOUND:
                yield None
                return
            answer.raise_for_status()
            try:
                yield cast("IO[bytes]", answer.raw)
            except (HTTPError, tarfile.TarError) as error:
                raise HaopError(f"cannot read {path} of {service}: {error}", hint="is the engine well?") from error
