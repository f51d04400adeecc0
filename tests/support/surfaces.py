"""One conversation in every form: what is said, and what was answered, in no client's words."""

from __future__ import annotations

import base64
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from gbproxy import (
    ChatRequest,
    FunctionTool,
    LocalGateway,
    Message,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Tools,
)
from gbproxy.domain import attachment
from gbproxy.domain.events import collect
from gbproxy.domain.principal import Principal
from tests.support.serving import DONE, Asking, Reply

MODEL = "gemini-3.8-flash"


@dataclass(frozen=True)
class Call:
    name: str
    arguments: Mapping[str, Any]
    id: str = field(default="", compare=False)  # made anew for each answer


@dataclass(frozen=True)
class Said:
    """An answer. `tokens`: of the prompt, of the answer with its thoughts, and of the thoughts.
    `conversation`: its id, where the surface tells one. `pictures`: the bytes, also of linked ones.
    """

    text: str
    thoughts: str
    calls: tuple[Call, ...]
    finish: str
    tokens: tuple[int, int, int]
    conversation: str | None = field(default=None, compare=False)
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class WithFile:
    """What the user says of a PDF. `stored`: its id without any API's letters, if it was uploaded
    before.
    """

    text: str
    content: bytes
    stored: str = ""
    name: str = "report.pdf"
    media_type: str = "application/pdf"

    @property
    def data(self) -> str:
        return base64.b64encode(self.content).decode()


@dataclass(frozen=True)
class Result:
    """Of the client's tool."""

    call: Call
    text: str


Turn = str | WithFile | Said | Result  # the user's, the user's, the model's, a tool's


@dataclass(frozen=True)
class Ask:
    """What a program wants of its next answer."""

    turns: Sequence[Turn]
    system: str = ""
    tool: FunctionTool | None = None
    max_tokens: int | None = None
    stream: bool = False
    conversation: str | None = None


class SurfaceClient(ABC):
    """A program that speaks one form. It always asks for thoughts."""

    takes_history = True
    limits_tokens = True
    takes_stored_files = True

    @abstractmethod
    def ask(self, ask: Ask) -> Said: ...


@dataclass(frozen=True)
class HttpClient(SurfaceClient):
    gateway: Asking

    def ask(self, ask: Ask) -> Said:
        headers = dict(self.gateway.headers)
        if ask.conversation is not None:
            headers["X-Conversation-Id"] = ask.conversation
        body = {name: value for name, value in self.body(ask).items() if value is not None}
        reply = self.gateway.request("POST", self.path(ask), json.dumps(body), headers)
        assert reply.status == 200, reply.body
        assert reply.streamed is ask.stream
        return self.read(reply, reply.headers["X-Conversation-Id"])

    def fetched(self, url: str) -> bytes:
        reply = self.gateway.request("GET", urlsplit(url).path)
        assert reply.status == 200
        return reply.body

    def linked(self, text: str) -> tuple[bytes, ...]:
        """The files of the links in a text."""
        return tuple(map(self.fetched, re.findall(r"!\[[^]]*\]\((\S+/media/\S+)\)", text)))

    @abstractmethod
    def path(self, ask: Ask) -> str: ...

    @abstractmethod
    def body(self, ask: Ask) -> dict[str, Any]: ...

    @abstractmethod
    def read(self, reply: Reply, conversation: str | None) -> Said: ...


class OpenAI(HttpClient):
    def path(self, ask: Ask) -> str:
        return "/v1/chat/completions"

    def body(self, ask: Ask) -> dict[str, Any]:
        system = [{"role": "system", "content": ask.system}] if ask.system else []
        tool = ask.tool
        return {
            "model": MODEL,
            "messages": system + [self._message(turn) for turn in ask.turns],
            "max_tokens": ask.max_tokens,
            "include_reasoning": True,
            "stream": ask.stream,
            "stream_options": {"include_usage": True} if ask.stream else None,
            "tools": tool and [{"type": "function", "function": _declared(tool, "parameters")}],
        }

    def _message(self, turn: Turn) -> dict[str, Any]:
        match turn:
            case str():
                return {"role": "user", "content": turn}
            case WithFile(stored=stored):
                named = {"filename": turn.name, "file_data": turn.data}
                file = {"file_id": f"file-{stored}"} if stored else named
                parts = [{"type": "text", "text": turn.text}, {"type": "file", "file": file}]
                return {"role": "user", "content": parts}
            case Result(call, text):
                return {"role": "tool", "tool_call_id": call.id, "content": text}
            case Said():
                calls = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                    }
                    for call in turn.calls
                ]
                content = {"role": "assistant", "content": turn.text or None}
                return {**content, "tool_calls": calls} if calls else content

    def read(self, reply: Reply, conversation: str | None) -> Said:
        bodies = reply.chunks if reply.streamed else [reply.json()]
        parts = [each.get("delta") or each.get("message") or {} for each in reply.choices]
        usage = bodies[-1]["usage"]
        assert not reply.streamed or reply.frames[-1] == DONE
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        return Said(
            reply.text,
            reply.reasoning,
            _functions(call for part in parts for call in part.get("tool_calls", ())),
            str(reply.finish_reason),
            (
                usage["prompt_tokens"],
                usage["completion_tokens"],
                usage["completion_tokens_details"]["reasoning_tokens"],
            ),
            conversation,
            self._pictures(parts),
        )

    def _pictures(self, parts: list[dict[str, Any]]) -> tuple[bytes, ...]:
        images = [image for part in parts for image in part.get("images", ())]
        return tuple(self.fetched(image["image_url"]["url"]) for image in images)


