"""The requests that are over: searched, page by page, and as CSV."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from gbproxy.console.faults import faults
from gbproxy.console.pages import Pages
from gbproxy.errors import BadRequest
from gbproxy.request_log.search import FILTERS, Page, RequestSearch

_NOTHING = Page((), None)


def add_routes(bp: Blueprint, pages: Pages, search: RequestSearch) -> None:
    @bp.get("/requests")
    def request_log() -> Response:
        given, before = _given(), request.args.get("before")
        try:
            found = search.page(given, before)
        except BadRequest as error:
            return _page(pages, search, given, before, _NOTHING, error)
        return _page(pages, search, given, before, found)

    @bp.get("/requests/table")
    def request_table() -> Response:
        """The newest requests for who has seen others."""
        given = _given()
        found = search.page(given)
        seen = _newest(found)
        if request.args.get("seen") == seen:
            return pages.unchanged()
        return pages.fragment(
            "_request_table.html", found=found, given=given, seen=seen, is_first=True
        )

    @bp.get("/requests.csv")
    def request_csv() -> Response:
        return Response(
            search.csv(_given()),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="requests.csv"'},
        )


def _page(
    pages: Pages,
    search: RequestSearch,
    given: Mapping[str, str],
    before: str | None,
    found: Page,
    error: BadRequest | None = None,
) -> Response:
    return pages.page(
        "requests.html",
        200 if error is None else 400,
        found=found,
        given=given,
        is_first=not before,
        seen=_newest(found),
        days=search.days,
        faults=faults(error, {name: name for name in FILTERS}),
    )


def _given() -> dict[str, str]:
    """The filters that are not empty."""
    given = {name: request.args.get(name, "").strip() for name in FILTERS}
    return {name: text for name, text in given.items() if text}


def _newest(found: Page) -> str:
    return str(found.requests[0].cursor) if found.requests else "-"
