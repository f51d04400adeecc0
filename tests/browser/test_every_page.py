"""What holds for every page of the console: both languages, both themes, the narrowest phone, and the
keyboard alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from gbproxy.simulator import answer, http_error, quota
from tests.browser.conftest import ADMIN_KEY, PRO, Visit, call
from tests.browser.pages import PAGES, SIGN_IN, Shown, heading
from tests.support.chromium import Visitor, needs_chromium
from tests.support.serving import ROOT, Served, SharedUpstream

pytestmark = [needs_chromium, pytest.mark.slow]

IMAGES = ROOT / "docs/img"
HOSTILE = "<img src=x onerror='window.hit = 1'>"
COOLING_S = 600.0
NOBODYS = "c0000000-0000-4000-8000-000000000009"


@pytest.fixture
def ids(gateway: Served) -> Iterator[dict[str, Any]]:
    """What the paths of the pages name."""
    [account] = call(gateway, "GET", "/api/admin/accounts")["accounts"]
    key = call(gateway, "POST", "/api/admin/keys", {"name": "laptop", "rate_limit": "60/hour"})
    yield {"account": account["id"], "key": key["id"]}
    call(gateway, "DELETE", f"/api/admin/keys/{key['id']}")


@pytest.fixture
def troubled(gateway: Served, upstream: SharedUpstream) -> Iterator[Served]:
    """The gateway with a refused account beside the one that it has, which cools down, and longer
    for one model.
    """
    [anna] = call(gateway, "GET", "/api/admin/accounts")["accounts"]
    expired = {"name": "otto", "secure_c_ses": "CSE.x", "csesidx": "66", "config_id": NOBODYS}
    upstream.script(*quota(daily=True))
    assert gateway.ask("Hello", model=PRO["id"]).model == PRO["fallback"]
    upstream.script(*quota(retry_delay_s=COOLING_S))
    assert gateway.ask("Hello").status == 429
    otto = call(gateway, "POST", "/api/admin/accounts", expired)["id"]
    call(gateway, "POST", f"/api/admin/accounts/{otto}/check")
    yield gateway
    call(gateway, "DELETE", f"/api/admin/accounts/{otto}")
    call(gateway, "POST", f"/api/admin/accounts/{anna['id']}/clear-cooldown")


def visit_all(visitor: Visitor, ids: dict[str, Any]) -> Iterator[Shown]:
    for each in PAGES:
        visitor.open(each.path.format(**ids))
        yield each
        if each.path == "/admin/none":
            visitor.expect_refusal(404)


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_serious_hinders_anybody(
    visit: Visit, gateway: Served, ids: dict[str, Any], locale: str
) -> None:
    visitor = visit(gateway, locale=locale)
    visitor.open(SIGN_IN.path)
    found = visitor.violations()
    visitor.sign_in(ADMIN_KEY)

    for _ in visit_all(visitor, ids):
        found += visitor.violations()

    assert found == []


def test_nothing_serious_hinders_anybody_where_something_is_wrong(
    operator: Visitor, troubled: Served
) -> None:
    found = []
    for path in ("/admin", "/admin/accounts"):
        page = operator.open(path)
        expect(page.locator(".state.refused").first).to_be_visible()
        expect(page.locator(".state.cooling").first).to_be_visible()
        found += operator.violations()
    page = operator.open("/admin/keys")
    page.get_by_label("Name").fill("tablet")
    page.get_by_label("Request rate").fill("often")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("[aria-invalid]")).to_be_visible()
    operator.expect_refusal(400)
    found += operator.violations()
    page = operator.open("/admin/accounts/new")
    page.get_by_label("What you copied").fill("__Secure-C_SES=CSE.half")
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator("#preview")).to_be_visible()
    found += operator.violations()

    assert found == []


def test_each_page_is_there_in_both_languages_by_the_browser_and_by_the_toggle(
    visit: Visit, gateway: Served, ids: dict[str, Any]
) -> None:
    visitor = visit(gateway, locale="zh-CN")
    visitor.open(SIGN_IN.path)
    assert heading(visitor.page) == SIGN_IN.chinese
    visitor.sign_in(ADMIN_KEY)
    for each in visit_all(visitor, ids):
        assert heading(visitor.page) == each.chinese

    visitor.open("/admin/keys").get_by_role("button", name="English").click()

    expect(visitor.page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    for each in visit_all(visitor, ids):
        assert heading(visitor.page) == each.english


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_no_page_scrolls_sideways_on_the_narrowest_phone(
    visit: Visit, ids: dict[str, Any], troubled: Served, locale: str
) -> None:
    visitor = visit(troubled, locale=locale)
    visitor.narrow()
    visitor.open(SIGN_IN.path)
    sideways = {SIGN_IN.path: visitor.sideways()}
    visitor.sign_in(ADMIN_KEY)
    sideways |= {each.path: visitor.sideways() for each in visit_all(visitor, ids)}
    page = visitor.open("/admin/keys")
    page.locator("#name").fill("tablet")
    page.locator("#rate_limit").fill("often")
    page.locator("#rate_limit").press("Enter")
    expect(page.locator("[aria-invalid]")).to_be_visible()
    visitor.expect_refusal(400)
    sideways["what is wrong"] = visitor.sideways()
    page = visitor.open("/admin/accounts/new")
    page.locator("[name=text]").fill("__Secure-C_SES=CSE.half")
    page.locator("form:has([name=text]) button").click()
    expect(page.locator("#preview")).to_be_visible()
    sideways["the preview"] = visitor.sideways()

    assert sideways == dict.fromkeys(sideways, 0)


@pytest.mark.parametrize("pixels", [768, 1024, 1280])
def test_no_table_scrolls_sideways_on_a_tablet_or_a_laptop(
    operator: Visitor, ids: dict[str, Any], troubled: Served, pixels: int
) -> None:
    operator.wide(pixels)
    sideways = {each.path: operator.sideways() for each in visit_all(operator, ids)}

    assert sideways == dict.fromkeys(sideways, 0)


def test_without_script_no_button_stands_there_that_only_a_script_could_serve(
    visit: Visit, gateway: Served
) -> None:
    visitor = visit(gateway, java_script_enabled=False)
    visitor.sign_in(ADMIN_KEY)

    page = visitor.open("/admin/connect")

    expect(page.locator("#address")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


def test_long_words_of_an_answer_and_of_an_account_do_not_scroll_a_phone_sideways(
    operator: Visitor, gateway: Served, upstream: SharedUpstream
) -> None:
    operator.narrow()
    upstream.script(*answer("x" * 500, thoughts=["y" * 500]))
    page = operator.open("/admin/playground")
    page.get_by_label("Message", exact=True).fill("z" * 500)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("The answer is complete.")).to_be_visible()
    page.get_by_text("The same with curl and Python").click()
    assert operator.sideways() == 0

    key = call(gateway, "POST", "/api/admin/keys", {"name": "k" * 128})
    operator.open("/admin/keys")
    sideways = operator.sideways()
    call(gateway, "DELETE", f"/api/admin/keys/{key['id']}")

    assert sideways == 0


def test_script_in_what_is_stored_or_sent_by_the_upstream_does_not_run(
    operator: Visitor, gateway: Served, upstream: SharedUpstream, ids: dict[str, Any]
) -> None:
    """The content security policy would report it as an error of the page, too."""
    hostile = {"name": HOSTILE, "secure_c_ses": "CSE.x", "csesidx": "66", "config_id": NOBODYS}
    account = call(gateway, "POST", "/api/admin/accounts", hostile)["id"]
    key = call(gateway, "POST", "/api/admin/keys", {"name": HOSTILE})["id"]
    call(gateway, "PUT", f"/api/admin/accounts/{account}", {"is_active": False})

    for _ in visit_all(operator, {"account": account, "key": key}):
        assert operator.page.locator("img[src=x]").count() == 0
    upstream.script(*http_error(400, "INVALID_ARGUMENT", HOSTILE), times=2)
    operator.open("/admin/playground").get_by_label("Message", exact=True).fill(HOSTILE)
    operator.page.get_by_role("button", name="Send").click()
    expect(operator.page.locator("#problem .notice")).to_be_visible()
    operator.expect_refusal(400)
    call(gateway, "DELETE", f"/api/admin/accounts/{account}")
    call(gateway, "DELETE", f"/api/admin/keys/{key}")

    assert operator.page.locator("img[src=x]").count() == 0
    assert operator.page.evaluate("window.hit") is None


def test_the_theme_is_chosen_by_hand(operator: Visitor) -> None:
    page = operator.open("/admin/keys")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    page.wait_for_load_state()
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light").click()
    expect(page.get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
    page.wait_for_load_state()

    assert dark != light == page.evaluate(ground)


def test_a_walk_by_keyboard_alone(visit: Visit, gateway: Served, upstream: SharedUpstream) -> None:
    visitor = visit(gateway)
    page = visitor.open("/admin/sign-in")
    keys = page.keyboard
    expect(page.get_by_label("Password")).to_be_focused()
    keys.type(ADMIN_KEY)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in")

    page.wait_for_load_state()
    keys.press("Tab")
    assert visitor.focused() == "Skip to the content"
    keys.press("Enter")
    expect(page.locator("main")).to_be_focused()
    _tab_to(visitor, "Playground", back=True)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")
    _tab_to(visitor, "Message")
    keys.type("What is 6 * 7?")
    keys.press("Control+Enter")
    expect(page.locator(".answer").last).to_contain_text("42")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    _tab_to(visitor, "Keys", back=True)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    _tab_to(visitor, "Name")
    keys.type("by keyboard")
    keys.press("Enter")
    expect(page.locator("#new-key")).to_be_visible()
    _tab_to(visitor, "Revoke by keyboard")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Revoke by keyboard?")
    _tab_to(visitor, "Revoke")
    keys.press("Enter")
    expect(page.get_by_text("by keyboard is revoked.")).to_be_visible()
    _tab_to(visitor, "Sign out")
    keys.press("Enter")
    expect(page.get_by_text("You are signed out.")).to_be_visible()


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="make screenshots writes docs/img")
def test_screenshots(
    operator: Visitor, ids: dict[str, Any], upstream: SharedUpstream, visit: Visit, gateway: Served
) -> None:
    IMAGES.mkdir(exist_ok=True)
    page = operator.page
    page.set_viewport_size({"width": 1280, "height": 880})
    for question in ("Why is the sky blue?", "And at dusk?", "What is 6 * 7?"):
        assert gateway.ask(question).status == 200
    upstream.script(*http_error(400, "INVALID_ARGUMENT", "no"), times=2)
    assert gateway.ask("What it refuses").status == 400
    upstream.clear_scripts()
    operator.open("/admin/requests")
    expect(page.locator("tbody tr")).to_have_count(4)  # they are written by then
    for each in visit_all(operator, ids):
        if not each.image:
            continue
        if each.image == "playground":
            upstream.script(
                *answer(
                    "Rayleigh scattering: air turns short waves aside far more than long ones.",
                    thoughts=["They want a reason, in a sentence."],
                )
            )
            page.get_by_label("Message", exact=True).fill("Why is the sky blue?")
            page.get_by_role("button", name="Send").click()
            expect(page.get_by_text("The answer is complete.")).to_be_visible()
            page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=IMAGES / f"{each.image}.png")


def _tab_to(visitor: Visitor, name: str, *, back: bool = False) -> None:
    """Press Tab until what is called so has the focus, which has to be seen."""
    visitor.page.wait_for_load_state()  # else what a script shows may not be there yet
    for _ in range(40):
        visitor.page.keyboard.press("Shift+Tab" if back else "Tab")
        if visitor.focused() == name:
            outline = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", name
            return
    raise AssertionError(f"{name} is not reached by the keyboard")
