"""Until when the links to a session's files are valid, before which it is not deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("files_until", sa.DateTime(timezone=True)))
