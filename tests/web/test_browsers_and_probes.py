"""Pages of other origins, probes with odd methods, and what a client says about proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import request

from tests.support.fake_upstream import api
from tests.support.serving import InProcess, Reply, Served, SharedUpstream, serving

PAGE = "https://chat.example.com"
ASKED = "authorization, content-type, x-stainless-lang, x-stainless-retry-count"
PATHS = [
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/models",
    "/health",
    "/",
    "/nothing",
    "/v1/embeddings",
    "//v1//x/",
]


@pytest.fixture(scope="module")
def listed() -> Iterator[InProcess]:
    """An app for the pages of two origins."""
    with api(CORS_ORIGINS=f"{PAGE}, http://localhost:3000/") as (made, _):
        yield made


def preflight(app: InProcess, path: str, origin: str = PAGE, asked: str = ASKED) -> Reply:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    return app.request("OPTIONS", path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_without_a_key_gets_the_headers_that_it_asks_for(
    app: InProcess, path: str
) -> None:
    reply = preflight(app, path)

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Allow-Headers"] == ASKED
    assert {"POST", "GET", "DELETE"} <= set(
        reply.headers["Access-Control-Allow-Methods"].split(", ")
    )
    assert int(reply.headers["Access-Control-Max-Age"]) > 0
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("asked", ["x\r\nSet-Cookie: a=b", "a b", ",", "x" * 5000, "x:y", "ä"])
def test_what_is_no_list_of_header_names_is_not_echoed(app: InProcess, asked: str) -> None:
    from gbproxy.web.cors import Cors  # what a WSGI server would not even pass on

    assert "Access-Control-Allow-Headers" not in Cors(["*"]).preflight("/v1/models", PAGE, asked)


@pytest.mark.parametrize("path", PATHS)
def test_options_is_answered_everywhere(app: InProcess, path: str) -> None:
    reply = app.request("OPTIONS", path)

    assert reply.status == 204
    assert {"GET", "HEAD", "POST", "OPTIONS"} <= set(reply.headers["Allow"].split(", "))


ANSWERS = {
    "an answer": (
        "POST",
        "/v1/chat/completions",
        '{"messages":[{"role":"user","content":"Hi"}]}',
        200,
    ),
    "a stream": (
        "POST",
        "/v1/chat/completions",
        '{"stream":true,"messages":[{"role":"user","content":"Hi"}]}',
        200,
    ),
    "a malformed request": ("POST", "/v1/chat/completions", "{", 400),
    "an unknown path": ("GET", "/nothing", None, 404),
    "a wrong method": ("DELETE", "/v1/models", None, 405),
    "health": ("GET", "/health", None, 200),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_every_answer_may_be_read_by_a_page(app: InProcess, case: str) -> None:
    method, path, body, status = ANSWERS[case]

    reply = app.request(method, path, body, {**app.headers, "Origin": PAGE})

    assert reply.status == status
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert {"x-request-id", "Retry-After"} <= set(
        reply.headers["Access-Control-Expose-Headers"].split(", ")
    )


def test_a_page_may_read_how_an_upload_and_a_download_go_on(app: InProcess) -> None:
    page = {"Origin": PAGE, "X-Goog-Upload-Protocol": "resumable"}
    begun = app.request(
        "POST",
        "/upload/v1beta/files",
        None,
        {**app.headers, **page, "X-Goog-Upload-Command": "start"},
    )
    path = begun.headers["X-Goog-Upload-URL"].partition("/upload/")[2]
    ended = app.request(
        "POST", f"/upload/{path}", b"words", {**page, "X-Goog-Upload-Command": "upload, finalize"}
    )

    for reply in (begun, ended):
        told = {name.lower() for name in reply.headers if name.lower().startswith("x-goog-")}
        exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
        assert told
        assert told < {name.lower() for name in exposed}
        assert {"Content-Range", "Accept-Ranges", "Content-Disposition"} <= set(exposed)


def test_a_page_may_send_what_googles_uploads_and_players_send(app: InProcess) -> None:
    asked = (
        "content-type, range, x-goog-api-client, x-goog-api-key, x-goog-upload-command,"
        " x-goog-upload-header-content-length, x-goog-upload-header-content-type,"
        " x-goog-upload-offset, x-goog-upload-protocol"
    )

    for path in ("/upload/v1beta/files", "/media/token"):
        reply = preflight(app, path, asked=asked)
        assert (reply.status, reply.headers["Access-Control-Allow-Headers"]) == (204, asked)


def test_a_refused_key_may_be_read_by_a_page(app: InProcess) -> None:
    reply = app.request("GET", "/v1/models", headers={"Origin": PAGE})

    assert reply.status == 401
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("origin", [PAGE, "https://Chat.Example.com", "http://localhost:3000"])
def test_a_listed_origin_is_named(listed: InProcess, origin: str) -> None:
    answer = listed.request("GET", "/v1/models", headers={**listed.headers, "Origin": origin})
    asked = preflight(listed, "/v1/models", origin)

    for reply in (answer, asked):
        assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in reply.headers["Vary"]
    assert asked.headers["Access-Control-Allow-Headers"] == ASKED


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://chat.example.com",
        f"{PAGE}.evil.example",
        f"{PAGE}:444",
        "null",
        "",
    ],
)
def test_another_origin_is_not(listed: InProcess, origin: str) -> None:
    answer = listed.request("GET", "/v1/models", headers={**listed.headers, "Origin": origin})
    asked = preflight(listed, "/v1/models", origin)

    assert (answer.status, asked.status) == (200, 204)
    for reply in (answer, asked):
        assert not [name for name in reply.headers if name.lower().startswith("access-control-")]
        assert "Origin" in reply.headers["Vary"]


PATTERNS = (
    "http://localhost:*, https://*.example.com, https://Straße.example:443/, http://[0:0::1]:80,"
    " https://host.example:08443, chrome-extension://abcdef, https://*.例え.jp:*"
)


@pytest.fixture(scope="module")
def patterned() -> Iterator[InProcess]:
    with api(CORS_ORIGINS=PATTERNS) as (made, _):
        yield made


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://localhost:5173", "http://LocalHost:3000", "https://a.example.com", "https://a.b.example.com",
     "https://xn--strae-oqa.example", "http://[::1]", "https://host.example:8443", "chrome-extension://abcdef",
     "https://a.xn--r8jz45g.jp", "https://a.xn--r8jz45g.jp:1"],
)  # fmt: skip
def test_an_origin_is_known_as_browsers_write_it(patterned: InProcess, origin: str) -> None:
    for reply in (
        preflight(patterned, "/v1/models", origin),
        patterned.request("GET", "/health", headers={"Origin": origin}),
    ):
        assert reply.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    ["https://localhost", "http://localhost.evil.example", "http://localhost:", "http://localhost:1/", "http://evil.example",
     "https://example.com", "https://a.example.com:444", "https://aexample.com", "https://evil.example/.example.com",
     "https://evil.example:1.example.com", "http://a.example.com", "https://a.example.com.evil.example", "http://[::1]:81",
     "https://.example.com", "https://xn--r8jz45g.jp", "null", "*", "https://*.example.com", "http://localhost:*"],
)  # fmt: skip
def test_an_origin_beside_a_pattern_is_not_known(patterned: InProcess, origin: str) -> None:
    assert preflight(patterned, "/v1/models", origin).headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("kind", ["all", "listed"])
def test_credentials_are_never_allowed(app: InProcess, listed: InProcess, kind: str) -> None:
    asked = app if kind == "all" else listed

    replies = [
        preflight(asked, "/v1/models"),
        asked.request(
            "GET", "/v1/models", headers={**asked.headers, "Origin": PAGE, "Cookie": "a=b"}
        ),
        asked.request("GET", "/nothing", headers={"Origin": PAGE}),
    ]

    assert [reply.headers["Access-Control-Allow-Credentials"] for reply in replies] == [None] * 3
    assert [reply.headers["Set-Cookie"] for reply in replies] == [None] * 3


# HEAD


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/gemini-auto", "/health", "/livez", "/readyz", "/"]
)
def test_head_is_a_get_without_its_body(app: InProcess, path: str) -> None:
    got, reply = (app.request(method, path, headers=app.headers) for method in ("GET", "HEAD"))

    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Type"] == got.headers["Content-Type"]
    assert reply.headers["Content-Length"] == str(len(got.body))


def test_head_of_what_is_not_there_is_404(app: InProcess) -> None:
    reply = app.request("HEAD", "/nothing", headers=app.headers)

    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nothing", "/health"])
def test_head_and_options_leave_a_connection_usable(gateway: Served, path: str) -> None:
    key = f"Authorization: Bearer {gateway.key}"
    lines = [
        f"{method} {path} HTTP/1.1\r\nHost: g\r\n{key}\r\n\r\n" for method in ("HEAD", "OPTIONS")
    ]
    last = f"GET /v1/models HTTP/1.1\r\nHost: g\r\n{key}\r\nConnection: close\r\n\r\n"

    data = gateway.send("".join([*lines, last]).encode())

    assert data.count(b"HTTP/1.1 ") == 3
    assert data.count(b"HTTP/1.1 204") == 1
    assert data.count(b'{"object":"list"') == 1


# Trailing and double slashes


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/v1//models", "/v1/models//"])
def test_a_slash_too_many_is_no_redirect(app: InProcess, path: str) -> None:
    assert app.request("GET", path, headers=app.headers).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "//v1/chat//completions"])
def test_a_post_with_a_slash_too_many_keeps_its_body(app: InProcess, path: str) -> None:
    reply = app.request("POST", path, '{"messages":[{"role":"user","content":"Hi"}]}', app.headers)

    assert reply.status == 200
    assert reply.text == "Hello"


# Proxies in front


FORWARDED = {
    "X-Forwarded-For": "1.1.1.1, 2.2.2.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "public.example",
}


@pytest.mark.parametrize(
    ("proxies", "believed"),
    [
        ("0", ("127.0.0.1", "http", "localhost")),
        ("1", ("2.2.2.2", "https", "public.example")),
        ("2", ("1.1.1.1", "http", "localhost")),  # each of the two must have set every header
    ],
)
def test_forwarded_headers_are_believed_as_far_as_the_setting_says(
    proxies: str, believed: tuple[str, ...]
) -> None:
    with api(TRUSTED_PROXIES=proxies) as (app, _):
        app.app.add_url_rule(
            "/seen", view_func=lambda: [request.remote_addr, request.scheme, request.host]
        )

        reply = app.request("GET", "/seen", headers=FORWARDED)

    assert tuple(reply.json()) == believed


def test_the_server_itself_believes_no_forwarded_header() -> None:
    with SharedUpstream() as upstream, serving(upstream.environment()) as gateway:
        forged = {**FORWARDED, "X-Forwarded-Ssl": "on", "Forwarded": "for=1.1.1.1;proto=https"}
        reply = gateway.request("GET", "/v1/models", headers={**gateway.headers, **forged})

    assert reply.status == 200
    assert b"public.example" not in reply.body
