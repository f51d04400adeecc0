"""Responses of the Responses API, which later requests continue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("key_digest", sa.LargeBinary, nullable=False),
        sa.Column("previous_id", sa.String),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_responses_expires_at", "responses", ["expires_at"])
    op.create_index(
        "ix_responses_key_digest_expires_at_size",
        "responses",
        ["key_digest", "expires_at", "size"],
    )
