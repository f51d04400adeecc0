"""/api/admin/models: all models, and what each account has accepted and refused. Times are Unix
seconds.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from gbproxy.account_admin.model_reports import AccountModel, ModelReport, ModelReports
from gbproxy.admin.answers import TAG, AdminModels
from gbproxy.web.operations import Operation, described


def blueprint(reports: ModelReports) -> Blueprint:
    bp = Blueprint("admin_models", __name__, url_prefix="/api/admin/models")

    @bp.get("")
    @described(
        Operation(
            tag=TAG,
            summary="All models, and what each account has taken or refused",
            answers={200: (AdminModels,)},
        )
    )
    def list_all() -> Response:
        return jsonify(
            models=[_entry(report) for report in reports.models()],
            accounts=[
                {"id": each.id, "name": each.name, "tools_off": list(each.tools_off)}
                for each in reports.tools()
            ],
        )

    return bp


def _entry(report: ModelReport) -> dict[str, Any]:
    model = report.model
    return {
        "id": model.id,
        "upstream": next(iter(model.names.values())),
        "aliases": list(model.aliases),
        "successor": model.successor,
        "fallback": model.fallback,
        "tools": list(model.tools),
        "quota": model.quota,
        "is_listed": report.is_listed,
        "accounts": [_account(each) for each in report.accounts],
    }


def _account(account: AccountModel) -> dict[str, Any]:
    noted_at = None if account.noted_at is None else int(account.noted_at)
    return {"id": account.id, "name": account.name, "state": account.state, "noted_at": noted_at}
