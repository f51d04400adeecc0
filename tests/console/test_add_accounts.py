"""Adding accounts by pastes: they add up on screen, nothing is stored before it is asked for, and
no secret comes back.
"""

from __future__ import annotations

import json
import re

from werkzeug.test import TestResponse

from gbproxy.errors import CredentialRefused
from tests.admin.conftest import ANNA, COOKIE, OTHER_COOKIE
from tests.console.conftest import Browser, Opened, words

PASTES = (
    f"__Secure-C_SES={COOKIE}",
    f"__Host-C_OSES={OTHER_COOKIE}",
    f"https://business.gemini.google/home/cid/{ANNA['config_id']}?csesidx={ANNA['csesidx']}",
)


def draft(page: str) -> str:
    found = re.search(r'name="draft" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def store(browser: Browser, text: str) -> TestResponse:
    """What is told after it is stored."""
    page = browser.post("/admin/accounts/new", {"text": text, "draft": ""})
    stored = browser.post("/admin/accounts/import", {"draft": draft(page.text)})
    return browser.get(stored.headers["Location"])


def test_three_pastes_make_an_account(browser: Browser) -> None:
    kept, pages = "", []
    for paste in PASTES:
        page = browser.post("/admin/accounts/new", {"text": paste, "draft": kept})
        assert page.status_code == 200, words(page)
        kept = draft(page.text)
        pages.append(page)

    assert "still missing: csesidx" in words(pages[1])
    assert "Store and check" not in words(pages[1])
    assert "New account" in words(pages[2])
    assert "Store and check" in words(pages[2])
    assert browser.services.registry.list() == []
    assert not any(secret in page.text for page in pages for secret in (COOKIE, OTHER_COOKIE))

    stored = browser.post("/admin/accounts/import", {"draft": kept})

    assert stored.status_code == 303
    (account,) = browser.services.registry.list()
    assert account.credential["csesidx"] == ANNA["csesidx"]
    assert browser.upstream.probed == [account.name]
    done = browser.get(stored.headers["Location"])
    assert "1 account is stored." in words(done)
    assert f"{account.name} : the sign-in is good" in words(done)
    assert "http://localhost/v1" in words(done)


def test_a_paste_with_nothing_in_it_keeps_what_was_good(browser: Browser) -> None:
    first = browser.post("/admin/accounts/new", {"text": PASTES[0], "draft": ""})

    wrong = browser.post("/admin/accounts/new", {"text": "", "draft": ""})

    assert wrong.status_code == 400
    assert "nothing of a Gemini Business account was found" in words(wrong)
    again = browser.post("/admin/accounts/new", {"text": PASTES[2], "draft": draft(first.text)})
    assert "New account" in words(again)


def test_a_refused_sign_in_is_told_after_storing(browser: Browser) -> None:
    browser.upstream.trouble = CredentialRefused("the cookies have expired")
    page = browser.post("/admin/accounts/new", {"text": "\n".join(PASTES), "draft": ""})

    stored = browser.post("/admin/accounts/import", {"draft": draft(page.text)})

    done = words(browser.get(stored.headers["Location"]))
    assert "the sign-in was refused" in done
    assert "the cookies have expired" in done


def test_after_a_refused_check_there_is_a_way_back_to_the_box(browser: Browser) -> None:
    browser.upstream.trouble = CredentialRefused("the cookies have expired")

    refused = store(browser, "\n".join(PASTES))
    browser.upstream.trouble = None
    good = store(browser, f"{PASTES[0]}-anew\n{PASTES[2]}")

    link = '<a class="button" href="/admin/accounts/new">Paste a fresh copy</a>'
    assert link in refused.text
    assert link not in good.text


def test_a_form_that_is_sent_twice_stores_once_and_tells_of_it(browser: Browser) -> None:
    page = browser.post("/admin/accounts/new", {"text": "\n".join(PASTES), "draft": ""})
    form = {"draft": draft(page.text)}
    first = browser.post("/admin/accounts/import", form)

    second = browser.post("/admin/accounts/import", form)

    assert second.headers["Location"] == first.headers["Location"]
    done = words(browser.get(second.headers["Location"]))
    assert "1 account was stored before: nothing is new." in done
    assert "account-123 : the sign-in is good" in done
    assert len(browser.services.registry.list()) == 1


def test_accounts_that_were_not_checked_are_told_of(browser: Browser) -> None:
    accounts = [{**ANNA, "name": f"number-{n}", "csesidx": f"10{n}"} for n in range(7)]

    done = words(store(browser, json.dumps(accounts)))

    assert "7 accounts are stored." in done
    assert done.count("the sign-in is good") == len(browser.upstream.probed) == 5
    assert "2 more accounts were not checked: only a few are checked at once." in done


def test_without_added_accounts_their_page_leads_to_all(browser: Browser) -> None:
    for path in ("/admin/accounts/added", "/admin/accounts/added?id=none"):
        assert browser.get(path).headers["Location"] == "/admin/accounts"


def test_a_client_is_told_the_public_address_and_the_default_model(opened: Opened) -> None:
    browser = opened(PUBLIC_URL="https://ai.example.com", DEFAULT_MODEL="gemini-3-pro-preview")
    browser.sign_in()

    done = store(browser, "\n".join(PASTES)).text
    playground = browser.get("/admin/playground").text

    assert "https://ai.example.com/v1/chat/completions" in done
    assert "<code>gemini-3-pro-preview</code>" in done
    assert "localhost" not in done
    assert 'data-url="https://ai.example.com"' in playground
    assert "<option>gemini-3-pro-preview</option>" in playground
    assert "gemini-auto" not in done + playground


def test_what_was_pasted_before_cannot_be_forged(browser: Browser) -> None:
    forged = browser.post("/admin/accounts/import", {"draft": "\n".join(PASTES)})

    assert forged.status_code == 400
    assert browser.services.registry.list() == []


def test_values_are_pasted_one_by_one(browser: Browser) -> None:
    kept = ""
    for field in ("csesidx", "secure_c_ses", "config_id"):
        page = browser.post("/admin/accounts/new", {field: ANNA[field], "draft": kept})
        assert page.status_code == 200, words(page)
        kept = draft(page.text)

    assert "New account : account-123" in words(page)
    assert '<details class="card" open>' in page.text
    assert COOKIE not in page.text

    browser.post("/admin/accounts/import", {"draft": kept})
    (account,) = browser.services.registry.list()
    assert account.credential["config_id"] == ANNA["config_id"]
