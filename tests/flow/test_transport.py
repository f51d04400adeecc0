"""How the gateway talks to the upstream: TLS, connections, redirects, headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.simulator import (
    End,
    Fin,
    Final,
    Head,
    ModelAnswer,
    Pause,
    Raw,
    Simulator,
    Text,
    answer,
)
from tests.support.serving import Front, Served, SharedUpstream, fronting, in_process
from tests.support.texts import FRAGMENTS, QUESTION, TEXT, THOUGHTS

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def secure_front() -> Iterator[Front]:
    with SharedUpstream(tls=True) as upstream, fronting(upstream, {}) as made:
        yield made


@streamed_or_not
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_an_upstream_behind_tls_is_trusted_by_its_own_authority(
    secure_front: Front, gzip: bool, stream: bool
) -> None:
    secure_front.renew()
    secure_front.upstream.set(gzip=gzip, cuts="random")
    secure_front.upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)

    reply = secure_front.gateway.ask(QUESTION, stream=stream)

    assert reply.text == TEXT
    assert reply.finish_reason == "stop"
    assert secure_front.upstream.url.startswith("https://")


@streamed_or_not
def test_an_unknown_authority_is_refused(stream: bool) -> None:
    with Simulator(tls=True) as upstream:
        environment = {
            name: value for name, value in upstream.environment().items() if name != "CA_BUNDLE"
        }

        with in_process(environment) as gateway:
            reply = gateway.ask(stream=stream)

        assert upstream.requests == []
    assert reply.status == 502
    assert reply.error["code"] == "upstream_error"
    assert "certificate" in reply.error["message"].lower()
    assert reply.headers["x-should-retry"] == "false"


def test_a_certificate_for_another_name_is_refused() -> None:
    with Simulator(tls=True) as upstream:
        other_name = upstream.url.replace("127.0.0.1", "127.0.0.2")
        environment = upstream.environment() | {
            "GEMINI_BUSINESS_URL": other_name,
            "API_BASE_URL": f"{other_name}/v1alpha",
        }

        # 127.0.0.2 reaches nobody here or the simulator, whose certificate does not name it; never
        # a success.
        with in_process(environment, CONNECT_TIMEOUT_S="1") as gateway:
            reply = gateway.ask()

        assert upstream.requests == []
    assert reply.status == 502


@streamed_or_not
def test_the_upstream_is_reached_by_its_own_names_through_a_proxy(stream: bool) -> None:
    with Simulator(tls=True) as upstream:
        with in_process(upstream.environment_by_name()) as gateway:
            reply = gateway.ask("2+2", stream=stream)

        hosts = {request.name: request.headers["Host"] for request in upstream.requests}
    assert reply.text == "2+2 = **4**"
    assert hosts["getoxsrf"] == "business.gemini.google"
    assert hosts["widgetStreamAssist"] == "biz-discoveryengine.googleapis.com"


def test_connections_are_used_again() -> None:
    # A gateway of its own: the sessions of earlier tests may just be deleted, many at once.
    with Simulator() as upstream, in_process(upstream.environment()) as gateway:
        for _ in range(8):
            assert gateway.ask().status == 200
        asked, streams = upstream.requests, upstream.calls("widgetStreamAssist")

    # One for the answers, and a few for the sessions that are made beside them.
    assert len({request.connection for request in asked}) <= 4
    assert len(streams) == 8
    assert len({request.connection for request in streams}) <= 3


@streamed_or_not
def test_an_interim_answer_is_read_over_and_the_next_request_gets_its_own(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    early = Raw(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    upstream.script(
        early,
        Pause(0.3),
        Head(200, {"Content-Type": "application/json"}),
        Text("First."),
        Final(),
        End(),
    )
    upstream.script(*answer("Second."))

    replies = [gateway.ask(stream=stream) for _ in range(2)]

    assert [reply.text for reply in replies] == ["First.", "Second."]
    assert [reply.headers["x-gbproxy-attempts"] for reply in replies] == ["1", "1"]


@pytest.mark.parametrize("path", ["widgetCreateSession", "widgetStreamAssist"])
@streamed_or_not
def test_a_redirect_is_not_followed_with_the_token(path: str, stream: bool) -> None:
    # Without a prewarmed one the request itself opens its session.
    with (
        Simulator() as elsewhere,
        Simulator() as upstream,
        in_process(upstream.environment(), prewarmed=0) as gateway,
    ):
        target = f"{elsewhere.url}/v1alpha/locations/global/{path}"
        upstream.script(Head(307, {"Location": target}), End(), path=path, times=2)

        reply = gateway.ask(stream=stream)

        assert upstream.calls(path)
        assert elsewhere.requests == []
    assert reply.status == 502
    assert reply.error["code"] == "upstream_error"


def test_cookies_go_to_the_sign_in_only_and_tokens_to_the_api_only(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.revoke_tokens()
    gateway.ask()
    upstream.script(Text("Half "), Fin())

    gateway.ask()

    assert upstream.wait_for(lambda: upstream.calls("widgetDeleteSession"))
    for request in upstream.requests:
        is_sign_in = request.name == "getoxsrf"
        assert ("cookie" in request.headers) is is_sign_in
        assert ("authorization" in request.headers) is not is_sign_in


def test_a_request_says_upstream_what_its_own_page_would_say(
    gateway: Served, upstream: SharedUpstream
) -> None:
    gateway.ask(
        "Hello",
        model="gemini-3.8-flash",
        headers={"Accept-Language": "xx", "Cookie": "a=b", "X-Other": "1"},
    )

    (request,) = upstream.calls("widgetStreamAssist")
    (session,) = upstream.alive_sessions()
    assert request.headers["origin"] == upstream.url
    assert request.headers["referer"] == f"{upstream.url}/"
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert request.headers["user-agent"].startswith("gbproxy/")
    assert not {"accept-language", "cookie", "x-other"} & {name.lower() for name in request.headers}
    assert request.body == {
        "configId": upstream.account.config_id,
        "additionalParams": {"token": "-"},
        "streamAssistRequest": {
            "session": session,
            "query": {"parts": [{"text": "Hello"}]},
            "filter": "",
            "fileIds": [],
            "answerGenerationMode": "NORMAL",
            "toolsSpec": {
                "webGroundingSpec": {},
                "toolRegistry": "default_tool_registry",
                "imageGenerationSpec": {},
                "videoGenerationSpec": {},
            },
            "languageCode": "en-US",
            "userMetadata": {"timeZone": "UTC"},
            "assistSkippingMode": "REQUEST_ASSIST",
            "assistGenerationConfig": {"modelId": "gemini-3.8-flash"},
        },
    }


def test_settings_say_what_the_upstream_is_told() -> None:
    with Simulator() as upstream:
        upstream.script(*answer(*FRAGMENTS))
        environment = upstream.environment() | {
            "USER_AGENT": "Mozilla/5.0 (mine)",
            "UPSTREAM_HEADERS": '{"X-Server-Token": "s3cr3t"}',
            "LANGUAGE_CODE": "de-DE",
            "TIME_ZONE": "Europe/Berlin",
            "UPSTREAM_STREAM": "sse",
        }

        with in_process(environment) as gateway:
            reply = gateway.ask()

        (request,) = upstream.calls("widgetStreamAssist")
    assert reply.text == TEXT
    assert request.query == {"alt": "sse"}
    assert request.headers["user-agent"] == "Mozilla/5.0 (mine)"
    assert request.headers["x-server-token"] == "s3cr3t"
    assert request.body["streamAssistRequest"]["languageCode"] == "de-DE"
    assert request.body["streamAssistRequest"]["userMetadata"] == {"timeZone": "Europe/Berlin"}


def test_what_the_environment_says_about_proxies_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Simulator() as upstream, in_process(upstream.environment()) as gateway:
        assert gateway.ask().status == 200
