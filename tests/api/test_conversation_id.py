"""X-Conversation-Id: how it comes in, how it goes out, and how its errors look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask, Response

from gbproxy.api import openai
from gbproxy.api.format import Surface
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatStream, Done, Started, TextDelta, Usage
from gbproxy.domain.media import IN_TEXT
from gbproxy.domain.principal import ApiKey
from gbproxy.errors import ConversationBusy, ConversationNotFound, GatewayError
from gbproxy.observability import request_context
from gbproxy.web import auth, middleware
from gbproxy.web.cors import Cors
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.streaming import StreamResponder
from tests.support.serving import KEY, InProcess

OTHER_KEY = "sk-another-0123456789abcdef"
ID = "0123456789abcdef" * 2
HI = {"messages": [{"role": "user", "content": "Hi"}]}


class FakeGateway:
    """Answers `Hello` in the conversation `ID`, or fails."""

    def __init__(self, error: GatewayError | None = None, conversation: str | None = ID) -> None:
        self.asked: list[ChatRequest] = []
        self._error = error
        self._conversation = conversation

    def stream(self, chat: ChatRequest) -> ChatStream:
        self.asked.append(chat)
        request_context.current().conversation = self._conversation
        if self._error is not None:
            raise self._error
        yield Started("gemini-auto")
        yield TextDelta("Hello")
        yield Usage(1, 1)
        yield Done()


class NoRows:
    """There are no stored keys."""

    def version(self) -> int:
        return 0

    def all(self) -> list[ApiKey]:
        return []


@contextmanager
def surface(gateway: FakeGateway) -> Iterator[InProcess]:
    app = Flask("gbproxy")
    middleware.install(
        app, max_body_bytes=1 << 20, cors=Cors(["*"]), error_formats=ErrorFormats([openai.ERRORS])
    )
    check_key = auth.key_check(KeyVerifier([KEY, OTHER_KEY], NoRows()))
    made = Surface(
        gateway=gateway,  # type: ignore[arg-type]
        models=None,  # type: ignore[arg-type]
        model_cards=None,  # type: ignore[arg-type]
        client_sessions=None,  # type: ignore[arg-type]
        responder=StreamResponder(limit=10, heartbeat_s=10),
        images_in_chat=IN_TEXT,
        max_file_bytes=1 << 20,
        response_rows=None,  # type: ignore[arg-type]
        uploads=None,  # type: ignore[arg-type]
        check_key=check_key,
        check_limits=check_key,
        public_url=None,
    )
    for blueprint in openai.FORMAT.blueprints(made):
        app.register_blueprint(blueprint)
    app.get("/")(lambda: Response("ok"))
    yield InProcess(app)


def test_the_callers_key_and_the_id_reach_the_gateway() -> None:
    gateway = FakeGateway()

    with surface(gateway) as app:
        app.post(HI, {"X-Conversation-Id": ID})
        app.post(HI, {"Authorization": f"Bearer {OTHER_KEY}"})
        app.post(HI, {"Authorization": "", "x-api-key": KEY, "X-Conversation-Id": ""})

    first, second, third = gateway.asked
    assert [chat.conversation for chat in gateway.asked] == [ID, None, None]
    assert len(first.key_digest) == 32
    assert first.key_digest == third.key_digest != second.key_digest
    assert KEY.encode() not in first.key_digest


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_names_the_conversation_that_it_belongs_to(stream: bool) -> None:
    with surface(FakeGateway()) as app:
        reply = app.post({**HI, "stream": stream})

    assert reply.headers["X-Conversation-Id"] == ID
    assert "X-Conversation-Id" in reply.headers["Access-Control-Expose-Headers"].split(", ")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_cannot_be_continued_names_none(stream: bool) -> None:
    with surface(FakeGateway(conversation=None)) as app:
        reply = app.post({**HI, "stream": stream})

    assert "X-Conversation-Id" not in reply.headers


def test_other_answers_name_none() -> None:
    with surface(FakeGateway()) as app:
        reply = app.request("GET", "/")

    assert "X-Conversation-Id" not in reply.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (ConversationNotFound(), 404, "conversation_not_found", None),
        (ConversationBusy(), 409, "conversation_busy", "2"),
    ],
)
def test_an_id_that_cannot_be_continued_is_an_error_in_openais_shape(
    stream: bool, error: GatewayError, status: int, code: str, retry_after: str | None
) -> None:
    with surface(FakeGateway(error)) as app:
        reply = app.post({**HI, "stream": stream}, {"X-Conversation-Id": ID})

    assert reply.status == status
    assert json.loads(reply.body)["error"] == {
        "message": error.message, "type": "invalid_request_error", "param": None, "code": code
    }  # fmt: skip
    assert reply.headers["Retry-After"] == retry_after
    assert reply.headers["x-should-retry"] is None
    assert reply.headers["X-Conversation-Id"] is None
