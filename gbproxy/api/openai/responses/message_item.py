"""The assistant's words while they are written."""

from __future__ import annotations

from collections.abc import Sequence

from gbproxy.api.openai import url_citations
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.events import Deltas, EventWriter
from gbproxy.api.openai.responses.output_item import OutputItem, Status
from gbproxy.domain.events import Citation


class MessageItem(OutputItem):
    """A text, a refusal, or both. `citations` are told when the text ends."""

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
            begun = self._begin_part(_text_part("", []))
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
    def said(self) -> str:
        """The text so far."""
        return self._text()

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
        return written + self._end_part(_text_part(text, annotations))


def _text_part(text: str, annotations: list[Item]) -> Item:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
