"""Credentials: how the fake upstream gives, renews, refuses and checks them."""

import base64
import email.utils
import json
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from gbproxy.simulator import Fin, Simulator, http_error
from tests.support.widget_client import Client, b64, sign

# Computed independently of this project: key bytes 00..1f, kid test-key-1, csesidx 123456789, iat
# 1700000000
VECTOR_KEY = base64.urlsafe_b64decode("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
VECTOR_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5LTEifQ.eyJpc3MiOiJodHRwczovL2J1c2luZXNzLmdlbWluaS5nb29n"
    "bGUiLCJhdWQiOiJodHRwczovL2Jpei1kaXNjb3ZlcnllbmdpbmUuZ29vZ2xlYXBpcy5jb20iLCJzdWIiOiJjc2VzaWR4LzEyMzQ1Njc4OSIsImlh"
    "dCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAwMzAwLCJuYmYiOjE3MDAwMDAwMDB9.-Iv_R0SH1ukRT2yQTFZKiojB2iQxL4wL-ljjVGOtkAQ"
)


def test_a_fresh_key_is_given_for_each_call(upstream: Simulator, client: Client) -> None:
    first, second = client.getoxsrf(), client.getoxsrf()

    assert first.text.startswith(")]}'\n{")
    assert "Date" in first.headers
    keys = [json.loads(response.text[5:]) for response in (first, second)]
    assert keys[0]["keyId"] != keys[1]["keyId"]
    assert len(base64.urlsafe_b64decode(keys[0]["xsrfToken"] + "==")) == 32
    assert "=" not in keys[0]["xsrfToken"]
    assert upstream.calls("getoxsrf")[0].csesidx == client.account.csesidx


@pytest.mark.parametrize(
    ("prefix", "start"),
    [("newline", ")]}'\n{\""), ("bare", ")]}'{\""), ("none", '{"'), ("spaces", " )]}' \r\n\t {\"")],
)
def test_the_prefix_before_the_key_follows_its_switch(
    upstream: Simulator, client: Client, prefix: str, start: str
) -> None:
    upstream.set(xsrf_prefix=prefix)

    assert client.getoxsrf().content.decode().startswith(start)


@pytest.mark.parametrize(
    ("mode", "status", "sign_of_it"),
    [
        ("login", 302, "/login"),
        ("account_chooser", 302, "account-chooser"),
        ("refreshcookies_elsewhere", 302, "http://evil.invalid/"),
        ("refreshcookies_dead", 302, "/auth/refreshcookies?continue="),
        ("401", 401, "UNAUTHENTICATED"),
        ("403", 403, "Access Restricted"),
        ("html", 200, "<!DOCTYPE html>"),
        ("missing_fields", 200, '{"xsrfToken":"AAECAwQFBgc"}'),
        ("500", 500, "Server Error"),
        ("503", 503, "Service Unavailable"),
        ("garbage", 200, '{"xsrfToken": tru'),
    ],
)
def test_each_refusal_of_a_key_is_told_in_its_own_way(
    upstream: Simulator, client: Client, mode: str, status: int, sign_of_it: str
) -> None:
    upstream.set(getoxsrf=mode)

    response = client.getoxsrf()

    assert response.status_code == status
    assert sign_of_it in response.headers.get("Location", "") + response.text
    assert upstream.state()["tokens"] == 0


def test_the_connection_may_end_without_an_answer(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="eof")

    with pytest.raises(requests.ConnectionError):
        client.getoxsrf()


def test_a_refusal_can_be_one_accounts_own(upstream: Simulator, client: Client) -> None:
    other = upstream.add_account()
    other.getoxsrf = "401"

    assert Client(upstream, other).getoxsrf().status_code == 401
    assert client.getoxsrf().status_code == 200


@pytest.mark.parametrize(("mode", "status"), [("login", 302), ("401", 401), ("403", 403)])
def test_a_foreign_cookie_is_refused(
    upstream: Simulator, client: Client, mode: str, status: int
) -> None:
    upstream.set(bad_cookie=mode)

    assert client.getoxsrf("__Secure-C_SES=CSE.foreign").status_code == status
    assert client.getoxsrf("").status_code == status


