"""Tables, columns and states of sessions by the names that the field has for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime(timezone=True)
_COLUMNS = [
    ("cookies", "account_id", "account_key"),
    ("tokens", "account_id", "account_key"),
    ("account_support", "account_id", "account_key"),
    ("account_states", "account_id", "account_key"),
    ("account_states", "strikes", "consecutive_failures"),
    ("account_states", "trial_until", "probe_until"),
    ("sessions", "account_id", "account_key"),
    ("sessions", "head", "history_digest"),
    ("sessions", "caller", "key_digest"),
    ("sessions", "tries", "attempts"),
    ("sessions", "made_at", "created_at"),
    ("sessions", "held_at", "claimed_at"),
    ("workers", "seen_at", "heartbeat_at"),
]


def upgrade() -> None:
    op.drop_index("ix_sessions_head_state_expires_at", "sessions")
    for table, before, after in _COLUMNS:
        op.alter_column(table, before, new_column_name=after)
    op.create_index(
        "ix_sessions_history_digest_state_expires_at",
        "sessions",
        ["history_digest", "state", "expires_at"],
    )
    op.execute("UPDATE sessions SET state = 'prewarmed' WHERE state = 'stock'")
    op.execute("UPDATE sessions SET state = 'deleting' WHERE state = 'doomed'")
    op.create_table(
        "enabled_overrides",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("is_active", sa.Boolean, nullable=False),
    )
    op.execute("INSERT INTO enabled_overrides SELECT account_id, is_active FROM account_switches")
    op.drop_table("account_switches")
    op.create_table(
        "metadata",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.execute("INSERT INTO metadata SELECT name, value FROM facts")
    op.drop_table("facts")
    # Nothing to copy: a lease lasts for seconds, and no worker runs while this does.
    op.drop_table("offices")
    op.create_table(
        "leases",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
    )
