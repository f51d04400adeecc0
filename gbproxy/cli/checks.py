"""Checks of `gbproxy doctor`: settings, database, limits, credentials; the network's are in
`network_checks`.

Nothing is changed, but that a sign-in stores renewed cookies and tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from gbproxy.domain.account import Account
from gbproxy.domain.models import built_in_names
from gbproxy.errors import CredentialRefused, GatewayError, StorageUnavailable
from gbproxy.rate_limits.store import open_store
from gbproxy.settings import Settings, SettingsError, load
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare as preparation
from gbproxy.storage.tables import REVISION

Level = Literal["ok", "warn", "fail"]
LEVELS: Sequence[Level] = ("ok", "warn", "fail")
_PROBES_AT_ONCE = 8
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, without secrets; `advice` says what to do about it."""

    level: Level
    check: str
    detail: str
    advice: str = ""


def worst(findings: Sequence[Finding]) -> Level:
    """The most serious level; "ok" for none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def check_settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """The settings, or None and one finding for each mistake in them."""
    try:
        settings = load(environ, built_in_names())
    except SettingsError as error:
        problems = (problem.partition(": ") for problem in error.problems)
        return None, [
            Finding("fail", name, text, "Correct it: docs/settings.md.")
            for name, _, text in problems
        ]
    return settings, [Finding("ok", "settings", _summary(settings)), *_doubts(settings)]


def _summary(settings: Settings) -> str:
    accounts = _count(len(settings.accounts), "account")
    keys = _count(len(settings.api_keys), "client key")
    workers = _count(settings.web_concurrency, "worker")
    return f"{accounts} and {keys} in the environment, {workers}"


def _doubts(settings: Settings) -> Iterator[Finding]:
    if not settings.accounts and not (settings.database_url or settings.admin_key):
        advice = (
            "Set SECURE_C_SES, CSESIDX and CONFIG_ID (and HOST_C_OSES), or ACCOUNTS:"
            " docs/getting-started.md."
        )
        yield Finding("fail", "accounts", "there is no account to answer with", advice)
    if not settings.api_keys:
        advice = "Set API_KEYS to a key of your own, so that it stays the same."
        yield Finding(
            "warn", "API_KEYS", "not set: each start makes a key and prints it on stderr", advice
        )
    if settings.ignored:
        advice = "Remove them; nothing depends on them."
        yield Finding(
            "warn", "settings", f"set without effect: {', '.join(settings.ignored)}", advice
        )


def check_database(settings: Settings) -> tuple[bool, Finding]:
    """Whether the database can be used as it is, and what was found."""
    url = settings.database_address
    if not outlives_the_process(url):
        return False, Finding(
            "ok", "database", "none that outlives the process: a private one is made at each start"
        )
    try:
        seen = preparation.inspect(url, settings.encryption_keys)
    except preparation.CannotBeUsed as error:
        advice = (
            "See whether the server runs, and whether DATABASE_URL names it rightly, with its user"
            " and password."
        )
        return False, Finding("fail", "database", str(error).removeprefix("DATABASE_URL: "), advice)
    kind = _DATABASES[seen.kind]
    if seen.key_fits is False:
        advice = (
            "Give the key that this database was used with; a new one goes in front of it,"
            " separated by a comma."
        )
        return False, Finding(
            "fail", "SECRET_KEY", "none of its keys has encrypted what the database holds", advice
        )
    if seen.revision is None:
        return False, Finding(
            "warn", "database", f"{kind}, still empty", "gbproxy migrate, or a start, prepares it."
        )
    if seen.revision < REVISION:
        advice = "gbproxy migrate, or a start, brings it up to date. Keep a copy."
        return False, Finding(
            "warn", "database", f"{kind}, at revision {seen.revision}, not {REVISION}", advice
        )
    if seen.revision != REVISION:
        advice = "Use the newer version of gbproxy that it was made by."
        return False, Finding(
            "fail",
            "database",
            f"{kind}, at revision {seen.revision}, newer than {REVISION}",
            advice,
        )
    return True, Finding("ok", "database", f"{kind}, at revision {seen.revision}")


def check_limits(settings: Settings, *, has_database: bool) -> list[Finding]:
    """Check that limits can be counted: in Redis, or without it in a single worker."""
    url = settings.database_address if has_database else ""
    if settings.redis_url is not None:
        return [_redis(settings.redis_url.get_secret_value())]
    try:
        limited = preparation.limited_keys(url) if url and settings.web_concurrency > 1 else ()
    except preparation.CannotBeUsed as error:
        return [Finding("fail", "database", str(error).removeprefix("DATABASE_URL: "))]
    if not limited:
        return []
    what = (
        f"these client keys have limits, which {settings.web_concurrency} workers cannot count:"
        f" {', '.join(limited)}"
    )
    return [
        Finding(
            "fail", "REDIS_URL", what, "Set REDIS_URL, or WEB_CONCURRENCY to 1, or revoke the keys."
        )
    ]


def _redis(url: str) -> Finding:
    begun = time.monotonic()
    try:
        open_store(url).read("doctor")
    except StorageUnavailable as error:
        what = f"cannot be used ({type(error.__cause__).__name__}); until then nobody's limits hold"
        return Finding(
            "fail",
            "redis",
            what,
            "See whether the server runs, and whether REDIS_URL names it rightly.",
        )
    return Finding("ok", "redis", f"answers, in {1000 * (time.monotonic() - begun):.0f} ms")


def check_credentials(
    accounts: Sequence[Account], probe: Callable[[Account], None]
) -> list[Finding]:
    """Call `probe`, which asks the upstream, for each account at once."""
    if not accounts:
        return []
    with ThreadPoolExecutor(_PROBES_AT_ONCE, "doctor") as threads:
        return list(threads.map(lambda account: _credential(account, probe), accounts))


def _credential(account: Account, probe: Callable[[Account], None]) -> Finding:
    name = f"account {account.name}"
    try:
        probe(account)
    except CredentialRefused as error:
        what, stop, advice = error.message.partition(". ")
        return Finding(
            "fail",
            name,
            what,
            advice if stop else "Compare its values with your browser's: docs/getting-started.md.",
        )
    except GatewayError as error:
        return Finding(
            "warn",
            name,
            f"not known: {error.message}",
            "Try again; this says nothing about its cookies.",
        )
    return Finding("ok", name, "signed in, and its sessions can be listed")


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"
