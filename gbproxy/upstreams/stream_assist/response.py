"""One streamed reply, read by read: bytes -> elements -> events. Source: docs/upstream.md,
framing.
"""

from __future__ import annotations

from gbproxy.domain.events import ChatEvent
from gbproxy.errors import AnswerTooLarge, GatewayError, UpstreamError, UpstreamProtocolError
from gbproxy.outbound import StreamedReply
from gbproxy.upstreams.decoding.event_stream import EventReader
from gbproxy.upstreams.decoding.json_array import ArrayReader
from gbproxy.upstreams.decoding.objects import ObjectDecoder
from gbproxy.upstreams.stream_assist.assist import AssistReader

MAX_ANSWER_BYTES = 64 * 1024 * 1024  # of text
_END_S = 2.0  # for what may follow a whole answer
# Elements before other requests have their turn: 3 ms of the smallest.
_AT_ONCE = 256

# For an answer to arrive: text is a small part of what its elements say, and files come beside it.
_BYTES_FOR_EACH_OF_TEXT = 8
_BYTES_FOR_FILES = 64 * 1024 * 1024
_FEWEST_BYTES_OF_TEXT = 64  # in an element, on the whole
_ELEMENTS_WITHOUT = 100_000


class ResponseDecoder:
    """Reads one answer. No generator: a thread that waits for the network stands on few frames, as
    each costs memory.
    """

    def __init__(
        self,
        reply: StreamedReply,
        hidden_headlines: frozenset[str],
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._reply = reply
        self._assist = AssistReader(hidden_headlines, max_bytes)
        self._bytes_left = _BYTES_FOR_FILES + _BYTES_FOR_EACH_OF_TEXT * max_bytes
        self._max_elements = _ELEMENTS_WITHOUT + max_bytes // _FEWEST_BYTES_OF_TEXT
        self._reader: ObjectDecoder | None = None
        self._failure: GatewayError | None = None
        self.ended = False  # the events that `read` returned last were the last ones

    @property
    def session(self) -> str:
        """The session's name as the upstream sent it last; "" until then."""
        return self._assist.session

    def read(self) -> list[ChatEvent] | None:
        """Wait for bytes and return the events that they complete, perhaps none; None behind the
        last.

        A fault is raised by the call after the one that returned what came ahead of it.
        """
        if self._failure is not None:
            raise self._failure
        if self.ended:
            return None
        events: list[ChatEvent] = []
        try:
            self.ended = not self._read(events)
        except GatewayError as error:
            if not (self._assist.complete and isinstance(error, UpstreamError)):
                self._failure = error
                return events
            self.ended = True  # what breaks behind the answer's end takes nothing from it
        if self.ended:
            self._reply.finish()
            is_closed = self._reader is not None and self._reader.complete
            self._add_end(events, is_closed=is_closed)
        return events

    def _read(self, events: list[ChatEvent]) -> bool:
        """Append the events of one read. False if no more can come."""
        if self._reader is not None and self._reader.has_more:
            self._reply.give_way()
            data = b""
        elif not (data := self._reply.read()):
            (self._reader or ArrayReader()).close()
            return False
        self._bytes_left -= len(data)
        if self._reader is None:
            self._reader = _reader(self._reply.headers.get("Content-Type", ""), data)
        assist = self._assist
        was_complete = assist.complete
        assist.read(self._reader.feed(data, _AT_ONCE), events)
        if self._bytes_left < 0 or self._reader.seen + assist.replies > self._max_elements:
            raise AnswerTooLarge(
                "the upstream sent far more than an answer that MAX_ANSWER_MB allows can need"
            )
        if assist.complete and not was_complete:
            self._reply.limit_rest(_END_S)
        return not self._reader.complete

    def _add_end(self, events: list[ChatEvent], *, is_closed: bool) -> None:
        try:
            events += self._assist.finish(closed=is_closed)
        except UpstreamError as error:
            self._failure = error
            self.ended = False


def _reader(content_type: str, first: bytes) -> ObjectDecoder:
    """The reader for what is arriving: by its content type, and where that does not say, by its
    first bytes.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return EventReader()
    if kind.endswith("json"):
        return ArrayReader()
    if kind == "text/html":
        raise UpstreamProtocolError("the upstream sent a web page in place of an answer")
    looks_like_events = first.lstrip().startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
    return EventReader() if looks_like_events else ArrayReader()
