"""/api/admin/accounts: the accounts and their states, and their import from pasted text;
/api/cookies/status: the state of their cookies.

Cookies go in and never come out. Times are Unix seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from gbproxy.account_admin.account_input import AccountBody
from gbproxy.account_admin.import_accounts import Import, import_accounts
from gbproxy.account_admin.importing import OPTIONAL, WHERE, Hosts, find
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord, CredentialStatus
from gbproxy.admin.answers import (
    DELETED,
    TAG,
    AccountEntry,
    AccountList,
    CredentialCheck,
    CredentialChecks,
    ImportAnswer,
)
from gbproxy.web.body import json_body, run_in_thread
from gbproxy.web.operations import Operation, described, told_elsewhere
from gbproxy.web.validation import validated


def blueprint(registry: AccountRegistry) -> Blueprint:
    bp = Blueprint("admin_accounts", __name__, url_prefix="/api/admin/accounts")

    @bp.get("")
    @described(Operation(tag=TAG, summary="All accounts", answers={200: (AccountList,)}))
    def list_all() -> Response:
        return jsonify(accounts=[_entry(account) for account in registry.list()])

    @bp.post("")
    @described(
        Operation(
            tag=TAG, summary="Add an account", answers={201: (AccountEntry,)}, request=AccountBody
        )
    )
    def add() -> ResponseReturnValue:
        return jsonify(_entry(registry.add(json_body()))), 201

    # The name of an account of the environment is its id, and may contain slashes.
    @bp.get("/<path:account_id>")
    @described(Operation(tag=TAG, summary="One account", answers={200: (AccountEntry,)}))
    def show(account_id: str) -> Response:
        return jsonify(_entry(registry.get(account_id)))

    @bp.put("/<path:account_id>")
    @described(
        Operation(
            tag=TAG,
            summary="Change an account",
            answers={200: (AccountEntry,)},
            request=AccountBody,
            is_partial=True,
        )
    )
    def change(account_id: str) -> Response:
        return jsonify(_entry(registry.change(account_id, json_body())))

    @bp.delete("/<path:account_id>")
    @described(Operation(tag=TAG, summary="Remove an account", answers=DELETED))
    def remove(account_id: str) -> ResponseReturnValue:
        registry.remove(account_id)
        return "", 204

    @bp.post("/<path:account_id>/check")
    @described(
        Operation(
            tag=TAG,
            summary="Ask the upstream now whether the credentials are good",
            answers={200: (CredentialCheck,)},
        )
    )
    def check(account_id: str) -> Response:
        return jsonify(_status(registry.check(account_id)))

    @bp.post("/<path:account_id>/clear-cooldown")
    @described(
        Operation(
            tag=TAG,
            summary="Let the account be asked again at once",
            answers={200: (AccountEntry,)},
        )
    )
    def clear_cooldown(account_id: str) -> Response:
        return jsonify(_entry(registry.clear_cooldown(account_id)))

    return bp


def cookies_blueprint(registry: AccountRegistry) -> Blueprint:
    """The result of the last check of each account's cookies."""
    bp = Blueprint("admin_cookies", __name__)

    @bp.get("/api/cookies/status")
    @described(
        Operation(
            tag=TAG, summary="The last check of each account", answers={200: (CredentialChecks,)}
        )
    )
    def status() -> Response:
        return jsonify(accounts=[_status(check) for check in registry.checks()])

    return bp


def _entry(account: AccountRecord) -> dict[str, Any]:
    fields = asdict(account)
    del fields["last_error_kind"], fields["last_error_at"]  # the console's
    return {
        **fields.pop("credential"),
        **fields,
        "created_at": _whole(account.created_at),
        "cooling_until": _whole_ends(account.cooling_until),
        "models_cooling_until": _whole_ends(account.models_cooling_until),
        "last_used_at": _whole(account.last_used_at),
        "checked_at": _whole(account.checked_at),
        "cookies_at": _whole(account.cookies_at),
        "cookie_age_h": _age_h(account.cookies_at),
    }


def _whole_ends(ends: Mapping[Any, float]) -> dict[Any, int]:
    return {each: math.ceil(end) for each, end in ends.items()}


def _age_h(since: float | None) -> float | None:
    return None if since is None else round(max(0.0, time.time() - since) / 3600, 1)


def _whole(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def _status(check: CredentialStatus) -> dict[str, Any]:
    return {
        **asdict(check),
        "checked_at": _whole(check.checked_at),
    }


class ImportBody(BaseModel):
    """`text`: whatever was pasted; `url`: the address of the page, where the text has it not."""

    model_config = ConfigDict(strict=True, extra="ignore")

    text: str | None = None
    url: str | None = None
    dry_run: bool = Field(False, description="nothing is stored")


def imports_blueprint(registry: AccountRegistry, hosts: Hosts) -> Blueprint:
    """Makes accounts of text that was copied out of a browser or another gateway. The answer has no
    secret, only the names of the fields that were found.
    """
    bp = Blueprint("admin_imports", __name__, url_prefix="/api/admin/accounts")

    @bp.post("/import")
    @described(
        Operation(
            tag=TAG,
            summary="Make accounts of text copied from a browser or another gateway",
            answers={200: (ImportAnswer,)},
            request=ImportBody,
        )
    )
    @told_elsewhere
    def import_() -> Response:
        body = validated(ImportBody, json_body(), ImportBody.model_fields)
        dry_run = body.dry_run
        # Megabytes take a part of a second.
        found = run_in_thread(partial(find, body.text or "", body.url or "", hosts))
        return jsonify(
            _import_answer(
                import_accounts(registry, found, dry_run=dry_run), found.warnings, dry_run
            )
        )

    return bp


def _import_answer(
    imports: Sequence[Import], warnings: Sequence[str], dry_run: bool
) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "found": [_import_entry(each) for each in imports],
        "created": [each.name for each in imports if each.result == "created"],
        "changed": [each.name for each in imports if each.result == "changed"],
        "missing": [
            {"name": each.name, "csesidx": each.csesidx, **_place(field)}
            for each in imports
            for field in each.missing
        ],
        "warnings": [*warnings, *(each.warning for each in imports if each.warning)],
    }


def _import_entry(each: Import) -> dict[str, Any]:
    entry = {
        **asdict(each),
        "missing": [_place(field) for field in each.missing],
        "wrong": [{"field": field, "reason": reason} for field, reason in each.wrong.items()],
    }
    del entry["warning"]  # stands with those about the whole text
    return entry


def _place(field: str) -> dict[str, Any]:
    return {"field": field, "required": field not in OPTIONAL, "where": WHERE[field]}
