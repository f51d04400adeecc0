"""An answer that is a summary -> the compacted form of a conversation, whole or as a stream's item.

Source: https://platform.openai.com/docs/api-reference/responses/compact; and what the Codex CLI
reads of a stream whose request ends with a `compaction_trigger`.
"""

from __future__ import annotations

from gbproxy.api.openai.responses import compaction, item_ids, large_values, resource
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.encoder import Keep, ResponseEncoder
from gbproxy.api.openai.responses.request import ParsedResponse
from gbproxy.domain.events import Answer, FinishReason
from gbproxy.errors import UpstreamError


class SummaryEncoder(ResponseEncoder):
    """Writes one `response.compaction`, never streamed: the user's own messages, and a summary."""

    def whole(self, answer: Answer) -> bytes:
        items = item_ids.with_ids([*self._parsed.earlier, *self._parsed.items], self._token)
        said = [each for each in items if each["type"] == "message" and each.get("role") == "user"]
        reason = answer.finish_reason
        _, pieces = large_values.encoded(
            {
                "id": item_ids.response_id(self._token),
                "object": "response.compaction",
                "created_at": self._created,
                "output": [*said, summary_item(self._token, len(said), answer.text, reason)],
                "usage": resource.rendered_usage(answer.usage),
            }
        )
        return b"".join(pieces)


class SummaryStreamEncoder(ResponseEncoder):
    """Writes a response whose only item is the summary."""

    def __init__(self, parsed: ParsedResponse, keep: Keep) -> None:
        super().__init__(parsed, keep)
        self._summary: list[str] = []

    def _text(self, text: str) -> bytes:
        self._summary.append(text)
        return b""

    def _refusal(self, sentence: str) -> bytes:
        return b""

    def _finish(self, reason: FinishReason) -> bytes:
        item = summary_item(self._token, 0, "".join(self._summary), reason)
        self._output.append(item)
        events = (f"response.output_item.{what}" for what in ("added", "done"))
        place = {"output_index": 0, "item": item}
        return b"".join(self._writer.write(e, place) for e in events) + super()._finish(reason)


def summary_item(token: str, number: int, summary: str, reason: FinishReason) -> Item:
    """Raises UpstreamError when the model has made no summary: an empty one in place of a
    conversation would be a loss that nobody sees.
    """
    if reason != "stop" or not summary.strip():
        raise UpstreamError("the model has not summarized the conversation")
    return {
        "id": item_ids.item_id(compaction.SUMMARY, token, number),
        "type": compaction.SUMMARY,
        "encrypted_content": compaction.sealed(summary),
    }
