"""The request log and the overview in the console: searched, paged, exported, summed up."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import pytest

from gbproxy.request_log.overview import SLICE_S
from gbproxy.request_log.recorder import NOT_LOGGED
from tests.admin.conftest import ADMIN_KEY, ANNA, Probed
from tests.console.conftest import Browser, Opened, words
from tests.support.logged_requests import logged
from tests.support.polling import until
from tests.support.serving import KEY, in_process

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
FRAGMENTS = {"HX_Request": "true"}


@contextmanager
def filled_gateway() -> Iterator[Browser]:
    """A gateway with sixty good requests, and one that failed, all of whose texts are hostile."""
    with in_process({"ADMIN_KEY": ADMIN_KEY}, upstream=Probed()) as app:
        browser = Browser(app, Probed(), app.app.test_client())
        rows, now = browser.services.storage.request_log, time.time()
        rows.add([logged(now - 100 + n, request_id=f"good-{n}") for n in range(60)])
        names = ("request_id", "key", "key_name", "surface", "model", "account", "account_name")
        texts = {name: f"={name}{HOSTILE}" for name in names}
        rows.add([logged(now - 200, code=f"=code{HOSTILE}", status=502, **texts)])
        assert browser.sign_in().status_code == 303
        yield browser


@pytest.fixture(scope="module")
def filled() -> Iterator[Browser]:
    """For tests that add none."""
    with filled_gateway() as browser:
        yield browser


@pytest.fixture
def own_filled() -> Iterator[Browser]:
    """For one that adds some: they come before those that others look for."""
    with filled_gateway() as browser:
        yield browser


def ids(page: str) -> list[str]:
    return re.findall(r"<code>(good-\d+)</code>", page)


def next_page(page: str) -> str:
    found = re.search(r'rel="next" href="([^"]+)"', page)
    assert found
    return unescape(found[1])


def test_requests_are_shown_page_by_page_while_new_ones_come(own_filled: Browser) -> None:
    first = own_filled.get("/admin/requests?key=0f")
    own_filled.services.storage.request_log.add([logged(time.time() - 10, request_id="good-888")])
    second = own_filled.get(next_page(first.text))

    assert ids(first.text) == [f"good-{n}" for n in range(59, 9, -1)]
    assert ids(second.text) == [f"good-{n}" for n in range(9, -1, -1)]
    assert "data-poll" in first.text
    assert "data-poll" not in second.text


@pytest.mark.parametrize(
    ("search", "finds"),
    [
        ("request_id=good-7", True),
        ("request_id=good-7&key=0f&model=gemini-auto&account=a1&status=200", True),
        ("request_id=good-7&model=other", False),
        ("request_id=good-7&account=other", False),
        ("request_id=good-7&key=other", False),
        ("request_id=good-7&status=429", False),
        ("request_id=good-7&code=overloaded", False),
        ("request_id=good-7%00", True),
    ],
)
def test_each_filter_counts(filled: Browser, search: str, finds: bool) -> None:
    assert ids(filled.get(f"/admin/requests?{search}").text) == (["good-7"] if finds else [])


@pytest.mark.parametrize("search", ["status=many", "before=x", "status=1e2", "model=" + "x" * 1001])
def test_a_wrong_search_is_told(filled: Browser, search: str) -> None:
    answer = filled.get(f"/admin/requests?{search}")

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_the_table_is_sent_again_only_with_something_new(own_filled: Browser) -> None:
    page = own_filled.get("/admin/requests?model=gemini-auto").text
    found = re.search(r'hx-get="([^"]+)"', page)
    assert found
    table = unescape(found[1])
    before = own_filled.get(table, **FRAGMENTS)
    own_filled.services.storage.request_log.add(
        [logged(time.time(), request_id="good-777", key="another")]
    )
    after = own_filled.get(table, **FRAGMENTS)

    assert before.status_code == 204
    assert (after.status_code, ids(after.text)[0]) == (200, "good-777")


def test_hostile_texts_are_text(filled: Browser) -> None:
    for path in ("/admin/requests?status=502", "/admin/overview", "/admin/overview/figures"):
        page = filled.get(path)

        assert page.status_code == 200
        for name in ("model", "key_name", "account_name", "code"):
            assert f"={name}{HOSTILE}" in unescape(page.text)
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert not re.search(r"\sstyle=|\son\w+=\"", page.text)


def test_a_link_in_a_row_finds_its_like(filled: Browser) -> None:
    page = filled.get("/admin/requests?status=502").text
    for name in ("code", "model", "key", "account"):
        found = re.search(rf'href="(/admin/requests\?{name}=[^"]+)"', page)
        assert found
        assert HOSTILE in unescape(filled.get(unescape(found[1])).text)


def test_csv_has_all_that_were_found_and_no_formula(filled: Browser) -> None:
    answer = filled.get("/admin/requests.csv")
    failed = filled.get("/admin/requests.csv?status=502")

    assert answer.content_type == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) >= 61
    (line,) = csv.DictReader(io.StringIO(failed.text, newline=""))
    assert line["model"] == f"'=model{HOSTILE}"
    assert not [name for name, text in line.items() if text.startswith("=")]
    assert (line["status"], line["is_streamed"], line["input_tokens"]) == ("502", "true", "10")


def test_a_wrong_search_is_not_asked_again_and_again(filled: Browser) -> None:
    page = filled.get("/admin/requests?status=-1")

    assert page.status_code == 400
    assert "data-poll" not in page.text
    assert "There are none." not in words(page)


def test_csv_of_a_wrong_search_is_refused_before_it_begins(filled: Browser) -> None:
    assert filled.get("/admin/requests.csv?status=many").status_code == 400


def test_the_overview_sums_up(own_filled: Browser) -> None:
    # its bars move on with the clock: not in the middle of this
    until(lambda: time.time() % SLICE_S < SLICE_S - 5)
    page = own_filled.get("/admin/overview", Accept_Language="en")

    said = words(page)
    assert "The last hour Requests" in said
    assert "The last day Requests" in said
    assert re.search(r"Errors 1 1 × =code", said)
    assert "First token, 95 % within 0.41 s" in said
    for each in ("laptop", "anna", "gemini-auto", "The charts as a table"):
        assert each in said
    charts = re.findall(r"<svg.*?</svg>", page.text, re.S)
    assert len(charts) == 6
    for chart in charts:
        title, described = re.search(r'aria-labelledby="(\S+) (\S+)"', chart).groups()  # type: ignore[union-attr]
        assert f'<title id="{title}">' in chart
        assert f'<desc id="{described}">' in chart
        assert "<rect" in chart
    seen = re.search(r"seen=([0-9a-f]+)", page.text)
    assert seen
    same = own_filled.get(f"/admin/overview/figures?seen={seen[1]}", **FRAGMENTS)
    own_filled.services.storage.request_log.add([logged(time.time())])
    assert same.status_code == 204
    again = own_filled.get(f"/admin/overview/figures?seen={seen[1]}", **FRAGMENTS)
    assert again.status_code == 200


def test_scans_and_clients_that_left_are_no_errors_of_the_overview(opened: Opened) -> None:
    browser = opened()
    browser.sign_in()
    browser.app.request("GET", "/wp-login.php")
    browser.app.request("POST", "/.env", "{}")
    browser.services.request_log.flush()
    rows, now = browser.services.storage.request_log, time.time()
    rows.add([logged(now - n, code="client_gone", status=499) for n in (1, 2)])

    overview = words(browser.get("/admin/overview", Accept_Language="en"))

    assert "Requests 2 2 × client left Errors 0" in overview
    assert "✖" not in words(browser.get("/admin/requests"))


def test_without_a_log_the_pages_say_so(opened: Opened) -> None:
    browser = opened(REQUEST_LOG_DAYS="0")
    browser.sign_in()
    browser.get("/v1/models", Authorization=f"Bearer {KEY}")
    browser.services.request_log.flush()

    assert "The request log is off (REQUEST_LOG_DAYS=0)" in words(browser.get("/admin/requests"))
    assert "The request log is off (REQUEST_LOG_DAYS=0)" in words(browser.get("/admin/overview"))
    assert "关闭" in words(browser.get("/admin/overview", Accept_Language="zh"))
    assert browser.get("/admin/overview/figures").status_code == 200
    assert len(browser.get("/admin/requests.csv").text.splitlines()) == 1


def test_a_request_is_logged_with_the_names_of_its_key_and_account(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    browser.services.request_log.flush()
    before = browser.get("/admin/requests.csv").text.splitlines()
    made, key = browser.services.api_keys.create({"name": "=laptop"})
    question = {"messages": [{"role": "user", "content": "the contents"}], "stream": True}
    reply = browser.app.request(
        "POST",
        "/v1/chat/completions",
        json.dumps(question),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    assert b"Hello" in reply.body
    browser.app.request("GET", "/v1/models", headers={"Authorization": "Bearer wrong"})

    browser.services.request_log.flush()

    page = browser.get("/admin/requests?key==laptop")
    said = words(page)
    assert "=laptop" in said
    assert made.fingerprint not in said
    assert "anna" in said
    assert "OpenAI chat, streamed" in said
    assert "the contents" not in said
    assert "Hello" not in said
    assert "invalid_api_key" in words(browser.get("/admin/requests?status=401"))
    everything = browser.get("/admin/requests.csv").text.splitlines()
    assert len(everything) == len(before) + 2  # what the console's pages ask is not logged


def test_each_kind_of_request_has_words_for_people(opened: Opened) -> None:
    browser = opened()
    browser.sign_in()
    rows, now = browser.services.storage.request_log, time.time()
    kinds = sorted(set(browser.app.app.blueprints) - NOT_LOGGED)
    rows.add([logged(now + n / 10, surface=kind) for n, kind in enumerate([*kinds, "of old"])])

    said = words(browser.get("/admin/requests", Accept_Language="en"))

    assert [kind for kind in kinds if "_" in kind and kind in said] == []
    assert "of old, streamed" in said


@pytest.mark.parametrize(
    ("days", "told"), [("1", "Kept for 1 day."), ("0.5", "Kept for 0.5 days.")]
)
def test_how_long_requests_are_kept(opened: Opened, days: str, told: str) -> None:
    browser = opened(REQUEST_LOG_DAYS=days)
    browser.sign_in()

    assert told in words(browser.get("/admin/requests", Accept_Language="en"))


def test_who_is_not_signed_in_sees_nothing(filled: Browser) -> None:
    for path in ("requests", "requests/table", "requests.csv", "overview", "overview/figures"):
        assert filled.other().get(f"/admin/{path}").status_code == 303
