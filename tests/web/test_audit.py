"""An audit line for a route whose author has thought of none."""

from __future__ import annotations

import logging

import pytest
from flask import Blueprint, Flask

from gbproxy.observability import request_context
from gbproxy.web import audit


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/things/7", [("things.change", "7")]),
        ("GET", "/things/7", []),
        ("POST", "/things/wrong", []),
    ],
)
def test_a_new_route_is_told_by_its_own_name(
    caplog: pytest.LogCaptureFixture, method: str, path: str, told: list[tuple[str, str]]
) -> None:
    caplog.set_level(logging.INFO, "gbproxy")
    app, bp = Flask(__name__), Blueprint("things", __name__)

    @bp.before_request
    def begin() -> None:
        request_context.begin("r")
        audit.begin_api("1234")

    @bp.route("/things/<name>", methods=["GET", "POST"])
    def change(name: str) -> tuple[str, int]:
        return "", 400 if name == "wrong" else 200

    audit.install(bp)
    app.register_blueprint(bp)

    app.test_client().open(path, method=method)

    found = [vars(each) for each in caplog.records if each.getMessage() == "admin.did"]
    assert [(each["did"], each["object"]) for each in found] == told
