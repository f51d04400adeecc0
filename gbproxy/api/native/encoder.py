"""Events -> the answer in a session, streamed or whole.

    data: {"type":"thought","content":"Hm."}
    data: {"type":"content","content":"Hello"}
    data: {"type":"file","file":{"name":"fox.png","mime_type":"image/png","url":"https://…"}}
    data: {"type":"done","session_id":"sess_…","model":"gemini-auto","finish_reason":"stop",…}

Where the answer fails, `error` is the last event in place of `done`.
"""

from __future__ import annotations

from typing import Any

from gbproxy.api.error_object import error_object
from gbproxy.api.format import ParsedChat, encode_line, quote
from gbproxy.domain import jsontext
from gbproxy.domain.base64_pieces import encoded
from gbproxy.domain.events import (
    Answer,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    FinishReason,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gbproxy.errors import GatewayError
from gbproxy.observability import request_context


class SessionEncoder:
    heartbeat = b": ping\n\n"
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedChat) -> None:
        self._model = ""
        self._usage = Usage(0, 0)
        self._citations: list[Citation] = []
        self._files: list[dict[str, Any]] = []

    def feed(self, event: ChatEvent) -> bytes:
        match event:
            case TextDelta(text):
                return b'data: {"type":"content","content":%b}\n\n' % quote(text)
            case ThoughtDelta(text):
                return b'data: {"type":"thought","content":%b}\n\n' % quote(text)
            case Refusal(sentence):
                return b'data: {"type":"content","content":%b}\n\n' % quote(sentence)
            case Started(model):
                self._model = model
            case Usage():
                self._usage = event
            case Citation():
                self._citations.append(event)
            case FileOutput():
                file = _file(event)
                # The end only names what was sent: its bytes were the client's already.
                self._files.append({name: file[name] for name in file if name != "data"})
                return b"data: %b\n\n" % encode_line({"type": "file", "file": file})
            case Done(reason):
                end = _end(self._model, reason, self._files, self._citations, self._usage)
                return b"data: %b\n\n" % encode_line({"type": "done", **end})
            case _:  # no session's answer has tool calls
                pass
        return b""

    def error(self, error: GatewayError) -> bytes:
        told = {"type": "error", "error": error_object(error)}
        return b"data: %b\n\n" % encode_line(told)

    def whole(self, answer: Answer) -> bytes:
        files = list(map(_file, answer.files))
        reason = answer.finish_reason
        body = _end(answer.model, reason, files, answer.citations, answer.usage)
        body["content"] = answer.text
        if answer.thoughts:
            body["thoughts"] = answer.thoughts
        return jsontext.encode_bytes(body)


def _end(
    model: str,
    reason: FinishReason,
    files: list[dict[str, Any]],
    citations: list[Citation],
    usage: Usage,
) -> dict[str, Any]:
    return {
        # None: there is nothing from which a client could go on.
        "session_id": request_context.current().conversation,
        "model": model,
        "finish_reason": reason,
        "files": files,
        "citations": [_citation(each) for each in citations if each.uri],
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "gbproxy_estimated": True,
        },
    }


def _file(file: FileOutput) -> dict[str, Any]:
    found: dict[str, Any] = {"name": file.name, "mime_type": file.mime_type}
    if file.data is None:
        return {**found, "url": file.url}
    return {**found, "data": b"".join(encoded(file.data)).decode()}


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "start": citation.start,
        "end": citation.end,
        "url": citation.uri,
        "title": citation.title or citation.domain or citation.uri,
    }
