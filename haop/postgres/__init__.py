"""PostgreSQL: connections, questions, and the statements that change replication. The one home of psycopg."""
