"""Checks of `gbproxy doctor` that change nothing: settings, database, limits, network, clock."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from gbproxy.domain.catalogue import built_in_names
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.rate_limits import open_store
from gbproxy.settings import Settings, SettingsError, load
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare
from gbproxy.storage.tables import REVISION
from gbproxy.upstreams.widget.credential import EDITIONS

Level = Literal["ok", "warn", "fail"]
LEVELS: Sequence[Level] = ("ok", "warn", "fail")
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_TIMEOUTS = Timeouts(connect_s=10, read_s=15, request_s=30)
CLOCK_TOLERANCE_S = 5.0  # Date has whole seconds, and the answer was on its way
# By words of outbound's messages; the last holds for all others.
_ADVICE = {
    "PROXY": "See whether the proxy runs, and whether PROXY names it rightly, with its user and"
    " password.",
    "TLS": "Something between here and there may open TLS: give its certificates by CA_BUNDLE."
    " Look at the clock, too.",
    "": "See whether this machine may reach that address: firewall, DNS, PROXY if there has to"
    " be one.",
}


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


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


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
    for webhook in settings.alert_webhooks:
        if webhook.is_unencrypted:
            what = f"{webhook.host} is sent its secret without TLS, for all on the way to read"
            yield Finding("warn", "ALERT_WEBHOOK", what, "Let its address begin with https://.")
    if settings.ignored:
        advice = "Remove them; nothing depends on them."
        yield Finding(
            "warn", "settings", f"set without effect: {', '.join(settings.ignored)}", advice
        )


def check_database(settings: Settings) -> tuple[bool, Finding]:
    """Look at the database without changing it; True if the gateway can use it as it is."""
    url = settings.database_address
    if not outlives_the_process(url):
        return False, Finding(
            "ok", "database", "none that outlives the process: a private one is made at each start"
        )
    try:
        seen = prepare.inspect(url, settings.encryption_keys)
    except prepare.CannotBeUsed as error:
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
        limited = prepare.limited_keys(url) if url and settings.web_concurrency > 1 else ()
    except prepare.CannotBeUsed as error:
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


def check_network(settings: Settings, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Ask the hosts of the upstream, and compare their clock with ours."""
    proxy = settings.proxy.get_secret_value() if settings.proxy else None
    client = HttpClient(_TIMEOUTS, proxy=proxy, ca_bundle=settings.ca_bundle, pool_size=2)
    try:
        reached = [
            _reach(client, name, url, clock, by_proxy=proxy is not None)
            for name, url in _hosts(settings)
        ]
    finally:
        client.close()
    offsets = [offset_s for _, offset_s in reached if offset_s is not None]
    return [*(finding for finding, _ in reached), *(_clock(offset_s) for offset_s in offsets[:1])]


def _hosts(settings: Settings) -> list[tuple[str, str]]:
    """Pairs of a setting and an address: the setting's value, or where it is unset the addresses of
    the editions that the environment's accounts have.
    """
    names = {account.edition for account in settings.accounts} or {"business"}
    editions = [edition for name, edition in EDITIONS.items() if name in names]
    pages = (
        [settings.gemini_business_url]
        if settings.gemini_business_url
        else [edition.page_url for edition in editions]
    )
    apis = (
        [settings.api_base_url]
        if settings.api_base_url
        else [edition.api_base_url for edition in editions]
    )
    return [
        *(("GEMINI_BUSINESS_URL", f"{url}/") for url in pages),
        *(("API_BASE_URL", f"{url}/") for url in apis),
    ]


def _reach(
    client: HttpClient, name: str, url: str, clock: Callable[[], float], *, by_proxy: bool
) -> tuple[Finding, float | None]:
    """Ask an address; any status counts as an answer. Returns the finding, and the seconds that its
    clock is ahead of ours.
    """
    parts = urlsplit(url)
    fault = None if by_proxy else _unresolved(parts)
    if fault is not None:
        advice = (
            f"Look at the name in {name}, and at this machine's DNS; PROXY, if there has to be one,"
            " is not set."
        )
        return (
            Finding("fail", name, f"the name {parts.hostname} cannot be resolved: {fault}", advice),
            None,
        )
    begun = time.monotonic()
    try:
        with client.stream("GET", url, {"Accept-Encoding": "identity"}) as reply:
            elapsed_ms = 1000 * (time.monotonic() - begun)
            offset_s = clock_offset_s(reply.headers.get("Date", ""), clock())
    except GatewayError as error:
        return (
            Finding("fail", name, f"{parts.netloc}: {error.message}", _advice(error.message)),
            None,
        )
    way = ("over TLS" if parts.scheme == "https" else "without TLS") + (
        ", through PROXY" if by_proxy else ""
    )
    return Finding("ok", name, f"{parts.netloc} answers {way}, in {elapsed_ms:.0f} ms"), offset_s


def _unresolved(parts: SplitResult) -> str | None:
    """The error of looking up the host; None when it has an address."""
    try:
        socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def clock_offset_s(date: str, now: float) -> float | None:
    """Seconds that a `Date` header is ahead of `now`; None when it is not a date."""
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _clock(offset_s: float) -> Finding:
    apart = f"{abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the upstream's"
    if abs(offset_s) <= CLOCK_TOLERANCE_S:
        return Finding("ok", "clock", "agrees with the upstream's")
    advice = (
        "Set this machine's clock (NTP). Signing in allows for it; expiries and cooldowns until"
        " midnight do not."
    )
    return Finding("warn", "clock", apart, advice)


def _advice(message: str) -> str:
    return next(advice for word, advice in _ADVICE.items() if word in message)
