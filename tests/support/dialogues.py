"""Conversations in every form that programs speak, as those programs hold them: what is sent next,
what an answer says so far, and whether it claims to be whole.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.support.serving import DONE

MODEL = "gemini-3.8-flash"
Json = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """An answer as far as it came. `error`: its code or type, where it tells of one."""

    text: str
    whole: bool
    error: str = ""
    response_id: str | None = None


class Dialogue(ABC):
    """One conversation of one program. `by_id`: it keeps no history, but the conversation's id."""

    surface: ClassVar[str]
    opens = ""  # the path by which such a conversation is opened, if it is
    needs_id = False

    def __init__(self, *, by_id: bool) -> None:
        self.by_id = by_id or self.needs_id
        self.id: str | None = None
        self.history: list[Json] = []

    @abstractmethod
    def path(self, *, stream: bool) -> str: ...

    @abstractmethod
    def body(self, text: str, *, stream: bool) -> Json: ...

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Conversation-Id": self.id} if self.by_id and self.id else {}

    @abstractmethod
    def _piece(self, frame: Json) -> str:
        """The text that an event of a stream brings."""

    @abstractmethod
    def _ends(self, frame: Any) -> bool: ...

    @abstractmethod
    def _whole(self, body: Json) -> str: ...

    def turns(self, text: str) -> list[Json]:
        """What is said now, behind what was said before."""
        return [*([] if self.by_id else self.history), self.user(text)]

    def user(self, text: str) -> Json:
        return {"role": "user", "content": text}

    def model(self, text: str) -> Json:
        return {"role": "assistant", "content": text}

    def heard_stream(self, body: bytes) -> Heard:
        frames = list(map(_parsed, _datas(body)))
        texts = [self._piece(frame) for frame in frames if frame != DONE]
        error = next((found for frame in frames if (found := _error(frame))), "")
        return Heard("".join(texts), not error and any(map(self._ends, frames)), error, _id(frames))

    def heard_whole(self, status: int, body: bytes) -> Heard:
        parsed = json.loads(body)
        if status != 200:
            return Heard("", whole=False, error=_error(parsed) or str(status))
        return Heard(self._whole(parsed), whole=True, response_id=_id([parsed]))

    def keep(self, asked: str, heard: Heard, headers: Mapping[str, str]) -> None:
        """An answer came as a whole: it is part of the conversation now."""
        self.history += [self.user(asked), self.model(heard.text)]
        self.id = headers["X-Conversation-Id"]


class Chat(Dialogue):
    surface = "chat"

    def path(self, *, stream: bool) -> str:
        return "/v1/chat/completions"

    def body(self, text: str, *, stream: bool) -> Json:
        return {"model": MODEL, "messages": self.turns(text), "stream": stream}

    def _piece(self, frame: Json) -> str:
        choices = frame.get("choices", ())
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    def _ends(self, frame: Any) -> bool:
        return bool(frame == DONE)

    def _whole(self, body: Json) -> str:
        return str(body["choices"][0]["message"]["content"])


class Responses(Dialogue):
    surface = "responses"

    def path(self, *, stream: bool) -> str:
        return "/v1/responses"

    def body(self, text: str, *, stream: bool) -> Json:
        body = {"model": MODEL, "input": self.turns(text), "stream": stream}
        return body | ({"previous_response_id": self.id} if self.by_id and self.id else {})

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def _piece(self, frame: Json) -> str:
        return str(frame["delta"]) if frame["type"] == "response.output_text.delta" else ""

    def _ends(self, frame: Any) -> bool:
        return bool(frame["type"] == "response.completed")

    def _whole(self, body: Json) -> str:
        assert body["status"] == "completed"
        parts = [part for item in body["output"] for part in item.get("content") or ()]
        return "".join(part.get("text", "") for part in parts)

    def keep(self, asked: str, heard: Heard, headers: Mapping[str, str]) -> None:
        super().keep(asked, heard, headers)
        self.id = heard.response_id


class Anthropic(Dialogue):
    surface = "anthropic"

    def path(self, *, stream: bool) -> str:
        return "/v1/messages"

    def body(self, text: str, *, stream: bool) -> Json:
        turns = self.turns(text)
        return {"model": MODEL, "max_tokens": 100_000, "messages": turns, "stream": stream}

    def _piece(self, frame: Json) -> str:
        return str(frame.get("delta", {}).get("text", ""))

    def _ends(self, frame: Any) -> bool:
        return bool(frame["type"] == "message_stop")

    def _whole(self, body: Json) -> str:
        assert body["stop_reason"] == "end_turn"
        return "".join(part["text"] for part in body["content"])


class Gemini(Dialogue):
    surface = "gemini"

    def path(self, *, stream: bool) -> str:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{MODEL}:{method}"

    def body(self, text: str, *, stream: bool) -> Json:
        return {"contents": self.turns(text)}

    def user(self, text: str) -> Json:
        return {"role": "user", "parts": [{"text": text}]}

    def model(self, text: str) -> Json:
        return {"role": "model", "parts": [{"text": text}]}

    def _piece(self, frame: Json) -> str:
        candidates = frame.get("candidates", ())
        parts = [part for each in candidates for part in each["content"].get("parts", ())]
        return "".join(part.get("text", "") for part in parts)

    def _ends(self, frame: Any) -> bool:
        return any(each.get("finishReason") for each in frame.get("candidates", ()))

    def _whole(self, body: Json) -> str:
        assert self._ends(body)
        return self._piece(body)


class Native(Dialogue):
    """A session that its client opens."""

    surface = "native"
    opens = "/gemini/sessions"
    needs_id = True

    def path(self, *, stream: bool) -> str:
        return "/gemini/chat"

    def body(self, text: str, *, stream: bool) -> Json:
        return {"message": text, "session_id": self.id, "model": MODEL, "stream": stream}

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def _piece(self, frame: Json) -> str:
        return str(frame["content"]) if frame["type"] == "content" else ""

    def _ends(self, frame: Any) -> bool:
        return bool(frame["type"] == "done")

    def _whole(self, body: Json) -> str:
        # None: it could not be recorded, and there is nothing to go on in. The next turn begins anew
        # then, as only an outage of the database excuses.
        assert body["session_id"] in (self.id, None), f"{body} is not of {self.id}"
        return str(body["content"])


SURFACES = (Chat, Responses, Anthropic, Gemini, Native)


def _datas(body: bytes) -> list[str]:
    """The data of every event that came as a whole."""
    events = body.decode("utf-8", "replace").split("\n\n")[:-1]
    lines = [line for event in events for line in event.split("\n")]
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def _parsed(data: str) -> Any:
    return data if data == DONE else json.loads(data)


def _error(frame: Any) -> str:
    """The code, type or status of the error that a body or an event tells."""
    if frame == DONE:
        return ""
    if frame.get("type") in ("response.failed", "response.incomplete"):
        return str((frame["response"].get("error") or {}).get("code") or frame["type"])
    error = frame.get("error")
    if not isinstance(error, dict):
        return "error" if error or frame.get("type") == "error" else ""
    names = (error.get("status"), error.get("code"), error.get("type"))
    return next((name for name in names if isinstance(name, str)), "error")


def _id(frames: Sequence[Any]) -> str | None:
    """The id of a stored response."""
    found = [each.get("response", each) for each in frames if each != DONE]
    return next((str(each["id"]) for each in found if "id" in each), None)
