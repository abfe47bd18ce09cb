"""What a server has read of its `pg_hba.conf`."""

from psycopg.rows import dict_row

from haop.model.hba import Rule
from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query


def rules(connection: BoundedConnection) -> tuple[Rule, ...]:
    """Its lines, in their order. Raises what the driver raises."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(Rule(**{**row, "databases": tuple(row["databases"])}) for row in cursor.execute(query("hba")))
