"""Secrets of services as files that containers find under `/run/secrets`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from haop.model.service import Service


def changed_at(folder: Path) -> datetime | None:
    """When the youngest of a service's secrets was written; None where it has none.

    The authority's certificate does not count: it is signed anew with the same key, and the older one is as good.
    """
    times = [path.stat().st_mtime for path in folder.glob("*") if path.name != "ca.crt"]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def write(folder: Path, services: Mapping[str, Service]) -> None:
    """One folder a service, one file a secret; what is as it should be is left alone.

    Nobody else can enter the folder. The files themselves can be read by whoever is inside the container that they are
    mounted into: an application's user has another number there. A file is changed in place: a mount follows the file,
    not its name.
    """
    for service in services.values():
        if not service.secrets:
            continue
        home = folder / service.name
        for made in (folder, home):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in service.secrets.items():
            path = home / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.touch(mode=0o600)
                path.chmod(0o600)  # what is 0444 could not be opened for writing, but by root
                path.write_text(text, encoding="utf-8")
            path.chmod(0o444)
