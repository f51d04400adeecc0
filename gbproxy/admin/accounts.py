"""/api/admin/accounts: the accounts and their states; /api/cookies/status: the state of their
cookies.

Cookies go in and never come out. Times are Unix seconds.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord, CredentialStatus
from gbproxy.web.body import json_body


def blueprint(registry: AccountRegistry) -> Blueprint:
    bp = Blueprint("admin_accounts", __name__, url_prefix="/api/admin/accounts")

    @bp.get("")
    def list_all() -> Response:
        return jsonify(accounts=[_entry(account) for account in registry.list()])

    @bp.post("")
    def add() -> ResponseReturnValue:
        return jsonify(_entry(registry.add(json_body()))), 201

    # The name of an account of the environment is its id, and may contain slashes.
    @bp.get("/<path:account_id>")
    def show(account_id: str) -> Response:
        return jsonify(_entry(registry.get(account_id)))

    @bp.put("/<path:account_id>")
    def change(account_id: str) -> Response:
        return jsonify(_entry(registry.change(account_id, json_body())))

    @bp.delete("/<path:account_id>")
    def remove(account_id: str) -> ResponseReturnValue:
        registry.remove(account_id)
        return "", 204

    @bp.post("/<path:account_id>/check")
    def check(account_id: str) -> Response:
        return jsonify(_status(registry.check(account_id)))

    @bp.post("/<path:account_id>/clear-cooldown")
    def clear_cooldown(account_id: str) -> Response:
        return jsonify(_entry(registry.clear_cooldown(account_id)))

    return bp


def cookies_blueprint(registry: AccountRegistry) -> Blueprint:
    """What the last check said of each account's cookies."""
    bp = Blueprint("admin_cookies", __name__)

    @bp.get("/api/cookies/status")
    def status() -> Response:
        return jsonify(accounts=[_status(check) for check in registry.checks()])

    return bp


def _entry(account: AccountRecord) -> dict[str, Any]:
    fields = asdict(account)
    return {
        **fields.pop("credential"),
        **fields,
        "created_at": _whole(account.created_at),
        "cooling_until": {quota: math.ceil(end) for quota, end in account.cooling_until.items()},
        "last_used_at": _whole(account.last_used_at),
    }


def _whole(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def _status(check: CredentialStatus) -> dict[str, Any]:
    return {
        **asdict(check),
        "checked_at": _whole(check.checked_at),
    }
