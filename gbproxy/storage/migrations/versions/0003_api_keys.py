"""Client keys that administrators create."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("models", sa.String),
        sa.Column("rate_limit", sa.String),
        sa.Column("tokens_per_day", sa.BigInteger),
        sa.Column("concurrent_streams", sa.Integer),
        sa.UniqueConstraint("digest"),
    )
