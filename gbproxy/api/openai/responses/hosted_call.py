"""A call that the upstream has made of itself, which is told when all of it is known.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, image_generation_call
and web_search_call
"""

from __future__ import annotations

from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.output_item import OutputItem, Status


class HostedCall(OutputItem):
    """`doing`: the step after `in_progress`, as the type of call names it."""

    def __init__(
        self, writer: EventWriter, index: int, item_id: str, kind: str, doing: str, **facts: object
    ) -> None:
        item: Item = {"id": item_id, "type": kind, "status": "in_progress", **facts}
        super().__init__(writer, index, item)
        self._steps = [f"response.{kind}.{step}" for step in ("in_progress", doing)]

    def begin(self) -> bytes:
        return super().begin() + b"".join(map(self._about, self._steps))

    def add(self, text: str) -> bytes:
        return b""  # it has no text

    def _finish(self, status: Status) -> bytes:
        return self._about(f"response.{self.item['type']}.completed")
