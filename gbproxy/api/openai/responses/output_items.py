"""The items of an answer while they are written: each begins, grows by deltas, and ends.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, the order of events. All
methods return the events that belong to what they do.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from gbproxy.api.openai import url_citations
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.client_tools import call_item
from gbproxy.api.openai.responses.events import Deltas, EventWriter
from gbproxy.api.openai.responses.tools import CalledTool
from gbproxy.domain.events import Citation

Status = Literal["in_progress", "completed", "incomplete"]


class OutputItem(ABC):
    """An item that is being written. `item`: as it is so far."""

    def __init__(self, writer: EventWriter, index: int, item: Item) -> None:
        self._writer = writer
        self._index = index
        self.item = item
        self._texts: list[str] = []

    def begin(self) -> bytes:
        return self._event("response.output_item.added", output_index=self._index, item=self.item)

    def end(self, status: Status) -> bytes:
        written = self._finish(status)
        self.item["status"] = status
        done = self._event("response.output_item.done", output_index=self._index, item=self.item)
        return written + done

    @abstractmethod
    def add(self, text: str) -> bytes:
        """More of it."""

    @abstractmethod
    def _finish(self, status: Status) -> bytes:
        """Complete what is open inside of it."""

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self._index}

    def _event(self, kind: str, **fields: Any) -> bytes:
        return self._writer.write(kind, fields)

    def _about(self, kind: str, **fields: Any) -> bytes:
        return self._writer.write(kind, {**self._place, **fields})

    def _text(self) -> str:
        return "".join(self._texts)


class MessageItem(OutputItem):
    """The assistant's words: a text, a refusal, or both."""

    def __init__(self, writer: EventWriter, index: int, item_id: str) -> None:
        item: Item = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        super().__init__(writer, index, item)
        self._deltas: Deltas | None = None  # of the text, while it is open
        self.citations: Sequence[Citation] = ()

    def begin(self) -> bytes:
        # the event has the item without content, whatever it gets later
        return self._event(
            "response.output_item.added",
            output_index=self._index,
            item={**self.item, "content": []},
        )

    def add(self, text: str) -> bytes:
        begun = b""
        if self._deltas is None:
            begun = self._begin_part({"type": "output_text", "text": "", "annotations": []})
            place = {**self._place, "content_index": self._at, "logprobs": []}
            self._deltas = self._writer.deltas("response.output_text.delta", place)
        self._texts.append(text)
        return begun + self._deltas.write(text)

    def refuse(self, sentence: str) -> bytes:
        """The reason why there is no answer, as a part of its own."""
        closed = self._end_text()
        begun = self._begin_part({"type": "refusal", "refusal": ""})
        at = self._at
        written = self._about("response.refusal.delta", content_index=at, delta=sentence)
        written += self._about("response.refusal.done", content_index=at, refusal=sentence)
        return closed + begun + written + self._end_part({"type": "refusal", "refusal": sentence})

    def _finish(self, status: Status) -> bytes:
        if self._deltas is None and not self.item["content"]:
            return self.add("") + self._end_text()
        return self._end_text()

    @property
    def _at(self) -> int:
        return len(self.item["content"])

    def _begin_part(self, part: Item) -> bytes:
        return self._about("response.content_part.added", content_index=self._at, part=part)

    def _end_part(self, part: Item) -> bytes:
        done = self._about("response.content_part.done", content_index=self._at, part=part)
        self.item["content"].append(part)
        return done

    def _end_text(self) -> bytes:
        if self._deltas is None:
            return b""
        self._deltas = None
        annotations = url_citations.render_flat(self.citations)
        written = b"".join(
            self._about(
                "response.output_text.annotation.added",
                content_index=self._at,
                annotation_index=i,
                annotation=annotation,
            )
            for i, annotation in enumerate(annotations)
        )
        text = self._text()
        written += self._about(
            "response.output_text.done", content_index=self._at, text=text, logprobs=[]
        )
        part = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
        return written + self._end_part(part)


class ReasoningItem(OutputItem):
    """The model's thoughts, as their summary: that is what clients show."""

    def __init__(self, writer: EventWriter, index: int, item_id: str, *, seals: bool) -> None:
        """`seals`: the client sends the item back, and wants a sealed form for that."""
        item: Item = {"id": item_id, "type": "reasoning", "status": "in_progress", "summary": []}
        super().__init__(writer, index, item)
        self._seals = seals
        self._deltas: Deltas | None = None

    def begin(self) -> bytes:
        added = self._event(
            "response.output_item.added",
            output_index=self._index,
            item={**self.item, "summary": []},
        )
        part = {"type": "summary_text", "text": ""}
        place = {**self._place, "summary_index": 0}
        self._deltas = self._writer.deltas("response.reasoning_summary_text.delta", place)
        # the deltas count when they are written, so this event comes first
        return added + self._about(
            "response.reasoning_summary_part.added", summary_index=0, part=part
        )

    def add(self, text: str) -> bytes:
        self._texts.append(text)
        return self._deltas.write(text) if self._deltas is not None else b""

    def _finish(self, status: Status) -> bytes:
        text = self._text()
        part = {"type": "summary_text", "text": text}
        self.item["summary"] = [part]
        if self._seals:  # what the thoughts were, the upstream's session knows
            self.item["encrypted_content"] = _sealed(self.item["id"])
        return self._about(
            "response.reasoning_summary_text.done", summary_index=0, text=text
        ) + self._about("response.reasoning_summary_part.done", summary_index=0, part=part)


class CallItem(OutputItem):
    """A call of a function or a custom tool."""

    def __init__(
        self,
        writer: EventWriter,
        index: int,
        item_id: str,
        call_id: str,
        tool: CalledTool,
        *,
        is_custom: bool,
    ) -> None:
        self._field = "input" if is_custom else "arguments"
        item: Item = {
            "id": item_id,
            "type": "custom_tool_call" if is_custom else "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": tool.name,
            self._field: "",
        }
        if tool.namespace is not None:
            item["namespace"] = tool.namespace
        super().__init__(writer, index, item)
        self._kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
        self._deltas: Deltas = writer.deltas(f"response.{self._kind}.delta", self._place)

    def add(self, text: str) -> bytes:
        self._texts.append(text)
        return self._deltas.write(text)

    def _finish(self, status: Status) -> bytes:
        text = self.item[self._field] = self._text()
        named = {} if self._field == "input" else {"name": self.item["name"]}
        return self._about(f"response.{self._kind}.done", **named, **{self._field: text})


class ClientCallItem(OutputItem):
    """A call of a tool that OpenAI has declared: its item is told when it is whole, as clients read
    its fields and no text.
    """

    def __init__(
        self, writer: EventWriter, index: int, item_id: str, call_id: str, kind: str
    ) -> None:
        super().__init__(
            writer,
            index,
            {"id": item_id, "type": kind, "status": "in_progress", "call_id": call_id},
        )

    def begin(self) -> bytes:
        return b""

    def add(self, text: str) -> bytes:
        self._texts.append(text)
        return b""

    def _finish(self, status: Status) -> bytes:
        self.item |= call_item(self.item["type"], self._text())
        return super().begin()


def _sealed(item_id: str) -> str:
    return base64.urlsafe_b64encode(f"gbproxy.reasoning.1.{item_id}".encode()).decode()
