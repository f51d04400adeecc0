"""Checks what a call brings beside its token: user agent, page, location, server token.

Source: docs/upstream.md, editions and hosts; gates.
"""

from __future__ import annotations

import re

from gbproxy.simulator.http.actions import html_reply
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import Script
from gbproxy.simulator.scripting.google_errors import (
    INVALID,
    UNAUTHENTICATED,
    RefusedError,
    denied,
    invalid,
    permission_denied,
)
from gbproxy.simulator.widget.accounts import Account
from gbproxy.simulator.widget.editions import (
    EDITIONS,
    SIGN_IN_HOST,
    edition_of,
    host_of,
    is_of_another_page,
    location_of,
)
from gbproxy.simulator.widget.switches import WidgetSwitches

BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0"
    " Safari/537.36"
)
"""A user agent that is served everywhere."""
_BROWSER = re.compile(r"Mozilla/5\.0 \([^)]+\) .*\b(Chrome|Firefox|Safari|Edg)/\d.*")
_SERVER_TOKEN = re.compile(r"CAMS[A-Za-z0-9+/]+={0,2}")
_GOOGLE_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
}


def user_agent(request: Request, switches: WidgetSwitches, *, is_api: bool) -> Script | None:
    """The refusal of a user agent that is no browser's, where only those are served."""
    if switches.user_agent == "any" or _BROWSER.fullmatch(request.headers.get("user-agent", "")):
        return None
    if switches.user_agent_refusal == "html":
        return html_reply(200, "This browser is not supported")
    return denied() if is_api else html_reply(403, "Forbidden")


def is_served_here(request: Request) -> bool:
    """True if the host that the request names has such a path; the simulator's own has all."""
    host, path = host_of(request), request.path
    if not host:
        return True
    if host == SIGN_IN_HOST:
        return path in ("/auth/signin", "/login", "/account-chooser")
    pages = ("/auth/getoxsrf", "/auth/setocookie", "/login", "/account-chooser")
    for edition in EDITIONS.values():
        if host == edition.page_host:
            return path in pages or "/home/cid/" in path
        if host == edition.auth_host:
            return path in ("/auth/refreshcookies", "/login", "/account-chooser")
    return "/v1alpha/" in path or path.startswith("/_media/")


def check(request: Request, location: str, account: Account, switches: WidgetSwitches) -> None:
    """Raise RefusedError unless a call of the API, whose token is good, passes every gate.

    `location` is the one in the path, or "" where none is.
    """
    edition = edition_of(account, switches)
    if host_of(request) not in ("", edition.api_host):
        raise RefusedError(401, _GOOGLE_WORDS[401], UNAUTHENTICATED)
    if is_of_another_page(request, edition):
        raise permission_denied()
    if location not in ("", location_of(account, switches)):
        status = int(switches.wrong_location)
        raise RefusedError(
            status, _GOOGLE_WORDS[status], f"Widget config was not found in location {location}."
        )
    _check_server_token(request.headers.get("x-server-token", ""), account, switches)


def _check_server_token(sent: str, account: Account, switches: WidgetSwitches) -> None:
    match switches.server_token:
        case "ignored":
            return
        case "wanted":
            is_good = _SERVER_TOKEN.fullmatch(sent) is not None
        case _:
            is_good = sent == account.server_token
    if not is_good:
        # No known refusal names the token: the words are those of any other 400, 401 or 403.
        status = int(switches.server_token_refusal)
        if status == 403:
            raise permission_denied()
        if status == 400:
            raise invalid(INVALID)
        raise RefusedError(401, _GOOGLE_WORDS[401], UNAUTHENTICATED)
