"""The table of accounts: what it says, how it keeps up to date, and what its buttons do."""

from __future__ import annotations

import re

import pytest

from gbproxy.errors import CredentialRefused, QuotaExhausted, UpstreamUnreachable
from tests.admin.conftest import ANNA, BEN, COOKIE
from tests.console.conftest import Browser, words

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def anna(browser: Browser) -> str:
    return browser.services.registry.add(ANNA).id


def table(browser: Browser) -> str:
    return browser.get("/admin/accounts/table").text


def seen(page: str) -> str:
    found = re.search(r'hx-get="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_without_accounts_the_start_leads_through_adding_one(browser: Browser) -> None:
    assert browser.get("/admin").headers["Location"] == "/admin/accounts/new"
    assert "There is no account yet" in words(browser.get("/admin/accounts/new"))


def test_the_table_shows_each_account_and_no_cookie(browser: Browser, anna: str) -> None:
    page = browser.get("/admin/accounts")
    assert '<th scope="row">anna</th>' in page.text
    assert "● Ready" in words(page)
    assert COOKIE not in page.text


def test_a_fragment_that_was_seen_is_not_sent_again(browser: Browser, anna: str) -> None:
    page = browser.get("/admin/accounts").text

    unchanged = browser.get(seen(page))
    browser.services.registry.change(anna, {"is_active": False})
    changed = browser.get(seen(page))

    assert (unchanged.status_code, unchanged.data) == (204, b"")
    assert changed.status_code == 200
    assert "■ Disabled" in words(changed)
    assert "<html" not in changed.text
    assert browser.get(seen(changed.text)).status_code == 204


def test_a_cooling_account_tells_until_when_and_recovers_by_a_button(
    browser: Browser, anna: str
) -> None:
    pool = browser.services.pool
    account = pool.account(anna)
    assert account is not None
    pool.failed(account, "images", QuotaExhausted("the quota is used up", retry_after=600.0))

    cooling = table(browser)
    done = browser.post(f"/admin/accounts/{anna}/do", {"action": "clear-cooldown"})

    assert "▲" in cooling
    assert "Cooling down" in cooling
    assert re.search(r"Images: <time .*data-until=\"\d+\"", cooling)
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/accounts")
    after = browser.get("/admin/accounts")
    assert "anna is asked again at once." in words(after)
    assert "● Ready" in words(after)
    assert "asked again" not in words(browser.get("/admin/accounts"))  # said once


def test_a_models_used_up_quota_is_told_and_ended_by_the_button(
    browser: Browser, anna: str
) -> None:
    pool = browser.services.pool
    account = pool.account(anna)
    assert account is not None
    before = browser.get("/admin/accounts").text
    pool.failed(account, "text:best", QuotaExhausted("the quota is used up", retry_after=600.0))

    told = browser.get(seen(before))
    browser.post(f"/admin/accounts/{anna}/do", {"action": "clear-cooldown"})

    assert "● Ready Cooling until best:" in words(told)
    assert re.search(r"best: <time .*data-until=\"\d+\"", told.text)
    assert 'value="clear-cooldown"' in told.text
    assert "clear-cooldown" not in table(browser)
    assert "best" not in table(browser)


def test_an_account_is_disabled_and_enabled(browser: Browser, anna: str) -> None:
    browser.post(f"/admin/accounts/{anna}/do", {"action": "disable"})
    assert browser.services.registry.get(anna).state == "disabled"

    browser.post(f"/admin/accounts/{anna}/do", {"action": "enable"})
    assert browser.services.registry.get(anna).state == "ready"


def test_a_check_tells_what_the_upstream_says(browser: Browser, anna: str) -> None:
    browser.post(f"/admin/accounts/{anna}/do", {"action": "check"})
    assert "anna: the sign-in is good." in words(browser.get("/admin/accounts"))

    browser.upstream.trouble = CredentialRefused("the cookies have expired")
    browser.post(f"/admin/accounts/{anna}/do", {"action": "check"})
    page = words(browser.get("/admin/accounts"))
    assert "anna: the sign-in was refused" in page
    assert "✖ Sign-in expired" in page


def test_what_a_check_is_told_is_in_the_page_s_language_where_that_has_it(
    browser: Browser, anna: str
) -> None:
    browser.client.set_cookie("gbproxy_language", "zh")
    notices = []
    for trouble in ("the gateway's database cannot be used at the moment", "of the upstream alone"):
        browser.upstream.trouble = UpstreamUnreachable(trouble)
        browser.post(f"/admin/accounts/{anna}/do", {"action": "check"})
        notices += re.findall(r'role="status">(.*?)</p>', browser.get("/admin/accounts").text)

    known, other = notices
    assert "<span>网关的数据库暂时无法使用</span>" in known
    assert '<span lang="en">of the upstream alone</span>' in other


def test_an_account_is_deleted_only_after_a_question(browser: Browser, anna: str) -> None:
    asked = browser.get(f"/admin/accounts/{anna}/delete")
    assert "Delete anna?" in words(asked)
    assert len(browser.services.registry.list()) == 1

    browser.post(f"/admin/accounts/{anna}/delete")

    assert browser.services.registry.list() == []


def test_an_action_that_is_none_is_refused(browser: Browser, anna: str) -> None:
    assert browser.post(f"/admin/accounts/{anna}/do", {"action": "explode"}).status_code == 400
    assert browser.post("/admin/accounts/none/do", {"action": "check"}).status_code == 404


def test_script_in_a_name_or_an_error_stays_text(browser: Browser) -> None:
    id_ = browser.services.registry.add({**BEN, "name": SCRIPT}).id
    browser.upstream.trouble = CredentialRefused(SCRIPT)
    browser.post(f"/admin/accounts/{id_}/do", {"action": "check"})

    for page in ("/admin/accounts", "/admin/accounts", f"/admin/accounts/{id_}/delete"):
        text = browser.get(page).text
        assert "alert(1)" in text
        assert SCRIPT not in text


def test_an_error_goes_to_the_line_for_it_when_htmx_asks(browser: Browser) -> None:
    answer = browser.get("/admin/none", HX_Request="true")

    assert (answer.status_code, answer.headers["HX-Retarget"]) == (404, "#trouble")
    assert "<html" not in answer.text
