"""The widget API over real sockets, in front of the simulator: what is sent to the letter, and how
an answer is read.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from gbproxy.accounts.failure_policy import policy_for
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Done,
    FileOutput,
    Refusal,
    SessionNamed,
    TextDelta,
    ThoughtDelta,
)
from gbproxy.domain.models import NOTHING_SAID, AccountCapabilities, Model
from gbproxy.errors import (
    AccountRestricted,
    AccountSuspected,
    AnswerEmpty,
    ConfigRefused,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    UpstreamBroken,
    UpstreamError,
    UpstreamGaveUp,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnclear,
)
from gbproxy.outbound import HttpClient, Reply, Timeouts
from gbproxy.simulator import (
    LIVING_MODELS,
    Action,
    End,
    Fin,
    Final,
    Head,
    Pause,
    Raw,
    Rst,
    Simulator,
    Stall,
    Text,
    Write,
    answer,
    array_wrapped_error,
    broken_chunk,
    cut_after,
    empty_array,
    empty_body,
    failed_precondition,
    html_error,
    html_reply,
    http_error,
    image_reply,
    in_stream_error,
    json_reply,
    overloaded,
    policy_violation,
    quota,
    thoughts_only,
    u_token_only,
)
from gbproxy.upstreams.base import UpstreamRequest
from gbproxy.upstreams.widget.auth import Token, WidgetAuth
from gbproxy.upstreams.widget.credential import credential_of, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.tokens import MAX_FAILED_RENEWALS
from gbproxy.upstreams.widget.widget import Widget, WidgetSettings
from tests.support.accounts import simulated_account
from tests.support.business_host import lone_auth
from tests.support.clock import Clock

AUTO = Model("gemini-auto", {WIDGET: None})
FLASH = Model("gemini-3.8-flash", {WIDGET: "gemini-3.8-flash"})
STREAM = "widgetStreamAssist"
HELLO = answer("Hel", "lo ", "世界!")
PATIENT = Timeouts(10, 10, 30)
SPOKEN = ["Hel", "lo ", "世界!"]


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def account(upstream: Simulator) -> Account:
    return simulated_account(upstream)


def widget(
    upstream: Simulator,
    timeouts: Timeouts = PATIENT,
    monotonic: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Widget:
    outbound = HttpClient(timeouts, ca_bundle=upstream.ca_file)
    given = {
        name: settings.pop(name) for name in ("headers", "server_timeout_s") if name in settings
    }
    options = {"headers": {"User-Agent": "gbproxy/test"}, **given}
    endpoints = EndpointMap(
        page_url=upstream.url, api_base_url=f"{upstream.url}/v1alpha", **options
    )
    return Widget(
        outbound,
        lone_auth(outbound, endpoints),
        endpoints,
        WidgetSettings(**settings),
        monotonic=monotonic,
    )


def asks(text: str, model: Model) -> UpstreamRequest:
    return UpstreamRequest((Message("user", (TextPart(text),)),), model)


def asked(
    client: Widget, account: Account, prompt: str = "Hello", model: Model = AUTO
) -> list[ChatEvent]:
    """A whole answer in a session of its own, with texts that follow each other as one and without
    what only says when to write.
    """
    session = client.open_session(account)
    events: list[ChatEvent] = []
    for event in client.stream(asks(prompt, model), account, session):
        if isinstance(event, TextDelta) and events and isinstance(events[-1], TextDelta):
            events[-1] = TextDelta(events[-1].text + event.text)
        elif event is not FLUSH:
            events.append(event)
    return events


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def failure_of(client: Widget, account: Account) -> GatewayError:
    session = client.open_session(account)
    with pytest.raises(GatewayError) as caught:
        list(client.stream(asks("Hello", AUTO), account, session))
    return caught.value


# What is sent


def test_opening_a_session_sends_this_body(upstream: Simulator, account: Account) -> None:
    session = widget(upstream).open_session(account)

    [call] = upstream.calls("widgetCreateSession")
    assert (call.method, call.path) == ("POST", "/v1alpha/locations/global/widgetCreateSession")
    assert json.dumps(call.body) == json.dumps(
        {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            "createSessionRequest": {"session": {"name": "", "displayName": ""}},
        }
    )
    assert session.startswith("collections/default_collection/engines/agentspace-engine/sessions/")


def test_asking_sends_this_body(upstream: Simulator, account: Account) -> None:
    client = widget(upstream, language_code="de-DE", time_zone="Europe/Berlin")
    session = client.open_session(account)

    list(client.stream(asks("Grüß Gott 你好 👋\u2028", FLASH), account, session))

    [call] = upstream.calls(STREAM)
    assert (call.method, call.path, dict(call.query)) == (
        "POST",
        f"/v1alpha/locations/global/{STREAM}",
        {},
    )
    assert json.dumps(call.body) == json.dumps(
        {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            "streamAssistRequest": {
                "session": session,
                "query": {"parts": [{"text": "Grüß Gott 你好 👋\u2028"}]},
                "filter": "",
                "fileIds": [],
                "answerGenerationMode": "NORMAL",
                "toolsSpec": {
                    "webGroundingSpec": {},
                    "toolRegistry": "default_tool_registry",
                    "imageGenerationSpec": {},
                    "videoGenerationSpec": {},
                },
                "languageCode": "de-DE",
                "userMetadata": {"timeZone": "Europe/Berlin"},
                "assistSkippingMode": "REQUEST_ASSIST",
                "assistGenerationConfig": {"modelId": "gemini-3.8-flash"},
            },
        }
    )


def test_deleting_a_session_sends_this_body(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)

    client.delete_session(account, session)

    [call] = upstream.calls("widgetDeleteSession")
    assert json.dumps(call.body) == json.dumps(
        {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            "deleteSessionRequest": {"name": session},
        }
    )
    assert upstream.state()["sessions"] == {"alive": 0, "deleted": 1}


# Probes


def test_a_probe_asks_for_one_entry_of_the_list_and_makes_nothing(
    upstream: Simulator, account: Account
) -> None:
    widget(upstream).probe(account)

    [call] = upstream.calls("widgetListSessions")
    assert json.dumps(call.body) == json.dumps(
        {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            "listSessionsRequest": {
                "pageSize": 1,
                "pageToken": "",
                "orderBy": "update_time desc",
                "filter": "",
            },
        }
    )
    assert upstream.state()["sessions"] == {"alive": 0, "deleted": 0}


def test_a_probe_that_is_denied_speaks_of_the_config_id(
    upstream: Simulator, account: Account
) -> None:
    with pytest.raises(ConfigRefused) as caught:
        widget(upstream).probe(with_values(account, config_id="another"))

    assert "CONFIG_ID" in caught.value.message


@pytest.mark.parametrize(
    ("path", "script", "error"),
    [
        ("getoxsrf", http_error(401, "UNAUTHENTICATED"), CredentialRefused),
        ("getoxsrf", html_reply(403, "Access Restricted"), AccountRestricted),
        ("widgetListSessions", http_error(500, "INTERNAL"), UpstreamBroken),
        ("widgetListSessions", quota(), QuotaExhausted),
        ("widgetListSessions", (Rst(),), UpstreamBroken),
    ],
)
def test_a_probe_tells_a_refusal_from_a_fault(
    upstream: Simulator,
    account: Account,
    path: str,
    script: tuple[Action, ...],
    error: type[GatewayError],
) -> None:
    upstream.script(*script, path=path, times=math.inf)

    with pytest.raises(GatewayError) as caught:
        widget(upstream).probe(account)

    assert type(caught.value) is error


def test_a_probe_whose_token_is_refused_tries_a_fresh_one(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)
    client.probe(account)
    upstream.revoke_tokens()

    client.probe(account)

    assert len(upstream.calls("getoxsrf")) == 2


def test_every_call_carries_the_headers_of_the_web_page(
    upstream: Simulator, account: Account
) -> None:
    client = widget(
        upstream,
        server_timeout_s=900,
        headers={"User-Agent": "Mozilla/5.0", "x-server-token": "st"},
    )

    asked(client, account)

    for call in [*upstream.calls("widgetCreateSession"), *upstream.calls(STREAM)]:
        assert call.headers["Authorization"].startswith("Bearer ey")
        assert call.headers["Content-Type"] == "application/json"
        assert call.headers["Origin"] == upstream.url
        assert call.headers["Referer"] == f"{upstream.url}/"
        assert call.headers["X-Server-Timeout"] == "900"
        assert call.headers["Accept-Encoding"] == "gzip, deflate"
        assert call.headers["User-Agent"] == "Mozilla/5.0"
        assert call.headers["x-server-token"] == "st"
        assert "Cookie" not in call.headers


def test_the_user_s_headers_cannot_replace_the_bearer(
    upstream: Simulator, account: Account
) -> None:
    client = widget(
        upstream, headers={"authorization": "Basic eA==", "referer": "https://example.com/"}
    )

    client.open_session(account)

    [call] = upstream.calls("widgetCreateSession")
    assert call.headers["Authorization"].startswith("Bearer ey")
    assert call.headers["Referer"] == "https://example.com/"


def test_the_automatic_model_is_asked_for_by_saying_nothing(
    upstream: Simulator, account: Account
) -> None:
    asked(widget(upstream), account, model=AUTO)

    [call] = upstream.calls(STREAM)
    assert "assistGenerationConfig" not in call.body["streamAssistRequest"]


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (("imageGenerationSpec",), {"imageGenerationSpec": {}}),
        (
            ("toolRegistry", "webGroundingSpec"),
            {"toolRegistry": "default_tool_registry", "webGroundingSpec": {}},
        ),
        ((), {}),
    ],
)
def test_only_the_model_s_tools_are_offered(
    upstream: Simulator, account: Account, tools: tuple[Any, ...], expected: dict[str, object]
) -> None:
    upstream.script(*HELLO)

    asked(widget(upstream), account, model=Model("narrow", {WIDGET: None}, tools))

    assert upstream.calls(STREAM)[0].body["streamAssistRequest"]["toolsSpec"] == expected


def test_an_empty_prompt_goes_out_as_a_space(upstream: Simulator, account: Account) -> None:
    asked(widget(upstream), account, prompt="")

    assert upstream.calls(STREAM)[0].body["streamAssistRequest"]["query"] == {
        "parts": [{"text": " "}]
    }


# Sessions


def test_a_session_is_deleted_by_its_short_name(upstream: Simulator, account: Account) -> None:
    upstream.set(session_name="full")
    client = widget(upstream)
    session = client.open_session(account)

    client.delete_session(account, session)

    [call] = upstream.calls("widgetDeleteSession")
    assert (
        session
        == f"projects/{upstream.account.project_number}/locations/global/"
        + (call.body["deleteSessionRequest"]["name"])
    )


def test_a_session_that_is_gone_already_counts_as_deleted(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    client.delete_session(account, session)

    client.delete_session(account, session)

    assert len(upstream.calls("widgetDeleteSession")) == 2


@pytest.mark.parametrize(
    "reply", [json_reply(200, {}), empty_body(), html_reply(200, "Gone"), json_reply(200, [])]
)
def test_the_body_of_a_deletion_means_nothing(
    upstream: Simulator, account: Account, reply: tuple[Action, ...]
) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.script(*reply, path="widgetDeleteSession")

    client.delete_session(account, session)

    assert len(upstream.calls("widgetDeleteSession")) == 1


def test_a_deletion_that_fails_is_an_error(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.script(*html_error(503), path="widgetDeleteSession")

    with pytest.raises(UpstreamOverloaded):
        client.delete_session(account, session)


def test_a_full_session_name_is_used_as_it_came(upstream: Simulator, account: Account) -> None:
    upstream.set(session_name="full")
    client = widget(upstream)

    session = client.open_session(account)

    assert session.startswith("projects/")
    assert text_of(list(client.stream(asks("17*23", AUTO), account, session))).startswith("17")


def test_a_wrapped_session_is_found_too(upstream: Simulator, account: Account) -> None:
    upstream.script(
        *json_reply(200, {"createSessionResponse": {"session": {"name": "s/1"}}}),
        path="widgetCreateSession",
    )

    assert widget(upstream).open_session(account) == "s/1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"session": {}},
        {"session": {"name": ""}},
        {"session": {"name": 7}},
        {"session": "s/1"},
        [],
        "x",
        None,
    ],
)
def test_a_session_without_a_name_is_an_error(
    upstream: Simulator, account: Account, body: object
) -> None:
    upstream.script(*json_reply(200, body), path="widgetCreateSession", times=2)

    with pytest.raises(UpstreamProtocolError):
        widget(upstream).open_session(account)


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_refusal_to_open_a_session_is_not_the_client_s_fault(
    upstream: Simulator, account: Account, status: int
) -> None:
    upstream.script(*http_error(status, "", "The prompt is too long."), path="widgetCreateSession")

    with pytest.raises(UpstreamError) as caught:
        widget(upstream).open_session(account)

    assert (type(caught.value), caught.value.status) == (UpstreamBroken, 502)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (http_error(400, "INVALID_ARGUMENT"), UpstreamBroken),
        (html_error(500), UpstreamBroken),
        (http_error(504, "DEADLINE_EXCEEDED"), UpstreamGaveUp),
        ((Fin(),), UpstreamBroken),
        ((Rst(),), UpstreamBroken),
    ],
)
def test_a_passing_failure_to_open_a_session_may_be_tried_again_by_who_asked(
    upstream: Simulator, account: Account, reply: tuple[Action, ...], error: type[GatewayError]
) -> None:
    upstream.script(*reply, path="widgetCreateSession")

    with pytest.raises(UpstreamError) as caught:
        widget(upstream).open_session(account)

    assert type(caught.value) is error
    assert policy_for(caught.value).retry_same
    assert len(upstream.calls("widgetCreateSession")) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (quota(), QuotaExhausted),
        (overloaded(), UpstreamOverloaded),
        (http_error(403, "PERMISSION_DENIED"), ConfigRefused),
        (json_reply(200, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}), QuotaExhausted),
    ],
)
def test_a_failure_of_the_account_is_told_at_once(
    upstream: Simulator, account: Account, reply: tuple[Action, ...], error: type[GatewayError]
) -> None:
    upstream.script(*reply, path="widgetCreateSession")

    with pytest.raises(GatewayError) as caught:
        widget(upstream).open_session(account)

    assert type(caught.value) is error
    assert not policy_for(caught.value).retry_same
    assert len(upstream.calls("widgetCreateSession")) == 1


# Tokens


@pytest.mark.parametrize("call", ["widgetCreateSession", "widgetDeleteSession", STREAM])
def test_a_refused_token_is_replaced_once(upstream: Simulator, account: Account, call: str) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.revoke_tokens()

    match call:
        case "widgetCreateSession":
            client.open_session(account)
        case "widgetDeleteSession":
            client.delete_session(account, session)
        case _:
            assert text_of(list(client.stream(asks("17*23", AUTO), account, session))).startswith(
                "17"
            )

    bearers = [made.headers["Authorization"] for made in upstream.calls(call)]
    assert bearers[-2] != bearers[-1]
    assert len(upstream.calls("getoxsrf")) == 2


def test_an_answer_of_a_token_alone_is_a_refused_token(
    upstream: Simulator, account: Account
) -> None:
    upstream.script(*u_token_only())
    upstream.script(*HELLO)

    events = asked(widget(upstream), account)

    assert events == [TextDelta("".join(SPOKEN)), Done()]
    assert len(upstream.calls("getoxsrf")) == 2


@pytest.mark.parametrize(
    "reply", [http_error(401, "UNAUTHENTICATED"), u_token_only()], ids=["401", "token alone"]
)
def test_a_question_for_which_a_fresh_token_is_refused_too_makes_the_account_suspect(
    upstream: Simulator, account: Account, reply: tuple[Action, ...]
) -> None:
    client = widget(upstream)
    upstream.script(*reply, times=2)

    error = failure_of(client, account)

    assert type(error) is AccountSuspected
    assert "CONFIG_ID" in error.message
    assert len(upstream.calls(STREAM)) == 2


@pytest.mark.parametrize(
    "reply", [http_error(401, "UNAUTHENTICATED"), u_token_only()], ids=["401", "token alone"]
)
def test_many_questions_for_which_any_token_is_refused_cost_few_sign_ins(
    upstream: Simulator, account: Account, reply: tuple[Action, ...]
) -> None:
    clock = Clock()
    client = widget(upstream, monotonic=clock)
    upstream.script(*reply, times=math.inf)

    kinds = [type(failure_of(client, account)) for _ in range(30)]
    signed_in = len(upstream.calls("getoxsrf"))
    clock.now += 60
    kinds.append(type(failure_of(client, account)))

    assert set(kinds) == {AccountSuspected}
    assert signed_in == 1 + MAX_FAILED_RENEWALS
    assert len(upstream.calls("getoxsrf")) == signed_in + 1


@pytest.mark.parametrize(
    "reply", [http_error(401, "UNAUTHENTICATED"), u_token_only()], ids=["401", "token alone"]
)
def test_after_many_poisoned_questions_one_that_is_refused_once_is_still_answered(
    upstream: Simulator, account: Account, reply: tuple[Action, ...]
) -> None:
    client = widget(upstream)
    upstream.script(*reply, times=30)
    for _ in range(15):
        failure_of(client, account)
    upstream.script(*reply)
    upstream.script(*HELLO)

    assert text_of(asked(client, account)) == "".join(SPOKEN)


def test_a_token_that_goes_stale_among_poisoned_questions_is_renewed_by_the_probe(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.script(*http_error(401, "UNAUTHENTICATED"), times=2 * MAX_FAILED_RENEWALS)
    for _ in range(MAX_FAILED_RENEWALS):
        failure_of(client, account)
    upstream.revoke_tokens()

    with pytest.raises(AccountSuspected):
        list(client.stream(asks("17*23", AUTO), account, session))
    client.probe(account)

    assert text_of(list(client.stream(asks("17*23", AUTO), account, session))).startswith("17")


def test_a_sign_in_that_is_refused_when_a_question_asks_for_a_fresh_token_is_the_credential(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.script(*http_error(401, "UNAUTHENTICATED"))
    upstream.script(*html_reply(401, "No"), path="getoxsrf", times=math.inf)

    with pytest.raises(CredentialRefused):
        list(client.stream(asks("17*23", AUTO), account, session))


def test_a_fresh_token_that_is_refused_too_is_the_credential_on_opening_a_session(
    upstream: Simulator, account: Account
) -> None:
    upstream.script(*http_error(401, "UNAUTHENTICATED"), path="widgetCreateSession", times=2)

    with pytest.raises(CredentialRefused):
        widget(upstream).open_session(account)

    assert len(upstream.calls("widgetCreateSession")) == 2


def test_a_token_that_was_refused_when_fresh_is_not_used_again(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)
    upstream.script(*http_error(401, "UNAUTHENTICATED"), path="widgetCreateSession", times=2)
    with pytest.raises(CredentialRefused):
        client.open_session(account)

    client.open_session(account)

    bearers = [call.headers["Authorization"] for call in upstream.calls("widgetCreateSession")]
    assert len(set(bearers)) == len(bearers) == 3


@pytest.mark.parametrize(
    ("began", "asked", "good"), [(4.0, ["t1", "t2", "t3"], True), (6.0, ["t1", "t2"], False)]
)
def test_a_token_whose_sign_in_began_before_the_refusal_says_nothing_of_the_account(
    account: Account, began: float, asked: list[str], good: bool
) -> None:
    shown: list[str] = []

    class Signed(WidgetAuth):
        """Gives tokens of three sign-ins; the first is refused at 5.0."""

        given: ClassVar = [Token("t1", 0.0, 0.0), Token("t2", began, began), Token("t3", 6.0, 6.0)]

        def __init__(self) -> None:
            self.left = list(self.given)

        def token(self, account: Account, after: float = -math.inf) -> Token:
            return self.left.pop(0)

        def discard(self, account: Account, bearer: str) -> float:
            return 5.0

    class FakeHttpClient(HttpClient):
        def request(
            self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
        ) -> Reply:
            shown.append(headers["Authorization"].removeprefix("Bearer "))
            return Reply(200 if shown[-1] == "t3" else 401, {}, (), b"{}")

    client = Widget(FakeHttpClient(), Signed(), EndpointMap())
    if good:
        client.probe(account)
    else:
        with pytest.raises(CredentialRefused):
            client.probe(account)

    assert shown == asked


def test_a_token_refused_after_text_is_no_reason_to_ask_again(
    upstream: Simulator, account: Account
) -> None:
    upstream.script(*in_stream_error(401, "UNAUTHENTICATED", "No.", texts=["Hel"]))
    client = widget(upstream)

    error = failure_of(client, account)

    assert isinstance(error, AccountSuspected)
    assert (len(upstream.calls(STREAM)), len(upstream.calls("getoxsrf"))) == (1, 1)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", ["widgetCreateSession", STREAM])
def test_the_bearer_is_never_taken_to_where_a_redirect_points(
    upstream: Simulator, account: Account, call: str, status: int
) -> None:
    with Simulator() as elsewhere:
        location = f"{elsewhere.url}/v1alpha/locations/global/{call}"
        upstream.script(Head(status, {"Location": location}), End(), path=call, times=math.inf)

        with pytest.raises(UpstreamError) as caught:
            asked(widget(upstream), account)

        assert "redirected" in caught.value.message
        assert elsewhere.requests == []


# Reading the answer


def test_text_comes_as_it_was_sent(upstream: Simulator, account: Account) -> None:
    upstream.script(*answer("Hel", "lo ", "世界!", thoughts=["Hm."]))

    events = asked(widget(upstream), account)

    assert events == [ThoughtDelta("Hm."), TextDelta("".join(SPOKEN)), Done()]


def test_what_arrived_together_leaves_before_one_flush(
    upstream: Simulator, account: Account
) -> None:
    upstream.set(cuts="joined")
    upstream.script(Text("a"), Text("b"), Pause(0.05), Text("c"), Final(), End())
    client = widget(upstream)
    session = client.open_session(account)

    events = list(client.stream(asks("Hello", AUTO), account, session))

    assert text_of(events[: events.index(FLUSH)]) == "ab"
    assert events[events.index(FLUSH) + 1 :] == [TextDelta("c"), Done()]


@pytest.mark.parametrize(
    ("switches", "framing"),
    [
        ({}, "json"),
        ({}, "sse"),
        ({"honours_alt_sse": False}, "sse"),
        ({"layout": "crlf", "cuts": "1"}, "json"),
        ({"layout": "compact", "cuts": "joined", "ascii_escapes": True}, "json"),
        ({"layout": "newline_comma", "cuts": "7", "wrapper": "bare", "gzip": True}, "json"),
        ({"layout": "padded", "transfer": "close", "cuts": "random"}, "json"),
        ({"transfer": "content_length", "state": "absent"}, "json"),
        ({"sse_lines": "crlf", "sse_comments": True, "sse_multiline": True, "cuts": "1"}, "sse"),
        ({"gzip": True, "cuts": "7"}, "sse"),
        (
            {"extra_fields": True, "metadata_only": True, "citations": False, "suggestions": True},
            "json",
        ),
        ({"final": "repeats_text"}, "json"),
        ({"final": "carries_last_text", "u_token": "every"}, "json"),
    ],
    ids=str,
)
def test_the_answer_is_the_same_however_it_is_framed(
    upstream: Simulator, account: Account, switches: dict[str, Any], framing: str
) -> None:
    upstream.set(**switches)
    upstream.script(*HELLO)

    events = asked(widget(upstream, framing=framing), account)

    assert events == [TextDelta("".join(SPOKEN)), Done()]


def test_events_are_asked_for_only_when_they_are_wanted(
    upstream: Simulator, account: Account
) -> None:
    asked(widget(upstream), account)
    asked(widget(upstream, framing="sse"), account)

    assert [dict(call.query) for call in upstream.calls(STREAM)] == [{}, {"alt": "sse"}]


ELEMENT = (
    '{"answer":{"state":"SUCCEEDED","replies":[{"groundedContent":{"content":{"text":"Hello"}}}]}}'
)
ARRAY = f"[{ELEMENT}]".encode()
EVENTS = f"data: {ELEMENT}\n\n".encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", ARRAY),
        ("application/json; charset=UTF-8", ARRAY),
        ("Application/JSON", ARRAY),
        ("text/event-stream", EVENTS),
        ("Text/Event-Stream; charset=utf-8", EVENTS),
        ("text/plain", ARRAY),
        ("text/plain", EVENTS),
        ("application/octet-stream", b"\r\n" + ARRAY),
        ("", EVENTS),
        ("", b": hello\n\n" + EVENTS),
        ("", ARRAY),
    ],
)
@pytest.mark.parametrize("framing", ["json", "sse"])
def test_the_content_type_decides_how_an_answer_is_read_not_what_was_asked_for(
    upstream: Simulator, account: Account, content_type: str, body: bytes, framing: str
) -> None:
    upstream.script(
        Head(200, {"Content-Type": content_type} if content_type else {}), Write(body), End()
    )

    events = asked(widget(upstream, framing=framing), account)

    assert events == [TextDelta("Hello"), Done()]


def test_status_headlines_are_hidden_as_the_settings_say(
    upstream: Simulator, account: Account
) -> None:
    upstream.script(*answer("**Musing**", "Hello"), times=2)

    hidden = asked(widget(upstream, status_lines=("* Musing *",)), account)
    shown = asked(widget(upstream), account)

    assert (text_of(hidden), text_of(shown)) == ("Hello", "**Musing**Hello")


def test_a_generated_picture_is_a_file(upstream: Simulator, account: Account) -> None:
    upstream.script(*image_reply("Here:"))
    upstream.script(*image_reply(content=b"\x89PNG data", inline=True))
    client = widget(upstream)

    kept, inline = asked(client, account), asked(client, account)

    [file] = [event for event in kept if isinstance(event, FileOutput)]
    assert (file.mime_type, file.data) == ("image/png", None)
    assert file.file_id
    assert FileOutput("image/png", data=b"\x89PNG data") in inline


def test_a_refusal_is_an_answer(upstream: Simulator, account: Account) -> None:
    upstream.script(*policy_violation())

    events = asked(widget(upstream), account)

    assert [type(event) for event in events] == [Refusal, Done]
    assert events[-1] == Done("content_filter")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (quota(), QuotaExhausted),
        (overloaded(), UpstreamOverloaded),
        (array_wrapped_error(), QuotaExhausted),
        (http_error(400, "INVALID_ARGUMENT", "Bad."), RequestRefused),
        (http_error(403, "PERMISSION_DENIED"), SessionDenied),
        (in_stream_error(403, "PERMISSION_DENIED"), SessionDenied),
        (http_error(404, "NOT_FOUND", "Session not found."), SessionGone),
        (html_error(503), UpstreamOverloaded),
        (html_error(500), UpstreamBroken),
        (html_reply(200, "Sign in"), UpstreamProtocolError),
        (in_stream_error(), QuotaExhausted),
        (in_stream_error(texts=["Hel"], reason="LLM_OVERLOADED"), UpstreamOverloaded),
        (failed_precondition("Hel"), UpstreamUnclear),
        (thoughts_only(), AnswerEmpty),
        (empty_array(), AnswerEmpty),
        (empty_body(), UpstreamProtocolError),
        (json_reply(200, {"error": {"code": 429}}), QuotaExhausted),
        (json_reply(200, [{"error": {"code": 503}}]), UpstreamOverloaded),
        (cut_after(2), UpstreamBroken),
        (cut_after(2, rst=True), UpstreamBroken),
        (broken_chunk("Hel"), UpstreamBroken),
        ((Text("Hel"), End()), UpstreamProtocolError),
        ((Text("Hel"), End(close_array=False)), UpstreamProtocolError),
        ((Fin(),), UpstreamBroken),
        ((Rst(),), UpstreamBroken),
    ],
)
def test_what_goes_wrong_is_the_right_error(
    upstream: Simulator, account: Account, script: tuple[Action, ...], error: type[GatewayError]
) -> None:
    upstream.script(*script)

    found = failure_of(widget(upstream), account)

    assert type(found) is error


def test_a_silent_upstream_is_a_timeout(upstream: Simulator, account: Account) -> None:
    upstream.script(Text("Hel"), Stall())
    client = widget(upstream, Timeouts(2, 0.2, 10))
    session = client.open_session(account)
    events: list[ChatEvent] = []

    with pytest.raises(UpstreamTimeout) as caught:
        events.extend(client.stream(asks("Hello", AUTO), account, session))

    assert "silent for 0.2 s" in caught.value.message


@pytest.mark.parametrize(
    "ending",
    [
        (Fin(),),
        (Rst(),),
        (End(close_array=False),),
        (Write(b"garbage"), End(close_array=False)),
        (Raw(b"zz\r\n"), Fin()),
        (Write(b',{"error":{"code":503}}]'), End(close_array=False)),
    ],
    ids=["fin", "rst", "no bracket", "garbage", "broken chunk", "error"],
)
def test_an_answer_that_breaks_after_its_end_is_whole(
    upstream: Simulator, account: Account, ending: tuple[Action, ...]
) -> None:
    upstream.script(Text("Hello"), Final(), Pause(0.02), *ending)

    events = asked(widget(upstream), account)

    assert events == [TextDelta("Hello"), Done()]


@pytest.mark.parametrize("framing", ["json", "sse"])
def test_nobody_waits_long_for_an_end_that_does_not_come(
    upstream: Simulator, account: Account, framing: str
) -> None:
    upstream.script(Text("Hello"), Final(), Stall())

    events = asked(widget(upstream, Timeouts(2, 60, 60), framing=framing), account)

    assert events == [TextDelta("Hello"), Done()]


# Connections


def test_closing_the_stream_closes_the_connection(upstream: Simulator, account: Account) -> None:
    upstream.script(Text("Hel"), Stall())
    client = widget(upstream)
    session = client.open_session(account)
    events = client.stream(asks("Hello", AUTO), account, session)
    next(events)
    assert upstream.open_streams == 1

    events.close()

    assert upstream.wait_for(lambda: upstream.open_streams == 0)


def test_a_stream_that_was_not_begun_asks_for_nothing(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream)

    client.stream(asks("Hello", AUTO), account, "s/1").close()

    assert upstream.requests == []


@pytest.mark.parametrize("transfer", ["chunked", "content_length"])
@pytest.mark.parametrize("gzip", [False, True])
def test_a_connection_is_used_again_for_the_next_call(
    upstream: Simulator, account: Account, transfer: str, gzip: bool
) -> None:
    upstream.set(transfer=transfer, gzip=gzip)
    upstream.script(*HELLO, times=math.inf)
    client = widget(upstream)

    for _ in range(3):
        asked(client, account)

    assert len({request.connection for request in upstream.requests}) == 1


def test_a_connection_on_which_a_failure_was_told_is_used_again(
    upstream: Simulator, account: Account
) -> None:
    upstream.script(*quota())
    client = widget(upstream)
    failure_of(client, account)

    asked(client, account)

    assert len({request.connection for request in upstream.requests}) == 1


def test_a_connection_that_the_upstream_has_closed_in_the_meantime_is_replaced(
    upstream: Simulator, account: Account
) -> None:
    upstream.set(transfer="close")
    client = widget(upstream)

    assert text_of(asked(client, account, "17*23")).startswith("17")
    assert len({request.connection for request in upstream.requests}) == len(upstream.requests) == 3


def test_a_broken_connection_is_not_used_again(upstream: Simulator, account: Account) -> None:
    upstream.script(Text("Hel"), Stall())
    client = widget(upstream)
    session = client.open_session(account)
    events = client.stream(asks("Hello", AUTO), account, session)
    next(events)
    events.close()

    upstream.script(*HELLO)
    again = asked(client, account)

    assert text_of(again) == "Hello 世界!"
    assert upstream.calls(STREAM)[0].connection != upstream.calls(STREAM)[1].connection


def test_all_of_it_over_tls() -> None:
    with Simulator(tls=True) as upstream:
        account = simulated_account(upstream)
        upstream.script(*HELLO)

        events = asked(widget(upstream), account)

        assert events == [TextDelta("".join(SPOKEN)), Done()]


# How a session comes to be


def named(events: list[ChatEvent | SessionNamed]) -> list[str]:
    return [event.name for event in events if isinstance(event, SessionNamed)]


@pytest.mark.parametrize("session_info", ["end", "everywhere", "empty_then_full"])
def test_a_session_by_dash_is_made_and_named_with_the_answer(
    upstream: Simulator, account: Account, session_info: str
) -> None:
    upstream.set(create_session="400", session_info=session_info)
    client = widget(upstream, session="dash")

    session = client.open_session(account)
    first = list(client.stream(asks("Hello", AUTO), account, session))
    [name] = named(first)
    second = list(client.stream(asks("And?", AUTO), account, name))
    client.delete_session(account, name)

    assert session == ""
    assert upstream.calls("widgetCreateSession") == []
    assert named(second) == []
    [made] = upstream.sessions.values()
    assert (made.queries, made.deleted) == (["Hello", "And?"], True)


def test_a_session_of_our_own_making_is_asked_continued_and_deleted(
    upstream: Simulator, account: Account
) -> None:
    upstream.set(create_session="404")
    client = widget(upstream, session="own")

    session = client.open_session(account)
    asked_before = list(upstream.requests)
    for question in ("Hello", "And?"):
        assert not named(list(client.stream(asks(question, AUTO), account, session)))
    client.delete_session(account, session)

    assert asked_before == []  # it costs no call
    [made] = upstream.sessions.values()
    assert (made.queries, made.deleted) == (["Hello", "And?"], True)
    assert re.fullmatch(r"[a-z][a-z0-9]+-[a-z0-9]+", session.rpartition("/")[2])
    assert client.open_session(account) != session


@pytest.mark.parametrize(
    ("form", "switches"),
    [("dash", {"dash_session": "refused"}), ("own", {"own_session": "400"})],
)
def test_a_form_of_session_that_the_upstream_refuses_is_no_fault_of_the_request(
    upstream: Simulator, account: Account, form: str, switches: dict[str, str]
) -> None:
    upstream.set(**switches)

    error = failure_of(widget(upstream, session=form), account)

    assert type(error) is UpstreamError
    assert f"UPSTREAM_SESSION={form}: set it to create" in error.message
    assert not error.was_taken


def test_a_session_of_our_own_that_is_not_found_says_that_none_may_be_made(
    upstream: Simulator, account: Account
) -> None:
    upstream.set(own_session="404")

    error = failure_of(widget(upstream, session="own"), account)

    assert isinstance(error, SessionGone)
    assert "UPSTREAM_SESSION=own" in error.message


def test_a_session_that_nobody_can_delete_is_told_in_the_log(
    upstream: Simulator, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    client = widget(upstream, session="dash")

    stream = client.stream(asks("Hello", AUTO), account, client.open_session(account))
    next(stream)
    with caplog.at_level("WARNING", "gbproxy"):
        stream.close()

    [line] = [record for record in caplog.records if record.message == "session.left"]
    assert (line.account, line.reason) == ("one", "the upstream did not tell its name")


# Further fields of the body


def test_further_fields_are_merged_into_each_body_and_win(
    upstream: Simulator, account: Account
) -> None:
    further = {
        "location": "global",
        "additionalParams": {"origin": "ORIGIN_UNSPECIFIED", "token": "t"},
        "streamAssistRequest": {
            "toolsSpec": {"toolRegistry": "mine"},
            "filter": "f",
            "languageCode": "de",
        },
    }
    client = widget(upstream, body=further)

    client.open_session(account)
    [created] = upstream.calls("widgetCreateSession")
    session = client.open_session(account)
    asked_for = list(client.stream(asks("Hello", AUTO), account, session))

    [call] = upstream.calls(STREAM)
    assert asked_for
    for body in (created.body, call.body):
        assert body["configId"] == credential_of(account).config_id
        assert body["location"] == "global"
        assert body["additionalParams"] == {"token": "t", "origin": "ORIGIN_UNSPECIFIED"}
    assert created.body["createSessionRequest"] == {"session": {"name": "", "displayName": ""}}
    assert "streamAssistRequest" not in created.body
    request = call.body["streamAssistRequest"]
    assert request["toolsSpec"] == {
        "webGroundingSpec": {},
        "toolRegistry": "mine",
        "imageGenerationSpec": {},
        "videoGenerationSpec": {},
    }
    assert (request["filter"], request["languageCode"]) == ("f", "de")
    assert request["query"] == {"parts": [{"text": "Hello"}]}


# The live configuration


def test_the_widget_reads_it(upstream: Simulator, account: Account) -> None:
    upstream.set(tools_off=("image",), widget_config_wrapper="widgetConfig")

    found = widget(upstream).account_capabilities(account)

    assert found.listed == ("gemini-fast", *LIVING_MODELS)
    assert found.tools_off == {"imageGenerationSpec"}
    [call] = upstream.calls("lookupWidgetConfig")
    assert call.body == {"widgetConfigId": credential_of(account).config_id}


@pytest.mark.parametrize(
    ("language", "fields"),
    [
        ("en-US", {"languageCode": "en-US", "regionCode": "US"}),
        ("de", {"languageCode": "de"}),
        ("zh-Hans", {"languageCode": "zh-Hans"}),
    ],
)
def test_a_configuration_without_models_is_asked_for_once_more_with_the_newer_fields(
    upstream: Simulator, account: Account, language: str, fields: dict[str, str]
) -> None:
    upstream.set(widget_config_view="wanted", tools_off=("image",))

    found = widget(upstream, language_code=language).account_capabilities(account)

    assert found.listed == ("gemini-fast", *LIVING_MODELS)
    assert found.tools_off == {"imageGenerationSpec"}
    first, second = (call.body for call in upstream.calls("lookupWidgetConfig"))
    assert second == {**first, **fields, "modelInfoView": "END_USER_WEB"}


def test_what_the_first_configuration_says_holds_where_the_newer_fields_are_refused(
    upstream: Simulator, account: Account
) -> None:
    bare = {"assistantSettings": {"webGroundingType": "WEB_GROUNDING_TYPE_DISABLED"}}
    upstream.script(*json_reply(200, bare), path="lookupWidgetConfig")
    upstream.script(*http_error(400, "INVALID_ARGUMENT", "no"), path="lookupWidgetConfig")

    found = widget(upstream).account_capabilities(account)

    assert found == AccountCapabilities(tools_off=frozenset({"webGroundingSpec"}))


@pytest.mark.parametrize("value", ["absent", "403", "500", "html", "garbage"])
def test_what_is_no_configuration_is_an_error_that_costs_no_token(
    upstream: Simulator, account: Account, value: str
) -> None:
    client = widget(upstream)
    upstream.set(widget_config=value)

    with pytest.raises(GatewayError):
        client.account_capabilities(account)
    client.open_session(account)

    assert len(upstream.calls("getoxsrf")) == 1


@pytest.mark.parametrize("value", ["empty", "wrong_types"])
def test_a_configuration_without_content_says_nothing(
    upstream: Simulator, account: Account, value: str
) -> None:
    upstream.set(widget_config=value)

    assert widget(upstream).account_capabilities(account) == NOTHING_SAID
