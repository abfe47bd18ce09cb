"""The tables of a database, and the statements that compare them between nodes."""

from psycopg import sql
from psycopg.rows import class_row

from haop.model.checking import TableName
from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query


def listed(connection: BoundedConnection) -> tuple[TableName, ...]:
    """Those that hold rows themselves. Raises what the driver raises."""
    with connection.cursor(row_factory=class_row(TableName)) as cursor:
        return tuple(cursor.execute(query("tables")))


def locking(table: TableName) -> sql.Composed:
    """Begin, and keep writers out."""
    return sql.SQL("BEGIN; LOCK TABLE ONLY {} IN SHARE MODE").format(_identifier(table))


def opening(table: TableName) -> sql.Composed:
    """Begin with a snapshot, and a lock that keeps the table from being truncated or rewritten before it is read."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT FROM ONLY {} LIMIT 0"
    return sql.SQL(begin).format(_identifier(table))


def reading(table: TableName, *, contents: bool) -> sql.Composed:
    """Rows, a checksum that does not depend on their order, and which refresh of a materialized view it is.

    A refresh renews the row in pg_class; it may put other files in place after the snapshot, which the server's own
    memory of them (`pg_relation_filenode`) tells.
    """
    checksum = 'coalesce(sum(hashtextextended(ROW(t.*)::text COLLATE "C", 0)::numeric), 0)::text'
    version = sql.SQL(
        "(SELECT concat_ws('/', xmin, relfilenode, pg_relation_filenode(oid)) FROM pg_class WHERE oid = {}::regclass)"
    )
    return sql.SQL("SELECT count(*), {}, {} FROM ONLY {} AS t").format(
        sql.SQL(checksum if contents else "NULL"),
        version.format(sql.Literal(table.quoted)) if table.materialized else sql.Literal(""),
        _identifier(table),
    )


def _identifier(table: TableName) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
