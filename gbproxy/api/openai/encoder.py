"""Events -> the answer of a chat completion, streamed or whole. Source:
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from gbproxy.api.format import encode_line, quote
from gbproxy.api.openai import errors, url_citations
from gbproxy.api.openai.request import ParsedCompletion
from gbproxy.domain import jsontext
from gbproxy.domain.events import (
    Answer,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gbproxy.errors import GatewayError


class CompletionEncoder:
    """Writes `chat.completion.chunk` events, or one `chat.completion`. All that stays the same from
    one chunk to the next is encoded once.
    """

    heartbeat = b": ping\n\n"
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedCompletion) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(14)}"
        self._created = int(time.time())
        self._include_usage = parsed.include_usage
        self._usage = Usage(0, 0)
        self._citations: list[Citation] = []
        self._start("")

    def feed(self, event: ChatEvent) -> bytes:
        if isinstance(event, TextDelta):  # nearly all of them
            return self._before_text + quote(event.text) + self._after_text
        match event:
            case ThoughtDelta(text):
                return self._chunk(b'{"reasoning_content":%b}' % quote(text))
            case Refusal(sentence):
                quoted = quote(sentence)
                return self._chunk(b'{"content":%b,"refusal":%b}' % (quoted, quoted))
            case Started(model):
                self._start(model)
                return self._chunk(b'{"role":"assistant","content":"","refusal":null}')
            case Usage():
                self._usage = event
            case Citation():
                self._citations.append(event)
            case Done(reason):
                sources = self._sources_chunk()
                usage = self._usage_chunk() if self._include_usage else b""
                return b"%b%b%bdata: [DONE]\n\n" % (sources, self._chunk(b"{}", reason), usage)
            case FileOutput() | Flush():
                pass  # files were named in the text
        return b""

    def error(self, error: GatewayError) -> bytes:
        return errors.frame(error)

    def whole(self, answer: Answer) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": answer.refusal,
        }
        if answer.thoughts:
            message["reasoning_content"] = answer.thoughts
        if sources := url_citations.render(answer.citations):
            message["annotations"] = sources
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": answer.finish_reason,
        }
        return jsontext.encode_bytes(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": answer.model,
                "choices": [choice],
                "usage": _usage(answer.usage),
            }
        )

    def _start(self, model: str) -> None:
        """From now on chunks name this model."""
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
        }
        self._head = b"data: %b," % jsontext.encode_bytes(head)[:-1]
        self._before = self._head + b'"choices":[{"index":0,"delta":'
        self._after = b"}]%b}\n\n" % (b',"usage":null' if self._include_usage else b"")
        self._before_text = self._before + b'{"content":'
        self._after_text = b'},"logprobs":null,"finish_reason":null' + self._after

    def _chunk(self, delta: bytes, finish_reason: str | None = None) -> bytes:
        return b'%b%b,"logprobs":null,"finish_reason":%b%b' % (
            self._before,
            delta,
            jsontext.encode_bytes(finish_reason),
            self._after,
        )

    def _sources_chunk(self) -> bytes:
        """All annotations in one chunk; empty without any."""
        sources = url_citations.render(self._citations)
        return self._chunk(b'{"annotations":%b}' % encode_line(sources)) if sources else b""

    def _usage_chunk(self) -> bytes:
        return b'%b"choices":[],"usage":%b}\n\n' % (
            self._head,
            jsontext.encode_bytes(_usage(self._usage)),
        )


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "gbproxy_estimated": True,
    }
