"""The loads that subjects are put under. Another load is one more entry: its requests, their
arrival, and the subjects that meet it.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Unit = Literal["request", "chunk"]

WORDS = "%words%"  # stands in a request where the mock's steering words go
_QUESTION: Mapping[str, Any] = {
    "messages": [{"role": "user", "content": f"Please tell me something about foxes. {WORDS}"}]
}
_TURN: Mapping[str, Any] = {"role": "user", "content": f"And what about hares? {WORDS}"}
_WRITE_NOTE: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "write_note",
        "description": "Keep a note for later.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "description": "what is to be kept"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    },
}
_TASK: Mapping[str, Any] = {
    "tools": [_WRITE_NOTE],
    "messages": [{"role": "user", "content": f"Please note something about foxes. {WORDS}"}],
}
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Load:
    """Some streams at once, over and over: for `seconds`, or until `requests` have been sent.

    With `conversations` so many are begun before anything is counted, and each is then continued
    for `turns` requests, with its whole history. `image_kb`: the question comes with an image of
    this size, as a data URL.
    """

    name: str
    about: str
    slots: int
    chunks: int
    pause_ms: int = 0
    chunk_bytes: int = 1024
    seconds: float = 0.0
    requests: int = 0
    ramp_ms: int = 0
    limit_s: float = 60.0
    control_delay_ms: int = 0
    warm_up_s: float = 0.4
    request: Mapping[str, Any] = field(default_factory=lambda: _QUESTION)
    image_kb: int = 0
    is_call: bool = False  # whether the answer is a call of the tool write_note
    conversations: int = 0
    turns: int = 0
    is_warm_up: bool = False
    unit: Unit | None = None  # of which its cost is quoted; None: its times or its memory matter
    rounds: int = 1
    subjects: tuple[str, ...] = ("direct", "nginx", "bare", "fastapi+aiohttp", "fastapi+httpx")
    with_sessions: bool = False  # whether the peers meet it a second time, making three calls

    def body(self) -> str:
        """The request that asks the mock upstream for these chunks (mock.c); its messages come
        last, for load.c to add to them.
        """
        request = _with_image(self.request, self.image_kb) if self.image_kb else self.request
        return self._steered({"model": "gemini-auto", "stream": True, **request})

    def turn(self) -> str:
        """The message of each further turn."""
        return self._steered(_TURN)

    def _steered(self, part: Mapping[str, Any]) -> str:
        words = f"chunks={self.chunks} pause_ms={self.pause_ms} bytes={self.chunk_bytes}"
        call = " call=1" if self.is_call else ""
        return json.dumps(part).replace(WORDS, f"[[{words}{call}]]")

    def warm_up(self) -> Load:
        """A short run that is not counted: it opens as many connections as the load needs, and
        begins its conversations.
        """
        short = replace(
            self,
            is_warm_up=True,
            chunks=min(self.chunks, 5),
            ramp_ms=min(self.ramp_ms, 300),
            pause_ms=min(self.pause_ms, 20),
        )
        return (
            replace(short, requests=self.conversations or self.slots)
            if self.requests
            else replace(short, seconds=self.warm_up_s)
        )


def _with_image(request: Mapping[str, Any], size_kb: int) -> Mapping[str, Any]:
    """The request, its last message followed by an image that says nothing."""
    *before, last = request["messages"]
    noise = random.Random(size_kb).randbytes(size_kb * 1000 - len(_PNG))  # noqa: S311  no secret
    url = f"data:image/png;base64,{base64.b64encode(_PNG + noise).decode()}"
    parts = [
        {"type": "text", "text": last["content"]},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {**request, "messages": [*before, {**last, "content": parts}]}


HELD = Load(
    "held",
    "1,000 streams, a chunk every second in each",
    slots=1000,
    requests=1000,
    chunks=5,
    pause_ms=1000,
    ramp_ms=2000,
    subjects=("bare", "fastapi+aiohttp", "fastapi+httpx"),
    with_sessions=True,
)
SHORT = Load(
    "short",
    "answers of one chunk, 16 connections, as fast as they come",
    slots=16,
    chunks=1,
    seconds=2,
    unit="request",
    rounds=3,
    with_sessions=True,
)
CONTINUED = Load(
    "continued",
    "the same in conversations that go on, each with its history of 2 to 5 turns",
    slots=16,
    chunks=1,
    conversations=256,
    turns=4,
    requests=256 * 4,
    unit="request",
    rounds=3,
    subjects=("nginx", "bare", "fastapi+aiohttp", "fastapi+httpx"),
)
IMAGE = Load(
    "image",
    "a question about an image of 200 KB, 8 connections: it is put up, then asked about",
    slots=8,
    chunks=1,
    image_kb=200,
    seconds=1.5,
    unit="request",
    rounds=3,
    subjects=("nginx", "bare", "fastapi+aiohttp", "fastapi+httpx"),
)
LARGE_IMAGE = replace(
    IMAGE,
    name="large-image",
    about="the same with an image of 2 MB, 4 connections",
    slots=4,
    image_kb=2000,
)
TOOL_CALL = Load(
    "tool-call",
    "requests with a tool, answered by one call of it, 16 connections; the peers pass its text on",
    slots=16,
    chunks=1,
    request=_TASK,
    is_call=True,
    seconds=1.5,
    unit="request",
    rounds=3,
    subjects=("nginx", "bare", "fastapi+aiohttp", "fastapi+httpx"),
    with_sessions=True,
)
BURST = Load(
    "burst",
    "answers of 500 chunks at once, 8 connections",
    slots=8,
    chunks=500,
    seconds=2,
    unit="chunk",
    rounds=3,
    with_sessions=True,
)
PACED = Load(
    "paced",
    "300 streams, a chunk every 20 ms in each",
    slots=300,
    requests=300,
    chunks=100,
    pause_ms=20,
    ramp_ms=600,
    unit="chunk",
    rounds=3,
    with_sessions=True,
)
ONE = Load(
    "one",
    "one stream at a time",
    slots=1,
    chunks=2,
    pause_ms=4,
    seconds=2,
    rounds=3,
    with_sessions=True,
)
HUNDRED = Load(
    "hundred",
    "100 streams, a chunk every 20 ms in each",
    slots=100,
    chunks=50,
    pause_ms=20,
    ramp_ms=1000,
    seconds=3,
    rounds=3,
    with_sessions=True,
)
FIVE_HUNDRED = Load(
    "five-hundred",
    "500 streams, a chunk every 100 ms in each",
    slots=500,
    chunks=20,
    pause_ms=100,
    ramp_ms=2000,
    requests=1000,
    subjects=("direct",),
)
CONTROL = Load(
    "control",
    "one stream at a time; token and session calls take 150 ms",
    slots=1,
    chunks=1,
    seconds=3,
    control_delay_ms=150,
    warm_up_s=1.0,
    subjects=(),
)

# In the order of a run: memory first, while nothing else has grown it.
ALL = (
    HELD,
    SHORT,
    CONTINUED,
    BURST,
    PACED,
    ONE,
    HUNDRED,
    FIVE_HUNDRED,
    CONTROL,
    TOOL_CALL,
    IMAGE,
    LARGE_IMAGE,
)

# What `bench-check` runs, in rounds of its own: shorter, for it must not take long.
CHECKED = (
    replace(SHORT, seconds=1.5),
    replace(CONTINUED, conversations=128, requests=128 * 4),
    replace(BURST, seconds=1.5),
    # so few that nobody is late: who is, finds several chunks at once, and each costs less
    replace(PACED, slots=150, requests=150),
)
