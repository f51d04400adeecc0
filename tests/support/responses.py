"""Requests for responses, and what is read of their answers, held against the SDK's own types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from gbproxy.api.openai.responses.request import ParsedResponse, parse
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.principal import ANONYMOUS, Principal

EVENT_TYPES: dict[str, type[BaseModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each
    for each in get_args(get_args(ResponseStreamEvent)[0])
}
Events = list[dict[str, Any]]


class FakeHistory:
    """Stored items, all of one response."""

    def __init__(self, items: Sequence[dict[str, Any]] = ()) -> None:
        self._items = list(items)

    def items(self, principal: Principal, response_id: str) -> list[dict[str, Any]]:
        return self._items

    def item(self, principal: Principal, item_id: str) -> dict[str, Any] | None:
        return next((item for item in self._items if item.get("id") == item_id), None)


def parsed(
    body: dict[str, Any], stored: Sequence[dict[str, Any]] = (), *, max_file_bytes: int = 1000
) -> ParsedResponse:
    history: Any = FakeHistory(stored)
    return parse(body, ANONYMOUS, max_file_bytes=max_file_bytes, history=history)


def chat_of(*items: dict[str, Any], **fields: Any) -> ChatRequest:
    return parsed({"input": list(items), **fields}).chat


def events_of(body: bytes | str) -> Events:
    """The events of a whole stream: numbered from 0, each of the type that its line names and as
    the SDK's type of that name describes it.
    """
    text = body.decode() if isinstance(body, bytes) else body
    assert text.endswith("\n\n"), text[-200:]
    found = [each for each in text.split("\n\n") if each and not each.startswith(":")]
    events = []
    for number, each in enumerate(found):
        name, data = each.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        EVENT_TYPES[event["type"]].model_validate_json(json.dumps(_as_typed(event)))
        events.append(event)
    return events


# Sent by OpenAI, and acted upon by its clients, though its SDK does not name them.
_UNTYPED_CODES = ("insufficient_quota", "context_length_exceeded")


def _as_typed(event: dict[str, Any]) -> dict[str, Any]:
    error = (event.get("response") or {}).get("error") or {}
    if error.get("code") not in _UNTYPED_CODES:
        return event
    return {**event, "response": {**event["response"], "error": {**error, "code": "server_error"}}}


def kinds(events: Events) -> list[str]:
    """The types in their order, without `response.`; several deltas in a row count once."""
    found: list[str] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if not (found and found[-1] == kind and kind.endswith(".delta")):
            found.append(kind)
    return found


def check_response(response: dict[str, Any]) -> None:
    Response.model_validate_json(json.dumps(response))


def check_order(events: Events) -> None:
    """Items and parts are opened before they grow, closed once, and come out as they were told: of
    a response that has failed too.
    """
    assert [e["type"] for e in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last["type"] in ("response.completed", "response.incomplete", "response.failed")
    items: dict[int, dict[str, Any]] = {}
    done: dict[int, dict[str, Any]] = {}
    texts: dict[tuple[int, int], str] = {}
    closed: set[tuple[int, int]] = set()
    for event in events[2:-1]:
        kind, at = event["type"].removeprefix("response."), event["output_index"]
        if kind == "output_item.added":
            assert at == len(items)
            items[at] = event["item"]
            continue
        assert at in items
        assert at not in done
        if kind == "output_item.done":
            assert event["item"]["id"] == items[at]["id"]
            done[at] = event["item"]
            continue
        assert event["item_id"] == items[at]["id"]
        part = (at, event.get("content_index", event.get("summary_index", 0)))
        if kind.endswith(".delta"):
            texts[part] = texts.get(part, "") + event["delta"]
        elif kind.endswith(("text.done", "refusal.done", "arguments.done", "input.done")):
            whole = next(event[n] for n in ("text", "refusal", "arguments", "input") if n in event)
            assert texts.get(part, "") == whole
            closed.add(part)
    assert set(texts) <= closed
    assert sorted(done) == sorted(items)
    assert [done[i] for i in sorted(items)] == last["response"]["output"]