def test_the_second_cookie_is_needed_only_when_the_switch_says_so(
    upstream: Simulator, client: Client
) -> None:
    alone = f"__Secure-C_SES={client.account.secure_c_ses}"
    assert client.getoxsrf(alone).status_code == 200

    upstream.set(host_c_oses="required")

    assert client.getoxsrf(alone).status_code == 302
    assert client.getoxsrf().status_code == 200


def test_refreshcookies_renews_the_cookie_and_only_the_new_one_is_good(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(getoxsrf="refreshcookies")
    old = client.cookies()

    away = urlsplit(client.getoxsrf().headers["Location"])
    renewal = client.get(f"{away.path}?{away.query}", Cookie=old)

    assert away.path == "/auth/refreshcookies"
    assert renewal.headers["Location"] == parse_qs(away.query)["continue"][0]
    assert renewal.headers["Location"].endswith(f"/auth/getoxsrf?csesidx={client.account.csesidx}")
    set_cookies = renewal.raw.headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in set_cookies] == [
        "__Secure-C_SES",
        "__Host-C_OSES",
        "NID",
    ]
    assert set_cookies[0].startswith(f"__Secure-C_SES={client.account.secure_c_ses};")
    assert client.cookies() != old
    assert client.getoxsrf().status_code == 200
    assert client.getoxsrf(old).status_code == 302


def test_refreshcookies_may_answer_with_a_page(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refreshcookies_answer="page")

    page = client.get("/auth/refreshcookies?continue=%2F", Cookie=client.cookies())

    assert page.status_code == 200
    assert client.getoxsrf().status_code == 200


def test_refreshcookies_sends_a_stranger_to_the_login(client: Client) -> None:
    page = client.get("/auth/refreshcookies?continue=%2F", Cookie="__Secure-C_SES=CSE.foreign")

    assert page.headers["Location"] == "/login"


def test_a_dead_credential_is_redirected_for_ever(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies_dead")
    path = f"/auth/getoxsrf?csesidx={client.account.csesidx}"

    seen = []
    for _ in range(6):
        response = client.get(path, Cookie=client.cookies())
        seen.append((response.status_code, urlsplit(path).path))
        path = response.headers["Location"].removeprefix(upstream.url)

    assert seen == [(302, "/auth/getoxsrf"), (302, "/auth/refreshcookies")] * 3


def test_a_client_that_sends_nid_is_sent_to_refreshcookies(
    upstream: Simulator, client: Client
) -> None:
    assert "refreshcookies" in client.getoxsrf(f"{client.cookies()}; NID=525=x").headers["Location"]

    upstream.set(nid_triggers_refresh=False)

    assert client.getoxsrf(f"{client.cookies()}; NID=525=x").status_code == 200


def test_the_known_token_is_accepted_at_its_time(upstream: Simulator) -> None:
    upstream.clock = lambda: 1_700_000_100.0
    account = upstream.add_account(csesidx="123456789")
    upstream.keys.add("test-key-1", VECTOR_KEY, "123456789")

    response = Client(upstream, account).call("widgetListSessions", {}, token=VECTOR_TOKEN)

    assert response.status_code == 200
    assert upstream.requests[-1].csesidx == "123456789"


@pytest.mark.parametrize("now", [1_699_999_999.9, 1_700_000_300.0])
def test_the_known_token_is_refused_before_and_after_its_time(
    upstream: Simulator, now: float
) -> None:
    upstream.clock = lambda: now
    account = upstream.add_account(csesidx="123456789")
    upstream.keys.add("test-key-1", VECTOR_KEY, "123456789")

    response = Client(upstream, account).call("widgetListSessions", {}, token=VECTOR_TOKEN)

    assert response.status_code == 401
    assert response.json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "business.gemini.google"},
        {"aud": "https://business.gemini.google"},
        {"sub": "csesidx/999"},
        {"sub": "1234567890"},
        {"exp": 1},
        {"exp": None},
        {"nbf": 9_999_999_999},
        {"iat": 1700000000.5},
        {"nbf": "0"},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(client: Client, changes: dict[str, object]) -> None:
    key_id, key = client.key()

    token = sign(key, {"alg": "HS256", "kid": key_id}, client.claims(**changes))

    assert client.call("widgetListSessions", {}, token=token).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": "HS256", "kid": "unknown"},
        {"alg": "HS256", "kid": None},
    ],
)
def test_a_token_with_a_wrong_header_is_refused(client: Client, header: dict[str, object]) -> None:
    key_id, key = client.key()

    token = sign(key, {"kid": key_id, **header}, client.claims())

    assert client.call("widgetListSessions", {}, token=token).status_code == 401


