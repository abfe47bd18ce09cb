"""Settings that take effect at a server's start, and the order in which nodes are restarted for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

# A standby must have at least the primary's value of these (PostgreSQL's documentation, "Hot Standby", 27.4.3).
AT_LEAST_THE_PRIMARYS = frozenset({
    "max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders",
    "max_worker_processes",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pending:
    """A setting whose value in the files is not yet the server's."""

    name: str
    current: str
    wanted: str

    @property
    def lowered(self) -> bool:
        """Whether the primary must have the new value before a standby may."""
        try:
            return self.name in AT_LEAST_THE_PRIMARYS and int(self.wanted, 0) < int(self.current, 0)
        except ValueError:  # "1e3" is a number for PostgreSQL as well: then the order that is always safe
            return False

    @property
    def raised(self) -> bool:
        """Whether a standby must have the new value before the primary may."""
        return self.name in AT_LEAST_THE_PRIMARYS and not self.lowered

    def __str__(self) -> str:
        """As an operator reads it."""
        return f"{self.name} {self.current} → {self.wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """What is not yet in effect: settings by node, and services whose containers were made from an older stack."""

    settings: Mapping[str, tuple[Pending, ...]]
    outdated: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have to be restarted for their settings."""
        return tuple(name for name, pending in self.settings.items() if pending)

    def of(self, name: str) -> tuple[Pending, ...]:
        """What waits on one node."""
        return self.settings.get(name, ())

    @property
    def lowers(self) -> bool:
        """Whether something is among it that the primary must have before its standbys may."""
        return any(setting.lowered for pending in self.settings.values() for setting in pending)

    @property
    def waiting(self) -> frozenset[str]:
        """Everything that has to be restarted."""
        return frozenset((*self.nodes, *self.outdated))

    def __bool__(self) -> bool:
        return bool(self.nodes or self.outdated)

    def primary_first(self, nodes: frozenset[str]) -> bool:
        """Whether nothing but lowered settings is pending: then the primary is restarted in its place, and first.

        Everything else goes round by the standbys first and a switchover, so that no primary has more than its
        standbys; a standby keeps the primary's higher value as long as that has it.
        """
        pending = [setting for name in self.nodes for setting in self.settings[name]]
        return bool(pending) and not nodes & set(self.outdated) and all(setting.lowered for setting in pending)

    def told(self) -> tuple[str, ...]:
        """What is pending, a line each."""
        changes = {str(setting): None for name in self.nodes for setting in self.settings[name]}
        lines = [f"{change} on {', '.join(self._having(change))}" for change in changes]
        return (*lines, *([f"made from an older stack: {', '.join(self.outdated)}"] if self.outdated else []))

    def _having(self, change: str) -> list[str]:
        return [name for name in self.nodes if change in map(str, self.settings[name])]
