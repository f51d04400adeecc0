"""The start: what needs somebody, what waits and until when, what went wrong, and numbers."""

from __future__ import annotations

import json
import re

import pytest

from gbproxy.errors import (
    ConfigRefused,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    UpstreamUnreachable,
)
from tests.admin.conftest import ANNA, BEN, COOKIE, ENVIRONMENT
from tests.console.conftest import Browser, Opened, words
from tests.support.serving import KEY

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def anna(browser: Browser) -> str:
    return browser.services.registry.add(ANNA).id


def fail(browser: Browser, account_id: str, error: GatewayError) -> None:
    """The account meets an error, which is stored, as a worker's background loop does."""
    account = browser.services.pool.account(account_id)
    assert account is not None
    browser.services.pool.failed(account, "images", error)
    browser.services.pool.flush()


def ask(browser: Browser, model: str = "gemini-auto") -> None:
    answer = browser.client.post(
        "/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Hi"}]},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200, answer.text


def polled(page: str, part: str) -> str:
    found = re.search(rf'hx-get="(/admin/home/{part}[^"]+)"', page)
    assert found is not None
    return found[1]


def test_without_accounts_the_start_leads_through_adding_one(browser: Browser) -> None:
    assert browser.get("/admin").headers["Location"] == "/admin/accounts/new"


def test_when_nothing_needs_anybody_it_says_so(browser: Browser, anna: str) -> None:
    page = browser.get("/admin")

    assert "Nothing needs you. All enabled accounts can be asked." in words(page)
    assert 'name="text"' in page.text
    assert "to renew" not in words(page)


def test_an_account_to_renew_stands_first_with_the_box_to_paste_into(
    browser: Browser, anna: str
) -> None:
    fail(browser, anna, CredentialRefused("the account's cookies were refused (status 401)"))

    page = browser.get("/admin")
    said = words(page)

    assert "Nothing needs you" not in said
    assert "1 account to renew anna ✖ Sign-in expired" in said
    assert "does not accept the account's cookies any more." in said
    assert "Sign in to the account in a browser, and paste a fresh copy" in said
    assert '<details class="card" open id="paste">' in page.text
    order = ("to renew", "paste what you copied", "Numbers")
    assert sorted(order, key=said.index) == list(order)
    assert f'href="/admin/accounts/{anna}/edit"' in page.text

    pasted = {"text": f"__Secure-C_SES=CSE.anew\nhttps://business.gemini.google/home/cid/"
              f"{ANNA['config_id']}?csesidx={ANNA['csesidx']}"}  # fmt: skip
    preview = browser.post("/admin/accounts/new", pasted)
    assert "Renews a known account : anna" in words(preview)
    draft = re.search(r'name="draft" value="([^"]+)"', preview.text)
    assert draft is not None
    browser.post("/admin/accounts/import", {"draft": draft[1]})
    renewed = words(browser.get("/admin"))
    assert "Nothing needs you." in renewed
    assert "What went wrong last" not in renewed  # it was about the old cookies


def test_what_cools_down_tells_until_when_and_why(browser: Browser, anna: str) -> None:
    fail(browser, anna, QuotaExhausted("the account's quota is used up", retry_after=600.0))

    page = browser.get("/admin")

    assert "Nothing needs you. What cools down comes back by itself." in words(page)
    assert "1 account cools down anna ▲ Cooling down" in words(page)
    assert re.search(r"Images: <time .*data-until=\"\d+\"", page.text)
    assert "Wait until the time that is shown, or add another account." in words(page)


def test_a_model_whose_quota_is_used_up_tells_until_when(browser: Browser, anna: str) -> None:
    account = browser.services.pool.account(anna)
    assert account is not None
    browser.services.pool.failed(account, "text:best", QuotaExhausted("empty", retry_after=600.0))
    browser.services.pool.flush()

    page = browser.get("/admin")

    assert "Nothing needs you. What cools down comes back by itself." in words(page)
    assert "The quota of a model is used up anna ● Ready best:" in words(page)
    assert re.search(r"best: <time .*data-until=\"\d+\"", page.text)
    assert "Wait until the time that is shown, or add another account." in words(page)
    assert "What went wrong last" not in words(page)


