"""Sign-in, sign-out, forged and replayed cookies, forms of other sites' pages, and framing."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.admin.conftest import ADMIN_KEY, ANNA
from tests.console.conftest import Browser, Opened, words
from tests.support.serving import KEY, in_process

COOKIE = "gbproxy_console"


def test_without_an_admin_key_there_is_no_console() -> None:
    with in_process({}) as app:
        assert app.request("GET", "/admin").status == 404
        assert app.request("GET", "/admin/sign-in").status == 404


@pytest.mark.parametrize("path", ["/admin", "/admin/keys", "/admin/accounts", "/admin/none"])
def test_a_stranger_is_led_to_the_sign_in_and_from_there_to_what_was_asked_for(
    visitor: Browser, path: str
) -> None:
    led = visitor.get(path)

    assert (led.status_code, led.headers["Location"]) == (303, f"/admin/sign-in?next={path}")
    assert "Sign in" in words(visitor.get(led.headers["Location"]))
    assert visitor.sign_in(next=path).headers["Location"] == path


@pytest.mark.parametrize(
    "goal",
    ["https://evil.example", "//evil.example/admin", "/v1/models", "/admin\\@evil", "/adminx", ""],
)
def test_sign_in_leads_nowhere_else(visitor: Browser, goal: str) -> None:
    assert visitor.sign_in(next=goal).headers["Location"] == "/admin"


def test_a_wrong_password_is_told_and_opens_nothing(visitor: Browser) -> None:
    refused = visitor.sign_in("not-it")

    assert refused.status_code == 401
    assert "This is not the password" in words(refused)
    assert visitor.get("/admin").status_code == 303


def test_wrong_passwords_are_slowed_and_the_right_one_never(visitor: Browser) -> None:
    statuses = [visitor.sign_in(f"guess-{n}").status_code for n in range(6)]

    assert statuses == [401] * 5 + [429]
    slowed = visitor.sign_in("guess-7")
    assert 0 < int(slowed.headers["Retry-After"]) <= 61
    assert "Too many wrong passwords" in words(slowed)
    assert visitor.sign_in().status_code == 303


def test_guesses_at_the_api_and_at_the_console_count_together(visitor: Browser) -> None:
    for n in range(5):
        visitor.get("/api/admin/accounts", Authorization=f"Bearer guess-{n}")

    assert visitor.sign_in("guess-6").status_code == 429


def test_a_clients_key_opens_nothing(visitor: Browser) -> None:
    assert visitor.sign_in(KEY).status_code == 401
    assert visitor.get("/admin", Authorization=f"Bearer {KEY}").status_code == 303


def test_the_cookie_is_for_this_site_and_for_no_script(visitor: Browser) -> None:
    plain = visitor.sign_in().headers["Set-Cookie"]
    behind_tls = visitor.client.post(
        "/admin/sign-in", data={"admin_key": ADMIN_KEY}, base_url="https://localhost"
    ).headers["Set-Cookie"]

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(plain.split("; "))
    assert "Secure" not in plain.split("; ")
    assert "Secure" in behind_tls.split("; ")
    assert ADMIN_KEY not in plain


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: cookie[:-2] + "AA",
        lambda cookie: "",
        lambda cookie: "gAAAAA",
        lambda cookie: "ä",
    ],
)
def test_a_forged_cookie_opens_nothing(browser: Browser, change: object) -> None:
    assert callable(change)
    cookie = browser.client.get_cookie(COOKIE)
    assert cookie is not None

    browser.client.set_cookie(COOKIE, change(cookie.value))

    assert browser.get("/admin/keys").status_code == 303


def test_a_cookie_of_another_admin_key_opens_nothing(
    opened: Opened, stored: dict[str, str]
) -> None:
    before, after = opened(**stored), opened(**stored, ADMIN_KEY="ak-test-another-one-0123456789")
    before.sign_in()
    cookie = before.client.get_cookie(COOKIE)
    assert cookie is not None
    after.client.set_cookie(COOKIE, cookie.value)

    assert before.get("/admin/keys").status_code == 200
    assert after.get("/admin/keys").status_code == 303


def test_sign_out_counts_at_once_in_all_workers_for_every_copy_of_the_cookie(
    opened: Opened, stored: dict[str, str]
) -> None:
    one, two = opened(**stored), opened(**stored)
    one.sign_in()
    cookie = one.client.get_cookie(COOKIE)
    assert cookie is not None
    two.client.set_cookie(COOKIE, cookie.value)
    assert two.get("/admin/keys").status_code == 200

    left = one.post("/admin/sign-out")

    assert left.headers["Location"] == "/admin/sign-in"
    assert "You are signed out." in words(one.get("/admin/sign-in"))
    assert one.client.get_cookie(COOKIE) is None
    assert two.get("/admin/keys").status_code == 303
    one.client.set_cookie(COOKIE, cookie.value)
    assert one.get("/admin/keys").status_code == 303


def test_a_form_without_the_sessions_token_does_nothing(browser: Browser) -> None:
    stranger = browser.other()
    stranger.sign_in()

    for token in ("", "x", stranger.token()):
        assert browser.post("/admin/sign-out", {"csrf_token": token}).status_code == 400
    assert browser.get("/admin/keys").status_code == 200


def test_a_form_of_another_sites_page_does_nothing(browser: Browser) -> None:
    assert browser.post("/admin/sign-out", Sec_Fetch_Site="cross-site").status_code == 400
    assert (
        browser.client.post(
            "/admin/preferences", data={"language": "zh"}, headers={"Sec-Fetch-Site": "cross-site"}
        ).status_code
        == 400
    )
    assert browser.get("/admin/keys").status_code == 200


def test_a_form_may_not_be_larger_than_it_has_to(visitor: Browser) -> None:
    assert visitor.sign_in("x" * 20_000).status_code == 413


@pytest.mark.parametrize(
    "path", ["/admin/sign-in", "/admin/keys", "/admin/none", "/admin/static/none.css"]
)
def test_every_answer_forbids_framing_foreign_code_and_keeping(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_files_are_served_under_names_of_their_contents_for_good(visitor: Browser) -> None:
    page = visitor.get("/admin/sign-in").text
    paths = [part.split('"')[0] for part in page.split("/admin/static/")[1:]]

    assert len(paths) == 4
    for path in paths:
        answer = visitor.get(f"/admin/static/{path}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert "://" not in page.replace("http://www.w3.org", "")


def test_a_fragment_of_who_is_signed_out_says_so_on_the_page_that_stays(visitor: Browser) -> None:
    answer = visitor.get(
        "/admin/requests/table",
        HX_Request="true",
        HX_Current_URL="http://localhost/admin/requests?status=404",
    )

    assert answer.status_code == 200
    assert answer.headers["HX-Retarget"] == "#trouble"
    assert "HX-Redirect" not in answer.headers
    assert "Your sign-in has ended." in words(answer)
    assert 'href="/admin/sign-in?next=/admin/requests?status%3D404"' in answer.text


def test_a_fragment_leads_to_no_other_site(visitor: Browser) -> None:
    elsewhere = "http://evil.example//evil.example/admin"

    answer = visitor.get("/admin/accounts/table", HX_Request="true", HX_Current_URL=elsewhere)

    assert 'href="/admin/sign-in?next=/admin"' in answer.text


def test_language_and_colours_are_chosen_by_browser_or_by_hand(visitor: Browser) -> None:
    assert "登录" in words(visitor.get("/admin/sign-in", Accept_Language="zh-CN,zh;q=0.9,en;q=0.8"))
    assert "Sign in" in words(visitor.get("/admin/sign-in", Accept_Language="fr"))

    visitor.post("/admin/preferences", {"language": "zh", "next": "/admin/sign-in"})
    visitor.post("/admin/preferences", {"theme": "dark"})

    page = visitor.get("/admin/sign-in", Accept_Language="en").text
    assert '<html lang="zh" data-theme="dark">' in page


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/admin"), ("GET", "/admin/sign-out"), ("PUT", "/admin/keys"), ("DELETE", "/admin")],
)
def test_what_a_page_does_not_take_is_told_by_a_page(
    browser: Browser, method: str, path: str
) -> None:
    fields = {"csrf_token": browser.token()} if method == "POST" else None

    answer = browser.client.open(path, method=method, data=fields)

    assert answer.status_code == 405
    assert answer.mimetype == "text/html"
    assert "This address does not take that" in words(answer)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_told_by_a_page(browser: Browser, method: str) -> None:
    fields = {"csrf_token": browser.token()} if method == "POST" else None

    answer = browser.client.open("/admin/none/at/all", method=method, data=fields)

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such page" in words(answer)


def returned_to(page: str) -> str:
    """Where the choice of a language leads."""
    found = re.search(r'name="next" value="([^"]*)">\s*<span role="group"', page)
    assert found is not None
    return unescape(found[1])


def test_a_chosen_language_leads_back_to_the_page_with_its_search(browser: Browser) -> None:
    search = "/admin/requests?model=a..b&status=404"

    goal = returned_to(browser.get(search).text)

    assert goal == search
    chosen = browser.post("/admin/preferences", {"language": "en", "next": goal})
    assert chosen.headers["Location"] == search


def test_a_chosen_language_leads_from_a_forms_answer_to_its_page(browser: Browser) -> None:
    anna = browser.services.registry.add(ANNA).id
    edit = f"/admin/accounts/{anna}/edit"
    wrong = browser.post(edit, {"config_id": "none such"})
    key = browser.post("/admin/keys", {"name": " "})
    pasted = browser.post("/admin/accounts/new", {"text": "csesidx=123"})
    no_page = browser.post("/admin/accounts/import", {"draft": "forged"})
    sign_in = browser.other().sign_in("not-it", next="/admin/keys?a=b")

    assert returned_to(wrong.text) == edit
    assert returned_to(key.text) == "/admin/keys"
    assert returned_to(pasted.text) == "/admin/accounts/new"
    assert returned_to(no_page.text) == "/admin"
    assert returned_to(sign_in.text) == "/admin/sign-in?next=/admin/keys?a%3Db"
