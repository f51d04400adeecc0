"""Many programs that talk at once, in all forms, streamed and not, each with words of its own, and
a record of what became of every request.

A question holds a token that no other has, and the upstream's answer is made of it: so an answer
that was cut, or that belongs to another question, is known to the letter.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from gbproxy.simulator import ModelAnswer
from tests.support.dialogues import SURFACES, Chat, Dialogue, Heard

WORD_S = 0.04  # between two words of an answer
_TIMEOUT_S = 60.0
_PAUSE_S = 0.3  # after a refusal
_TOKEN = re.compile(r"\bq(\d+)c(\d+)t(\d+)n(\d+)e\b")

Outcome = Literal["whole", "error", "broken"]


@dataclass(frozen=True)
class Token:
    """Marks one question: of which program, in which of its conversations, which turn, and how many
    words the answer has.
    """

    program: int
    conversation: int
    turn: int
    words: int

    def __str__(self) -> str:
        return f"q{self.program}c{self.conversation}t{self.turn}n{self.words}e"

    @property
    def question(self) -> str:
        return f"Tell me about {self}, please."

    @property
    def answer(self) -> str:
        return " ".join([f"Of {self}:", *(f"{self}-{n}" for n in range(self.words)), "Over."])

    @property
    def least_s(self) -> float:
        """The answer takes the upstream no less."""
        return self.words * WORD_S


def tokens(text: str) -> list[Token]:
    return [Token(*map(int, found)) for found in _TOKEN.findall(text)]


def echo(prompt: str) -> ModelAnswer:
    """The upstream's answer to a prompt: to its last question."""
    asked = tokens(prompt.rpartition("Tell me about")[2])
    return ModelAnswer(asked[-1].answer if asked else "What?")


@dataclass
class Request:
    """One question and what became of it. Times are monotonic seconds."""

    token: Token
    surface: str
    streamed: bool
    by_id: bool
    begun_at: float
    first_at: float | None = None  # when the first bytes of an answer came
    ended_at: float = 0.0
    outcome: Outcome = "broken"
    status: int | None = None
    said: str = ""  # of an error: its code, or the exception's name
    text: str = ""

    @property
    def id(self) -> str:
        return f"req-{self.token}"

    @property
    def is_true(self) -> bool:
        """True if the answer is the one to this question: all of it, or a part of its beginning."""
        if self.outcome == "whole":
            return self.text == self.token.answer
        return self.token.answer.startswith(self.text)


@dataclass(frozen=True)
class Door:
    """Where the programs ask."""

    port: int
    trust: ssl.SSLContext
    record: Callable[[Request], None]
    stopped: threading.Event

    def post(
        self, path: str, body: bytes, headers: dict[str, str], first: Callable[[], None]
    ) -> tuple[int, http.client.HTTPMessage, bytes, str]:
        """The answer as far as it came, and the name of the exception that broke it off, if any.

        Raises OSError and HTTPException where not even a head came.
        """
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=_TIMEOUT_S, context=self.trust
        )
        with closing(connection):
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            read, broken = b"", ""
            try:
                while piece := response.read1(65536):
                    first()
                    read += piece
            except (OSError, http.client.HTTPException) as error:
                broken = type(error).__name__
            return response.status, response.headers, read, broken


