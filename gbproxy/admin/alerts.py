"""/api/admin/alerts: the webhooks by kind and host, what was told, and a test."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify

from gbproxy.admin.answers import TAG, AlertsAnswer, AlertTest, AlertTold
from gbproxy.alerts.alerts import Alerts, AlertsStatus
from gbproxy.web.operations import Operation, described


def blueprint(alerts: Alerts) -> Blueprint:
    bp = Blueprint("admin_alerts", __name__, url_prefix="/api/admin/alerts")

    @bp.get("")
    @described(
        Operation(
            tag=TAG, summary="Where alerts go, and what they told", answers={200: (AlertsAnswer,)}
        )
    )
    def status() -> Response:
        return jsonify(_entry(alerts.status()))

    @bp.post("/test")
    @described(
        Operation(tag=TAG, summary="Send a test to every webhook", answers={200: (AlertTest,)})
    )
    def test() -> Response:
        return jsonify(webhooks=[asdict(outcome) for outcome in alerts.test()])

    return bp


def _entry(status: AlertsStatus) -> dict[str, Any]:
    told = [
        AlertTold(
            kind=each.kind,
            account=each.account,
            quota=each.quota,
            model=each.model,
            title=each.title,
            opened_at=int(each.opened_at),
            closed_at=_whole(each.closed_at),
            sent_at=_whole(each.sent_at),
            has_failed=each.has_failed,
        ).model_dump()
        for each in status.told
    ]
    return {
        "webhooks": [{"kind": each.kind, "host": each.host} for each in status.webhooks],
        "open": [each for each in told if each["closed_at"] is None],
        "over": [each for each in told if each["closed_at"] is not None],
    }


def _whole(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
