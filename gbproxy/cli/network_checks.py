"""Checks of `gbproxy doctor` that go over the network: the upstream's hosts, and the clock."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from gbproxy.cli.checks import Finding
from gbproxy.domain.edition import EDITIONS
from gbproxy.errors import GatewayError
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.settings import Settings

_TIMEOUTS = Timeouts(connect_s=10, read_s=15, request_s=30)
CLOCK_TOLERANCE_S = 5.0  # Date has whole seconds, and the answer was on its way
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
    """Each address behind the name of the setting that replaces it: the setting's own, or those of
    the editions of the environment's accounts.
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
    """Whether an address answers at all, with any status, and the seconds that its clock is ahead
    of ours.
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
    return next(advice for word, advice in _ADVICE if word in message)
