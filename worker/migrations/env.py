"""Runs the migrations inside the transaction that `Store.migrate` holds."""

from alembic import context

from worker.store import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by copying it, and can do so inside a transaction.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
