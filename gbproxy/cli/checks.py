"""What `gbproxy doctor` looks at. Nothing is changed but what a sign-in changes: renewed cookies
and tokens are kept.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from gbproxy.cli.finding import Finding
from gbproxy.domain.account import Account
from gbproxy.domain.edition import EDITIONS
from gbproxy.domain.models import built_in_names
from gbproxy.errors import CredentialRefused, GatewayError, StorageUnavailable
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.rate_limits.store import open_store
from gbproxy.settings import Settings, SettingsError, load
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare as preparation
from gbproxy.storage.tables import REVISION

_PATIENCE = Timeouts(connect_s=10, read_s=15, request_s=30)
_CLOCK_S = 5.0
_PROBES_AT_ONCE = 8
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_ADVICE = (  # by words of outbound's messages
    (
        "PROXY",
        (
            "See whether the proxy runs, and whether PROXY names it rightly, with its user and"
            " password."
        ),
    ),
    (
        "TLS",
        (
            "Something between here and there may open TLS: give its certificates by CA_BUNDLE."
            " Look at the clock, too."
        ),
    ),
    (
        "",
        (
            "See whether this machine may reach that address: firewall, DNS, PROXY if there has to"
            " be one."
        ),
    ),
)


def settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """The settings, None when they cannot be used, and one finding for each mistake in them."""
    try:
        found = load(environ, built_in_names())
    except SettingsError as error:
        problems = (problem.partition(": ") for problem in error.problems)
        return None, [
            Finding("fail", name, text, "Correct it: docs/settings.md.")
            for name, _, text in problems
        ]
    return found, [Finding("ok", "settings", _summary(found)), *_doubts(found)]


def _summary(found: Settings) -> str:
    return (
        f"{_count(len(found.accounts), 'account')} and {_count(len(found.api_keys), 'client key')}"
        f" in the environment, {_count(found.web_concurrency, 'worker')}"
    )


def _doubts(found: Settings) -> Iterator[Finding]:
    if not found.accounts and not (found.database_url or found.admin_key):
        advice = (
            "Set SECURE_C_SES, CSESIDX and CONFIG_ID (and HOST_C_OSES), or ACCOUNTS:"
            " docs/getting-started.md."
        )
        yield Finding("fail", "accounts", "there is no account to answer with", advice)
    if not found.api_keys:
        advice = "Set API_KEYS to a key of your own, so that it stays the same."
        yield Finding(
            "warn", "API_KEYS", "not set: each start makes a key and prints it on stderr", advice
        )
    if found.ignored:
        advice = "Remove them; nothing depends on them."
        yield Finding("warn", "settings", f"set without effect: {', '.join(found.ignored)}", advice)


def database(found: Settings) -> tuple[bool, Finding]:
    """Whether it can be used as it is."""
    url = found.database_url.get_secret_value() if found.database_url else ""
    if not outlives_the_process(url):
        return False, Finding(
            "ok", "database", "none that outlives the process: a private one is made at each start"
        )
    try:
        seen = preparation.inspect(url, [key.get_secret_value() for key in found.secret_keys])
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


def limits(found: Settings, *, has_database: bool) -> list[Finding]:
    """Whether what is limited can be counted: by Redis, or without one by a single worker."""
    url = found.database_url.get_secret_value() if found.database_url and has_database else ""
    if found.redis_url is not None:
        return [_redis(found.redis_url.get_secret_value())]
    try:
        limited = preparation.limited_keys(url) if url and found.web_concurrency > 1 else ()
    except preparation.CannotBeUsed as error:
        return [Finding("fail", "database", str(error).removeprefix("DATABASE_URL: "))]
    if not limited:
        return []
    what = (
        f"these client keys have limits, which {found.web_concurrency} workers cannot count:"
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


def network(found: Settings, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Whether the upstream's two hosts can be reached, and what time it is there."""
    proxy = found.proxy.get_secret_value() if found.proxy else None
    outbound = HttpClient(_PATIENCE, proxy=proxy, ca_bundle=found.ca_bundle, pool_size=2)
    try:
        reached = [
            _reach(outbound, name, url, clock, by_proxy=proxy is not None)
            for name, url in _hosts(found)
        ]
    finally:
        outbound.close()
    offsets = [offset_s for _, offset_s in reached if offset_s is not None]
    return [*(finding for finding, _ in reached), *(_clock(offset_s) for offset_s in offsets[:1])]


def _hosts(found: Settings) -> list[tuple[str, str]]:
    """Each address by the setting that replaces it: else those of the editions that the
    environment's accounts have.
    """
    names = {account.edition for account in found.accounts} or {"business"}
    editions = [edition for name, edition in EDITIONS.items() if name in names]
    pages = (
        [found.gemini_business_url]
        if found.gemini_business_url
        else [edition.page_url for edition in editions]
    )
    apis = (
        [found.api_base_url]
        if found.api_base_url
        else [edition.api_base_url for edition in editions]
    )
    return [
        *(("GEMINI_BUSINESS_URL", f"{url}/") for url in pages),
        *(("API_BASE_URL", f"{url}/") for url in apis),
    ]


def _reach(
    outbound: HttpClient, name: str, url: str, clock: Callable[[], float], *, by_proxy: bool
) -> tuple[Finding, float | None]:
    """Whether an address answers at all, whatever it says, and by how many seconds its clock is
    ahead of ours.
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
        with outbound.stream("GET", url, {"Accept-Encoding": "identity"}) as reply:
            elapsed_ms = 1000 * (time.monotonic() - begun)
            offset_s = _offset_s(reply.headers.get("Date", ""), clock())
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
    """Why a name has no address; None when it has one."""
    try:
        socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _offset_s(date: str, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return None


def _clock(offset_s: float) -> Finding:
    apart = f"{abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the upstream's"
    if abs(offset_s) <= _CLOCK_S:  # the header has whole seconds
        return Finding("ok", "clock", "agrees with the upstream's")
    advice = (
        "Set this machine's clock (NTP). Signing in allows for it; expiries and cooldowns until"
        " midnight do not."
    )
    return Finding("warn", "clock", apart, advice)


def _advice(message: str) -> str:
    return next(advice for word, advice in _ADVICE if word in message)


def credentials(accounts: Sequence[Account], probe: Callable[[Account], None]) -> list[Finding]:
    """Whether the upstream takes each account's credentials: `probe` asks it."""
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
