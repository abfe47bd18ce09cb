"""The record of the node that was primary last: `.haop/guard/last`.

Who is primary is observed and never remembered. This is for what nobody can observe: that the data of a node which was
primary since are gone, so that those of one which was primary before it are not all there was.
"""

import logging
from pathlib import Path

from haop import state_file
from haop.project import Project

_LOG = logging.getLogger(__name__)


def note(project: Project, node: str) -> None:
    """That node is primary. A full disk must not keep a cluster without one: then the record says what it said."""
    if read(project) == node:
        return
    path = _path(project)
    try:
        state_file.write(path, node)
    except OSError as error:
        _LOG.warning("cannot write %s: %s", path, error.strerror)


def reserve(project: Project) -> None:
    """Keep room for it, for a day on which the disk is full.

    Raises:
        OSError: there is none.
    """
    state_file.reserve(_path(project))


def read(project: Project) -> str | None:
    """Its name; None: nobody knows."""
    try:
        return _path(project).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _path(project: Project) -> Path:
    return project.state / "guard" / "last"
