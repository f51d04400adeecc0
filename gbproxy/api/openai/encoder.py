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
from gbproxy.domain.base64_pieces import encoded
from gbproxy.domain.events import (
    Answer,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    FinishReason,
    Flush,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
)
from gbproxy.domain.media import is_image
from gbproxy.errors import GatewayError


class CompletionEncoder:
    """Writes `chat.completion.chunk` events, or one `chat.completion`. All that stays the same from
    one chunk to the next is encoded once.
    """

    heartbeat = b": ping\n\n"
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedCompletion, index: int = 0) -> None:
        """`index`: the choice's, where one completion has several."""
        self._id = f"chatcmpl-{secrets.token_hex(14)}"
        self._created = int(time.time())
        self._index = index
        self._include_usage = parsed.include_usage
        self._has_functions = parsed.has_functions
        self._usage = Usage(0, 0)
        self._is_custom = False  # the call whose deltas arrive
        self._citations: list[Citation] = []
        self._images = 0
        self.name("")

    def sibling(self, parsed: ParsedCompletion, index: int) -> CompletionEncoder:
        """The encoder of another choice of the same completion."""
        other = CompletionEncoder(parsed, index)
        other._id, other._created = self._id, self._created
        other.name("")
        return other

    def name(self, model: str) -> None:
        """From now on chunks name this model."""
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
        }
        self._head = b"data: %b," % jsontext.encode_bytes(head)[:-1]
        self._before = self._head + b'"choices":[{"index":%d,"delta":' % self._index
        self._after = b"}]%b}\n\n" % (b',"usage":null' if self._include_usage else b"")
        self._before_text = self._before + b'{"content":'
        self._after_text = b'},"logprobs":null,"finish_reason":null' + self._after

    def feed(self, event: ChatEvent) -> bytes:
        if isinstance(event, TextDelta):  # nearly all of them
            return self._before_text + quote(event.text) + self._after_text
        match event:
            case ThoughtDelta(text):
                return self._chunk(b'{"reasoning_content":%b}' % quote(text))
            case ToolCallStarted():
                return self._call_started(event)
            case ToolCallDelta():
                return self._call_delta(event)
            case Refusal(sentence, is_content):
                quoted = quote(sentence)
                content = b'"content":%b,' % quoted if is_content else b""
                return self._chunk(b'{%b"refusal":%b}' % (content, quoted))
            case Started(model):
                self.name(model)
                return self._chunk(b'{"role":"assistant","content":"","refusal":null}')
            case Usage():
                self._usage = event
            case Citation():
                self._citations.append(event)
            case Done(reason):
                return self.finish(reason) + self.end()
            case FileOutput():
                return self._image(event)
            case Flush():
                pass
        return b""

    def _image(self, file: FileOutput) -> bytes:
        """Other files stand in the text alone."""
        if not is_image(file.mime_type):
            return b""
        entry = _image_entry(file, self._images)
        self._images += 1
        return self._chunk(b'{"images":[%b]}' % encode_line(entry))

    def finish(self, reason: FinishReason) -> bytes:
        """The last chunks of this choice."""
        return self._sources_chunk() + self._chunk(b"{}", self._reason(reason))

    def end(self) -> bytes:
        """The end of the stream."""
        usage = self._usage_chunk() if self._include_usage else b""
        return b"%bdata: [DONE]\n\n" % usage

    def error(self, error: GatewayError) -> bytes:
        return errors.frame(error)

    def whole(self, answer: Answer) -> bytes:
        return self.completion(answer.model, [self.choice(answer)], answer.usage)

    def completion(self, model: str, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        """A whole completion of these choices."""
        return jsontext.encode_bytes(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": model,
                "choices": choices,
                "usage": _usage(usage),
            }
        )

    def choice(self, answer: Answer) -> dict[str, Any]:
        """A whole answer as a choice of its completion."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or (None if answer.tool_calls or answer.refusal else ""),
            "refusal": answer.refusal,
        }
        if answer.thoughts:
            message["reasoning_content"] = answer.thoughts
        images = [file for file in answer.files if is_image(file.mime_type)]
        if images:
            message["images"] = [_image_entry(file, i) for i, file in enumerate(images)]
        if sources := url_citations.render(answer.citations):
            message["annotations"] = sources
        if answer.tool_calls and self._has_functions:
            called = answer.tool_calls[0]
            message["function_call"] = {"name": called.name, "arguments": called.arguments}
        elif answer.tool_calls:
            message["tool_calls"] = [
                _call(call.id, call.name, call.arguments, is_custom=call.is_custom)
                for call in answer.tool_calls
            ]
        return {
            "index": self._index,
            "message": message,
            "logprobs": None,
            "finish_reason": self._reason(answer.finish_reason),
        }

    def _call_started(self, call: ToolCallStarted) -> bytes:
        self._is_custom = call.is_custom
        if self._has_functions:
            name = jsontext.encode_bytes(call.name)
            return self._chunk(b'{"function_call":{"name":%b,"arguments":""}}' % name)
        started = _call(call.id, call.name, "", is_custom=call.is_custom)
        encoded = jsontext.encode_bytes({"index": call.index, **started})
        return self._chunk(b'{"tool_calls":[%b]}' % encoded)

    def _call_delta(self, more: ToolCallDelta) -> bytes:
        text = quote(more.text)
        if self._has_functions:
            return self._chunk(b'{"function_call":{"arguments":%b}}' % text)
        form = b'"custom":{"input":%b}' if self._is_custom else b'"function":{"arguments":%b}'
        return self._chunk(b'{"tool_calls":[{"index":%d,%b}]}' % (more.index, form % text))

    def _reason(self, reason: FinishReason) -> str:
        """The finish reason as this client knows it."""
        return "function_call" if self._has_functions and reason == "tool_calls" else reason

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


def _call(call_id: str, name: str, text: str, *, is_custom: bool) -> dict[str, Any]:
    if is_custom:
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": text}}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def _image_entry(file: FileOutput, index: int) -> dict[str, Any]:
    """As OpenRouter has them, which OpenAI's own chat completions do not."""
    url = file.url
    if file.data is not None:
        url = f"data:{file.mime_type};base64,{b''.join(encoded(file.data)).decode()}"
    return {"type": "image_url", "image_url": {"url": url}, "index": index}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "gbproxy_estimated": True,
    }
