"""How events become chunks, and what the events learn of their delivery
(gbproxy/web/encoding.py).
"""

from __future__ import annotations

from gbproxy.domain.events import FLUSH, Answer, ChatEvent, ChatStream, Done, TextDelta, Usage
from gbproxy.errors import GatewayError
from gbproxy.web.encoding import encode, encode_whole


class Words:
    """An encoder that writes only texts and the end."""

    heartbeat = b"~"
    stream_type = whole_type = "text/plain"

    def __init__(self) -> None:
        self.fed: list[ChatEvent] = []

    def feed(self, event: ChatEvent) -> bytes:
        self.fed.append(event)
        match event:
            case TextDelta(text):
                return text.encode()
            case Done():
                return b"."
            case _:
                return b""

    def error(self, error: GatewayError) -> bytes:
        return b"!"

    def whole(self, answer: Answer) -> bytes:
        return answer.text.encode()


class Told:
    """Events, and which of them were asked to go on."""

    def __init__(self, *events: ChatEvent) -> None:
        self.passed: list[ChatEvent] = []
        self.closed = False
        self._events = events

    def stream(self) -> ChatStream:
        try:
            for event in self._events:
                yield event
                self.passed.append(event)
        finally:
            self.closed = True


def test_what_arrived_together_is_one_chunk() -> None:
    told = Told(
        TextDelta("a"), TextDelta("b"), FLUSH, TextDelta("c"), FLUSH, TextDelta("d"), Done()
    )

    assert list(encode(told.stream(), Words())) == [b"ab", b"c", b"d."]


def test_texts_that_arrived_together_are_written_as_one() -> None:
    told = Told(
        TextDelta("a"), TextDelta("b"), Usage(1, 1), TextDelta("c"), FLUSH, TextDelta("d"), Done()
    )
    encoder = Words()

    list(encode(told.stream(), encoder))

    assert encoder.fed == [
        TextDelta("ab"),
        Usage(1, 1),
        TextDelta("c"),
        TextDelta("d"),
        Done(),
    ]


def test_a_flush_behind_nothing_that_is_written_is_no_chunk() -> None:
    told = Told(FLUSH, Usage(1, 1), FLUSH, Done())

    assert list(encode(told.stream(), Words())) == [b"."]


def test_the_end_has_passed_only_when_its_chunk_was_written() -> None:
    told = Told(TextDelta("a"), FLUSH, Usage(1, 1), Done())
    chunks = encode(told.stream(), Words())

    assert [next(chunks), next(chunks)] == [b"a", b"."]
    assert Done() not in told.passed

    assert next(chunks, None) is None
    assert told.passed[-1] == Done()


def test_a_whole_answer_s_end_has_passed_only_when_it_was_written() -> None:
    told = Told(TextDelta("a"), FLUSH, TextDelta("b"), Done())
    chunks = encode_whole(told.stream(), Words())

    assert next(chunks) == b"ab"
    assert Done() not in told.passed

    assert next(chunks, None) is None
    assert told.passed[-1] == Done()


def test_events_that_are_left_are_closed_and_never_pass_their_end() -> None:
    told = Told(TextDelta("a"), Done())
    chunks = encode(told.stream(), Words())
    next(chunks)

    chunks.close()

    assert told.closed
    assert Done() not in told.passed
