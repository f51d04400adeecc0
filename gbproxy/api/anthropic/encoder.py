"""Events -> a message, streamed or whole. Source:
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

from gbproxy.api.anthropic import errors, message
from gbproxy.api.anthropic.request import ParsedMessage
from gbproxy.api.format import encode_line, quote
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
    ToolCallDelta,
    ToolCallStarted,
    Usage,
)
from gbproxy.errors import GatewayError

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class MessageEncoder:
    """Writes the events of a message, one content block after the other, or the whole message."""

    heartbeat = _PING
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedMessage) -> None:
        self._id = message.new_id()
        self._shows_search = parsed.shows_search
        self._usage = Usage(0, 0)
        self._refusal: str | None = None
        self._citations: list[Citation] = []
        self._index = -1  # of the latest block
        self._open = ""  # its type, while it is open
        self._before = b""  # of a delta of the open block, up to its text

    def feed(self, event: ChatEvent) -> bytes:
        if isinstance(event, TextDelta):  # nearly all of them
            if self._open == "text":
                return self._before + quote(event.text) + b"}}\n\n"
            return self._text(event.text)
        match event:
            case ThoughtDelta(text):
                begun = b"" if self._open == "thinking" else self._begin_thinking()
                return begun + self._before + quote(text) + b"}}\n\n"
            case ToolCallStarted(_, call_id, name):
                block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
                return self._begin(block, b"input_json_delta", b"partial_json")
            case ToolCallDelta(_, text):
                return self._before + quote(text) + b"}}\n\n"
            case Refusal(sentence, is_content):
                self._refusal = sentence
                return self._text(sentence) if is_content else b""
            case Started(model, input_tokens):
                return self._start(model, input_tokens)
            case Usage():
                self._usage = event
            case Citation():
                self._citations.append(event)
            case Done():
                return self._end(event)
            case FileOutput() | Flush():
                pass  # files were named in the text
        return b""

    def error(self, error: GatewayError) -> bytes:
        return errors.frame(error)

    def whole(self, answer: Answer) -> bytes:
        return jsontext.encode_bytes(
            message.whole(self._id, answer, shows_search=self._shows_search)
        )

    def _start(self, model: str, input_tokens: int) -> bytes:
        head = message.head(self._id, model, Usage(input_tokens, 0))
        return _frame("message_start", message=head) + _PING

    def _text(self, text: str) -> bytes:
        begun = b"" if self._open == "text" else self._begin_text()
        return begun + self._before + quote(text) + b"}}\n\n"

    def _begin_text(self) -> bytes:
        return self._begin({"type": "text", "text": ""}, b"text_delta", b"text")

    def _begin_thinking(self) -> bytes:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._begin(block, b"thinking_delta", b"thinking")

    def _begin(self, block: dict[str, Any], delta: bytes, field: bytes) -> bytes:
        """End the open block and begin this one; its deltas are of this type and have their text in
        this field.
        """
        closed = self._close()
        self._index += 1
        self._open = block["type"]
        self._before = (
            b"event: content_block_delta\ndata: "
            b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (self._index, delta, field)
        )
        return closed + _frame("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        signed = b""
        if self._open == "thinking":
            signed = self._delta({"type": "signature_delta", "signature": message.SIGNATURE})
        self._open = ""
        return signed + _frame("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _frame("content_block_delta", index=self._index, delta=delta)

    def _end(self, done: Done) -> bytes:
        stopped = message.stopped(done.finish_reason, done.stop_sequence, self._refusal)
        return (
            self._sources()
            + self._close()
            + self._searched()
            + _frame("message_delta", delta=stopped, usage=message.usage(self._usage))
            + _frame("message_stop")
        )

    def _sources(self) -> bytes:
        """The sources, which come last, in the text block that is open; an answer that ends with a
        call has none.
        """
        if self._open != "text":
            return b""
        return b"".join(
            self._delta({"type": "citations_delta", "citation": citation})
            for citation in message.citations(self._citations)
        )

    def _searched(self) -> bytes:
        """The blocks of a search, each begun whole."""
        if not self._shows_search:
            return b""
        frames: list[bytes] = []
        for block in message.search_blocks(self._citations):
            self._index += 1
            frames.append(_frame("content_block_start", index=self._index, content_block=block))
            frames.append(_frame("content_block_stop", index=self._index))
        return b"".join(frames)


def _frame(type_: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), encode_line({"type": type_, **fields}))
