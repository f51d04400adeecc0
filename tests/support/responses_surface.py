"""A program that speaks the form of OpenAI's responses."""

from __future__ import annotations

import json
from typing import Any

from tests.support.responses import events_of
from tests.support.serving import Reply
from tests.support.surfaces import MODEL, Ask, Call, HttpClient, Result, Said, Turn, WithFile

_ENDS = {
    None: "stop",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}


class Responses(HttpClient):
    def path(self, ask: Ask) -> str:
        return "/v1/responses"

    def body(self, ask: Ask) -> dict[str, Any]:
        tool = ask.tool
        return {
            "model": MODEL,
            "input": [item for turn in ask.turns for item in self._items(turn)],
            "instructions": ask.system or None,
            "max_output_tokens": ask.max_tokens,
            "reasoning": {"summary": "auto"},
            "stream": ask.stream,
            "tools": tool
            and [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                }
            ],
        }

    def _items(self, turn: Turn) -> list[dict[str, Any]]:
        match turn:
            case str():
                return [{"role": "user", "content": turn}]
            case WithFile(stored=stored):
                whole = {"filename": turn.name, "file_data": turn.data}
                file = {"file_id": f"file-{stored}"} if stored else whole
                text = {"type": "input_text", "text": turn.text}
                return [{"role": "user", "content": [text, {"type": "input_file", **file}]}]
            case Result(call, text):
                return [{"type": "function_call_output", "call_id": call.id, "output": text}]
            case Said():
                content = [{"type": "output_text", "text": turn.text}]
                texts = [{"type": "message", "role": "assistant", "content": content}]
                calls = [
                    {
                        "type": "function_call",
                        "call_id": call.id,
                        "name": call.name,
                        "arguments": json.dumps(call.arguments),
                    }
                    for call in turn.calls
                ]
                return [*(texts if turn.text else []), *calls]

    def read(self, reply: Reply, conversation: str | None) -> Said:
        response = events_of(reply.body)[-1]["response"] if reply.streamed else reply.json()
        found: dict[str, list[Any]] = {}
        for item in response["output"]:
            found.setdefault(item["type"], []).append(item)
        contents = [part for item in found.get("message", ()) for part in item["content"]]
        summaries = [part for item in found.get("reasoning", ()) for part in item["summary"]]
        calls = found.get("function_call", ())
        usage = response["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        reason = (response["incomplete_details"] or {}).get("reason")
        text = "".join(part["text"] for part in contents if part["type"] == "output_text")
        return Said(
            text,
            "".join(part["text"] for part in summaries),
            tuple(
                Call(each["name"], json.loads(each["arguments"]), each["call_id"]) for each in calls
            ),
            "tool_calls" if calls else _ENDS[reason],
            (
                usage["input_tokens"],
                usage["output_tokens"],
                usage["output_tokens_details"]["reasoning_tokens"],
            ),
            conversation,
            self.linked(text),
        )
