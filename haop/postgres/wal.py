"""Where the WAL of a dead server ends, read from its segments. Pure: who asks says how segments are read.

The format is that of PostgreSQL 15 to 18 (xlog_internal.h, xlogrecord.h), and so are the rules (xlogreader.c): pages
whose headers say where they belong, and records that continue over pages, each with a checksum and the position of the
one before it. What a recycled segment held before does not fit, nor do zeros: there the WAL ends, unless records lie
beyond. A server writes in order, page by page: whoever kills it leaves none behind the end. There the WAL is damaged,
or the machine lost its power before all of a segment was on the disk, which looks the same. In a page that is torn a
record of before may lie just where one would begin: the one before that is further back than all of this WAL.
"""

import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import TypeAlias

from haop.errors import HaopError
from haop.model.lsn import Lsn
from haop.model.status import Fork
from haop.postgres.crc import crc32c

# The bytes of a segment from an offset on, in pieces; nothing where there is no such segment.
Source: TypeAlias = Callable[[str, int], Generator[bytes, None, None]]

_PAGE = struct.Struct("<HHIQI4x")  # magic, flags, timeline, address, bytes of a record that was begun before
_LONG = struct.Struct("<QII")  # system identifier, bytes of a segment, of a page; on a segment's first page
_RECORD = struct.Struct("<I4xQBB2xI")  # length, position of the one before, flags, resource manager, checksum
_CONTINUES, _IS_LONG, _OVERWRITES, _FLAGS = 1, 2, 8, 15
_CHECKED = 20  # of a record's header; its checksum follows
_SWITCH = (0, 0x40)  # resource manager and flags of a record after which the rest of the segment is empty
_LONGEST = 1 << 30
# So many pages before the position that is asked for the search begins: a record may have begun there. Few hold most.
_BACK, _FAR_BACK = 16, 4096
# Beyond damage it goes on in the rest of that segment, and at the beginning, so many pages, of so many that follow.
_AHEAD, _SEGMENTS_AHEAD = 16, 3


