"""Files of containers as streams, running or not: read in part, and copied from one container into another."""

import io
import tarfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import IO, cast

from urllib3.exceptions import HTTPError

from haop.docker.containers import Containers
from haop.docker.engine import translated
from haop.errors import HaopError

_PIECE = 2**17


def pieces(containers: Containers, service: str, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
    """The bytes of a file from an offset on; none where there is no such file. What is not read is not sent."""
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


def copy(containers: Containers, source: tuple[str, PurePosixPath], target: tuple[str, PurePosixPath]) -> bool:
    """Copy a file of one container into a folder of another, as its owner's; whether there was such a file."""
    with _archive(containers, *source) as archive:
        if not archive:
            return False
        service, folder = target
        with translated(f"copy {source[1]} of {source[0]} to {service}"):
            containers.client.put_archive(containers.id(service), str(folder), iter(lambda: archive.read(_PIECE), b""))
    return True


def make_folder(containers: Containers, service: str, path: PurePosixPath) -> None:
    """Make a folder that everybody may enter; no harm where it is there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path.name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    with translated(f"make {path} of {service}"):
        containers.client.put_archive(containers.id(service), str(path.parent), packed.getvalue())


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
