"""The networks that a client key may be used from, and the audit lines of commands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("allowed_addresses", sa.String))
    op.create_table(
        "untold_changes",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", sa.String, nullable=False),
    )
