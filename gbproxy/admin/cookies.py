"""/api/cookies/status: whether each account's cookies are still good, as far as is known. Times are
Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify

from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import CredentialStatus


def blueprint(roster: AccountRegistry, check_key: Callable[[], None]) -> Blueprint:
    bp = Blueprint("admin_cookies", __name__)
    bp.before_request(check_key)

    @bp.get("/api/cookies/status")
    def status() -> Response:
        return jsonify(accounts=[entry(check) for check in roster.checks()])

    return bp


def entry(check: CredentialStatus) -> dict[str, Any]:
    """What one account's answer says, here and to a check."""
    return {
        **asdict(check),
        "checked_at": None if check.checked_at is None else int(check.checked_at),
    }
