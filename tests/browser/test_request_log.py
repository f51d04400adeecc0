"""The log of requests in a browser: what was just asked comes by itself, and is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from gbproxy.simulator import http_error
from tests.support.chromium import Visitor, needs_chromium
from tests.support.serving import Served, SharedUpstream

pytestmark = [needs_chromium, pytest.mark.slow]

WRITTEN_S = 60.0  # every few seconds, and looked at every few seconds


def test_requests_appear_by_themselves_and_are_found_by_what_is_known_of_them(
    operator: Visitor, gateway: Served, upstream: SharedUpstream
) -> None:
    page = operator.open("/admin/requests")
    page.evaluate("window.stayed = true")
    whole = gateway.ask("A secret question").headers["x-request-id"]
    upstream.script(*http_error(400, "INVALID_ARGUMENT", "no"), times=2)
    refused = gateway.ask("Another one").headers["x-request-id"]

    row = page.locator("tr", has_text=refused)
    expect(row).to_contain_text("✖ 400", timeout=WRITTEN_S * 1000)
    expect(page.locator("tr", has_text=whole)).to_contain_text("● 200")
    assert page.evaluate("window.stayed") is True
    assert "secret question" not in page.content()

    page.get_by_label("Request id").fill(whole)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("gemini-auto")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 2
    assert whole in lines[1]

    page.get_by_role("link", name="Show all").click()
    page.locator("tr", has_text=refused).get_by_role("link", name="invalid_request_error").click()
    expect(page.locator("tr", has_text=refused)).to_be_visible()
    expect(page.locator("tr", has_text=whole)).to_have_count(0)
