"""The end of WAL, compared with what pg_waldump says of the same segments, on real and on damaged WAL."""

import os
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from haop.model.lsn import Lsn
from haop.postgres import control
from haop.postgres.crc import crc32c
from haop.postgres.wal import Layout, UnreadableWalError, Wal
from haop.process import run
from haop.runtimes import account
from tests import support

SEGMENT, PAGE = 2**20, 8192


class Server:
    """One server that writes WAL of all kinds, in small segments, and that can be killed."""

    def __init__(self, folder: Path, major: int) -> None:
        self.data = folder / "data"
        self.port = support.free_ports(1)
        self._run_as = account.choose(None, folder)
        self._bin = support.programs(major, self._run_as, folder)
        folder.chmod(0o777)
        self._do("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--wal-segsize=1")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port={self.port}\nunix_socket_directories=''\nfsync=off\nshared_buffers=16MB\n"
                       "max_wal_size=16MB\nmin_wal_size=8MB\nwal_level=replica\nwal_keep_size=64MB\n")  # fmt: skip

    def _do(self, program: str, *arguments: str) -> str:
        done = run((str(self._bin / program), *arguments), run_as=self._run_as, cwd=Path("/"))
        return done.stdout

    def start(self) -> None:
        self._do("pg_ctl", "-D", str(self.data), "-l", str(self.data / "log"), "-w", "start")

    def kill(self) -> None:
        self._do("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def crashes_after(self, turns: int) -> list[Lsn]:
        self.start()
        try:
            return work(self, turns)
        finally:
            self.kill()

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True)

    def layout(self) -> Layout:
        head = (self.data / control.PATH).read_bytes()
        return Layout(system=int.from_bytes(head[:8], "little"), segment=SEGMENT, page=PAGE, timeline=1)

    def waldump_ends(self, wal: Path, start: Lsn) -> Lsn:
        """The end of the last record that pg_waldump finds from there on; where it finds none, the start."""
        argv = ("sh", "-c", f"'{self._bin}/pg_waldump' -p '{wal}' -t 1 -s {start} 2>/dev/null | tail -n 1")
        told = run(argv, run_as=self._run_as, cwd=Path("/")).stdout
        if start.position % PAGE == (24 if start.position % SEGMENT > PAGE else 40):  # just behind the head of a page
            start = Lsn(start.position - start.position % PAGE)
        if not (record := re.search(r"len \(rec/tot\): +\d+/ *(\d+),.* lsn: (\w+/\w+),.* desc: (\w+)", told)):
            return start
        at = Lsn.parse(record[2]).position
        return Lsn(-(-at // SEGMENT) * SEGMENT if record[3] == "SWITCH" else after(at, int(record[1])))


def after(at: int, length: int) -> int:
    """Where a record ends that begins there: its length, aligned, and a header for each page that it enters."""
    left = -(-length // 8) * 8
    while left > PAGE - at % PAGE:
        left -= PAGE - at % PAGE
        at += PAGE - at % PAGE
        at += 24 if at % SEGMENT else 40
    return at + left


def reader(wal: Path) -> Callable[[str, int], Generator[bytes, None, None]]:
    def pieces(name: str, offset: int) -> Generator[bytes, None, None]:
        if (wal / name).exists():
            with (wal / name).open("rb") as file:
                file.seek(offset)
                while piece := file.read(30000):
                    yield piece

    return pieces


def work(server: Server, turns: int) -> list[Lsn]:
    """Small records, long ones, switches; the positions in between."""
    positions = []
    with server.connect() as link:
        link.execute("CREATE TABLE IF NOT EXISTS t (id int, body text)")
        for _ in range(turns):
            kind = random.choice(("rows", "rows", "long", "switch", "pages", "message"))
            if kind == "rows":
                link.execute("INSERT INTO t SELECT g, repeat('x', (random() * 200)::int) FROM generate_series(1, %s) g",
                             [random.randrange(1, 2000)])  # fmt: skip
            elif kind == "long":
                link.execute("SELECT pg_logical_emit_message(true, 'x', repeat('y', %s))", [random.randrange(300_000)])
            elif kind == "switch":
                link.execute("SELECT pg_switch_wal()")
            elif kind == "message":
                link.execute("SELECT pg_logical_emit_message(false, 'x', repeat('y', %s))", [random.randrange(9000)])
            else:
                link.execute("CHECKPOINT")
                link.execute("UPDATE t SET id = id + 1 WHERE random() < 0.1")
            row = link.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
            assert row
            positions.append(Lsn.parse(str(row[0])))
            link.execute("INSERT INTO t VALUES (0, '')")  # all before it is flushed
    return positions


@pytest.fixture(scope="module", params=(15, 18))
def killed(request: pytest.FixtureRequest) -> Iterator[tuple[Server, list[Lsn]]]:
    """A server that has crashed, begun anew, and crashed again."""
    if request.param not in support.available():
        pytest.skip(f"PostgreSQL {request.param} is not on this machine")
    with support.folder() as folder:
        server = Server(folder, request.param)
        positions = [*server.crashes_after(20), *server.crashes_after(20)]  # the second time after a recovery
        yield server, positions


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def is_written(wal: Path, layout: Layout, at: Lsn) -> bool:
    """Nobody receives a page that was not: a crash may leave the rest of a segment so that ended with a switch."""
    page = at.position // PAGE * PAGE
    content = (wal / layout.name(at.position // SEGMENT)).read_bytes()
    return int.from_bytes(content[page % SEGMENT + 8 : page % SEGMENT + 16], "little") == page


def test_the_end_is_pg_waldumps_wherever_the_search_begins(killed: tuple[Server, list[Lsn]]) -> None:
    server, positions = killed
    wal = server.data / "pg_wal"
    found = Wal(reader(wal), server.layout())
    last = server.waldump_ends(wal, positions[0])
    assert last >= positions[-1]
    anywhere = (Lsn(random.randrange(positions[0].position, last.position)) for _ in range(30))
    for start in [last, *positions, *(at for at in anywhere if is_written(wal, server.layout(), at))]:
        assert found.end(start) == last, f"from {start}"
    assert not found.goes_on(last)
    assert all(found.goes_on(at) for at in positions if at < last)


@pytest.mark.soak
def test_the_end_is_pg_waldumps_wherever_wal_was_cut_off(killed: tuple[Server, list[Lsn]], tmp_path: Path) -> None:
    """Cut anywhere: within a header, a record, a page; the rest is zeros, or what a recycled segment held before."""
    server, positions = killed
    layout = server.layout()
    with support.folder() as folder:
        for turn in range(40 if os.environ.get("HAOP_SOAK") else 12):
            first, last = positions[0], positions[-1]
            cut = random.randrange(first.position + 1, last.position)
            wal = folder / f"wal{turn}"
            shutil.copytree(server.data / "pg_wal", wal)
            wal.chmod(0o755)
            number = cut // SEGMENT
            recycled = (wal / layout.name(first.position // SEGMENT)).read_bytes()
            for name in [path.name for path in wal.iterdir() if len(path.name) == 24]:
                (wal / name).chmod(0o644)
                if name > layout.name(number) and turn % 4:
                    (wal / name).write_bytes(recycled)
                elif name > layout.name(number):  # pg_waldump waits for it, for 5 s
                    (wal / name).unlink()
            path = wal / layout.name(number)
            content = path.read_bytes()[: cut % SEGMENT]
            rest = bytes(SEGMENT) if turn % 2 else recycled
            path.write_bytes(content + rest[cut % SEGMENT :])
            end = server.waldump_ends(wal, max(at for at in positions if at.position <= cut))
            known = [at for at in positions if at <= end]
            anywhere = Lsn(random.randrange(first.position, end.position + 1))
            for start in (random.choice(known), anywhere if is_written(wal, layout, anywhere) else end, end):
                assert Wal(reader(wal), layout).end(start) == end, f"cut at {Lsn(cut)}, from {start}"


@pytest.mark.parametrize("where", ["behind a torn record", "behind a switch"])
def test_what_a_recycled_segment_held_is_no_record(killed: tuple[Server, list[Lsn]], where: str) -> None:
    """It is whole, lies just where one would begin, and belongs to WAL of long before."""
    server, positions = killed
    layout = server.layout()
    with support.folder() as folder:
        wal = folder / "wal"
        shutil.copytree(server.data / "pg_wal", wal)
        for path in (wal, *wal.iterdir()):
            path.chmod(0o755)
        recycled = (wal / layout.name(positions[0].position // SEGMENT)).read_bytes()
        old = recycled[positions[0].position % SEGMENT :]
        old = old[: -(-int.from_bytes(old[:4], "little") // 8) * 8]
        assert Wal(reader(wal), layout).goes_on(positions[0]), "it is a whole record"
        at = next(places(wal, layout, positions, torn=where == "behind a torn record"))
        path = wal / layout.name(at // SEGMENT)
        content = path.read_bytes()[: at % SEGMENT]
        content = flipped(content, len(content) - 16) if where == "behind a torn record" else content
        path.write_bytes((content + old).ljust(SEGMENT, b"\0"))
        for later in wal.iterdir():
            if len(later.name) == 24 and later.name > path.name:
                later.write_bytes(recycled)
        start = max(each for each in positions if each.position < at - SEGMENT)
        end = server.waldump_ends(wal, start)
        assert end.position < at
        assert Wal(reader(wal), layout).end(start) == end


def places(wal: Path, layout: Layout, positions: list[Lsn], *, torn: bool) -> Iterator[int]:
    """Where the first record on a page begins: behind one that continues there, or behind the head of a segment."""
    for number in range(positions[0].position // SEGMENT + 2, positions[-1].position // SEGMENT):
        content = (wal / layout.name(number)).read_bytes()
        for page in range(PAGE, SEGMENT, PAGE) if torn else (0,):
            flags, address, left = (int.from_bytes(content[page + a : page + b], "little") for a, b in HEAD)
            if address == number * SEGMENT + page and flags & 1 == torn and left <= PAGE - 2000:
                begin = page + 24 + -(-left // 8) * 8 if torn else 40
                if not torn or left > 100:
                    yield number * SEGMENT + begin


HEAD = ((2, 4), (8, 16), (16, 20))  # flags, address, bytes of a record that was begun before


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 16]) + content[at + 16 :]


DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "bytes within a page": lambda content, at: flipped(content, at + 4000),
    "the head of a page": flipped,
    "a page of zeros": lambda content, at: content[:at] + bytes(PAGE) + content[at + PAGE :],
    "the rest of the segment": lambda content, at: content[:at] + bytes(SEGMENT - at),
    "the whole segment": lambda _, __: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_lies_beyond_damage_is_seen(
    killed: tuple[Server, list[Lsn]], damage: Callable[[bytes, int], bytes]
) -> None:
    """Whole WAL that follows damage is not the end of another: the server has written it since."""
    server, positions = killed
    layout = server.layout()
    last = server.waldump_ends(server.data / "pg_wal", positions[0])
    with support.folder() as folder:
        wal = folder / "wal"
        shutil.copytree(server.data / "pg_wal", wal)
        for path in (wal, *wal.iterdir()):
            path.chmod(0o755)
        for _ in range(2):
            start = random.choice(positions[:-12])
            where = random.randrange(start.position, positions[-8].position) // PAGE * PAGE
            path = wal / layout.name(where // SEGMENT)
            content = path.read_bytes()
            path.unlink()
            if left := damage(content, where % SEGMENT):
                path.write_bytes(left)
            found, end = Wal(reader(wal), layout), server.waldump_ends(wal, start)
            assert found.end(start) == last, f"damaged at {Lsn(where)}, from {start}"
            assert end == last or not found.goes_on(end)  # else it was what a switch had left empty
            path.write_bytes(content)


@pytest.mark.parametrize("major", [15, 18])
def test_who_is_killed_while_it_writes_leaves_nothing_beyond_the_end(major: int) -> None:
    """Also within a record of many pages, while others write theirs: that is no damage."""
    if major not in support.available():
        pytest.skip(f"PostgreSQL {major} is not on this machine")
    with support.folder() as folder:
        server = Server(folder, major)
        for _ in range(3):
            server.start()
            with server.connect() as link:
                link.execute("ALTER SYSTEM SET wal_keep_size = '4GB'")
                link.execute("SELECT pg_reload_conf()")
                row = link.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
            assert row
            writers = [threading.Thread(target=write_until_it_ends, args=(server,)) for _ in range(4)]
            for writer in writers:
                writer.start()
            time.sleep(random.uniform(0.1, 0.5))  # not a wait: anywhere in what they write
            end_at_once(server)
            for writer in writers:
                writer.join()
            start, wal = Lsn.parse(str(row[0])), server.data / "pg_wal"
            assert Wal(reader(wal), server.layout()).end(start) == server.waldump_ends(wal, start)


def write_until_it_ends(server: Server) -> None:
    with suppress(psycopg.Error), server.connect() as link:
        while True:
            size = random.choice((100, 3000, 500_000))
            link.execute("SELECT pg_logical_emit_message(true, 'x', repeat('y', %s))", [size])


def end_at_once(server: Server) -> None:
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family)
    (server.data / "postmaster.pid").unlink()


def test_what_is_gone_is_told(killed: tuple[Server, list[Lsn]]) -> None:
    server, positions = killed
    with pytest.raises(UnreadableWalError, match="it is gone, or damaged"):
        Wal(reader(server.data / "nowhere"), server.layout()).end(positions[0])
    with pytest.raises(UnreadableWalError):
        Wal(reader(server.data / "pg_wal"), server.layout()).end(Lsn(positions[-1].position + 40 * SEGMENT))


def test_the_names_of_segments_follow_the_timelines() -> None:
    from haop.model.status import Fork

    forks = (Fork(timeline=1, at=Lsn(5 * SEGMENT + 40)), Fork(timeline=2, at=Lsn(7 * SEGMENT)))
    layout = Layout(system=1, segment=SEGMENT, page=PAGE, timeline=3, forks=forks)
    told = [name[:8] + name[-2:] for name in layout.names(Lsn(4 * SEGMENT), Lsn(8 * SEGMENT + 1))]
    assert told == ["0000000104", "0000000205", "0000000206", "0000000307", "0000000308"]
