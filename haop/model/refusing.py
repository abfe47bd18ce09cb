"""A server that lives and refuses haop: what is told of it, and what to do. Pure."""

from haop.model.status import Unreachable

FULL = "53300"  # too_many_connections


def refusal(node: Unreachable) -> str:
    """That it lives, and why haop does not get in."""
    return f"{node.name} runs{' as primary' if node.primarys else ''} and refuses haop: {node.reason}"


def remedy(node: Unreachable) -> str:
    """What lets haop in again; none of it is a failover."""
    if node.code == FULL:
        return f"end sessions, or raise max_connections in haop.toml; haop restart {node.name} ends all of them"
    return f"haop up gives it the password of .env where haop knows the one before; haop logs --node {node.name}"
