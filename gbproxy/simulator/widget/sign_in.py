"""Signs accounts in: the key that getoxsrf gives or a refusal, and the renewal of cookies.

A renewal goes from getoxsrf over refreshcookies, and perhaps more hops, back to getoxsrf. One hop
is refreshcookies alone, which renews all. Of several, refreshcookies renews `__Secure-C_SES`, the
sign-in host leads on (and wants its own cookie back from hop to hop, as from a browser), and the
last is /auth/setocookie of the page's host: the only place that can set `__Host-C_OSES`.

Source: docs/upstream.md, credentials and token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from gbproxy.simulator.http.actions import End, Fin, Write, html_reply, http_head, redirect
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import Action, Script
from gbproxy.simulator.scripting.google_errors import unauthenticated
from gbproxy.simulator.widget.accounts import Account, edition_of
from gbproxy.simulator.widget.gates import (
    SIGN_IN_HOST,
    Key,
    Keys,
    base_of,
    host_of,
    is_of_another_page,
)
from gbproxy.simulator.widget.switches import WidgetSwitches

_PREFIXES = {"newline": ")]}'\n", "bare": ")]}'", "none": "", "spaces": " )]}' \r\n\t "}
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=none"
_NID = "NID=525=Qk9HVVMtTklE; Path=/; Domain=.google.com; Secure; HttpOnly"
_STEP_COOKIE = "__Host-GAPS_STEP"
_LOGIN = "/login"


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
        return _begin_renewal(request, account, switches, origin)
    if mode in ("ok", "refreshcookies"):
        if switches.nid_triggers_refresh and "NID" in request.cookies:
            return _begin_renewal(request, account, switches, origin)
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


def _begin_renewal(
    request: Request, account: Account, switches: WidgetSwitches, origin: str
) -> Script:
    """Redirect from getoxsrf to refreshcookies, which is to lead back."""
    edition = edition_of(account, switches)
    page = base_of(request, edition.page_host, origin)
    back = f"{page}/auth/getoxsrf?csesidx={request.query.get('csesidx', '')}"
    auth = base_of(request, edition.auth_host, origin)
    return redirect(f"{auth}/auth/refreshcookies?continue={quote(back, safe='')}")


def refreshcookies(
    request: Request, accounts: Mapping[str, Account], switches: WidgetSwitches, origin: str
) -> Script:
    """Answer `GET /auth/refreshcookies`: a new session cookie, and on to the next hop or back."""
    cookie = request.cookies.get("__Secure-C_SES")
    account = next((a for a in accounts.values() if a.owns(cookie)), None)
    if account is None:
        return redirect(_LOGIN)
    if (account.getoxsrf or switches.getoxsrf) == "refreshcookies_dead":
        cookies = (
            _session_cookie(request, account, account.secure_c_ses, switches),
            _host_cookie(account),
            _NID,
        )
        return redirect(request.query.get("continue", "/"), {"Set-Cookie": cookies})
    if switches.refresh_hops == 1 and switches.refresh_chain == "good":
        cookies = (
            _session_cookie(request, account, account.renew(), switches),
            _host_cookie(account),
            _NID,
        )
        return _end(request, switches, cookies)
    renewed = _session_cookie(request, account, account.begin_renewal(), switches)
    return redirect(
        _after_refreshcookies(request, account, switches, origin), {"Set-Cookie": (renewed, _NID)}
    )


def signin(
    request: Request, accounts: Mapping[str, Account], switches: WidgetSwitches, origin: str
) -> Script:
    """Answer a hop of the sign-in host; from the second on it wants the cookie of the last."""
    account = accounts.get(request.query.get("csesidx", ""))
    step = int(
        request.query.get("step", "0") if request.query.get("step", "0").isdecimal() else "0"
    )
    if (
        account is None
        or step < 2
        or (step > 2 and request.cookies.get(_STEP_COOKIE) != str(step - 1))
    ):
        return redirect(_LOGIN)
    return redirect(
        _next(request, account, switches, origin, step + 1),
        {"Set-Cookie": f"{_STEP_COOKIE}={step}; {_ATTRIBUTES}"},
    )


def setocookie(
    request: Request, accounts: Mapping[str, Account], switches: WidgetSwitches
) -> Script:
    """Answer `GET /auth/setocookie`: a new host cookie for a session cookie that is renewed."""
    account = accounts.get(request.query.get("csesidx", ""))
    if account is None or request.cookies.get("__Secure-C_SES") != account.secure_c_ses:
        return redirect(_LOGIN)
    account.finish_renewal()
    return _end(request, switches, (_host_cookie(account),))


def _after_refreshcookies(
    request: Request, account: Account, switches: WidgetSwitches, origin: str
) -> str:
    match switches.refresh_chain:
        case "elsewhere":
            return switches.elsewhere_url
        case "http":
            page = f"http://{edition_of(account, switches).page_host}"
            return f"{page}/auth/setocookie?{_query(request, account)}"
        case "loop":
            auth = base_of(request, edition_of(account, switches).auth_host, origin)
            return f"{auth}/auth/refreshcookies?{_query(request, account)}"
        case _:
            return _next(request, account, switches, origin, 2)


def _next(
    request: Request, account: Account, switches: WidgetSwitches, origin: str, step: int
) -> str:
    """The address of the `step`-th hop."""
    if step >= switches.refresh_hops:
        page = base_of(request, edition_of(account, switches).page_host, origin)
        return f"{page}/auth/setocookie?{_query(request, account)}"
    sign_in = base_of(request, SIGN_IN_HOST, origin)
    return f"{sign_in}/auth/signin?{_query(request, account, step=str(step))}"


def _query(request: Request, account: Account, **more: str) -> str:
    return urlencode(
        {**more, "csesidx": account.csesidx, "continue": request.query.get("continue", "/")}
    )


def _end(request: Request, switches: WidgetSwitches, cookies: tuple[str, ...]) -> Script:
    headers = {"Set-Cookie": cookies}
    if switches.refreshcookies_answer == "page":
        return (http_head(200, "text/html; charset=UTF-8", headers), Write(b"<html>"), End())
    return redirect(request.query.get("continue", "/"), headers)


def _session_cookie(
    request: Request, account: Account, value: str, switches: WidgetSwitches
) -> str:
    """By name it is set by a neighbour of the page's host, for that host."""
    domain = f"; Domain={edition_of(account, switches).page_host}" if host_of(request) else ""
    return f"__Secure-C_SES={value}; {_ATTRIBUTES}{domain}"


def _host_cookie(account: Account) -> str:
    return f"__Host-C_OSES={account.host_c_oses}; {_ATTRIBUTES}"


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
