"""What Alembic runs: the revisions, on the connection that `database.py` gives it, within its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="traffic_version")
with context.begin_transaction():
    context.run_migrations()
