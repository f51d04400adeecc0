"""The alerts: where they go, what is open, what was told, and a test."""

from __future__ import annotations

from flask import Blueprint, Response
from flask_babel import gettext

from gbproxy.alerts.alerts import Alerts
from gbproxy.alerts.sender import Outcome
from gbproxy.console.core_messages import translated
from gbproxy.console.pages import Notice, Pages


def add_routes(bp: Blueprint, pages: Pages, alerts: Alerts) -> None:
    @bp.get("/alerts", endpoint="alerts")
    def show() -> Response:
        return pages.page("alerts.html", alerts=alerts.status())

    @bp.post("/alerts/test")
    def test_alerts() -> Response:
        return pages.to("console.alerts", _notice(alerts.test()))


def _notice(outcomes: list[Outcome]) -> Notice:
    if not outcomes:
        return Notice(gettext("No webhook is set: there is nothing to test."), "bad")
    failed = [(each.host, each.trouble) for each in outcomes if each.trouble is not None]
    if not failed:
        return Notice(gettext("Every webhook has taken the test."))
    said = [
        gettext("%(host)s has not taken it: %(trouble)s.", host=host, trouble=translated(trouble))
        for host, trouble in failed
    ]
    return Notice(" ".join(said), "bad")
