"""What is wrong with a form stands at its fields, in the words of the form."""

from __future__ import annotations

import re

import pytest

from gbproxy.console.faults import Fault, faults
from gbproxy.errors import BadRequest, Conflict, GatewayError
from tests.admin.conftest import ANNA
from tests.console.conftest import Browser, words

FIELDS = {"name": "name", "rate": "rate", "expires_at": "expires_on", "cookies": "cookies"}


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, []),
        (
            BadRequest("rate: must be so; or so; expires_at: is over", param="rate"),
            [Fault("rate", "must be so; or so"), Fault("expires_on", "is over")],
        ),
        (BadRequest("cookies[0].name: is missing", param="x"), [Fault("cookies", "is missing")]),
        (BadRequest("rate must be a number", param="rate"), [Fault("rate", "must be a number")]),
        (Conflict("another has it", param="name"), [Fault("name", "another has it")]),
        (BadRequest("before: no", param="before"), [Fault(None, "before: no")]),
        (BadRequest("not so"), [Fault(None, "not so")]),
    ],
)
def test_faults_are_taken_apart(error: GatewayError | None, found: list[Fault]) -> None:
    assert faults(error, FIELDS) == found


def control(page: str, name: str) -> str:
    found = re.search(rf'<(?:input|select) id="{name}"[^>]*>', page)
    assert found is not None
    return found[0]


def test_a_keys_wrong_fields_are_told_by_their_labels(browser: Browser) -> None:
    form = {"name": "laptop", "rate_limit": "often", "expires_on": "2001-01-01"}

    page = browser.post("/admin/keys", form)

    said = words(page)
    assert "Request rate : must look like 60/hour" in said
    assert "Last day :" in said
    assert "rate_limit" not in said
    assert "expires_at" not in said
    assert 'id="wrong-rate_limit"' in page.text
    rate = control(page.text, "rate_limit")
    assert 'aria-describedby="wrong-rate_limit rate_limit-hint"' in rate
    assert 'aria-invalid="true" autofocus' in rate
    last = control(page.text, "expires_on")
    assert 'aria-invalid="true"' in last
    assert page.text.count("autofocus") == 1
    assert 'aria-describedby="name-hint"' in control(page.text, "name")


def test_an_accounts_wrong_fields_are_told_where_they_are(browser: Browser) -> None:
    anna = browser.services.registry.add(ANNA).id

    page = browser.post(f"/admin/accounts/{anna}/edit", {"location": "moon"})

    assert "Location :" in words(page)
    assert 'aria-describedby="wrong-location" aria-invalid="true" autofocus' in control(
        page.text, "location"
    )
    assert "<details open>" in page.text


def test_a_wrong_search_is_told_at_its_field(browser: Browser) -> None:
    page = browser.get("/admin/requests?status=many")

    assert "Status : must be a number" in words(page)
    assert 'aria-describedby="wrong-status"' in control(page.text, "status")


def test_the_consoles_own_errors_are_told_in_the_pages_language(browser: Browser) -> None:
    browser.client.set_cookie("gbproxy_language", "zh")

    none = browser.get("/admin/none")
    forged = browser.post("/admin/sign-out", {"csrf_token": "x"})
    of_the_core = browser.get("/admin/accounts/none/edit")
    no_form = browser.client.post("/admin/keys", json={}, headers={"X-CSRF-Token": browser.token()})

    assert "页面不存在" in words(none)
    assert "there is no such page" not in none.text
    assert "此表单属于另一个会话：请重新打开页面" in words(forged)
    assert 'lang="en"' not in re.sub(r"<button.*?>", "", forged.text)
    assert "没有此 id 的账号" in words(of_the_core)
    assert "请求正文必须是 application/x-www-form-urlencoded" in words(no_form)
