"""Every route below /api is for administrators alone, however it is asked for. New routes are found
in the app's own map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from werkzeug.routing import Rule

from tests.admin.conftest import ADMIN_KEY, ANNA, AdminHarness, Opened
from tests.support.clock import Clock
from tests.support.serving import KEY, InProcess, Reply, in_process

WRONG = "ak-test-another-0a1b2c3d4e"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# What has opened such doors elsewhere: headers that name another path, host, method or client.
HEADERS = [
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost", "X-Forwarded-Proto": "https"},
    {"X-Forwarded-Prefix": "/v1", "X-Script-Name": "/v1", "SCRIPT_NAME": "/v1"},
    {"X-Original-URL": "/health", "X-Rewrite-URL": "/health"},
    {"X-HTTP-Method-Override": "OPTIONS"},
    {"Host": "localhost/health?"},
    {"Host": "127.0.0.1"},
    {
        "Origin": "http://127.0.0.1",
        "Referer": "http://127.0.0.1/admin",
        "Cookie": f"admin={ADMIN_KEY}",
    },
]
# Keys that are none: a client's, or the right one in a place where it does not count.
KEYS = [
    {"Authorization": f"Bearer {KEY}"},
    {"x-api-key": KEY},
    {"x-api-key": ADMIN_KEY},
    {"x-goog-api-key": ADMIN_KEY},
    {"Authorization": ADMIN_KEY},
    {"Authorization": f"Basic {ADMIN_KEY}"},
    {"Authorization": f"Bearer {ADMIN_KEY}x"},
    {"Authorization": f"Bearer {ADMIN_KEY[:-1]}"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer ' OR 1=1 --%00"},
    {"Authorization": f"Bearer {'a' * 8000}"},
]
# Where chat programs look for servers of other kinds, and other paths that are none of ours.
PROBED = (
    "/api", "/api/tags", "/api/v1/models", "/api/version", "/api/show", "/api/ps", "/api/chat", "/api/generate",
    "/api/v0/models", "/api/admin", "/api/admin/x", "/api/cookies", "/api/tags/",
)  # fmt: skip


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Method and path of each route below /api, with something in the place of its variables."""
    return [(method, path) for rule in _rules() for method, path in _calls(rule)]


def _rules() -> list[Rule]:
    with in_process({"ADMIN_KEY": ADMIN_KEY}) as made:
        rules = list(made.app.url_map.iter_rules())
    return [rule for rule in rules if rule.rule.startswith("/api")]


def _calls(rule: Rule) -> Iterator[tuple[str, str]]:
    _, path = rule.build(dict.fromkeys(rule.arguments, "some-id")) or ("", "")
    yield from ((method, path) for method in sorted((rule.methods or set()) - {"OPTIONS"}))


def _ask(app: InProcess, method: str, path: str, headers: dict[str, str] | None = None) -> Reply:
    # The client takes what stands between `//` and `/` for a host, twice.
    url = f"http://localhost//{path}" if path.startswith("//") else path
    return app.request(method, url, b"{}", {"Content-Type": "application/json", **(headers or {})})


def _spellings(path: str) -> list[str]:
    first, rest = path[1:].split("/", 1)
    return [
        path,
        f"/{path}",
        f"{path}/",
        f"{path}//",
        path.replace("/", "//"),
        f"/{first}%2f{rest}",
        f"/{first}%2F{rest.replace('/', '%2F')}",
        f"/v1/..{path}",
        f"/health/..{path}",
        f"/./{path[1:]}",
        f"{path};/health",
        f"{path}/../../../health",
        f"{path}%00",
        f"{path}.",
        f"{path}?key={ADMIN_KEY}",
        f"{path}?key={KEY}",
        path.upper(),
        path.replace("a", "%61"),
        f"/v1{path}",
        f"/gemini{path}",
    ]


def test_there_are_routes_to_try(routes: list[tuple[str, str]]) -> None:
    assert {
        ("GET", "/api/admin/accounts"), ("POST", "/api/admin/accounts/some-id/check"), ("GET", "/api/cookies/status"),
    } <= set(routes)  # fmt: skip


def test_without_the_key_every_route_is_closed_however_it_is_spelled(
    admin_api: AdminHarness, routes: list[tuple[str, str]]
) -> None:
    for _, path in routes:
        for spelling in _spellings(path):
            for method in METHODS:
                reply = _ask(admin_api.app, method, spelling)
                assert reply.status in (401, 404), (method, spelling)
                assert b"accounts" not in reply.body.replace(b"/accounts", b"").replace(
                    b"/ACCOUNTS", b""
                ), spelling
    assert admin_api.accounts() == []


