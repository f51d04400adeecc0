"""When an open alert was last found so, since when its last message is being sent, and what became
of that.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("alerts", sa.Column("seen_at", _TIME))
    op.add_column("alerts", sa.Column("untold_since", _TIME))
    op.add_column("alerts", sa.Column("sent_at", _TIME))
    op.add_column("alerts", sa.Column("failed_at", _TIME))