class Program:
    """Talks, one conversation after the other, until it is stopped."""

    def __init__(self, number: int, door: Door, key: str) -> None:
        self.number = number
        self._door = door
        self._key = key
        self._chance = random.Random(number)
        self._conversations = 0

    def run(self) -> None:
        while not self._door.stopped.is_set():
            kind = self._chance.choice(SURFACES)
            self._conversations += 1
            self._talk(kind(by_id=self._chance.random() < 0.5))

    def _talk(self, dialogue: Dialogue) -> None:
        for turn in range(self._chance.randrange(1, 6)):
            if self._door.stopped.is_set():
                return
            words = 90 if self._chance.random() < 0.08 else self._chance.randrange(4, 25)
            token = Token(self.number, self._conversations, turn, words)
            asked = self.ask(dialogue, token, stream=self._chance.random() < 0.6)
            if asked.outcome != "whole":
                self._door.stopped.wait(_PAUSE_S)  # as it is told to
                return

    def ask(self, dialogue: Dialogue, token: Token, *, stream: bool) -> Request:
        """Ask and record what came of it."""
        asked = Request(token, dialogue.surface, stream, dialogue.by_id, time.monotonic())
        try:
            if dialogue.opens and dialogue.id is None:
                self._open(dialogue, asked)
            if not asked.said:
                self._exchange(dialogue, asked)
        except (OSError, http.client.HTTPException) as error:
            asked.said = type(error).__name__
        asked.ended_at = time.monotonic()
        self._door.record(asked)
        return asked

    def _headers(self, asked: Request) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "X-Request-Id": asked.id,
        }

    def _open(self, dialogue: Dialogue, asked: Request) -> None:
        headers = self._headers(asked)
        status, _, body, broken = self._door.post(dialogue.opens, b"", headers, lambda: None)
        if broken or status not in (200, 201):
            asked.status, asked.outcome = status, "broken" if broken else "error"
            asked.said = broken or dialogue.heard_whole(status, body).error
        else:
            dialogue.id = json.loads(body)["session_id"]

    def _exchange(self, dialogue: Dialogue, asked: Request) -> None:
        def first() -> None:
            asked.first_at = asked.first_at or time.monotonic()

        question = asked.token.question
        body = json.dumps(dialogue.body(question, stream=asked.streamed)).encode()
        headers = self._headers(asked) | dialogue.headers
        path = dialogue.path(stream=asked.streamed)
        asked.status, told, read, asked.said = self._door.post(path, body, headers, first)
        heard = self._heard(dialogue, asked, told, read)
        asked.text = heard.text
        asked.said = heard.error or asked.said
        if heard.whole and not asked.said:
            asked.outcome = "whole"
            dialogue.keep(question, heard, told)
        elif heard.error:
            asked.outcome = "error"

    def _heard(
        self, dialogue: Dialogue, asked: Request, headers: http.client.HTTPMessage, read: bytes
    ) -> Heard:
        if (headers["Content-Type"] or "").startswith("text/event-stream"):
            return dialogue.heard_stream(read)
        if asked.said:  # broken off: no program can read a part of JSON
            return Heard("", whole=False)
        return dialogue.heard_whole(asked.status or 0, read)


class Limited(Program):
    """Asks all the time with a key that may not: one question after the other, streamed or not."""

    def __init__(self, number: int, door: Door, key: str, *, words: int, stream: bool) -> None:
        super().__init__(number, door, key)
        self._words = words
        self._stream = stream

    def run(self) -> None:
        while not self._door.stopped.is_set():
            self._conversations += 1
            token = Token(self.number, self._conversations, 0, self._words)
            asked = self.ask(Chat(by_id=False), token, stream=self._stream)
            if asked.status == 429:
                self._door.stopped.wait(_PAUSE_S)


class Load:
    """All programs, each in a thread of its own, and their records."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._requests: list[Request] = []
        self._condition = threading.Condition()
        self._door = Door(port, trust, self._record, threading.Event())
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    @property
    def door(self) -> Door:
        return self._door

    @property
    def requests(self) -> list[Request]:
        with self._condition:
            return list(self._requests)

    def start(self, *programs: Program) -> None:
        for program in programs:
            thread = threading.Thread(target=self._run, args=(program,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait_for_more(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many more answers have come as a whole."""
        with self._condition:
            wanted = self._whole() + count
            arrived = self._condition.wait_for(
                lambda: self._failures or self._whole() >= wanted, timeout_s
            )
            assert arrived, Counter((each.outcome, each.said) for each in self._requests[-100:])
        self._raise()

    def stop(self) -> list[Request]:
        """Let what runs end, and return all requests."""
        self._door.stopped.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        self._raise()
        return self.requests

    def _whole(self) -> int:
        return sum(each.outcome == "whole" for each in self._requests)

    def _record(self, request: Request) -> None:
        with self._condition:
            self._requests.append(request)
            self._condition.notify_all()

    def _run(self, program: Program) -> None:
        try:
            program.run()
        except BaseException as error:  # noqa: BLE001  raised in the test's thread
            with self._condition:
                self._failures.append(error)
                self._condition.notify_all()

    def _raise(self) -> None:
        if self._failures:
            raise self._failures[0]
