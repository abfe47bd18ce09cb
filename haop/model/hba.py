"""The lines of `pg_hba.conf`, and which of them ask for too little. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line, as the server read it."""

    line: int
    kind: str  # local, host, hostssl, ...
    databases: tuple[str, ...]
    address: str  # "" for a local line
    method: str
    error: str | None
    text: str  # type, databases, users, addresses

    @property
    def weak(self) -> bool:
        """Whether it asks for less than scram-sha-256. Who comes by the socket the system itself may know."""
        right = {"scram-sha-256", "reject"} | ({"peer"} if self.kind == "local" else set())
        return not self.error and self.method not in right


def judge_rules(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The lines that ask for too little, or that the server cannot use.

    >>> judge_rules([Rule(line=3, kind="host", databases=("all",), address="10.0.0.0", method="trust", error=None,
    ...                   text="host all all 10.0.0.0 255.0.0.0")])
    ('line 3: host all all 10.0.0.0 255.0.0.0 trust',)
    """
    weak = (f"line {rule.line}: {rule.text} {rule.method}".rstrip() for rule in rules if rule.weak)
    broken = (f"line {rule.line}: {rule.error}" for rule in rules if rule.error)
    return (*weak, *broken)
