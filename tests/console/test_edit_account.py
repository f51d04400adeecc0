"""Changing an account: its name and single values, without showing a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.errors import CredentialRefused
from gbproxy.upstreams.widget.credential import credential_of
from tests.admin.conftest import ANNA, BEN, COOKIE, ENVIRONMENT, OTHER_COOKIE
from tests.console.conftest import Browser, Opened, inputs, words


@pytest.fixture
def anna(browser: Browser) -> str:
    return browser.services.registry.add({**ANNA, "server_token": "CAMSabc="}).id


def credential(browser: Browser, account_id: str) -> Any:
    account = browser.services.pool.account(account_id)
    assert account is not None
    return credential_of(account)


def test_the_form_shows_what_may_be_seen(browser: Browser, anna: str) -> None:
    page = browser.get(f"/admin/accounts/{anna}/edit")

    assert page.status_code == 200
    assert 'value="anna"' in page.text
    assert f'value="{ANNA["config_id"]}"' in page.text
    assert not any(secret in page.text for secret in (COOKIE, OTHER_COOKIE, "CAMSabc="))


def test_a_name_is_changed_and_the_sign_in_is_left_in_peace(browser: Browser, anna: str) -> None:
    shown = {"csesidx": ANNA["csesidx"], "config_id": ANNA["config_id"]}

    done = browser.post(f"/admin/accounts/{anna}/edit", {**shown, "name": "anna at work"})

    assert (done.status_code, done.headers["Location"]) == (303, "/admin/accounts")
    assert "anna at work is stored." in words(browser.get("/admin/accounts"))
    assert credential(browser, anna).secure_c_ses == COOKIE
    assert credential(browser, anna).server_token == "CAMSabc="
    assert browser.upstream.probed == []


def test_what_another_administrator_has_changed_since_the_form_was_shown_stays(
    browser: Browser, anna: str
) -> None:
    edit = f"/admin/accounts/{anna}/edit"
    form = inputs(browser.get(edit).text)
    moved = {"config_id": BEN["config_id"], "server_token": "CAMSnew="}
    browser.services.registry.change(anna, moved)

    refused = browser.post(edit, {**form, "name": "no/such\tname"})
    stored = browser.post(edit, {**inputs(refused.text), "name": "anna at work"})

    now = credential(browser, anna)
    assert (refused.status_code, stored.status_code) == (400, 303)
    assert "anna at work is stored." in words(browser.get("/admin/accounts"))
    assert {"config_id": now.config_id, "server_token": now.server_token} == moved


def test_cookies_are_pasted_one_by_one_and_checked_at_once(browser: Browser, anna: str) -> None:
    edit = f"/admin/accounts/{anna}/edit"

    browser.post(edit, {"secure_c_ses": "__Secure-C_SES=CSE.new;"})
    alone = credential(browser, anna)
    browser.post(edit, {"host_c_oses": "COS.new"})
    both = credential(browser, anna)

    # The old second cookie belongs to the old first one.
    assert (alone.secure_c_ses, alone.host_c_oses) == ("CSE.new", None)
    assert (both.secure_c_ses, both.host_c_oses) == ("CSE.new", "COS.new")
    assert browser.upstream.probed == ["anna", "anna"]
    assert "anna is stored. the sign-in is good" in words(browser.get("/admin/accounts"))


def test_a_refused_sign_in_is_told(browser: Browser, anna: str) -> None:
    browser.upstream.trouble = CredentialRefused("the cookies have expired")

    browser.post(f"/admin/accounts/{anna}/edit", {"secure_c_ses": "CSE.new"})

    assert "the sign-in was refused" in words(browser.get("/admin/accounts"))


def test_an_optional_value_is_removed_when_that_is_ticked(browser: Browser, anna: str) -> None:
    browser.post(f"/admin/accounts/{anna}/edit", {"remove_host_c_oses": "1"})

    assert credential(browser, anna).host_c_oses is None
    assert credential(browser, anna).secure_c_ses == COOKIE


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [("csesidx", "abc", 400), ("config_id", "none", 400), ("name", "ben", 409)],
)
def test_a_wrong_value_is_told_and_what_was_filled_in_stays(
    browser: Browser, anna: str, field: str, value: str, status: int
) -> None:
    browser.services.registry.add(BEN)

    answer = browser.post(
        f"/admin/accounts/{anna}/edit", {"name": "new", "secure_c_ses": "CSE.new", field: value}
    )

    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert f'value="{value}"' in answer.text
    assert "CSE.new" not in answer.text
    assert browser.services.registry.get(anna).name == "anna"
    assert credential(browser, anna).secure_c_ses == COOKIE


def test_an_account_of_the_environment_is_changed_there(opened: Opened) -> None:
    browser = opened(ACCOUNTS=json.dumps([ENVIRONMENT]))
    browser.sign_in()

    page = browser.get("/admin/accounts/home/edit")
    changed = browser.post("/admin/accounts/home/edit", {"name": "other"})

    assert "stands in the environment: change it there" in words(page)
    assert changed.status_code == 409
    assert "stands in the environment: change it there" in words(changed)


def test_there_is_no_form_for_what_is_not_there(browser: Browser) -> None:
    assert browser.get("/admin/accounts/none/edit").status_code == 404
    assert browser.post("/admin/accounts/none/edit", {"name": "x"}).status_code == 404
