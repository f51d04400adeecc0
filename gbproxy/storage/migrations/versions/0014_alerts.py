"""Open alerts, and the times of the accounts' credentials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("account_key", sa.String, primary_key=True),
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME),
    )
    op.create_table(
        "credential_times",
        sa.Column("account_key", sa.String, primary_key=True),
        sa.Column("credential", sa.String, nullable=False),
        sa.Column("given_at", _TIME, nullable=False),
        sa.Column("probed_at", _TIME),
    )
