"""Every table. The migrations make the same (tests/storage/test_migrations.py compares them)."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from gbproxy.storage.columns import Instant

REVISION = "0016"  # the newest migration: what these tables are

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

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
    Column("allowed_addresses", String),  # JSON: networks
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
    Column("last_error_kind", String),  # GatewayError.kind
)

# Answers that began, and their tokens, by the hour: what administrators see of a day.
hourly_use = Table(
    "hourly_use",
    metadata,
    Column("hour", Instant, primary_key=True),  # its beginning
    Column("account_id", String, primary_key=True),
    Column("key", String, primary_key=True),  # fingerprint of the API key
    Column("quota", String, primary_key=True),
    Column("answers", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
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

# When the sign-in in use was given, and when it was probed last.
credential_times = Table(
    "credential_times",
    metadata,
    Column("account_key", String, primary_key=True),
    Column("credential", String, nullable=False),  # Account.sign_in_fingerprint
    Column("given_at", Instant, nullable=False),
    Column("probed_at", Instant),
)

# What operators were told, and whether it is over.
alerts = Table(
    "alerts",
    metadata,
    Column("kind", String, primary_key=True),
    Column("account_key", String, primary_key=True),  # "": of no account
    # Of an account: a quota's scope. Of none: a digest of the accounts or the Redis it is about.
    Column("scope", String, primary_key=True),
    Column("is_open", Boolean, nullable=False),
    Column("opened_at", Instant, nullable=False),  # when that was told last
    Column("closed_at", Instant),
    Column("seen_at", Instant),  # when a gateway that can judge it last found it so
    Column("untold_since", Instant),  # since when the last message is being sent; NULL: that ended
    Column("sent_at", Instant),  # when a webhook has last taken one
    Column("failed_at", Instant),  # when no webhook has taken the last one
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
    Column("size", Integer, nullable=False),  # bytes of `content` and of what stands in chunks
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # Encrypted JSON. Last: what stands behind it is slow to reach in SQLite.
    Column("content", LargeBinary, nullable=False),
    Index(None, "expires_at"),
    Index(None, "key_digest", "expires_at", "size"),
)

# Files that clients have uploaded, or begun to.
files = Table(
    "files",
    metadata,
    Column("id", String, primary_key=True),
    Column("key_digest", LargeBinary, nullable=False),  # of the API key that made it
    Column("purpose", String, nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes that have come
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("about", LargeBinary, nullable=False),  # encrypted JSON: its name and so on
    Index(None, "expires_at"),
    Index(None, "key_digest", "created_at", "size"),
)

# Of files, and of the large values of responses: under "response:" and the response's id.
file_chunks = Table(
    "file_chunks",
    metadata,
    Column("file_id", String, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # of its bytes in the file
    Column("content", LargeBinary, nullable=False),  # encrypted
)

# Requests that are over, without contents.
request_log = Table(
    "request_log",
    metadata,
    # When it was over: microseconds since 1970, times 1024, and a number. So the rows lie in
    # the order of time, and what is written twice after an outage is there once.
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False
    ),
    Column("request_id", String, nullable=False),
    Column("key", String),  # its fingerprint
    Column("key_name", String),
    Column("surface", String, nullable=False),
    Column("model", String),
    Column("account", String),  # its id
    Column("account_name", String),
    Column("status", Integer, nullable=False),
    Column("code", String),  # of its error
    Column("ttft_ms", Integer),
    Column("duration_ms", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("attempts", Integer, nullable=False),
    Column("is_streamed", Boolean, nullable=False),
    Index(None, "request_id"),
    Index(None, "key", "id"),
    Index(None, "model", "id"),
    Index(None, "account", "id"),
    Index(None, "status", "id"),
    Index(None, "code", "id"),
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

# Audit lines of commands, until a gateway's log has them.
untold_changes = Table(
    "untold_changes",
    metadata,
    Column("id", String, primary_key=True),
    Column("made_at", Instant, nullable=False),
    Column("facts", String, nullable=False),  # JSON
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
