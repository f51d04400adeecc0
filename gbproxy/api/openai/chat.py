"""POST /v1/chat/completions. Source: https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, request

from gbproxy.api.openai import errors as openai_errors
from gbproxy.api.openai.request import parse
from gbproxy.domain import jsontext
from gbproxy.domain.events import (
    Answer,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
    collect,
)
from gbproxy.gateway import Gateway
from gbproxy.observability import request_context
from gbproxy.web import auth
from gbproxy.web import streaming as sse
from gbproxy.web.body import read_json


def blueprint(
    gateway: Gateway, responder: sse.StreamResponder, check_caller: Callable[[], None]
) -> Blueprint:
    bp = Blueprint("openai_chat", __name__)
    bp.before_request(check_caller)

    @bp.post("/v1/chat/completions")
    @bp.post("/chat/completions")
    def create() -> Response:
        conversation = request.headers.get("X-Conversation-Id") or None
        call = read_json(lambda body: parse(body, auth.principal(), conversation))
        log_fields = request_context.current().log_fields
        log_fields |= {"stream": call.chat.is_streamed}
        if call.ignored:
            log_fields["ignored"] = call.ignored
        events = gateway.stream(call.chat)
        if call.chat.is_streamed:
            frames = render(events, Identity(), include_usage=call.include_usage)
            return responder.stream(frames, openai_errors.frame)
        return responder.whole(_whole(events))

    return bp


@dataclass(frozen=True, slots=True)
class Identity:
    """What marks all parts of one answer."""

    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(14)}")
    created: int = field(default_factory=lambda: int(time.time()))


def render(events: ChatStream, identity: Identity, *, include_usage: bool) -> sse.Pieces:
    """Events -> chunks. What arrived together is joined: one frame for each Flush, and one for the
    end.

    The events are not asked to go on behind `Done` before the last frame was written: so they know
    whether it was.
    """
    chunks: list[bytes] = []
    chunk = _Chunks(identity, "", include_usage=include_usage)
    with closing(events):
        for event in events:
            match event:
                case TextDelta(text):
                    chunks.append(chunk.content(text))
                case Flush():
                    if chunks:
                        yield b"".join(chunks)
                        chunks.clear()
                case ThoughtDelta(text):
                    chunks.append(chunk.delta(b'{"reasoning_content":%b}' % sse.quote(text)))
                case Refusal(sentence):
                    quoted = sse.quote(sentence)
                    chunks.append(chunk.delta(b'{"content":%b,"refusal":%b}' % (quoted, quoted)))
                case Started(model):
                    chunk = _Chunks(identity, model, include_usage=include_usage)
                    chunks.append(chunk.delta(b'{"role":"assistant","content":"","refusal":null}'))
                case Usage():
                    usage = event
                case Done(reason):
                    chunks.append(chunk.delta(b"{}", finish_reason=reason))
                    if include_usage:
                        chunks.append(chunk.usage(usage))
                    chunks.append(b"data: [DONE]\n\n")
                    yield b"".join(chunks)
                    chunks.clear()
                case Citation() | FileOutput():
                    pass  # files were named in the text; citations have no place in a chunk yet


def _whole(events: ChatStream) -> sse.Pieces:
    """The whole answer as one piece; as in `render`, the events end behind it."""
    with closing(events):
        yield jsontext.encode_bytes(completion(collect(events), Identity()))
        next(events, None)


class _Chunks:
    """Writes chunks: all that stays the same from one to the next is encoded once."""

    def __init__(self, identity: Identity, model: str, *, include_usage: bool) -> None:
        head = {
            "id": identity.id,
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": model,
        }
        self._head = b"data: %b," % jsontext.encode_bytes(head)[:-1]
        self._before = self._head + b'"choices":[{"index":0,"delta":'
        self._after = b"}]%b}\n\n" % (b',"usage":null' if include_usage else b"")
        self._content = (
            self._before + b'{"content":',
            b'},"logprobs":null,"finish_reason":null' + self._after,
        )

    def content(self, text: str) -> bytes:
        before, after = self._content
        return before + sse.quote(text) + after

    def delta(self, delta: bytes, finish_reason: str | None = None) -> bytes:
        return b'%b%b,"logprobs":null,"finish_reason":%b%b' % (
            self._before,
            delta,
            jsontext.encode_bytes(finish_reason),
            self._after,
        )

    def usage(self, usage: Usage) -> bytes:
        return b'%b"choices":[],"usage":%b}\n\n' % (
            self._head,
            jsontext.encode_bytes(_usage(usage)),
        )


def completion(answer: Answer, identity: Identity) -> dict[str, Any]:
    """A whole answer as one `chat.completion`."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": answer.refusal,
    }
    if answer.thoughts:
        message["reasoning_content"] = answer.thoughts
    return {
        "id": identity.id,
        "object": "chat.completion",
        "created": identity.created,
        "model": answer.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": _usage(answer.usage),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "gbproxy_estimated": True,
    }
