"""An answer that is a summary -> the compacted form of a conversation, whole or as a stream's item.

Source: https://platform.openai.com/docs/api-reference/responses/compact; and what the Codex CLI
reads of a stream whose request ends with a `compaction_trigger`.
"""

from __future__ import annotations

import time

from gbproxy.api.openai.responses import compaction, item_ids, resource
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.encoder import Keep, ResponseEncoder
from gbproxy.api.openai.responses.request import ParsedResponse
from gbproxy.domain import jsontext
from gbproxy.domain.events import Answer, FinishReason
from gbproxy.errors import GatewayError, UpstreamError


class SummaryEncoder:
    """Writes one `response.compaction`: the user's own messages, and a summary."""

    heartbeat = ResponseEncoder.heartbeat
    stream_type = ResponseEncoder.stream_type
    whole_type = ResponseEncoder.whole_type

    def __init__(self, parsed: ParsedResponse) -> None:
        self._parsed = parsed

    def feed(self, event: object) -> bytes:
        raise NotImplementedError("it is never streamed")

    def error(self, error: GatewayError) -> bytes:
        raise NotImplementedError("it is never streamed")

    def whole(self, answer: Answer) -> bytes:
        token = item_ids.new_token()
        said = [
            item
            for item in item_ids.with_ids([*self._parsed.earlier, *self._parsed.items], token)
            if item["type"] == "message" and item.get("role") == "user"
        ]
        summary = summary_item(token, len(said), answer.text, answer.finish_reason)
        return jsontext.encode_bytes(
            {
                "id": item_ids.response_id(token),
                "object": "response.compaction",
                "created_at": int(time.time()),
                "output": [*said, summary],
                "usage": resource.rendered_usage(answer.usage),
            }
        )


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
        "id": item_ids.item_id("compaction", token, number),
        "type": "compaction",
        "encrypted_content": compaction.sealed(summary),
    }
