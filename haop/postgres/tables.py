"""The tables of a database, and the statements that compare them between nodes."""

from collections.abc import Iterator, Sequence

from psycopg import sql
from psycopg.rows import class_row

from haop.model.checking import TableName
from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query

# Locks are taken from a table that all sessions of a server share; and the more are read, the longer writers wait.
_TOGETHER_AT_MOST = 100
_BYTES_TOGETHER = 64 * 2**20


def listed(connection: BoundedConnection) -> tuple[TableName, ...]:
    """Those that hold rows themselves. Raises what the driver raises."""
    with connection.cursor(row_factory=class_row(TableName)) as cursor:
        return tuple(cursor.execute(query("tables")))


def together(wanted: Sequence[TableName]) -> Iterator[Sequence[TableName]]:
    """Tables that are had at one position: many small ones, else one. A materialized view is by itself."""
    group: list[TableName] = []
    size = 0
    for table in wanted:
        if group and (table.materialized or len(group) == _TOGETHER_AT_MOST or size + table.bytes > _BYTES_TOGETHER):
            yield group
            group, size = [], 0
        group.append(table)
        size += _BYTES_TOGETHER if table.materialized else table.bytes
    if group:
        yield group


def locking(group: Sequence[TableName]) -> sql.Composed:
    """Begin, and keep writers out. Several tables are had at once or not: none is held while another is waited for."""
    wait = sql.SQL(" NOWAIT" if len(group) > 1 else "")
    return sql.SQL("BEGIN; LOCK TABLE {} IN SHARE MODE{}").format(_named(group), wait)


def opening(group: Sequence[TableName]) -> sql.Composed:
    """Begin with a snapshot, and locks that keep the tables from being truncated or rewritten before they are read."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}"
    if group[0].materialized:
        return sql.SQL(begin).format(sql.SQL("SELECT FROM ONLY {} LIMIT 0").format(_identifier(group[0])))
    return sql.SQL(begin).format(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE; SELECT").format(_named(group)))


def reading(group: Sequence[TableName], *, contents: bool) -> sql.Composed:
    """Of each its number, rows, a checksum that does not depend on their order, and of a materialized view its refresh.

    A refresh renews the row in pg_class; it may put other files in place after the snapshot, which the server's own
    memory of them (`pg_relation_filenode`) tells.
    """
    checksum = 'coalesce(sum(hashtextextended(ROW(t.*)::text COLLATE "C", 0)::numeric), 0)::text'
    version = sql.SQL(
        "(SELECT concat_ws('/', xmin, relfilenode, pg_relation_filenode(oid)) FROM pg_class WHERE oid = {}::regclass)"
    )
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*), {}, {} FROM ONLY {} AS t").format(
            sql.Literal(number),
            sql.SQL(checksum if contents else "NULL"),
            version.format(sql.Literal(table.quoted)) if table.materialized else sql.Literal(""),
            _identifier(table),
        )
        for number, table in enumerate(group)
    )


def _named(group: Sequence[TableName]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("ONLY {}").format(_identifier(table)) for table in group)


def _identifier(table: TableName) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
