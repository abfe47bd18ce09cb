"""PostgreSQL's log, in the shape that the rendered `log_line_prefix` gives it."""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from haop.model.service import LogLine
from haop.postgres.severities import ENGLISH

# The levels of "haop logs --level", from the least to the most urgent (PostgreSQL's manual, table "Message Severity").
LEVELS = ("debug", "info", "notice", "warning", "error", "log", "fatal", "panic")

_LEVEL = "|".join(sorted(ENGLISH, key=len, reverse=True))
# A server in single-user mode, which pg_rewind runs after a crash, leaves its prompts where the next entry begins.
_LINE = re.compile(
    r"(?:backend> )*(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] (?:(?P<code>[0-9A-Z]{5}) )?"
    rf"(?P<who>.*?)(?P<level>{_LEVEL}) ?: +(?P<text>.*)"
)
_BEGIN = re.compile(rb"(?:backend> )*(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] ")
_COMPLAINT = re.compile(rf"(?P<level>{_LEVEL}) ?: +(?P<text>.*)")
_COMPLAINS = {"LOG", "WARNING", "ERROR", "FATAL", "PANIC"}
_BELONGS_TO_THE_LAST = {"DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY"}
_NO_ERROR = "00000"
_EPOCH = datetime.fromtimestamp(0, UTC)
# Processes of one server write each for itself: entries of the same moment may have changed places.
_OUT_OF_PLACE_AT_MOST = 64


def parse(lines: Iterable[str], node: str, after: LogLine | None = None) -> Iterator[LogLine]:
    r"""Entries of a node's log; lines that belong to an entry are joined to its message by newlines.

    What comes before the first entry belongs to the entry that these lines come after. Where there is none (output of
    a program that has no prefix) it takes the time of the next entry, or of the epoch when there is no next.

    >>> text = ["2026-11-24 08:00:00.123 UTC [7] LOG:  ready", "2026-11-24 08:00:01.000 UTC [7] DETAIL:  really"]
    >>> [(line.level, line.message) for line in parse(text, "db1")]
    [('log', 'ready\nDETAIL: really')]
    >>> [line.message for line in parse([f"backend> backend> {text[0]}"], "db1")]
    ['ready']
    >>> full = "2026-11-24 08:00:00.123 UTC [7] 53300 postgres@shop FATAL:  lo siento, ya tenemos demasiados clientes"
    >>> [(line.level, line.code) for line in parse([full], "db1")]
    [('fatal', '53300')]
    """
    entry: LogLine | None = None
    for raw in lines:
        line = raw.rstrip("\n")
        match = _LINE.fullmatch(line)
        level = ENGLISH[match["level"]] if match else None
        if match and level and level not in _BELONGS_TO_THE_LAST:
            at = datetime.fromisoformat(f"{match['at']}+00:00")
            if entry:
                yield replace(entry, at=at) if entry.at == _EPOCH else entry
            code = None if match["code"] == _NO_ERROR else match["code"]
            entry = LogLine(at, node, level.lower(), match["who"] + match["text"], code)
        elif line:
            more = f"{level}: {match['text']}" if match else line
            entry = entry or (replace(after, message="") if after else LogLine(_EPOCH, node, "log", ""))
            entry = replace(entry, message=f"{entry.message}\n{more}".lstrip("\n"))
    if entry:
        yield entry


def newest_first(lines: Iterable[str], node: str) -> Iterator[LogLine]:
    """The same of lines that come the last first; entries come the last first, too."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        match = _LINE.fullmatch(line)
        if match and ENGLISH[match["level"]] not in _BELONGS_TO_THE_LAST:
            yield from parse(reversed(waiting), node)
            waiting.clear()
    yield from parse(reversed(waiting), node)


def in_order(entries: Iterable[LogLine]) -> Iterator[LogLine]:
    """By time, of entries that are so but for a few that changed places; a few of them are held."""
    waiting: list[tuple[datetime, int, LogLine]] = []
    for number, entry in enumerate(entries):
        heapq.heappush(waiting, (entry.at, number, entry))
        if len(waiting) > _OUT_OF_PLACE_AT_MOST:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def merged(logs: Iterable[Iterable[LogLine]], since: datetime | None) -> Iterator[LogLine]:
    """Entries of several nodes by time, or those since then. No more of them is held than is out of place."""
    entries = heapq.merge(*map(in_order, logs), key=lambda entry: entry.at)
    return (entry for entry in entries if since is None or entry.at >= since)


def older_than(since: datetime) -> Callable[[bytes], bool | None]:
    """Tells of a line whether its entry is older; None where it begins none."""
    floor = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3].encode()
    return lambda line: match[1] < floor if (match := _BEGIN.match(line)) else None


def complaints(said: str) -> str:
    """What a server that did not start complained about, joined by " / ": no time stamps, nothing that is usual.

    >>> complaints("08:00 [7] LOG:  skipping missing configuration file / 08:00 [7] FATAL:  too small")
    'too small'
    >>> complaints("no such program")
    'no such program'
    """
    matches = (_COMPLAINT.search(part) for part in said.split(" / "))
    told = [match["text"] for match in matches if match and ENGLISH[match["level"]] in _COMPLAINS]
    return " / ".join(text for text in told if not text.startswith("skipping missing")) or said
