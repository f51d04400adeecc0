"""POST /api/admin/accounts/import: whatever was copied out of a browser or another gateway becomes
accounts.

No secret is in the answer, only the names of the fields that were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify

from gbproxy.account_admin.import_accounts import Import, import_accounts
from gbproxy.account_admin.importing import OPTIONAL, WHERE, Hosts, find
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.errors import BadRequest
from gbproxy.web.body import json_body
from gbproxy.web.threads import run_in_thread


def blueprint(registry: AccountRegistry, hosts: Hosts) -> Blueprint:
    bp = Blueprint("admin_imports", __name__, url_prefix="/api/admin/accounts")

    @bp.post("/import")
    def import_() -> Response:
        body = json_body()
        text, url, dry_run = _text(body, "text"), _text(body, "url"), body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise BadRequest("dry_run must be true or false", param="dry_run")
        # Megabytes take a part of a second.
        found = run_in_thread(partial(find, text, url, hosts))
        return jsonify(
            _answer(import_accounts(registry, found, dry_run=dry_run), found.warnings, dry_run)
        )

    return bp


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field) if body.get(field) is not None else ""
    if not isinstance(value, str):
        raise BadRequest(f"{field} must be a text", param=field)
    return value


def _answer(imports: Sequence[Import], warnings: Sequence[str], dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "found": [_entry(each) for each in imports],
        "created": [each.name for each in imports if each.result == "created"],
        "changed": [each.name for each in imports if each.result == "changed"],
        "missing": [
            {"name": each.name, "csesidx": each.csesidx, **_place(field)}
            for each in imports
            for field in each.missing
        ],
        "warnings": [*warnings, *(each.warning for each in imports if each.warning)],
    }


def _entry(each: Import) -> dict[str, Any]:
    told = {
        **asdict(each),
        "missing": [_place(field) for field in each.missing],
        "wrong": [{"field": field, "reason": reason} for field, reason in each.wrong.items()],
    }
    del told["warning"]  # stands with those about the whole text
    return told


def _place(field: str) -> dict[str, Any]:
    return {"field": field, "required": field not in OPTIONAL, "where": WHERE[field]}
