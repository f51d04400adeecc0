"""Calls of the client's tools while they are written."""

from __future__ import annotations

from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.client_tools import call_item
from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.output_item import OutputItem, Status
from gbproxy.api.openai.responses.tools import CalledTool


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
        self._deltas = writer.deltas(f"response.{self._kind}.delta", self._place)

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
