"""An item of an answer while it is written: it begins, grows by deltas, and ends.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, the order of events. All
methods return the events that belong to what they do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.events import EventWriter

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
