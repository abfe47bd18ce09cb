"""Secrets of services as files that containers find under `/run/secrets`."""

import os
from collections.abc import Mapping
from pathlib import Path

from haop.model.service import Service


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
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            path.chmod(0o444)
