"""Sign-in, accounts and keys in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from gbproxy.simulator import quota
from tests.browser.conftest import ACCOUNT_NAME, ADMIN_KEY, Visit, call
from tests.support.chromium import Visitor, needs_chromium
from tests.support.serving import Served, SharedUpstream

pytestmark = [needs_chromium, pytest.mark.slow]

COOLING_S = 18.0  # longer than it takes to see it


def test_a_wrong_password_is_told_and_the_right_one_leads_to_what_was_asked_for(
    visit: Visit, gateway: Served
) -> None:
    visitor = visit(gateway)
    page = visitor.open("/admin/keys")
    expect(page.get_by_label("Password")).to_be_focused()

    page.keyboard.type("not-it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="This is not the password")).to_be_visible()
    visitor.expect_refusal(401)
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(ADMIN_KEY)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_account_cools_and_recovers_before_the_eye(
    operator: Visitor, gateway: Served, upstream: SharedUpstream
) -> None:
    page = operator.open("/admin/accounts")
    state = page.locator("tr", has_text=ACCOUNT_NAME).locator(".state")
    expect(state).to_have_text("● Ready")
    page.evaluate("window.stayed = true")

    upstream.script(*quota(retry_delay_s=COOLING_S))
    assert gateway.ask("Hello").status == 429
    expect(state).to_have_text("▲ Cooling down")
    expect(page.get_by_role("timer")).to_have_text(re.compile("0:[01][0-9]"))
    expect(state).to_have_text("● Ready")

    assert page.evaluate("window.stayed") is True


def test_a_key_is_created_shown_once_copied_used_and_revoked(
    operator: Visitor, gateway: Served
) -> None:
    page = operator.open("/admin/keys")
    operator.context.grant_permissions(["clipboard-read", "clipboard-write"])

    page.get_by_label("Name").fill("phone")
    page.get_by_role("button", name="Create").click()
    key = page.locator("#new-key").inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    used = gateway.ask("Hello", headers={"Authorization": f"Bearer {key}"})
    page.reload()

    assert used.status == 200
    expect(page.locator("#new-key")).to_have_count(0)
    page.get_by_role("link", name="Revoke phone").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("phone is revoked.")).to_be_visible()
    refused = gateway.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
    assert refused.status == 401
    assert all(each["name"] != "phone" for each in call(gateway, "GET", "/api/admin/keys")["keys"])


def test_what_the_gateway_cannot_do_is_told_on_the_page_that_stays(
    operator: Visitor, gateway: Served
) -> None:
    """The error path of htmx."""
    page = operator.open("/admin/accounts")
    operator.context.route("**/admin/accounts/table*", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#trouble")).to_contain_text("cannot be reached")

    operator.context.unroute("**/admin/accounts/table*")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.locator("#trouble")).to_be_empty()
    expect(page.locator("tr", has_text=ACCOUNT_NAME)).to_be_visible()
    operator.expect_failed_requests()


def test_what_one_fragment_cannot_do_stays_told_while_another_is_answered(
    operator: Visitor,
) -> None:
    page = operator.open("/admin")
    operator.context.route("**/admin/home/renew*", lambda route: route.abort())
    with page.expect_response("**/admin/home/rest*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#trouble")).to_contain_text("cannot be reached")

    with page.expect_response("**/admin/home/rest*"):
        page.evaluate("document.getElementById('rest').dispatchEvent(new Event('poll'))")
    expect(page.locator("#rest.htmx-request")).to_have_count(0)

    expect(page.locator("#trouble")).to_contain_text("cannot be reached")
    operator.context.unroute("**/admin/home/renew*")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#trouble")).to_be_empty()
    operator.expect_failed_requests()


def test_a_sign_out_elsewhere_leaves_what_is_being_pasted(visit: Visit, gateway: Served) -> None:
    visitor, elsewhere = visit(gateway), visit(gateway)
    visitor.sign_in(ADMIN_KEY)
    elsewhere.sign_in(ADMIN_KEY)
    page = visitor.open("/admin")
    page.get_by_text("Renew or add an account").click()
    page.get_by_label("What you copied").fill("half of it")

    elsewhere.sign_out()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.get_by_role("alert")).to_contain_text("Your sign-in has ended.")
    expect(page.get_by_label("What you copied")).to_have_value("half of it")
    link = page.get_by_role("link", name="sign in again").first
    expect(link).to_have_attribute("href", "/admin/sign-in?next=/admin")


def test_the_box_opens_when_an_account_is_refused_while_the_page_is_open(
    operator: Visitor,
) -> None:
    page = operator.open("/admin")
    box = page.locator("#paste")
    expect(box).not_to_have_attribute("open", "")
    needed = (
        '<div id="renew" data-opens="paste" data-poll hx-get="/admin/home/renew?seen=x"'
        ' hx-trigger="poll" hx-swap="outerMorph">anna</div>'
    )
    operator.context.route(
        "**/admin/home/renew*", lambda route: route.fulfill(body=needed, content_type="text/html")
    )

    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(box).to_have_attribute("open", "")
    box.locator("summary").click()
    with page.expect_response("**/admin/home/renew*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".htmx-request")).to_have_count(0)
    expect(box).not_to_have_attribute("open", "")
