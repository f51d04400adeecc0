"""The upstream's own words, beside the sentences about accounts and their checks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("account_uses", sa.Column("last_error_said", sa.JSON))
    op.add_column("account_checks", sa.Column("said", sa.JSON))
