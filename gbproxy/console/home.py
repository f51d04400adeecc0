"""The start: what needs somebody, what waits, what went wrong last, and some numbers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Blueprint, Response, abort, request

from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord
from gbproxy.console.accounts_seen import AccountsSeen, look
from gbproxy.console.pages import Pages

_DAY_S = 86_400
# The changing parts of the page: the box to paste into stands between them, and stays as it is.
_PARTS = {"renew": "_home_renew.html", "rest": "_home_rest.html"}


def add_routes(
    bp: Blueprint, pages: Pages, registry: AccountRegistry, use: DailyUse, cookie_max_age_s: float
) -> None:
    see = partial(look, registry, use, cookie_max_age_s=cookie_max_age_s)

    @bp.get("")
    def start() -> Response:
        seen = see()
        if not seen.all:
            return pages.to("console.add_accounts")
        return pages.page("home.html", **_shown(seen))

    @bp.get("/home/<part>")
    def home_part(part: str) -> Response:
        """A part of the page for who has seen another state of it."""
        if part not in _PARTS:
            abort(404)
        seen = see()
        if request.args.get("seen") == seen.digest:
            return pages.unchanged()
        return pages.fragment(_PARTS[part], **_shown(seen))


def _shown(seen: AccountsSeen) -> dict[str, Any]:
    refused = seen.in_state("refused")
    enabled = [each for each in seen.all if each.is_active]
    asked = [each for each in enabled if each.state != "refused"]
    old = [each for each in asked if seen.has_old_cookies(each)]
    ready = seen.in_state("ready")
    none_answers = bool(enabled) and all("text" in each.cooling_until for each in asked)
    return {
        "seen": seen,
        "refused": refused,
        "old": old,
        "cooling": seen.in_state("cooling"),
        "resting": [each for each in ready if each.has_cooldown],
        "failed": [each for each in ready if not each.has_cooldown and _has_failed(each, seen.now)],
        "none_enabled": not enabled,
        "none_answers": none_answers,
        "back_at": _first_end(asked) if none_answers else None,
        "is_calm": bool(enabled) and not refused and not old and not none_answers,
    }


def _first_end(accounts: Iterable[AccountRecord]) -> float | None:
    """When the first of them can answer again, in Unix seconds; None if no time will do that."""
    return min((each.cooling_until["text"] for each in accounts), default=None)


def _has_failed(account: AccountRecord, now: float) -> bool:
    """True with an error of the last day: one that made no account cool stays until the next."""
    if account.last_error is None:
        return False
    return account.last_error_at is None or now - account.last_error_at < _DAY_S
