"""What is still being made -> a Response: status before the first event, heartbeat, error in the
stream, close.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

from flask import Response, request

from gbproxy.domain import jsontext
from gbproxy.errors import ClientGone, GatewayError, Overloaded
from gbproxy.observability import request_context
from gbproxy.observability.meter import SILENT, AnswerKind, Meter
from gbproxy.web.admission import Admission, stopping
from gbproxy.web.heartbeat import Heartbeat
from gbproxy.web.stream_runner import FirstChunkTimeout, StreamRunner

log = logging.getLogger(__name__)

COMMENT = b": ping\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# JSON leaves these as they are, but readers that split text, not bytes, into lines take them for
# ends of lines.
_LINE_ENDS = ("\x85", "\u2028", "\u2029")

Pieces = Generator[bytes]


class StreamResponder:
    """Answers requests, one piece at a time or whole, within the worker's limit; ends each when its
    client leaves.
    """

    def __init__(self, *, limit: int, heartbeat_s: float, meter: Meter = SILENT) -> None:
        self._admission = Admission(limit)
        self._meter = meter
        self._heartbeat_s = heartbeat_s or None
        self._running: set[_Running] = set()

    def stream(
        self, frames: Pieces, on_error: Callable[[GatewayError], bytes], heartbeat: bytes = COMMENT
    ) -> Response:
        """Stream `frames`, with `heartbeat` when nothing else was sent for a while.

        An error before the response has begun, by a frame or a heartbeat, is raised and gets a real
        status; a later one becomes a frame. Raises Overloaded when the worker is full. A frame has
        been written when the next is asked for.
        """
        running = self._begin(frames, "stream")
        try:
            if self._heartbeat_s:
                running.pump.begin()
            first = running.pump.take(self._heartbeat_s)
        except FirstChunkTimeout:
            first = heartbeat
        except BaseException:
            running.close()
            raise
        body = self._body(first or b"", running, on_error, heartbeat)
        response = Response(body, mimetype="text/event-stream", headers=_HEADERS)
        response.call_on_close(running.close)  # also when the body is never begun
        return response

    def whole(self, pieces: Pieces) -> Response:
        """Answer with the JSON that is the only piece. Raises what it raises, or Overloaded when
        the worker is full.
        """
        running = self._begin(pieces, "whole")
        try:
            text = running.pump.take() or b""
        except BaseException:
            running.close()
            raise
        response = Response(_delivered(text, running), mimetype="application/json")
        response.content_length = len(text)
        response.call_on_close(running.close)
        return response

    def _begin(self, pieces: Pieces, kind: AnswerKind) -> _Running:
        leave = self._admission.enter()
        self._meter.answer_begun(kind)

        def end() -> None:
            leave()
            self._meter.answer_ended(kind)

        return _Running(pieces, end, self._running)

    def refusal(self) -> Overloaded | None:
        """With what a further answer would be refused, if so."""
        return self._admission.refusal()

    def expire(self) -> int:
        """The time to stop has come: end every answer that still runs with an error, and refuse any
        other.

        Returns how many those are that ran.
        """
        self._admission.close()
        left = list(self._running)
        for running in left:
            running.pump.fail(stopping())
        return len(left)

    def _body(
        self,
        first: bytes,
        running: _Running,
        on_error: Callable[[GatewayError], bytes],
        heartbeat: bytes,
    ) -> Pieces:
        context = request_context.current()
        sent = 0
        try:
            piece: bytes | None = first
            while piece is not None:
                sent += len(piece)
                yield piece
                running.keep_alive(heartbeat, self._heartbeat_s)
                try:
                    piece = running.pump.take(self._heartbeat_s)
                except FirstChunkTimeout:
                    piece = heartbeat
        except (GeneratorExit, ClientGone):
            context.log_fields["client_gone"] = True
        except GatewayError as error:
            context.log_fields["code"] = error.code
            yield on_error(error)
        except Exception:  # the WSGI error handler's place once the status is out
            log.exception("request.crashed")
            context.log_fields["code"] = GatewayError.code
            yield on_error(GatewayError("the gateway met an error of its own"))
        finally:
            context.log_fields["response_bytes"] = sent
            running.close()


class _Running:
    """An answer that runs: its pump, its heartbeat and its place among the others, all given back
    by `close`.
    """

    def __init__(self, pieces: Pieces, leave: Callable[[], None], others: set[_Running]) -> None:
        self.pump = StreamRunner(pieces, request.environ)
        self._environ = request.environ
        self._heart: Heartbeat | None = None
        self._leave = leave
        self._others = others
        others.add(self)

    def keep_alive(self, beat: bytes, interval_s: float | None) -> None:
        """Now that the response has begun: say so from time to time; said once, it holds."""
        if self._heart is None and interval_s:
            self._heart = Heartbeat(self.pump, self._environ, beat, interval_s)

    def close(self) -> None:
        if self in self._others:
            self._others.discard(self)
            self._leave()
            if self._heart is not None:
                self._heart.stop()
            self.pump.close()


def _delivered(text: bytes, running: _Running) -> Pieces:
    """The one piece; then the answer is told that it was written."""
    try:
        yield text
        running.pump.take()
    except ClientGone:
        request_context.current().log_fields["client_gone"] = True
    except GatewayError as error:  # all is written: nobody can be told any more
        request_context.current().log_fields["code"] = error.code
    finally:
        request_context.current().log_fields["response_bytes"] = len(text)
        running.close()


def quote(text: str) -> bytes:
    """A JSON string that no client splits: characters stay as they are but for those that somebody
    takes for a line end.
    """
    quoted = jsontext.encode_bytes(text)
    for end in _LINE_ENDS:
        if end in text:  # which takes a twentieth of the time that the same search in bytes takes
            quoted = quoted.replace(end.encode(), b"\\u%04x" % ord(end))
    return quoted
