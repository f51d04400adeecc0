"""What other packages say at forms is there in the page's language, in the words that they use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select

from gbproxy.account_admin.importing import MAX_ACCOUNTS, MAX_CHARS, find
from gbproxy.account_admin.importing.bounds import WorkLimit
from gbproxy.api_keys.key_input import parse
from gbproxy.console.core_messages import MESSAGES
from gbproxy.errors import GatewayError
from gbproxy.storage.database import Database
from tests.admin.conftest import ANNA, BEN, ENVIRONMENT
from tests.console.conftest import Browser, Opened
from tests.support.webhooks import Scripted, receiving

MARK = re.compile(r"%\\\(\w+\\\)s")
NOTICE = re.compile(r'<p class="notice \w+" role="status">(.*?)</p>', re.DOTALL)
SENTENCE = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")
SAID = re.compile(r'<span lang="en">(.*?)</span>', re.DOTALL)
NEW = {"secure_c_ses": "CSE.new", "csesidx": "321", "name": "new"}
# By the page: forms, each wrong in some fields.
FORMS: dict[str, list[dict[str, str]]] = {
    "/admin/keys": [
        {"name": " ", "expires_on": "2001-01-01", "models": "none", "rate_limit": "often"},
        {"name": "n", "rate_limit": "9999999/hour", "tokens_per_day": "0"},
        {"name": "n", "expires_on": "soon", "allowed_addresses": "home", "rate_limit": "9/hour"},
        {"name": "n", "allowed_addresses": "10.0.0.1/8"},
        {"name": "n", "allowed_addresses": ",".join(f"10.0.0.{n}" for n in range(101))},
    ],
    "/admin/accounts/{anna}/edit": [
        {"name": "x" * 129},
        {"csesidx": "x", "cookies": "x"},
        {"config_id": "x"},
        {"name": "ben", "cookies": "__Secure-C_SES=x", "server_token": "a b", "user_agent": "é"},
        {"config_id": "00000000-0000-0000-0000-000000000000"},
        {"secure_c_ses": ";"},
        {"name": "ben"},
        {name: str(BEN[name]) for name in ("secure_c_ses", "csesidx", "config_id")},
        *(
            {"secure_c_ses": cookie}
            for cookie in ("__Host-C_OSES=x", "g.a000abc", "a;b", "a b", "***", "é")
        ),
    ],
    "/admin/accounts/home/delete": [{}],
    "/admin/accounts/new": [
        {"text": "nothing"},
        {"text": "__Secure-1PSID=g.a000abc"},
        {"text": json.dumps([ENVIRONMENT | NEW, BEN | NEW])},
        {"text": json.dumps(ENVIRONMENT | {"secure_c_ses": "CSE.new"})},
    ],
    "/admin/requests?status=x": [],
    "/admin/requests?model=" + "x" * 2000: [],
    "/admin/accounts/none/edit": [],
}


def elsewhere(folder: Path) -> list[Callable[[], object]]:
    """Calls that say what no form of a browser brings about, or only one that is very large."""
    many = [{**ANNA, "name": f"n{n}", "csesidx": f"{n}"} for n in range(MAX_ACCOUNTS + 1)]
    return [
        lambda: Database(f"sqlite:///{folder}/x.db").fetch(select(1)),
        lambda: parse({}, str, 0, can_limit=True),
        lambda: find("x" * (MAX_CHARS + 1)),
        lambda: find("a\0b\0" * 500),
        lambda: find(json.dumps(many)),
        lambda: WorkLimit(0, words=0).spend(),
        lambda: WorkLimit(0).backtrack(10**9),
    ]


@pytest.fixture
def webhooks() -> Iterator[str]:
    """Addresses that take no message, each in its own way."""
    answers = {
        "/busy": Scripted(503),
        "/moved": Scripted(307, headers={"Location": "/"}),
        "/refuses": Scripted(body=b'{"errcode": 1}'),
    }
    with receiving() as gone:
        pass
    with receiving() as receiver:
        receiver.script = lambda number: answers[receiver.received[number].path]
        url = receiver.url
        yield f"{gone.url}/,{url}/busy,{url}/moved,dingtalk+{url}/refuses"


def test_all_of_them_are_said_and_none_is_left_in_english(
    opened: Opened, tmp_path: Path, webhooks: str
) -> None:
    browser = opened(
        ACCOUNTS=json.dumps([ENVIRONMENT]), WEB_CONCURRENCY="2", ALERT_WEBHOOK=webhooks
    )
    browser.sign_in()
    anna = browser.services.registry.add(ANNA).id
    browser.services.registry.add(BEN)

    said, left = (answers(browser, language, anna) for language in ("en", "zh"))
    troubles, theirs = (notice_of_alerts(browser, language) for language in ("en", "zh"))
    said += re.findall(r"has not taken it: (.+?)\.(?: |$)", troubles)
    left += SENTENCE.findall(theirs)
    for raises in elsewhere(tmp_path / "none"):
        with pytest.raises(GatewayError) as caught:
            raises()
        said.append(caught.value.message.removeprefix("name: "))

    assert left == []
    patterns = [re.compile(MARK.sub(".+", re.escape(message))) for message in MESSAGES]
    unsaid = [each.pattern for each in patterns if not any(map(each.fullmatch, said))]
    assert unsaid == []


def notice_of_alerts(browser: Browser, language: str) -> str:
    """What the page says of a test of the webhooks."""
    browser.client.set_cookie("gbproxy_language", language)
    browser.post("/admin/alerts/test")
    (found,) = NOTICE.findall(browser.get("/admin/alerts").text)
    return unescape(found)


def answers(browser: Browser, language: str, anna: str) -> list[str]:
    """What the pages say in English, beside their own words."""
    browser.client.set_cookie("gbproxy_language", language)
    found, token = [], browser.token()
    for path, forms in FORMS.items():
        for form in forms or [None]:
            page = path.format(anna=anna)
            answer = (
                browser.get(page)
                if form is None
                else browser.client.post(page, data={"csrf_token": token, **form})
            )
            assert answer.status_code in (200, 400, 404, 409), (path, form, answer.text)
            found += [unescape(each) for each in SAID.findall(answer.text)]
    return found
