"""A client format of plain lines: all that a format has to say itself. What it gets for that is
shown by tests/api/test_format.py.

    POST /toy {"say": "Hello", "stream": true}

    +"Hello to you."
    .stop
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response

from gbproxy import app
from gbproxy.api.format import Format, ParsedChat, Surface, answer
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import Answer, ChatEvent, Done, TextDelta
from gbproxy.domain.principal import Principal
from gbproxy.errors import BadRequest, GatewayError
from gbproxy.web.errors import ErrorFormat

LINES = "application/x-lines"


def parse(body: dict[str, Any], principal: Principal) -> ParsedChat:
    said = body.get("say")
    if not isinstance(said, str):
        raise BadRequest("say must be a text", param="say")
    message = Message("user", (TextPart(said),))
    return ParsedChat(
        chat=ChatRequest((message,), principal=principal, is_streamed=bool(body.get("stream")))
    )


class LineEncoder:
    heartbeat = b"~\n"
    stream_type = whole_type = LINES

    def __init__(self, parsed: ParsedChat) -> None:
        pass

    def feed(self, event: ChatEvent) -> bytes:
        match event:
            case TextDelta(text):
                return f"+{json.dumps(text)}\n".encode()
            case Done(reason):
                return f".{reason}\n".encode()
            case _:
                return b""

    def error(self, error: GatewayError) -> bytes:
        return f"!{error.code}\n".encode()

    def whole(self, answer: Answer) -> bytes:
        return f"+{json.dumps(answer.text)}\n.{answer.finish_reason}\n".encode()


def _blueprints(surface: Surface) -> Iterator[Blueprint]:
    bp = Blueprint("toy", __name__)
    bp.before_request(surface.check_limits)

    @bp.post("/toy")
    def create() -> Response:
        return answer(surface, parse, LineEncoder)

    yield bp


ERRORS = ErrorFormat(
    body=lambda error, status: f"!{error.code} {status}\n".encode(),
    headers=lambda error: {"x-toy-error": error.code},
    content_type=LINES,
    paths=("/toy",),
    header_names=("x-toy-version",),
)
TOY = Format(errors=ERRORS, blueprints=_blueprints)


FORMATS = (*app.FORMATS, TOY)


def create_app() -> Flask:
    return app.create_app(formats=FORMATS)
