"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("csesidx", sa.String, nullable=False),
        sa.Column("config_id", sa.String, nullable=False),
        sa.Column("credentials", sa.LargeBinary, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "account_switches",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("is_active", sa.Boolean, nullable=False),
    )
    op.create_table(
        "cookies",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("replaces", sa.String, nullable=False),
        sa.Column("cookies", sa.LargeBinary, nullable=False),
        sa.Column("renewed_at", _TIME, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("credential", sa.String, nullable=False),
        sa.Column("bearer", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", _TIME, nullable=False),
    )
    op.create_table(
        "account_states",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("quota", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("cooling_until", _TIME),
        sa.Column("strikes", sa.Integer, nullable=False),
        sa.Column("trial_until", _TIME),
        sa.Column("cause", sa.String, nullable=False),
        sa.Column("credential", sa.String, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )
    op.create_table(
        "account_uses",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("last_used_at", _TIME),
        sa.Column("last_error", sa.String),
        sa.Column("last_error_at", _TIME),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("conversation", sa.String, nullable=False),
        sa.Column("caller", sa.LargeBinary),
        sa.Column("head", sa.LargeBinary),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("holder", sa.String),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("not_before", _TIME),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("held_at", _TIME),
        sa.Column("last_turn_at", _TIME),
        sa.Column("expires_at", _TIME),
    )
    op.create_index(
        "ix_sessions_head_state_expires_at", "sessions", ["head", "state", "expires_at"]
    )
    op.create_index(
        "ix_sessions_conversation_state_expires_at",
        "sessions",
        ["conversation", "state", "expires_at"],
    )
    op.create_index("ix_sessions_state_expires_at", "sessions", ["state", "expires_at"])
    op.create_index("ix_sessions_state_not_before", "sessions", ["state", "not_before"])
    op.create_table(
        "offices",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("until", _TIME, nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("seen_at", _TIME, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
