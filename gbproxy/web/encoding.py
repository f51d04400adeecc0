"""The events of an answer as the chunks of its body, in whatever format an `Encoder` writes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, Protocol

from gbproxy.domain.events import Done, Flush, TextDelta, collect
from gbproxy.errors import GatewayError

Chunks = Generator[bytes]
Events = Generator[Any]
"""A ChatStream, or a ChoicesStream for an encoder of choices."""


class Encoder(Protocol):
    """Writes one answer in a client's format; made for one request.

    `heartbeat` is what may stand between two events without a meaning. `stream_type` and
    `whole_type` are the content types.
    """

    heartbeat: bytes
    stream_type: str
    whole_type: str

    def feed(self, event: Any) -> bytes:
        """The bytes that an event of a stream becomes; b"" when it has no place in this format.
        `Flush` is not fed.
        """
        ...

    def error(self, error: GatewayError) -> bytes:
        """The end of a stream that has begun and failed."""
        ...

    def whole(self, answer: Any) -> bytes:
        """The body of an answer that is not streamed."""
        ...


def encode(events: Events, encoder: Encoder) -> Chunks:
    """Events -> chunks. What arrived together is joined: one chunk for each Flush, and one for the
    end; in it, texts that follow each other are one event.

    The next chunk is asked for when the one before was written. So the events are resumed behind
    `Done`, which confirms the delivery, only after the last chunk was written.
    """
    feed = encoder.feed
    parts: list[bytes] = []
    texts: list[TextDelta] = []  # behind the parts
    with closing(events):
        for event in events:
            if type(event) is TextDelta:
                texts.append(event)
                continue
            if texts:
                parts.append(feed(_joined(texts)))
                texts.clear()
            if type(event) is not Flush:
                parts.append(feed(event))
            if type(event) is Flush or type(event) is Done:
                chunk = b"".join(parts)
                parts.clear()
                if chunk:
                    yield chunk


def encode_whole(
    events: Events, encoder: Encoder, collected: Callable[[Any], Any] = collect
) -> Chunks:
    """The whole answer as one chunk; as in `encode`, the events end when it was written."""
    with closing(events):
        yield encoder.whole(collected(events))
        next(events, None)


def _joined(texts: list[TextDelta]) -> TextDelta:
    """Several texts as one, which saves 1 µs of each that is not written by itself."""
    return texts[0] if len(texts) == 1 else TextDelta("".join([each.text for each in texts]))