def test_each_route_says_that_the_key_is_missing(
    admin_api: AdminHarness, routes: list[tuple[str, str]]
) -> None:
    for method, path in routes:
        reply = _ask(admin_api.app, method, path)
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer"), (method, path)
        assert method == "HEAD" or reply.error["code"] == "invalid_api_key"


def test_no_header_takes_the_place_of_the_key(
    admin_api: AdminHarness, routes: list[tuple[str, str]]
) -> None:
    for headers in HEADERS:
        assert {_ask(admin_api.app, method, path, headers).status for method, path in routes} == {
            401
        }, headers


def test_no_other_key_opens_a_route(opened: Opened, routes: list[tuple[str, str]]) -> None:
    for number, headers in enumerate(KEYS):
        if number % 2 == 0:
            admin_api = opened()  # too many guesses would be refused for another reason
        for method, path in (routes[number % len(routes)], ("GET", "/api/admin/accounts")):
            assert _ask(admin_api.app, method, path, headers).status == 401


@pytest.mark.parametrize("key", [WRONG, KEY], ids=["wrong", "a client's"])
def test_every_route_refuses_another_key(
    opened: Opened, routes: list[tuple[str, str]], key: str
) -> None:
    admin_api = opened()
    answers = []
    for number, (method, path) in enumerate(routes):
        if number % 4 == 0:
            admin_api = opened()
        answers.append(_ask(admin_api.app, method, path, {"Authorization": f"Bearer {key}"}).status)

    assert answers == [401] * len(routes)


def test_the_admin_key_is_no_client_s_key(admin_api: AdminHarness) -> None:
    reply = admin_api.app.request(
        "GET", "/v1/models", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    )

    assert reply.status == 401


@pytest.mark.parametrize(
    "key", [None, WRONG, KEY, ADMIN_KEY], ids=["none", "wrong", "a client's", "right"]
)
def test_a_path_that_is_no_admin_route_looks_at_no_key(
    admin_api: AdminHarness, key: str | None
) -> None:
    for path in PROBED:
        reply = admin_api.call("GET", path, key=key)
        assert (reply.status, reply.error["code"]) == (404, "not_found"), path

    assert admin_api.call("GET", "/api/admin/accounts", key=WRONG).status == 401


def test_a_method_that_a_route_does_not_have_is_told_with_the_key_only(
    admin_api: AdminHarness,
) -> None:
    closed = _ask(admin_api.app, "PATCH", "/api/admin/accounts")
    open_ = admin_api.call("PATCH", "/api/admin/accounts")

    assert (closed.status, open_.status) == (401, 405)


def test_a_method_that_a_route_does_not_have_lets_nobody_guess(admin_api: AdminHarness) -> None:
    wrong = [admin_api.call("PATCH", "/api/admin/accounts", key=WRONG).status for _ in range(6)]

    assert wrong == [401] * 5 + [429]


def test_without_an_admin_key_there_is_nothing(
    opened: Opened, routes: list[tuple[str, str]]
) -> None:
    admin_api = opened(ADMIN_KEY="")

    answers = {
        _ask(admin_api.app, method, path, headers).status
        for _, path in routes
        for method in METHODS
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {KEY}"})
    }

    assert answers == {404}


def test_no_page_of_another_origin_may_administer(
    admin_api: AdminHarness, routes: list[tuple[str, str]]
) -> None:
    page = {"Origin": "https://chat.example.com", "Access-Control-Request-Method": "PUT"}
    for method, path in routes:
        for reply in (
            _ask(admin_api.app, "OPTIONS", path, page),
            _ask(admin_api.app, "OPTIONS", f"/{path}/", page),
            _ask(admin_api.app, method, path, page),
            _ask(admin_api.app, method, path, {**page, "Authorization": f"Bearer {ADMIN_KEY}"}),
        ):
            allowing = [
                name for name in reply.headers if name.lower().startswith("access-control-")
            ]
            assert allowing == [], (method, path)
    assert (
        _ask(admin_api.app, "OPTIONS", "/v1/models", page).headers["Access-Control-Allow-Origin"]
        == "*"
    )


# Guessing


