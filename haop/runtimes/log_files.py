"""Logs of the local runtime: one file a node, to which the node script and the server append."""

import os
from collections.abc import Iterator
from pathlib import Path


def new_lines(path: Path, offsets: dict[str, int], name: str) -> Iterator[str]:
    """What was appended since the offset of that name, which is moved along."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        if path.stat().st_size < offsets[name]:
            offsets[name] = 0  # it was rotated
        file.seek(offsets[name])
        yield from iter(file.readline, "")
        offsets[name] = file.tell()


def end_last_line(path: Path) -> None:
    """What SIGKILL cut short must not swallow the next entry: the kernel ends a write at a page's end then."""
    with path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
            file.write(b"\n")