@pytest.mark.parametrize("token", ["x", "a.b.c", "a.b", "....", f"{b64(b'[1]')}.{b64(b'{}')}.AA"])
def test_what_is_no_token_is_refused(client: Client, token: str) -> None:
    assert client.call("widgetListSessions", {}, token=token).status_code == 401


def test_a_wrong_signature_is_refused(client: Client) -> None:
    key_id, key = client.key()

    token = sign(key[::-1], {"alg": "HS256", "kid": key_id}, client.claims())

    assert client.call("widgetListSessions", {}, token=token).status_code == 401


def test_padding_in_a_token_is_refused(client: Client) -> None:
    assert client.call("widgetListSessions", {}, token=client.token() + "=").status_code == 401


def test_the_order_of_a_tokens_fields_does_not_matter(client: Client) -> None:
    key_id, key = client.key()
    claims = dict(sorted(client.claims().items()))

    token = sign(key, {"alg": "HS256", "kid": key_id, "typ": "JWT"}, claims)

    assert client.call("widgetListSessions", {}, token=token).status_code == 200


def test_revoked_tokens_are_refused_and_new_ones_are_not(
    upstream: Simulator, client: Client
) -> None:
    assert client.call("widgetListSessions", {}).status_code == 200

    upstream.revoke_tokens()

    assert client.call("widgetListSessions", {}).status_code == 401
    assert Client(upstream).call("widgetListSessions", {}).status_code == 200


@pytest.mark.parametrize(("uses", "status"), [("many", 200), ("one", 401)])
def test_a_key_signs_several_tokens_or_one(
    upstream: Simulator, client: Client, uses: str, status: int
) -> None:
    upstream.set(xsrf_key_uses=uses)
    key_id, key = client.key()
    header = {"alg": "HS256", "kid": key_id}
    first = sign(key, header, client.claims())
    second = sign(key, header, client.claims(iat=1))

    assert client.call("widgetListSessions", {}, token=first).status_code == 200
    assert client.call("widgetListSessions", {}, token=first).status_code == 200
    assert client.call("widgetListSessions", {}, token=second).status_code == status


def test_the_date_header_tells_the_servers_clock(upstream: Simulator, client: Client) -> None:
    upstream.clock = lambda: 1_700_000_000.0
    upstream.set(clock_skew_s=600)

    date = client.getoxsrf().headers["Date"]

    assert email.utils.parsedate_to_datetime(date).timestamp() == 1_700_000_600


def test_a_refused_token_may_show_as_a_stream_with_nothing_but_a_u_token(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(bad_token="u_token_only")
    session = client.create_session()
    upstream.revoke_tokens()

    response = client.ask("Hi", session)

    assert response.status_code == 200
    assert [set(element) for element in response.json()] == [{"uToken"}]
    assert client.call("widgetListSessions", {}).status_code == 401


def test_a_script_can_answer_in_place_of_the_key(upstream: Simulator, client: Client) -> None:
    upstream.script(*http_error(429, "RESOURCE_EXHAUSTED"), path="getoxsrf")
    upstream.script(Fin(), path="getoxsrf", csesidx="another")

    assert client.getoxsrf().status_code == 429
    assert client.getoxsrf().status_code == 200


def test_what_was_asked_is_recorded(upstream: Simulator, client: Client) -> None:
    client.call("widgetListSessions", {"pageSize": 1})

    record = upstream.calls("widgetListSessions")[0]
    assert record.body["listSessionsRequest"] == {"pageSize": 1}
    assert record.headers["AUTHORIZATION"] == f"Bearer {client.token()}"
    assert record.csesidx == client.account.csesidx
    assert [request.name for request in upstream.requests] == ["getoxsrf", "widgetListSessions"]
