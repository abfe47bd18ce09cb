"""What haop itself says would mend a cluster: the commands in its hints, as an operator reads them. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_VERBS = ("up", "failover", "rejoin", "rebuild", "restart", "guard resume")
_OPTIONS = ("--to", "--accept-loss", "--prune", "--rolling", "--yes")
_COMMAND = re.compile(rf"\bhaop ({'|'.join(_VERBS)})\b([^;:,()`]*)")
_WEIGHT = {"error": 0, "warning": 1, "info": 2}


def commands(hint: str, nodes: Collection[str]) -> list[tuple[str, ...]]:
    """The commands of a hint that change something, in its order; prose ends each.

    >>> commands("haop up brings it back; if its disk is gone: haop failover --to db2", {"db1", "db2"})
    [('up', '--yes'), ('failover', '--to', 'db2', '--yes')]
    >>> commands("see what it says: haop logs --node db1", {"db1"})
    []
    """
    found = []
    for verb, rest in _COMMAND.findall(hint):
        words = verb.split()
        for word in rest.split():
            bare = word.rstrip(".")
            if bare not in _OPTIONS and bare not in nodes:
                break
            words.append(bare)
        if verb != "guard resume" and "--yes" not in words:
            words.append("--yes")
        if verb not in {"rejoin", "rebuild"} or set(nodes) & set(words):
            found.append(tuple(words))
    return found


def named(findings: Sequence[Mapping[str, Any]], nodes: Collection[str]) -> list[tuple[str, ...]]:
    """The commands that the findings of `haop status --json` name, those of errors first."""
    ordered = sorted(findings, key=lambda finding: _WEIGHT[finding["severity"]])
    return list(dict.fromkeys(c for finding in ordered for c in commands(finding.get("hint") or "", nodes)))