def test_the_last_error_is_said_in_plain_words_of_both_languages(
    browser: Browser, anna: str
) -> None:
    fail(browser, anna, UpstreamUnreachable("no connection to the upstream within 10 s"))

    english = words(browser.get("/admin", Accept_Language="en"))
    chinese = words(browser.get("/admin", Accept_Language="zh"))

    assert "What went wrong last anna ● Ready There was no connection" in english
    assert "look at this machine's network" in english
    assert "no connection to the upstream within 10 s" in english
    assert "无法连接到 Gemini Business。" in chinese
    assert "请检查本机网络" in chinese


def test_what_errors_say_stays_text(browser: Browser, anna: str) -> None:
    fail(browser, anna, ConfigRefused(SCRIPT))

    page = browser.get("/admin").text

    assert SCRIPT not in page
    assert "alert(1)" in page


def test_an_account_of_the_environment_is_renewed_there(opened: Opened) -> None:
    browser = opened(ACCOUNTS=json.dumps([ENVIRONMENT]))
    browser.sign_in()
    fail(browser, "home", CredentialRefused("the account's cookies were refused"))

    assert "It stands in the environment: renew it there" in words(browser.get("/admin"))


def test_with_all_accounts_disabled_somebody_is_needed(browser: Browser, anna: str) -> None:
    browser.services.registry.change(anna, {"is_active": False})

    said = words(browser.get("/admin"))

    assert "No account is enabled: nothing can be answered." in said
    assert "Nothing needs you" not in said


def test_with_all_accounts_cooling_somebody_is_told_until_when(browser: Browser, anna: str) -> None:
    account = browser.services.pool.account(anna)
    assert account is not None
    browser.services.pool.failed(account, "text", QuotaExhausted("used up", retry_after=600.0))
    browser.services.pool.flush()

    page = browser.get("/admin")
    ben = browser.services.registry.add(BEN)
    with_another = words(browser.get("/admin"))
    fail(browser, ben.id, CredentialRefused("the account's cookies were refused"))
    with_one_refused = words(browser.get("/admin"))

    assert "No account can answer now. The first comes back by itself at" in words(page)
    assert "Nothing needs you" not in words(page)
    assert "Nothing needs you." in with_another
    assert "No account can answer now." in with_one_refused


def test_an_account_with_old_cookies_needs_somebody(opened: Opened) -> None:
    browser = opened(COOKIE_MAX_AGE_H="0.000001")
    browser.sign_in()
    anna = browser.services.registry.add(ANNA).id

    page = browser.get("/admin")
    part = words(browser.get("/admin/home/renew", HX_Request="true"))

    for said in (words(page), part):
        assert "1 account with old cookies anna ● Ready" in said
        assert "copy them anew. Their age: 0 minutes" in said
        assert "Nothing needs you" not in said
    assert f'href="/admin/accounts/{anna}/edit"' in page.text
    assert '<details class="card" open id="paste">' in page.text
    browser.services.registry.change(anna, {"is_active": False})
    assert "old cookies" not in words(browser.get("/admin"))


def test_the_numbers_are_those_of_today(browser: Browser, anna: str) -> None:
    browser.services.registry.add(BEN)
    browser.services.registry.change(anna, {"is_active": False})
    ask(browser)
    ask(browser)

    page = words(browser.get("/admin"))
    table = browser.get("/admin/accounts")

    assert "Ready 1" in page
    assert "Disabled 1" in page
    assert "Answers in flight 0" in page
    assert "Text today 2" in page
    assert "Images today 0" in page
    assert "Text: 2" in words(table)  # of ben
    assert "Text: 0" in words(table)  # of anna
    assert "0 minutes" in words(table)  # of age have the cookies
    assert COOKIE not in table.text


@pytest.mark.parametrize(
    ("part", "said"), [("renew", "anna ✖ Sign-in expired"), ("rest", "Sign-in expired 1")]
)
def test_a_changing_part_is_sent_only_when_it_has_changed(
    browser: Browser, anna: str, part: str, said: str
) -> None:
    page = browser.get("/admin").text

    unchanged = browser.get(polled(page, part), HX_Request="true")
    fail(browser, anna, CredentialRefused("the account's cookies were refused"))
    changed = browser.get(polled(page, part), HX_Request="true")

    assert (unchanged.status_code, unchanged.data) == (204, b"")
    assert said in words(changed)
    assert "<html" not in changed.text
    assert "<textarea" not in changed.text  # what is being pasted stays
    assert browser.get(polled(changed.text, part)).status_code == 204


def test_there_is_no_other_part(browser: Browser) -> None:
    assert browser.get("/admin/home/none").status_code == 404
