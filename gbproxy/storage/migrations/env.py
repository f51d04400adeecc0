"""Runs the migrations for alembic: on the connection of gbproxy/storage/migrate.py, inside of its
transaction.
"""

from __future__ import annotations

from alembic import context

from gbproxy.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    transactional_ddl=True,
)
context.run_migrations()
