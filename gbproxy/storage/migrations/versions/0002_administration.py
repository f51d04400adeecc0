"""Administration: changes that workers look for, answers in flight, checks of credentials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.add_column("workers", sa.Column("in_flight", sa.String))
    op.create_table(
        "account_checks",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("credential", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("checked_at", _TIME, nullable=False),
    )
