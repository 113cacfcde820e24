"""Run migrations on the connection that `data.database.Database` hands over."""

from alembic import context

from data.revisions import own_schema
from data.schema import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table_schema=own_schema(connection),
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
