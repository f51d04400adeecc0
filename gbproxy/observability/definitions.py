"""Every metric by name, with kind, labels and buckets. docs/operations.md explains them.

Those for generative AI are OpenTelemetry's, in Prometheus' spelling, with the limits of their
buckets; answers here may be long, so some have further ones. The text of `help` is stored with each
value in each worker: a few words.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gbproxy.observability import names


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `name` as it is exposed, a counter's with `_total`."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_DURATION = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 1310.72,
)  # fmt: skip
_FIRST = (0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_EACH = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


def _spelled(name: str, *unit: str) -> str:
    """A name of OpenTelemetry's as Prometheus has it."""
    return "_".join((*name.split("."), *unit))


_OPERATION = (
    _spelled(names.OPERATION),
    _spelled(names.PROVIDER),
    _spelled(names.REQUEST_MODEL),
)
_ERROR_TYPE = _spelled(names.ERROR_TYPE)

REQUESTS = Family(
    "counter",
    "gbproxy_requests_total",
    ("surface", "model", "status", "code"),
    "Requests that are over",
)
OVERHEAD = Family(
    "histogram", "gbproxy_overhead_seconds", ("surface",), "Time of the gateway's own", _SHORT
)
ACCOUNT_WAIT = Family(
    "histogram", "gbproxy_account_wait_seconds", (), "Waiting for a free account", _WAITS
)
ATTEMPTS = Family(
    "counter", "gbproxy_attempts_total", ("result", "upstream_status"), "Tries upstream"
)
FAILOVERS = Family("counter", "gbproxy_failovers_total", (), "Further accounts asked")
CLIENTS_GONE = Family(
    "counter", "gbproxy_clients_gone_total", ("phase",), "Clients that left early"
)
ANSWERS = Family("gauge", "gbproxy_answers_in_flight", ("kind",), "Answers being made")
UPSTREAM_CALLS = Family(
    "counter", "gbproxy_upstream_calls_total", ("verb", "result"), "Calls to the upstream"
)
TOKEN_REFRESHES = Family(
    "counter", "gbproxy_token_refreshes_total", ("result",), "Sign-ins for a token"
)
ACCOUNT_CHANGES = Family(
    "counter",
    "gbproxy_account_changes_total",
    ("state", "quota", "cause"),
    "What was learnt of accounts",
)
ACCOUNTS = Family("gauge", "gbproxy_accounts", ("state",), "Accounts in this state")
ACCOUNT_STATE = Family(
    "gauge", "gbproxy_account_state", ("account", "state"), "1 for the state that it is in"
)
ACCOUNT_COOLING = Family(
    "gauge",
    "gbproxy_account_cooling_until_timestamp_seconds",
    ("account", "quota"),
    "End of a cooldown",
)
ACCOUNT_COOKIES = Family(
    "gauge",
    "gbproxy_account_cookies_timestamp_seconds",
    ("account",),
    "Cookies given or renewed",
)
ACCOUNT_CHECKED = Family(
    "gauge", "gbproxy_account_checked_timestamp_seconds", ("account",), "Last check or sign-in"
)
ACCOUNT_ANSWERS = Family(
    "gauge", "gbproxy_account_in_flight", ("account",), "Answers running on an account"
)
CONVERSATIONS = Family(
    "counter", "gbproxy_conversations_total", ("outcome",), "How requests found their session"
)
DATABASE_FAILURES = Family("counter", "gbproxy_database_failures_total", (), "Calls that failed")
DATABASE_UP = Family("gauge", "gbproxy_database_up", (), "0 while the database is away")
LIMITED = Family("counter", "gbproxy_limited_total", ("kind",), "Requests refused by a limit")
ALERTS = Family("counter", "gbproxy_alerts_total", ("webhook", "result"), "Alerts to webhooks")
WORKER_STARTS = Family("counter", "gbproxy_worker_starts_total", (), "Workers started")
BUILD = Family("gauge", "gbproxy_build_info", ("version", "python"), "Always 1")

DURATION = Family(
    "histogram",
    _spelled(names.REQUEST_DURATION, "seconds"),
    (*_OPERATION, _ERROR_TYPE),
    "Whole answers",
    _DURATION,
)
FIRST_TOKEN = Family(
    "histogram",
    _spelled(names.TIME_TO_FIRST_TOKEN, "seconds"),
    _OPERATION,
    "To the first text",
    _FIRST,
)
EACH_TOKEN = Family(
    "histogram",
    _spelled(names.TIME_PER_OUTPUT_TOKEN, "seconds"),
    _OPERATION,
    "After the first",
    _EACH,
)
TOKENS = Family(
    "histogram",
    _spelled(names.TOKEN_USAGE),
    (*_OPERATION, _spelled(names.TOKEN_TYPE)),
    "Tokens, estimated",
    _TOKENS,
)

FAMILIES = tuple(value for value in list(globals().values()) if isinstance(value, Family))
COUNTED = tuple(
    family
    for family in FAMILIES
    if family
    not in (
        ACCOUNTS,
        ACCOUNT_STATE,
        ACCOUNT_COOLING,
        ACCOUNT_COOKIES,
        ACCOUNT_CHECKED,
        DATABASE_UP,
        BUILD,
    )
)
