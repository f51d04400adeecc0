"""/api/admin/requests: the request log, the newest first. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.admin.answers import TAG, RequestList
from gbproxy.errors import BadRequest
from gbproxy.request_log.search import (
    FILTERS,
    MOST_ROWS_OF_A_PAGE,
    PAGE_ROWS,
    RequestSearch,
)
from gbproxy.storage.request_log import LoggedRequest
from gbproxy.web.operations import Operation, Parameter, described

_SAYS = {
    "key": "a key's fingerprint or name",
    "model": "a model's id",
    "account": "an account's id or name",
    "status": "the status of the answer",
    "code": "the code of the error",
    "request_id": "the request's id",
    "before": "`next` of the page before: older requests",
    "limit": f"how many, 1 to {MOST_ROWS_OF_A_PAGE}; {PAGE_ROWS} unless given",
}
_PARAMETERS = tuple(
    Parameter(name=name, place="query", description=says) for name, says in _SAYS.items()
)


def blueprint(search: RequestSearch) -> Blueprint:
    bp = Blueprint("admin_requests", __name__, url_prefix="/api/admin/requests")

    @bp.get("")
    @described(
        Operation(
            tag=TAG,
            summary="Requests that are over, without contents",
            answers={200: (RequestList,)},
            parameters=_PARAMETERS,
        )
    )
    def list_some() -> Response:
        given = {name: request.args.get(name, "") for name in FILTERS}
        page = search.page(given, request.args.get("before"), _limit())
        return jsonify(
            requests=[_entry(each) for each in page.requests],
            next=page.next,
            kept_days=search.days,
        )

    return bp


def _limit() -> int:
    text = request.args.get("limit", "") or str(PAGE_ROWS)
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0
    if not 1 <= limit <= MOST_ROWS_OF_A_PAGE:
        raise BadRequest(f"limit must be from 1 to {MOST_ROWS_OF_A_PAGE}", param="limit")
    return limit


def _entry(each: LoggedRequest) -> dict[str, Any]:
    values = asdict(each)
    del values["cursor"]
    return {"ended_at": int(each.ended_at), **values}
