"""Credentials: the key that getoxsrf gives, or one of the refusals.

Source: docs/upstream.md, credentials and token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from gbproxy.simulator.http.actions import End, Fin, Write, html_reply, http_head, redirect
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import Action, Script
from gbproxy.simulator.scripting.google_errors import unauthenticated
from gbproxy.simulator.widget import renewal
from gbproxy.simulator.widget.accounts import Account
from gbproxy.simulator.widget.editions import edition_of, host_of, is_of_another_page
from gbproxy.simulator.widget.keys import Key, Keys
from gbproxy.simulator.widget.switches import WidgetSwitches

_PREFIXES = {"newline": ")]}'\n", "bare": ")]}'", "none": "", "spaces": " )]}' \r\n\t "}


def getoxsrf(
    request: Request,
    accounts: Mapping[str, Account],
    keys: Keys,
    switches: WidgetSwitches,
    origin: str,
) -> Script:
    """Answer `GET /auth/getoxsrf`: a fresh key, or one of the refusals."""
    account = accounts.get(request.query.get("csesidx", ""))
    if account is None or not _knows(request, account, switches):
        return _refused(switches.bad_cookie)
    mode = "403" if account.restricted else account.getoxsrf or switches.getoxsrf
    if mode == "refreshcookies_dead" or (mode == "refreshcookies" and account.needs_renewal):
        return renewal.begin(request, account, switches, origin)
    if mode in ("ok", "refreshcookies"):
        if switches.nid_triggers_refresh and "NID" in request.cookies:
            return renewal.begin(request, account, switches, origin)
        if not _are_current(request.cookies, account):
            return _refused(switches.bad_cookie)
        return _key_reply(keys.issue(account.csesidx, edition_of(account, switches)), switches)
    return (
        redirect(switches.elsewhere_url) if mode == "refreshcookies_elsewhere" else _refused(mode)
    )


def _knows(request: Request, account: Account, switches: WidgetSwitches) -> bool:
    """True if this page knows the cookies as this account's, be they stale."""
    cookies, edition = request.cookies, edition_of(account, switches)
    if host_of(request) not in ("", edition.page_host) or is_of_another_page(request, edition):
        return False
    if not account.owns(cookies.get("__Secure-C_SES")):
        return False
    if switches.host_c_oses == "required" and cookies.get("__Host-C_OSES") != account.host_c_oses:
        return False
    sent = {name: cookies.get(name, "") for name in switches.further_cookies}
    return all(value and value == account.cookies.get(name, value) for name, value in sent.items())


def _are_current(cookies: Mapping[str, str], account: Account) -> bool:
    host_cookie = cookies.get("__Host-C_OSES")
    return (
        cookies["__Secure-C_SES"] == account.secure_c_ses
        and host_cookie not in account.former_cookies
    )


def _key_reply(key: Key, switches: WidgetSwitches) -> Script:
    value = {"xsrfToken": _b64_text(key.secret), "keyId": key.key_id}
    if switches.extra_fields:
        value = {"version": "2", **value, "note": ")]}'"}
    body = _PREFIXES[switches.xsrf_prefix] + json.dumps(value, separators=(",", ":"))
    return (http_head(200, "application/json; charset=utf-8"), Write(body.encode()), End())


def _refused(mode: str) -> Script:
    return (Fin(),) if mode == "eof" else _REFUSALS[mode]


def _json_reply(body: bytes) -> tuple[Action, ...]:
    return (http_head(200, "application/json; charset=utf-8"), Write(body), End())


def _b64_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_REFUSALS: Mapping[str, Script] = {
    "login": redirect("/login"),
    "account_chooser": redirect("https://auth.business.gemini.google/account-chooser"),
    "401": unauthenticated(),
    "403": html_reply(403, "Access Restricted"),
    "html": html_reply(200, "Sign in"),
    "missing_fields": _json_reply(b')]}\'\n{"xsrfToken":"AAECAwQFBgc"}'),
    "500": html_reply(500, "Error 500 (Server Error)!!1"),
    "503": html_reply(503, "Error 503 (Service Unavailable)!!1"),
    "garbage": _json_reply(b')]}\'\n{"xsrfToken": tru'),
}
