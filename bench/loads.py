"""What the subjects are put under."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Load:
    """Some streams at once, over and over: for `seconds`, or until `requests` have been sent."""

    name: str
    about: str
    slots: int
    chunks: int
    pause_ms: int = 0
    chunk_bytes: int = 1024
    seconds: float = 0.0
    requests: int = 0
    ramp_ms: int = 0
    limit_s: float = 30.0
    control_delay_ms: int = 0
    warm_up_s: float = 0.4

    def body(self) -> str:
        """The request that asks the mock upstream for these chunks (mock.c)."""
        words = f"[[chunks={self.chunks} pause_ms={self.pause_ms} bytes={self.chunk_bytes}]]"
        messages = [{"role": "user", "content": f"Please tell me something about foxes. {words}"}]
        return json.dumps({"model": "gemini-auto", "stream": True, "messages": messages})

    def warm_up(self) -> Load:
        """A short run that is not counted: it opens as many connections as the load needs."""
        short = replace(
            self,
            chunks=min(self.chunks, 5),
            ramp_ms=min(self.ramp_ms, 300),
            pause_ms=min(self.pause_ms, 20),
        )
        return (
            replace(short, requests=self.slots)
            if self.requests
            else replace(short, seconds=self.warm_up_s)
        )


SHORT = Load(
    "short",
    "answers of one chunk, 16 connections, as fast as they come",
    slots=16,
    chunks=1,
    seconds=3,
)
BURST = Load(
    "burst", "answers of 500 chunks at once, 8 connections", slots=8, chunks=500, seconds=3
)
PACED = Load(
    "paced",
    "300 streams, a chunk every 20 ms in each",
    slots=300,
    requests=300,
    chunks=150,
    pause_ms=20,
    ramp_ms=1000,
)
ONE = Load("one", "one stream at a time", slots=1, chunks=2, pause_ms=4, seconds=4)
HUNDRED = Load(
    "hundred",
    "100 streams, a chunk every 20 ms in each",
    slots=100,
    chunks=50,
    pause_ms=20,
    ramp_ms=1000,
    seconds=4,
)
FIVE_HUNDRED = Load(
    "five-hundred",
    "500 streams, a chunk every 100 ms in each",
    slots=500,
    chunks=30,
    pause_ms=100,
    ramp_ms=3000,
    requests=1000,
)
HELD = Load(
    "held",
    "1,000 streams, a chunk every second in each",
    slots=1000,
    requests=1000,
    chunks=5,
    pause_ms=1000,
    ramp_ms=2000,
)
CONTROL = Load(
    "control",
    "one stream at a time; token and session calls take 150 ms",
    slots=1,
    chunks=1,
    seconds=4,
    control_delay_ms=150,
    warm_up_s=1.0,
)

ALL = (SHORT, BURST, PACED, ONE, HUNDRED, FIVE_HUNDRED, HELD, CONTROL)

# What `bench-check` runs, three times for each of two subjects: shorter, for it must not take long.
CHECKED = (
    replace(SHORT, seconds=2),
    replace(BURST, seconds=2),
    replace(PACED, chunks=100),
)
