"""How much each account and key is used, and the kind of an account's last error."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "hourly_use",
        sa.Column("hour", _TIME, primary_key=True),
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("quota", sa.String, primary_key=True),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
    )
    op.add_column("account_uses", sa.Column("last_error_kind", sa.String))
