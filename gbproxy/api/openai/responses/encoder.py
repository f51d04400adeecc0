"""Events -> a response, streamed or whole. Source:
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gbproxy.api.openai import image_facts
from gbproxy.api.openai.responses import item_ids, resource, search_item
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.call_items import CallItem, ClientCallItem
from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.image_item import ImageItem
from gbproxy.api.openai.responses.image_tool import CALL
from gbproxy.api.openai.responses.message_item import MessageItem
from gbproxy.api.openai.responses.output_item import OutputItem, Status
from gbproxy.api.openai.responses.reasoning_item import ReasoningItem
from gbproxy.api.openai.responses.request import ParsedResponse
from gbproxy.api.openai.responses.search_item import SearchItem
from gbproxy.api.openai.responses.tools import CalledTool
from gbproxy.domain import jsontext
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

Keep = Callable[[str, dict[str, Any], ParsedResponse], bool]
"""Stores a response that has ended, under its token; False: it cannot be stored now."""


class ResponseEncoder:
    """Writes the events of a response in OpenAI's order, or the response as a whole. Raises
    UpstreamError where it was to be a picture and is none.

    The response is stored before its last event is handed out: a quick client's next request must
    find it.
    """

    heartbeat = b": ping\n\n"
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedResponse, keep: Keep) -> None:
        self._parsed = parsed
        self._keep = keep
        self._token = item_ids.new_token()
        self._created = int(time.time())
        self._writer = EventWriter()
        self._response: dict[str, Any] = self._begun(parsed.chat.model or "")
        self._open: OutputItem | None = None
        self._output: list[Item] = []  # with the open one
        self._citations: list[Citation] = []
        self._files: list[FileOutput] = []
        self._has_refused = False
        self._usage = Usage(0, 0)

    def feed(self, event: ChatEvent) -> bytes:
        if type(event) is TextDelta:  # nearly all of them
            return self._text(event.text)
        match event:
            case ThoughtDelta(text):
                return self._thought(text)
            case ToolCallStarted():
                return self._call(event)
            case ToolCallDelta(_, text):
                return self._open.add(text) if self._open is not None else b""
            case Refusal(sentence, is_content):
                return (self._text(sentence) if is_content else b"") + self._refusal(sentence)
            case Started(model):
                return self._start(model)
            case Usage():
                self._usage = event
            case Citation():
                self._citations.append(event)
            case Done(reason):
                return self._finish(reason)
            case FileOutput():
                self._files.append(event)
            case Flush() | TextDelta():
                pass
        return b""

    def error(self, error: GatewayError) -> bytes:
        # Clients expect a response to have begun before it fails.
        begun = b"" if self._writer.has_begun else self._start(self._response["model"])
        ended = self._break_off()
        self._response = resource.failed(self._response, self._output, error)
        failed = self._writer.write("response.failed", {"response": self._response})
        return begun + ended + failed

    def whole(self, answer: Answer) -> bytes:
        self._start(answer.model)
        self._citations, self._usage = answer.citations, answer.usage
        self._files = answer.files
        if answer.thoughts:
            self._thought(answer.thoughts)
        if answer.text:
            self._text(answer.text)
        if answer.refusal is not None:  # where it is content too, the text ends with it
            self._refusal(answer.refusal)
        for i, call in enumerate(answer.tool_calls):
            self._call(ToolCallStarted(i, call.id, call.name, call.is_custom))
            self.feed(ToolCallDelta(i, call.arguments))
        self._finish(answer.finish_reason)
        return jsontext.encode_bytes(self._response)

    def _begun(self, model: str) -> dict[str, Any]:
        return resource.begun(
            self._parsed.body,
            item_ids.response_id(self._token),
            self._created,
            model,
            store=self._parsed.body.is_stored,
        )

    def _start(self, model: str) -> bytes:
        self._response = self._begun(model)
        return b"".join(
            self._writer.write(kind, {"response": self._response})
            for kind in ("response.created", "response.in_progress")
        )

    def _text(self, text: str) -> bytes:
        if type(self._open) is MessageItem:  # nearly always
            return self._open.add(text)
        begun, message = self._message()
        return begun + message.add(text)

    def _refusal(self, sentence: str) -> bytes:
        self._has_refused = True
        begun, message = self._message()
        message.citations = self._citations
        return begun + message.refuse(sentence)

    def _thought(self, text: str) -> bytes:
        begun = b""
        if type(self._open) is not ReasoningItem:
            seals = self._parsed.seals_thoughts
            begun = self._begin(ReasoningItem(*self._next("reasoning"), seals=seals))
        return begun + (self._open.add(text) if self._open is not None else b"")

    def _untold_thoughts(self) -> bytes:
        """For a client that wants thoughts sealed and does not ask to see them: an item without a
        summary, ahead of all others.
        """
        if self._output or not self._parsed.seals_untold_thoughts:
            return b""
        return self._begin(ReasoningItem(*self._next("reasoning"), seals=True))

    def _call(self, call: ToolCallStarted) -> bytes:
        thought = self._untold_thoughts()
        tool = self._parsed.called.get(call.name, CalledTool(call.name))
        if tool.kind is not None:
            return thought + self._begin(ClientCallItem(*self._next(tool.kind), call.id, tool.kind))
        kind = "custom_tool_call" if call.is_custom else "function_call"
        item = CallItem(*self._next(kind), call.id, tool, is_custom=call.is_custom)
        return thought + self._begin(item)

    def _file(self, file: FileOutput) -> bytes:
        """A picture with its bytes is an item, behind all others. Other files stand in the text, or
        do now: one whose bytes were not to be had.
        """
        if is_image(file.mime_type) and file.data is not None:
            image = ImageItem(*self._next(CALL), file)
            return self._begin(image) + self._end("completed")
        if file.url and not self._parsed.chat.media.is_in_text(file.mime_type):
            return self._text(f"![image]({file.url})\n")
        return b""

    def _search(self) -> bytes:
        """A search that was asked for and has found something is an item behind all others: by the
        time that it is known, the text has begun.
        """
        pages = list(dict.fromkeys(each.uri for each in self._citations if each.uri))
        if not pages or not self._parsed.chat.web_search:
            return b""
        told = pages if self._parsed.tells_sources else None
        return self._begin(SearchItem(*self._next(search_item.CALL), told)) + self._end("completed")

    def _message(self) -> tuple[bytes, MessageItem]:
        """The message that is open, or a new one, and the events of its beginning."""
        if isinstance(self._open, MessageItem):
            return b"", self._open
        thought = self._untold_thoughts()
        message = MessageItem(*self._next("message"))
        return thought + self._begin(message), message

    def _next(self, kind: str) -> tuple[EventWriter, int, str]:
        """What the next item of this kind is made with: its place and its id."""
        index = len(self._output)
        return self._writer, index, item_ids.item_id(kind, self._token, index)

    def _begin(self, item: OutputItem) -> bytes:
        ended = self._end("completed")
        self._open = item
        self._output.append(item.item)
        return ended + item.begin()

    def _end(self, status: Status) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        if isinstance(item, MessageItem):
            item.citations = self._citations
        return item.end(status)

    def _break_off(self) -> bytes:
        """End the open item with what there is of it."""
        if isinstance(self._open, ClientCallItem):  # nothing of it was told, and half is no call
            self._open = None
            self._output.pop()
        return self._end("incomplete")

    def _ensure_picture(self, reason: FinishReason) -> None:
        """A refusal says itself why there is none."""
        if not self._parsed.chat.makes_image or self._has_refused or reason != "stop":
            return
        if not any(is_image(file.mime_type) for file in self._files):
            said = self._open.said if isinstance(self._open, MessageItem) else ""
            raise image_facts.missing(said)

    def _finish(self, reason: FinishReason) -> bytes:
        self._ensure_picture(reason)
        status: Status = "completed" if reason in ("stop", "tool_calls") else "incomplete"
        begun = self._end(status) if status == "completed" else self._break_off()
        begun += b"".join(map(self._file, self._files))
        if not self._output:  # an answer is never without an item
            begun += self._message()[0]
        ended = self._end(status) + self._search()
        self._response = resource.ended(
            self._response, self._output, self._usage, reason, int(time.time())
        )
        if self._response["store"]:
            self._response["store"] = self._keep(self._token, self._response, self._parsed)
        kind = f"response.{self._response['status']}"
        return begun + ended + self._writer.write(kind, {"response": self._response})
