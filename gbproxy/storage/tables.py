"""Every table. The migrations make the same (tests/storage/test_migrations.py compares them)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    func,
)

from gbproxy.domain.account import ID_IN_KEY, IDENTITY_CHARS

REVISION = "0010"  # the newest migration: what these tables are


class Instant(TypeDecorator[float]):
    """A point in time: Unix seconds in Python, UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> float | None:
        if value is None:
            return None
        # SQLite gives back what it was given, without the zone.
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def has_id(account_key: Column[str], account_id: BindParameter[str]) -> ColumnElement[bool]:
    """True for a row of the account with this id, whichever upstream identity it had then."""
    return func.substr(account_key, ID_IN_KEY + 1) == account_id


def has_identity(account_key: Column[str], identities: BindParameter[str]) -> ColumnElement[bool]:
    """True for a row of an account with one of these upstream identities, whatever its id was."""
    return func.substr(account_key, 1, IDENTITY_CHARS).in_(identities)


accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("upstream", String, nullable=False),
    Column("credential", LargeBinary, nullable=False),  # encrypted JSON, which the upstream reads
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# Accounts of the environment that were disabled or enabled by hand.
enabled_overrides = Table(
    "enabled_overrides",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("is_active", Boolean, nullable=False),
)

# Client keys that administrators have created. None: no limit.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of the key, which is kept nowhere
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("models", String),  # JSON: ids
    Column("rate_limit", String),  # such as 60/hour
    Column("tokens_per_day", BigInteger),
    Column("concurrent_streams", Integer),
)

# `account_key` is Account.account_key: the upstream identity and the account's id.

cookies = Table(
    "cookies",
    metadata,
    Column("account_key", String, primary_key=True),
    # digest of the credential in whose place they are used
    Column("replaces", String, nullable=False),
    Column("cookies", LargeBinary, nullable=False),  # encrypted
    Column("renewed_at", Instant, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("account_key", String, primary_key=True),
    Column("credential", String, nullable=False),  # digest of the credential that bought it
    Column("bearer", LargeBinary, nullable=False),  # encrypted
    Column("signed_at", Instant, nullable=False),
)

account_states = Table(
    "account_states",
    metadata,
    Column("account_key", String, primary_key=True),
    Column("quota", String, primary_key=True),  # "": the account as a whole
    Column("state", String, nullable=False),
    Column("cooling_until", Instant),
    Column("consecutive_failures", Integer, nullable=False),
    Column("probe_until", Instant),
    Column("cause", String, nullable=False),
    Column("credential", String, nullable=False),  # digest of what was refused
    Column("changed_at", Instant, nullable=False),
)

account_uses = Table(
    "account_uses",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("last_used_at", Instant),
    Column("last_error", String),
    Column("last_error_at", Instant),
    Column("last_error_said", JSON(none_as_null=True)),  # UpstreamWords.safe
)

# The last check of each account's credential.
account_checks = Table(
    "account_checks",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("credential", String, nullable=False),  # digest of what was checked
    Column("status", String, nullable=False),  # valid, refused, unknown
    Column("detail", String, nullable=False),
    Column("checked_at", Instant, nullable=False),
    Column("said", JSON(none_as_null=True)),  # UpstreamWords.safe
)

# Which models and tools each account has been found to have.
account_support = Table(
    "account_support",
    metadata,
    Column("account_key", String, primary_key=True),
    # One of: "configuration", "model:<upstream id>", "tool:<key of toolsSpec>".
    Column("subject", String, primary_key=True),
    Column("finding", String, nullable=False),  # of the configuration: JSON; else a verdict
    Column("noted_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_key", String, nullable=False),
    Column("name", String, nullable=False),
    Column("conversation", String, nullable=False),
    Column("key_digest", LargeBinary),  # of the API key
    Column("history_digest", LargeBinary),  # of all that it holds
    Column("files", String),  # JSON: what it holds of files (domain/session_files.py)
    Column("state", String, nullable=False),  # prewarmed, running, idle, deleting
    Column("holder", String),  # the worker that has it; None while idle or deleting
    Column("attempts", Integer, nullable=False),
    Column("not_before", Instant),
    Column("created_at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Column("last_turn_at", Instant),
    Column("expires_at", Instant),
    Column("files_until", Instant),  # links to files that it holds are valid until then
    # With all columns of a claim: SQLite would otherwise choose an index that walks through every
    # idle session.
    Index(None, "history_digest", "state", "expires_at"),
    Index(None, "conversation", "state", "expires_at"),
    Index(None, "state", "expires_at"),
    Index(None, "state", "not_before"),
)

# Responses that clients go on from, or read again.
responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("key_digest", LargeBinary, nullable=False),  # of the API key that made it
    Column("previous_id", String),
    Column("size", Integer, nullable=False),  # bytes of `content`
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # Encrypted JSON. Last: what stands behind it is slow to reach in SQLite.
    Column("content", LargeBinary, nullable=False),
    Index(None, "expires_at"),
    Index(None, "key_digest", "expires_at", "size"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("heartbeat_at", Instant, nullable=False),
    Column("in_flight", String),  # JSON: how many answers run on each account
)

# One version counter per topic.
changes = Table(
    "changes",
    metadata,
    Column("topic", String, primary_key=True),
    Column("version", Integer, nullable=False),
)

# What is known of the database itself: by `secret_key`, a value that the key in use has encrypted.
metadata_entries = Table(
    "metadata",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