def test_after_five_wrong_keys_further_ones_are_refused_and_the_right_one_is_not(
    admin_api: AdminHarness,
) -> None:
    wrong = [admin_api.call("GET", "/api/admin/accounts", key=WRONG) for _ in range(7)]
    right = admin_api.call("GET", "/api/cookies/status")
    after = admin_api.call("GET", "/api/cookies/status", key=WRONG)

    assert [reply.status for reply in wrong] == [401] * 5 + [429] * 2
    assert wrong[6].error["code"] == "rate_limit_exceeded"
    assert 0 < int(wrong[6].headers["Retry-After"]) <= 60
    assert (right.status, after.status) == (200, 429)
    assert (
        admin_api.app.ask("Hi").error["code"] == "no_account_available"
    )  # clients are not concerned


def test_a_client_s_key_is_no_guess(admin_api: AdminHarness) -> None:
    stored = admin_api.call("POST", "/api/admin/keys", {"name": "stored"}).json()["key"]
    clients = [
        admin_api.call("GET", "/api/admin/accounts", key=key).status for key in (KEY, stored) * 6
    ]
    wrong = [admin_api.call("GET", "/api/admin/accounts", key=WRONG).status for _ in range(6)]

    assert clients == [401] * 12
    assert wrong == [401] * 5 + [429]
    assert admin_api.call("GET", "/api/admin/accounts", key=stored).status == 401


SCHEMES = [
    "Basic dXNlcjpwYXNz",
    "basic dXNlcjpwYXNz",
    'Digest username="a", realm="b"',
    "Negotiate YII=",
    "Token abc",
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_proxy_in_front_asks_for_is_no_guess_and_the_key_stands_in_another_header(
    admin_api: AdminHarness, scheme: str
) -> None:
    none = [
        _ask(admin_api.app, "GET", "/api/admin/accounts", {"Authorization": scheme}).status
        for _ in range(6)
    ]
    key = {"Authorization": scheme, "x-api-key": ADMIN_KEY}
    right = _ask(admin_api.app, "GET", "/api/admin/accounts", key)
    in_the_address = _ask(
        admin_api.app, "GET", f"/api/admin/accounts?key={ADMIN_KEY}", {"Authorization": scheme}
    )

    assert none == [401] * 6
    assert (right.status, in_the_address.status) == (200, 401)


@pytest.mark.parametrize("scheme", ["", "Bearer", "Bearer wrong", ADMIN_KEY])
def test_while_authorization_is_free_the_key_stands_nowhere_else(
    admin_api: AdminHarness, scheme: str
) -> None:
    headers = {"Authorization": scheme, "x-api-key": ADMIN_KEY, "x-goog-api-key": ADMIN_KEY}

    assert _ask(admin_api.app, "GET", "/api/admin/accounts", headers).status == 401


def test_requests_without_a_key_are_no_guesses(admin_api: AdminHarness) -> None:
    for _ in range(10):
        admin_api.call("GET", "/api/admin/accounts", key=None)

    assert admin_api.call("GET", "/api/admin/accounts").status == 200


def test_who_is_slowed_is_not_told_by_a_header_of_his_own(admin_api: AdminHarness) -> None:
    replies = [
        admin_api.call(
            "GET", "/api/admin/accounts", key=WRONG, X_Forwarded_For=f"192.0.2.{i}"
        ).status
        for i in range(6)
    ]

    assert replies == [401] * 5 + [429]


def test_behind_a_proxy_that_is_trusted_each_client_is_slowed_for_itself(opened: Opened) -> None:
    admin_api = opened(TRUSTED_PROXIES="1")
    for _ in range(5):
        admin_api.call("GET", "/api/admin/accounts", key=WRONG, X_Forwarded_For="192.0.2.1")

    told = [
        admin_api.call(
            "GET", "/api/admin/accounts", key=WRONG, X_Forwarded_For=f"203.0.113.9, {address}"
        ).status
        for address in ("192.0.2.1", "192.0.2.2")
    ]

    assert told == [429, 401]


def test_a_wrong_key_is_logged_without_it(
    admin_api: AdminHarness, caplog: pytest.LogCaptureFixture
) -> None:
    admin_api.call("GET", "/api/admin/accounts", key=WRONG)

    told = [record for record in caplog.records if record.getMessage() == "admin.refused"]
    assert [record.address for record in told] == ["127.0.0.1"]
    assert WRONG not in str([vars(record) for record in caplog.records])


def test_nothing_is_read_before_the_key(admin_api: AdminHarness) -> None:
    replies = [
        admin_api.app.request("POST", "/api/admin/accounts", body)
        for body in (b"{", json.dumps(ANNA).encode())
    ]

    assert ([reply.status for reply in replies], admin_api.accounts()) == ([401, 401], [])


@pytest.fixture
def clock() -> Clock:
    return Clock()
