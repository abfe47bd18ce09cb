"""Files of containers, running or not: the engine's archives, or the folders of this machine that they lie in."""

import io
import json
import tarfile
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any

from docker.errors import NotFound

from haop.docker.engine import translated
from haop.docker.lookup import Lookup
from haop.docker.nearby import Near, OutOfReachError


class Contents(Lookup):
    """What lies in containers."""

    @cached_property
    def _inspected(self) -> dict[str, dict[str, Any]]:
        return {}  # by the ids of containers: their mounts never change

    @cached_property
    def _nearby(self) -> set[Near]:
        return set()

    def read(self, service: str, path: PurePosixPath) -> bytes | None:
        """A file of the container, running or not, volumes included; None where there is no such file."""
        if near := self.near(service, path):
            with suppress(OutOfReachError):
                return near.read(path)
        with translated(f"read {path} of {service}"):
            try:
                chunks, _ = self.client.get_archive(self.id(service), str(path))
            except NotFound:
                self.require(service)
                return None
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.next()
                file = archive.extractfile(member) if member and member.isfile() else None
                return file.read() if file else b""

    def size(self, service: str, path: PurePosixPath) -> int | None:
        """Bytes of such a file; None where there is none. Ten times as quick as an archive of it."""
        if near := self.near(service, path):
            with suppress(OutOfReachError):
                return near.size(path)
        found = self._stat(service, path)
        return int(found["size"]) if found else None

    def link(self, service: str, path: PurePosixPath) -> str | None:
        """Where a symbolic link of the container leads; None where that is none."""
        found = self._stat(service, path)
        return found["linkTarget"] or None if found else None

    def links(self, service: str, folder: PurePosixPath) -> Mapping[str, str]:
        """The symbolic links in a folder of the container, each with where it leads. It holds little else."""
        if self._stat(service, folder) is None:
            return {}
        with translated(f"read {folder} of {service}"):
            chunks, _ = self.client.get_archive(self.id(service), str(folder))
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                return {PurePosixPath(member.name).name: member.linkname for member in archive if member.issym()}

    def write(self, service: str, path: PurePosixPath, text: str, room: PurePosixPath) -> bool:
        """Put a file into the container, running or not. It belongs to root and everybody can read it.

        Args:
            service: whose container.
            path: of the file.
            text: that is to be in it.
            room: a file of the same folder whose place on the disk it may take.

        Returns:
            Whether it is on the disk.
        """
        with translated(f"write {path} of {service}"):
            if near := self.near(service, path):
                with suppress(OutOfReachError):
                    near.write(path, text, room)
                    return True
            self.client.put_archive(self.id(service), str(path.parent), packed({room: "", path: text}))
        return False

    def ensure(self, service: str, path: PurePosixPath, text: str) -> None:
        """Let a file of the container, running or not, hold that text, appended where it does not."""
        with translated(f"write {path} of {service}"):
            if near := self.near(service, path):
                with suppress(OutOfReachError):
                    near.ensure(path, text)
                    return
            there = (self.read(service, path) or b"").decode()
            if text not in there:
                whole = f"{there}\n{text}" if there and not there.endswith("\n") else f"{there}{text}"
                self.client.put_archive(self.id(service), str(path.parent), packed({path: whole}))

    def near(self, service: str, path: PurePosixPath) -> Near | None:
        """Where a path of its container is on this machine; None where only the engine can tell, or it has none."""
        container = self.known(service)
        if container and container not in self._inspected and (found := self.inspect(service)):
            self._inspected[container] = found
        near = Near.of(self._inspected[container], path) if container in self._inspected else None
        if near and near not in self._nearby:
            if not self._is_here(service, near):
                return None
            self._nearby.add(near)
        return near

    def _is_here(self, service: str, near: Near) -> bool:
        """Whether that folder has what the container has, whether that runs or not.

        A volume with options (a device, NFS) is mounted by the engine for as long as a container uses it; without one
        there is an empty folder. One of another driver is wherever that likes.
        """
        if near.volume:
            with translated(f"look at the volume {near.volume}"):
                volume = self.client.inspect_volume(near.volume)
            if volume["Driver"] != "local" or volume.get("Options"):
                return False
        told = self._stat(service, near.mount)
        return told is not None and near.is_at(told["mtime"])

    def _stat(self, service: str, path: PurePosixPath) -> dict[str, Any] | None:
        """What the engine says of a file or folder of the container; None where there is neither."""
        with translated(f"look at {path} of {service}"):
            url = f"{self.client.base_url}/v{self.client.api_version}/containers/{self.id(service)}/archive"
            answer = self.client.head(url, params={"path": str(path)}, timeout=self.client.timeout)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                self.require(service)
                return None
            answer.raise_for_status()
            return dict(json.loads(b64decode(answer.headers["X-Docker-Container-Path-Stat"])))


def packed(files: Mapping[PurePosixPath, str]) -> bytes:
    """An archive with these files, all of one folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