class Gemini(HttpClient):
    _REASONS: Mapping[str, str] = {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "SAFETY": "content_filter",
    }

    def path(self, ask: Ask) -> str:
        method = "streamGenerateContent?alt=sse" if ask.stream else "generateContent"
        return f"/v1beta/models/{MODEL}:{method}"

    def body(self, ask: Ask) -> dict[str, Any]:
        return {
            "contents": [self._content(turn) for turn in ask.turns],
            "systemInstruction": {"parts": [{"text": ask.system}]} if ask.system else None,
            "generationConfig": {
                "thinkingConfig": {"includeThoughts": True},
                **({"maxOutputTokens": ask.max_tokens} if ask.max_tokens else {}),
            },
            "tools": ask.tool
            and [{"functionDeclarations": [_declared(ask.tool, "parametersJsonSchema")]}],
        }

    def _content(self, turn: Turn) -> dict[str, Any]:
        match turn:
            case str():
                return {"role": "user", "parts": [{"text": turn}]}
            case WithFile(stored=stored):
                kind = {"mimeType": turn.media_type}
                linked = {"fileData": {**kind, "fileUri": f"files/{stored}"}}
                whole = {"inlineData": {**kind, "data": turn.data, "displayName": turn.name}}
                return {"role": "user", "parts": [{"text": turn.text}, linked if stored else whole]}
            case Result(call, text):
                result = {"id": call.id, "name": call.name, "response": {"output": text}}
                return {"role": "user", "parts": [{"functionResponse": result}]}
            case Said():
                calls = [
                    {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
                    for call in turn.calls
                ]
                texts = [{"text": turn.text}] if turn.text else []
                return {"role": "model", "parts": [*texts, *calls]}

    def read(self, reply: Reply, conversation: str | None) -> Said:
        bodies = reply.frames if reply.streamed else [reply.json()]
        candidates = [candidate for body in bodies for candidate in body["candidates"]]
        parts = [part for candidate in candidates for part in candidate["content"]["parts"]]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        usage = bodies[-1]["usageMetadata"]
        thoughts = usage.get("thoughtsTokenCount", 0)
        answered = usage.get("candidatesTokenCount", 0) + thoughts
        assert usage["totalTokenCount"] == usage["promptTokenCount"] + answered
        reason = self._REASONS[candidates[-1]["finishReason"]]
        return Said(
            "".join(part.get("text", "") for part in parts if not part.get("thought")),
            "".join(part.get("text", "") for part in parts if part.get("thought")),
            tuple(Call(call["name"], call["args"], call["id"]) for call in calls),
            "tool_calls" if calls else reason,  # this form has one word for both
            (usage["promptTokenCount"], answered, thoughts),
            conversation,
            tuple(base64.b64decode(p["inlineData"]["data"]) for p in parts if "inlineData" in p),
        )


class Anthropic(HttpClient):
    _REASONS: Mapping[str, str] = {
        "end_turn": "stop",
        "max_tokens": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }

    def path(self, ask: Ask) -> str:
        return "/v1/messages"

    def body(self, ask: Ask) -> dict[str, Any]:
        return {
            "model": MODEL,
            "max_tokens": ask.max_tokens or 100_000,
            "system": ask.system or None,
            "messages": [self._message(turn) for turn in ask.turns],
            "thinking": {"type": "adaptive"},
            "stream": ask.stream,
            "tools": ask.tool and [_declared(ask.tool, "input_schema")],
        }

    def _message(self, turn: Turn) -> dict[str, Any]:
        match turn:
            case str():
                return {"role": "user", "content": turn}
            case WithFile(stored=stored):
                whole = {"type": "base64", "media_type": turn.media_type, "data": turn.data}
                source = {"type": "file", "file_id": f"file_{stored}"} if stored else whole
                document = {"type": "document", "title": turn.name, "source": source}
                return {"role": "user", "content": [{"type": "text", "text": turn.text}, document]}
            case Result(call, text):
                result = {"type": "tool_result", "tool_use_id": call.id, "content": text}
                return {"role": "user", "content": [result]}
            case Said():
                calls = [
                    {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
                    for call in turn.calls
                ]
                texts = [{"type": "text", "text": turn.text}] if turn.text else []
                return {"role": "assistant", "content": [*texts, *calls]}

    def read(self, reply: Reply, conversation: str | None) -> Said:
        message = _put_together(reply.body) if reply.streamed else reply.json()
        blocks: dict[str, list[Any]] = {"text": [], "thinking": [], "tool_use": []}
        for block in message["content"]:
            blocks[block["type"]].append(block)
        usage = message["usage"]
        text = "".join(block["text"] for block in blocks["text"])
        return Said(
            text,
            "".join(block["thinking"] for block in blocks["thinking"]),
            tuple(Call(each["name"], each["input"], each["id"]) for each in blocks["tool_use"]),
            self._REASONS[message["stop_reason"]],
            (
                usage["input_tokens"],
                usage["output_tokens"],
                usage["output_tokens_details"]["thinking_tokens"],
            ),
            conversation,
            self.linked(text),
        )


class Native(HttpClient):
    """One message, in a session of its own where none is named."""

    takes_history = False
    limits_tokens = False
    takes_stored_files = False

    def path(self, ask: Ask) -> str:
        return "/gemini/chat"

    def body(self, ask: Ask) -> dict[str, Any]:
        [turn] = ask.turns
        is_filed = isinstance(turn, WithFile)
        return {
            "message": turn.text if is_filed else turn,
            "files": [{"data": turn.data, "name": turn.name}] if is_filed else None,
            "session_id": ask.conversation or self._opened(),
            "model": MODEL,
            "stream": ask.stream,
            "include_reasoning": True,
        }

    def _opened(self) -> str:
        reply = self.gateway.request("POST", "/gemini/sessions", None, self.gateway.headers)
        return str(reply.json()["session_id"])

    def read(self, reply: Reply, conversation: str | None) -> Said:
        frames = reply.frames if reply.streamed else []
        said: dict[str, str] = {"content": "", "thought": ""}
        for frame in frames[:-1]:
            if frame["type"] != "file":  # which the end has again
                said[frame["type"]] += frame["content"]
        end = frames[-1] if frames else reply.json()
        usage = end["usage"]
        assert end["session_id"] == conversation
        return Said(
            end.get("content", said["content"]),
            end.get("thoughts", said["thought"]),
            (),
            end["finish_reason"],
            (usage["input_tokens"], usage["output_tokens"], usage["reasoning_tokens"]),
            conversation,
            tuple(self.fetched(file["url"]) for file in end["files"]),
        )


@dataclass(frozen=True)
class Library(SurfaceClient):
    """A program with the gateway inside, for the caller `principal`."""

    takes_stored_files = False
    gateway: LocalGateway
    principal: Principal

    def ask(self, ask: Ask) -> Said:
        system = [Message("system", (TextPart(ask.system),))] if ask.system else []
        chat = ChatRequest(
            (*system, *map(self._message, ask.turns)),
            MODEL,
            show_thoughts=True,
            principal=self.principal,
            conversation=ask.conversation,
            is_streamed=ask.stream,
            max_tokens=ask.max_tokens,
            tools=Tools((ask.tool,)) if ask.tool else Tools(),
        )
        if ask.stream:
            with closing(self.gateway.stream(chat)) as events:
                answer = collect(events)
                next(events, None)  # it was received
        else:
            answer = self.gateway.answer(chat)
        usage = answer.usage
        return Said(
            answer.text,
            answer.thoughts,
            tuple(
                Call(each.name, json.loads(each.arguments), each.id) for each in answer.tool_calls
            ),
            answer.finish_reason,
            (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens),
            pictures=tuple(file.data for file in answer.files if file.data is not None),
        )

    def _message(self, turn: Turn) -> Message:
        match turn:
            case str():
                return Message("user", (TextPart(turn),))
            case WithFile():
                file = attachment.of_content(turn.content, "file", name=turn.name)
                return Message("user", (TextPart(turn.text), file))
            case Result(call, text):
                return Message("tool", (ToolResultPart(call.id, text),))
            case Said():
                texts = [TextPart(turn.text)] if turn.text else []
                calls = [
                    ToolCallPart(call.id, call.name, json.dumps(call.arguments))
                    for call in turn.calls
                ]
                return Message("assistant", (*texts, *calls))


SchemaField = Literal["parameters", "parametersJsonSchema", "input_schema"]


def _declared(tool: FunctionTool, schema: SchemaField) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, schema: tool.parameters}


def _functions(deltas: Any) -> tuple[Call, ...]:
    """The calls of an answer in OpenAI's form, a streamed one's put together."""
    found: list[tuple[str, str, str]] = []
    for delta in deltas:
        function = delta["function"]
        if "id" in delta:
            found.append((delta["id"], function["name"], function["arguments"]))
        else:
            id_, name, begun = found[delta["index"]]
            found[delta["index"]] = (id_, name, begun + function["arguments"])
    return tuple(Call(name, json.loads(arguments), id_) for id_, name, arguments in found)


def _put_together(body: bytes) -> dict[str, Any]:
    """A message in Anthropic's form out of its events."""
    lines = body.decode().split("\n")
    frames = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    message: dict[str, Any] = frames[0]["message"]
    blocks: list[dict[str, Any]] = message["content"]
    for frame in frames[1:]:
        match frame:
            case {"type": "content_block_start", "content_block": block}:
                blocks.append(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                [kind] = delta.keys() - {"type"}
                blocks[index][kind] = blocks[index].get(kind, "") + delta[kind]
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= delta
                message["usage"] |= usage
    for block in blocks:
        if "partial_json" in block:
            block["input"] = json.loads(block.pop("partial_json"))
    return message
