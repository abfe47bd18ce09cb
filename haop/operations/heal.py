"""The record of a fault that a drill has open, and what undoes it.

A drill writes down what it is about to break before it breaks it. The record is gone once everything is healed; one
that is still there belongs to a drill that was killed, and the next `haop up` heals it.
"""

import json
from dataclasses import asdict, dataclass

from haop.project import Project

_RECORD = "open-fault.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFault:
    """What a drill is breaking."""

    fault: str
    node: str
    at: str  # ISO 8601, UTC
    drill: str


def write(project: Project, fault: OpenFault) -> None:
    """Write the record down, on the disk, before the fault."""
    path = project.state / _RECORD
    making = path.with_suffix(".new")
    making.write_text(json.dumps(asdict(fault)), encoding="utf-8")
    making.replace(path)


def read(project: Project) -> OpenFault | None:
    """The open fault, if there is one."""
    try:
        return OpenFault(**json.loads((project.state / _RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return OpenFault(fault="break", node="unknown", at="an unknown time", drill="unknown")


def clear(project: Project) -> None:
    """The fault is healed."""
    (project.state / _RECORD).unlink(missing_ok=True)
