"""Every error that a request can meet, in the words of each API: as a response where the answer has
not begun, else as the last event of its stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gbproxy import errors, load_settings
from gbproxy.app import app_over
from gbproxy.bootstrap import build
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import FLUSH, ChatStream, Started, TextDelta
from gbproxy.errors import GatewayError, Overloaded, UpstreamOverloaded
from tests.support.fake_upstream import ACCOUNT
from tests.support.serving import KEY, InProcess, Reply

SAYS = {"role": "user", "content": "Hi"}
CONTENTS = {"contents": [{"parts": [{"text": "Hi"}]}]}
GEMINI = "/v1beta/models/gemini-auto"
# (path, body): of an answer in one piece, and of a streamed one
REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "openai": [("/v1/chat/completions", {"messages": [SAYS], "stream": s}) for s in (False, True)],
    "anthropic": [("/v1/messages", {"messages": [SAYS], "stream": s}) for s in (False, True)],
    "gemini": [
        (f"{GEMINI}:generateContent", CONTENTS),
        (f"{GEMINI}:streamGenerateContent?alt=sse", CONTENTS),
    ],
    "native": [("/gemini/chat", {"message": "Hi", "stream": s}) for s in (False, True)],
}
# What Google's and Anthropic's APIs call an error of this status.
WORDS = {
    400: ("INVALID_ARGUMENT", "invalid_request_error"),
    401: ("UNAUTHENTICATED", "authentication_error"),
    403: ("PERMISSION_DENIED", "permission_error"),
    404: ("NOT_FOUND", "not_found_error"),
    405: ("INVALID_ARGUMENT", "api_error"),
    408: ("INVALID_ARGUMENT", "api_error"),
    409: ("INVALID_ARGUMENT", "api_error"),
    413: ("INVALID_ARGUMENT", "request_too_large"),
    415: ("INVALID_ARGUMENT", "api_error"),
    429: ("RESOURCE_EXHAUSTED", "rate_limit_error"),
    500: ("INTERNAL", "api_error"),
    501: ("UNIMPLEMENTED", "api_error"),
    502: ("INTERNAL", "api_error"),
    503: ("UNAVAILABLE", "api_error"),
    504: ("DEADLINE_EXCEEDED", "timeout_error"),
}


def made(kind: type[GatewayError]) -> GatewayError:
    if kind in (errors.ConversationNotFound, errors.ConversationBusy):
        return kind()  # type: ignore[call-arg]
    return kind("It cannot be.")


ELSEWHERE = (
    errors.ClientGone,  # nobody is left to be told
    errors.PreviousResponseNotFound,  # of the Responses API alone
)
EVERY_ERROR = [
    made(kind)
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, GatewayError) and not name.startswith("_")
    if kind not in ELSEWHERE
]


@dataclass
class FailingGateway:
    """Fails at once, or when a part of the answer has been sent."""

    error: GatewayError = EVERY_ERROR[0]
    has_begun: bool = False

    def stream(self, chat: ChatRequest) -> ChatStream:
        if self.has_begun:
            yield Started("gemini-auto")
            yield TextDelta("Half ")
            yield FLUSH
        raise self.error


@pytest.fixture(scope="module")
def failing() -> Iterator[tuple[InProcess, FailingGateway]]:
    gateway = FailingGateway()
    settings = load_settings({"HOST": "127.0.0.1", "API_KEYS": KEY, "MAX_BODY_MB": "1", **ACCOUNT})
    with closing(build(settings)) as services:
        app = app_over(replace(services, gateway=gateway))  # type: ignore[arg-type]
        yield InProcess(app), gateway


@pytest.fixture(params=REQUESTS)
def surface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=EVERY_ERROR, ids=lambda error: type(error).__name__)
def error(request: pytest.FixtureRequest) -> GatewayError:
    found: GatewayError = request.param
    return found


def ask(app: InProcess, surface: str, *, stream: bool) -> Reply:
    path, body = REQUESTS[surface][stream]
    return app.request("POST", path, json.dumps(body), app.headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_error_before_the_answer_is_a_response(
    failing: tuple[InProcess, FailingGateway], surface: str, error: GatewayError, stream: bool
) -> None:
    app, gateway = failing
    gateway.error, gateway.has_begun = error, False

    reply = ask(app, surface, stream=stream)

    wait, retry = error.retry_after, error.should_retry
    assert reply.status == status_of(surface, error)
    assert_told(reply, surface, error, reply.json())
    assert reply.headers["Retry-After"] == (None if wait is None else f"{wait:.0f}")
    assert reply.headers["x-should-retry"] == (None if retry is None else str(retry).lower())


def test_an_error_within_the_answer_is_its_last_event(
    failing: tuple[InProcess, FailingGateway], surface: str, error: GatewayError
) -> None:
    app, gateway = failing
    gateway.error, gateway.has_begun = error, True

    reply = ask(app, surface, stream=True)

    lines = [line for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    told = json.loads(lines[-1].removeprefix(b"data: "))
    if surface == "native":
        assert told.pop("type") == "error"
    assert (reply.status, b"Half " in reply.body) == (200, True)
    assert_told(reply, surface, error, told)


def status_of(surface: str, error: GatewayError) -> int:
    is_overload = surface == "anthropic" and isinstance(error, Overloaded | UpstreamOverloaded)
    return 529 if is_overload else error.status


def assert_told(reply: Reply, surface: str, error: GatewayError, body: dict[str, Any]) -> None:
    told, status = body["error"], error.status
    googles, anthropics = WORDS[status]
    assert told["message"].endswith(error.message)
    if surface == "gemini":
        assert body.keys() == {"error"}
        assert (told["code"], told["status"]) == (status, googles)
        waits = [each["retryDelay"] for each in told.get("details", ())]
        assert waits == ([] if error.retry_after is None else [f"{error.retry_after:.0f}s"])
    elif surface == "anthropic":
        assert body.keys() == {"type", "error", "request_id"}
        assert told.keys() == {"type", "message"}
        is_overload = status_of(surface, error) == 529
        assert told["type"] == ("overloaded_error" if is_overload else anthropics)
        assert body["request_id"] == reply.headers["request-id"]
    else:
        assert body.keys() == {"error"}
        kind = error.code if status == 429 else "invalid_request_error"
        assert told == {
            "message": error.message,
            "type": "server_error" if status >= 500 else kind,
            "param": None,
            "code": error.code,
        }


def test_a_message_for_a_session_may_be_too_large(
    failing: tuple[InProcess, FailingGateway],
) -> None:
    app, _ = failing

    reply = app.request("POST", "/gemini/chat", " " * (1024 * 1024 + 1), app.headers)

    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


HEADS = [path.partition("?")[0] for requests in REQUESTS.values() for path, _ in requests[:1]]


@pytest.mark.parametrize(
    "path",
    [
        *HEADS,
        "/v1/models/gemini-auto:generateContent",
        "/gemini/v1/models/gemini-auto:streamGenerateContent",
        "/v1alpha/models/gemini-auto:countTokens",
        "/v1beta/models/gemini-auto:editImage",
        "/v1beta/models/gemini-auto:embedContent",
        "/v1/messages/count_tokens",
    ],
)
def test_probes_learn_that_a_path_for_post_is_there(
    failing: tuple[InProcess, FailingGateway], path: str
) -> None:
    app, _ = failing

    head = app.request("HEAD", path, headers=app.headers)
    options = app.request("OPTIONS", path, headers={"Origin": "https://chat.example.com"})

    assert (head.status, head.body) == (200, b"")
    assert "POST" in head.headers["Allow"]
    assert options.status == 204
    assert options.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    "path",
    ["/v1beta/models", "/v1/models", "/gemini/sessions", "/sessions", "/openapi.json", "/docs"],
)
def test_probes_ask_as_a_get_does(failing: tuple[InProcess, FailingGateway], path: str) -> None:
    app, _ = failing

    head = app.request("HEAD", path, headers=app.headers)

    assert (head.status, head.body) == (200, b"")
    assert app.request("OPTIONS", path).status == 204
