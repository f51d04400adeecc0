"""The model's thoughts while they are written."""

from __future__ import annotations

import base64

from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.output_item import OutputItem, Status


class ReasoningItem(OutputItem):
    """Thoughts stand in the summary: that is what clients show. It is empty where none are told."""

    def __init__(self, writer: EventWriter, index: int, item_id: str, *, seals: bool) -> None:
        """`seals`: the client sends the item back, and wants a sealed form for that."""
        item: Item = {"id": item_id, "type": "reasoning", "status": "in_progress", "summary": []}
        super().__init__(writer, index, item)
        self._seals = seals
        place = {**self._place, "summary_index": 0}
        self._deltas = writer.deltas("response.reasoning_summary_text.delta", place)

    def begin(self) -> bytes:
        return self._event(
            "response.output_item.added",
            output_index=self._index,
            item={**self.item, "summary": []},
        )

    def add(self, text: str) -> bytes:
        begun = b"" if self._texts else self._begin_part()
        self._texts.append(text)
        return begun + self._deltas.write(text)

    def _begin_part(self) -> bytes:
        part = {"type": "summary_text", "text": ""}
        return self._about("response.reasoning_summary_part.added", summary_index=0, part=part)

    def _finish(self, status: Status) -> bytes:
        if self._seals:  # what the thoughts were, the upstream's session knows
            self.item["encrypted_content"] = _sealed(self.item["id"])
        if not self._texts:
            return b""
        text = self._text()
        part = {"type": "summary_text", "text": text}
        self.item["summary"] = [part]
        return self._about(
            "response.reasoning_summary_text.done", summary_index=0, text=text
        ) + self._about("response.reasoning_summary_part.done", summary_index=0, part=part)


def _sealed(item_id: str) -> str:
    return base64.urlsafe_b64encode(f"gbproxy.reasoning.1.{item_id}".encode()).decode()
