"""Fences hold for as long as they stand, not only at the moment in which they were raised."""

from collections.abc import Mapping

from haop.errors import HaopError
from haop.model.spec import ClusterSpec
from haop.runtimes.base import Runtime


def end_intruders(runtime: Runtime, spec: ClusterSpec) -> Mapping[str, str]:
    """End what serves the data of fenced nodes; what that was, by node."""
    ended = ((node.name, runtime.enforce(node.name)) for node in spec.nodes)
    return {name: found for name, found in ended if found}


def require(runtime: Runtime, spec: ClusterSpec, candidate: str) -> None:
    """No node that is fenced serves anybody, at the moment before another is promoted.

    Raises:
        HaopError: one did; it is ended, and may have accepted what nobody else has.
    """
    for node in spec.nodes:
        if node.name != candidate and (found := runtime.enforce(node.name)):
            raise HaopError(
                f"nothing is promoted: {node.name} was fenced, and somebody started it again; {found} is ended",
                hint="haop failover",
            )
