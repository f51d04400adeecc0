"""The log of requests, without contents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "request_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("key", sa.String),
        sa.Column("key_name", sa.String),
        sa.Column("surface", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("account", sa.String),
        sa.Column("account_name", sa.String),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("code", sa.String),
        sa.Column("ttft_ms", sa.Integer),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("is_streamed", sa.Boolean, nullable=False),
    )
    op.create_index("ix_request_log_request_id", "request_log", ["request_id"])
    for name in ("key", "model", "account", "status", "code"):
        op.create_index(f"ix_request_log_{name}_id", "request_log", [name, "id"])
