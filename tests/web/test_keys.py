"""Who may ask: a key from any of four places, with one policy for all of them."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.support.serving import KEY, InProcess, Reply, Served

PLACES = {
    "bearer": ({"Authorization": "Bearer {}"}, ""),
    "bearer in small letters": ({"authorization": "bearer  {}"}, ""),
    "authorization alone": ({"Authorization": "{}"}, ""),
    "x-api-key": ({"x-api-key": "{}"}, ""),
    "x-goog-api-key": ({"x-goog-api-key": "{}"}, ""),
    "query": ({}, "?key={}"),
}
ORDER = ("bearer", "x-api-key", "x-goog-api-key", "query")


def get(app: InProcess | Served, keys: dict[str, str], path: str = "/v1/models") -> Reply:
    headers: dict[str, str] = {}
    query = ""
    for place, key in keys.items():
        headers |= {name: value.format(key) for name, value in PLACES[place][0].items()}
        query += PLACES[place][1].format(key)
    return app.request("GET", path + query, headers=headers)


def assert_unauthorized(reply: Reply) -> None:
    assert reply.status == 401
    assert reply.error["code"] == "invalid_api_key"
    assert reply.error["type"] == "invalid_request_error"  # so OpenAI itself
    assert reply.error["param"] is None
    assert reply.headers["x-request-id"]
    assert KEY not in reply.error["message"]


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_taken_from(app: InProcess, place: str) -> None:
    assert get(app, {place: KEY}).status == 200


@pytest.mark.parametrize("place", PLACES)
def test_the_same_key_is_taken_over_the_wire_from(gateway: Served, place: str) -> None:
    assert get(gateway, {place: KEY}).status == 200


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["sk-wrong", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY},{KEY}"])
def test_a_wrong_key_is_refused_in(app: InProcess, place: str, key: str) -> None:
    assert_unauthorized(get(app, {place: key}))


@pytest.mark.parametrize(("first", "second"), [*combinations(ORDER, 2)])
def test_the_first_place_that_holds_a_key_counts(app: InProcess, first: str, second: str) -> None:
    right = get(app, {first: KEY, second: "sk-wrong"})
    wrong = get(app, {first: "sk-wrong", second: KEY})

    assert right.status == 200
    assert_unauthorized(wrong)


OTHER_SCHEMES = [
    "Basic dXNlcjpwYXNz",
    "basic dXNlcjpwYXNz",
    "BASIC  dXNlcjpwYXNz",
    'Digest username="a", realm="b", nonce="c"',
    "Negotiate YIIB=",
    "NTLM TlRM",
    "Token abc",
    "AWS4-HMAC-SHA256 Credential=a, Signature=b",
    "Bearer",
    "Bearer ",
    "bearer\t",
    "Basic",
    "negotiate",
]


@pytest.mark.parametrize("place", ORDER[1:])
@pytest.mark.parametrize("scheme", OTHER_SCHEMES)
def test_what_a_proxy_in_front_asks_for_is_no_key_and_the_next_place_counts(
    app: InProcess, scheme: str, place: str
) -> None:
    headers = {name: value.format(KEY) for name, value in PLACES[place][0].items()}
    reply = app.request(
        "GET",
        "/v1/models" + PLACES[place][1].format(KEY),
        headers={**headers, "Authorization": scheme},
    )

    assert reply.status == 200


@pytest.mark.parametrize("scheme", [*OTHER_SCHEMES, f"Basic {KEY}", f"Token {KEY}"])
def test_another_scheme_alone_is_no_key(app: InProcess, scheme: str) -> None:
    reply = app.request("GET", "/v1/models", headers={"Authorization": scheme})

    assert_unauthorized(reply)
    assert "required" in reply.error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gemini-auto"),
        ("POST", "/v1/embeddings"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"x-api-key": "é"}])
def test_nothing_is_offered_without_a_key(
    app: InProcess, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = app.request(method, path, b"{}" if method == "POST" else None, headers)

    assert_unauthorized(reply)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz"])
def test_what_everybody_may_see(app: InProcess, path: str) -> None:
    reply = app.request("GET", path)

    assert reply.status == 200
    assert reply.json()["version"]


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_health_is_told_in_one_word(app: InProcess, path: str) -> None:
    assert app.request("GET", path).json()["status"] == "healthy"
