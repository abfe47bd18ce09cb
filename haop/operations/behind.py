"""Standbys that may lack acknowledged writes."""

from haop.project import Project


def names(project: Project) -> frozenset[str]:  # noqa: ARG001 - the record follows
    """The nodes that may not be promoted without salvage."""
    return frozenset()