class UnreadableWalError(HaopError):
    """The WAL cannot be followed from where it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Whose WAL it is, and how it is cut."""

    system: int  # the system identifier
    segment: int  # bytes
    page: int
    timeline: int
    forks: Sequence[Fork] = ()  # where each earlier timeline ended

    def name(self, number: int) -> str:
        """The name of a segment: its timeline is the newest that had begun by its end.

        >>> forks = (Fork(timeline=1, at=Lsn(0x1000028)),)
        >>> Layout(system=1, segment=2**24, page=8192, timeline=2, forks=forks).name(1)
        '000000020000000000000001'
        """
        timeline = self.timeline
        for fork in sorted(self.forks, key=lambda fork: -fork.timeline):
            if number < fork.at.position // self.segment:
                timeline = fork.timeline
        per_log = 2**32 // self.segment
        return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"

    def names(self, start: Lsn, end: Lsn) -> list[str]:
        """The segments that hold what lies between two positions."""
        return [self.name(n) for n in range(start.position // self.segment, (end.position - 1) // self.segment + 1)]


@dataclass(frozen=True, slots=True)
class _Page:
    at: int
    content: bytes
    flags: int
    timeline: int
    magic: int
    begun_before: int  # bytes of a record that continues here, and perhaps beyond

    @property
    def head(self) -> int:
        return 40 if self.flags & _IS_LONG else 24

    @property
    def first(self) -> int:
        """Where the first record begins; beyond the page where none does."""
        return self.at + self.head + _aligned(self.begun_before) if self.flags & _CONTINUES else self.at

    @property
    def begins_record(self) -> bool:
        return self.first < self.at + len(self.content)


class Wal:
    """The WAL of one server that writes no more."""

    def __init__(self, source: Source, layout: Layout) -> None:
        self._source = source
        self._layout = layout

    def end(self, received: Lsn) -> Lsn:
        """The end of the last whole record, as a server that has replayed it would tell it; beyond damage, too.

        Pages are followed by their headers, and records are read on the last of them alone. Where one in between is
        damaged, replay ends there, before this end: see `goes_on`.

        Args:
            received: a position that another server has received this WAL up to; it may lie within a record.

        Raises:
            UnreadableWalError: neither the WAL that leads to that position is there, nor any that follows it.
        """
        end = self._reached(received.position)
        seen = received.position if end is None else end
        while (beyond := self._beyond(seen, end or 0)) is not None:
            pages = self._last(beyond)
            end = self._walk(pages, 0, end or 0)
            seen = max(end, pages[-1].at + 1)
        if end is None:
            raise UnreadableWalError(f"there is no WAL that leads to {received}: it is gone, or damaged")
        return Lsn(end)

    def _reached(self, at: int) -> int | None:
        """Where the WAL ends that leads to a position, and on; None where none does."""
        size = self._layout.page
        if at % self._layout.segment == 0 and (pages := self._last(at)) and pages[0].at == at:
            return self._walk(pages, at)  # the segment before it may be gone
        start = max(at - 1, 0) // size * size
        segment = start - start % self._layout.segment
        earlier = range(segment, max(segment - _FAR_BACK * size, 0) - 1, -self._layout.segment)
        for begin in (max(start - _BACK * size, segment), *earlier):
            if pages := self._last(begin):
                end = self._walk(pages, at)
                if pages[-1].at >= start or end >= at:
                    return end
                break
        # What a switch has left empty before that position may be torn by now: only records lead over it.
        wholes = (list(self._from_record(begin)) for begin in earlier)
        end = next((self._walk(whole, at) for whole in wholes if whole), 0)
        return end if end >= at else None

    def _beyond(self, end: int, since: int) -> int | None:
        """The first page beyond the one that the WAL ends on, on which a whole record begins.

        The one before it began at `since`, or later. Right pages without one may belong to a long record that the
        server was about to write when it ended.
        """
        size, segment = self._layout.page, self._layout.segment
        address = -(-end // size) * size
        for number in range(address // segment, address // segment + 1 + _SEGMENTS_AHEAD):
            rest = address // segment == number
            with closing(self._pages(self._layout.name(number), address % segment if rest else 0)) as contents:
                at = address if rest else number * segment
                for content in contents if rest else islice(contents, _AHEAD):
                    page = self._judged(content, at, None)
                    if page and page.begins_record and self._begins(page.first, since):
                        return at
                    at += size
        return None

    def goes_on(self, at: Lsn) -> bool:
        """Whether a whole record begins at a position where another has ended."""
        return self._begins(at.position, 0)

    def _begins(self, at: int, since: int) -> bool:
        with closing(self._follow(at // self._layout.page * self._layout.page)) as pages:
            return _Records(pages, at, 0, since).next() is not None

    def _walk(self, pages: list[_Page], known: int, since: int = 0) -> int:
        """The end of the last whole record on these pages, and on those of the next segment after a switch.

        The record before the first of them began there, `since`, or later.
        """
        while True:
            records = _Records(iter(pages), pages[0].first, known, since)
            while (kind := records.next()) is not None:
                if kind == _SWITCH:
                    break
            if kind is None:
                return records.at
            since = records.began
            following = -(-records.at // self._layout.segment) * self._layout.segment
            if not (pages := self._last(following)):
                return following

    def _last(self, address: int) -> list[_Page]:
        """The last right page, and those before it back to one on which a record begins that may reach it."""
        kept: list[_Page] = []
        for page in self._from_record(address):
            if kept and kept[-1].begins_record:
                kept = [kept[-1]]
            kept.append(page)
        return kept

    def _from_record(self, address: int) -> Iterator[_Page]:
        """The pages from there on, from the first on which a record begins."""
        return dropwhile(lambda page: not page.begins_record, self._follow(address))

    def _follow(self, address: int) -> Generator[_Page, None, None]:
        """The pages from there on, for as long as their headers are right."""
        before: _Page | None = None
        while True:
            number, offset = divmod(address, self._layout.segment)
            with closing(self._pages(self._layout.name(number), offset)) as contents:
                for content in contents:
                    page = self._judged(content, address, before)
                    if not page:
                        return
                    yield page
                    before, address = page, address + self._layout.page
            if address % self._layout.segment or address == number * self._layout.segment + offset:
                return

    def _pages(self, name: str, offset: int) -> Generator[bytes, None, None]:
        size, rest = self._layout.page, b""
        with closing(self._source(name, offset)) as pieces:
            for piece in pieces:
                rest = rest + piece if rest else piece
                whole = len(rest) - len(rest) % size
                for begin in range(0, whole, size):
                    yield rest[begin : begin + size]
                rest = rest[whole:]

    def _judged(self, content: bytes, address: int, before: _Page | None) -> _Page | None:
        """The page, if it belongs there: XLogReaderValidatePageHeader."""
        magic, flags, timeline, at, begun_before = _PAGE.unpack_from(content)
        page = _Page(at, content, flags, timeline, magic, begun_before)
        is_first = address % self._layout.segment == 0
        if at != address or flags & ~_FLAGS or bool(flags & _IS_LONG) != is_first or magic >> 8 != 0xD1:
            return None
        if timeline > self._layout.timeline or (before and (timeline < before.timeline or magic != before.magic)):
            return None
        cut = (self._layout.system, self._layout.segment, self._layout.page)
        return None if is_first and _LONG.unpack_from(content, _PAGE.size) != cut else page


class _Records:
    """Reads records one after the other on the pages that it is given; the first begins at a known position."""

    def __init__(self, pages: Iterator[_Page], at: int, known: int, since: int) -> None:
        self.at = at  # where the last whole record has ended
        self.began = since  # and where it began; of the one before the first only how far back that may be
        self._known = known  # another server has received it up to there: its checksums need not be computed
        self._pages = pages
        self._page = next(pages, None)
        self._chained = False  # whether one was read

    def next(self) -> tuple[int, int] | None:
        """Read on: the kind of the record, or None where no whole one follows."""
        while (page := self._page_of(self.at)) is not None:
            begin = max(self.at, page.at + page.head)
            offset = begin - page.at
            length = int.from_bytes(page.content[offset : offset + 4], "little")
            if not _RECORD.size <= length <= _LONGEST:
                return None
            body = page.content[offset : offset + length]
            end = begin + _aligned(length)
            while len(body) < length:
                if (page := self._page_of(page.at + len(page.content))) is None:
                    return None
                if page.flags & _OVERWRITES:  # the server had ended within it, and has begun anew here
                    break
                if not page.flags & _CONTINUES or page.begun_before != length - len(body):
                    return None
                body += page.content[page.head : page.head + page.begun_before]
                end = page.at + page.head + _aligned(min(page.begun_before, len(page.content)))
            else:
                return self._take(begin, end, body)
            self.at = page.at
        return None

    def _take(self, begin: int, end: int, body: bytes) -> tuple[int, int] | None:
        _, before, flags, manager, checksum = _RECORD.unpack_from(body)
        chained = before == self.began if self._chained else self.began <= before < begin
        if not chained or (end > self._known and crc32c(body[_RECORD.size :], body[:_CHECKED]) != checksum):
            return None
        self.began, self.at, self._chained = begin, end, True
        return manager, flags & 0xF0

    def _page_of(self, address: int) -> _Page | None:
        while self._page and self._page.at + len(self._page.content) <= address:
            self._page = next(self._pages, None)
        return self._page


def _aligned(length: int) -> int:
    return (length + 7) & ~7
