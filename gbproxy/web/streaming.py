"""Delivers answers, in whatever format they are written: status before the first event, heartbeat,
errors in the stream, clients that leave, and the confirmation of the delivery.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from gbproxy.domain.events import collect
from gbproxy.errors import ClientGone, GatewayError, Overloaded
from gbproxy.observability import request_context
from gbproxy.observability.meter import SILENT, AnswerKind, Meter
from gbproxy.web.active_response import ActiveResponse
from gbproxy.web.answer_response import AnswerResponse
from gbproxy.web.encoding import Chunks, Encoder, Events, encode, encode_whole
from gbproxy.web.errors import internal_error
from gbproxy.web.stream_runner import FirstChunkTimeout

log = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_RETRY_S = 2.0


class StreamResponder:
    """Answers requests, streamed or whole, within the worker's limit; ends each when its client
    leaves. All requests of a worker run on one event loop.
    """

    def __init__(self, *, limit: int, heartbeat_s: float, meter: Meter = SILENT) -> None:
        """`heartbeat_s` 0: no heartbeat, and the status waits for the first event."""
        self._limit = limit
        self._meter = meter
        self._heartbeat_s = heartbeat_s or None
        self._active: set[ActiveResponse] = set()
        self._closed = False

    def stream(self, events: Events, encoder: Encoder) -> Response:
        """Stream an answer, with a heartbeat when nothing else was sent for a while.

        An error before the response has begun, by a chunk or a heartbeat, is raised and gets a real
        status; a later one is written by the encoder. Raises Overloaded when the worker is full.
        """
        active = self._begin(encode(events, encoder), "stream")
        try:
            if self._heartbeat_s:
                active.runner.begin()
            first = active.runner.next_chunk(self._heartbeat_s)
        except FirstChunkTimeout:
            first = encoder.heartbeat
        except BaseException:
            active.close()
            raise
        body = self._body(first or b"", active, encoder)
        response = AnswerResponse(body, content_type=encoder.stream_type, headers=_HEADERS)
        response.call_on_close(active.close)  # also when the body is never begun
        return response

    def whole(
        self, events: Events, encoder: Encoder, collected: Callable[[Any], Any] = collect
    ) -> Response:
        """Answer with one body: what the encoder makes of the events as `collected` collects them.
        Raises what the answer raises, or Overloaded when the worker is full.
        """
        active = self._begin(encode_whole(events, encoder, collected), "whole")
        try:
            body = active.runner.next_chunk() or b""
        except BaseException:
            active.close()
            raise
        response = AnswerResponse(_delivered(body, active), content_type=encoder.whole_type)
        response.content_length = len(body)
        response.call_on_close(active.close)
        return response

    def file(
        self, chunks: Chunks, described: Callable[[], tuple[int, Mapping[str, str]]]
    ) -> Response:
        """Answer with the bytes of a file as they come. `chunks` yields b"" as soon as `described`
        can return the status and all headers.

        An error before that is raised; a later one breaks the connection off, so that nobody takes
        what has come for the whole. Raises Overloaded when the worker is full.
        """
        active = self._begin(chunks, "file")
        try:
            active.runner.next_chunk()
            status, headers = described()
        except BaseException:
            active.close()
            raise
        if request.method == "HEAD":
            active.close()
            return AnswerResponse([], status, headers)
        response = AnswerResponse(_file(active), status, headers)
        response.call_on_close(active.close)
        return response

    def refusal(self) -> Overloaded | None:
        """The error of a request beyond the limit; None below it. Such requests are refused at once
        instead of waiting unseen.
        """
        if self._closed:
            return _stopping()
        if len(self._active) >= self._limit:
            return Overloaded(
                "the gateway has as many answers running as it may", retry_after=_RETRY_S
            )
        return None

    def expire(self) -> int:
        """End every answer that still runs with an error, and refuse any other: the worker stops.

        Returns the number of answers that were ended.
        """
        self._closed = True
        for active in self._active:
            active.runner.fail(_stopping())
        return len(self._active)

    def _begin(self, chunks: Chunks, kind: AnswerKind) -> ActiveResponse:
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        active = ActiveResponse(chunks, kind, self._active, self._meter)
        self._meter.answer_begun(kind)
        return active

    def _body(self, first: bytes, active: ActiveResponse, encoder: Encoder) -> Chunks:
        context = request_context.current()
        next_chunk, heartbeat_s = active.runner.next_chunk, self._heartbeat_s
        sent = len(first)
        try:
            yield first
            active.keep_alive(encoder.heartbeat, heartbeat_s)
            while True:
                try:
                    chunk = next_chunk(heartbeat_s)
                except FirstChunkTimeout:
                    chunk = encoder.heartbeat
                if chunk is None:
                    break
                sent += len(chunk)
                yield chunk
        except (GeneratorExit, ClientGone):
            context.log_fields["client_gone"] = True
        except GatewayError as error:
            context.log_fields["code"] = error.code
            yield encoder.error(error)
        except Exception:  # the WSGI error handler's place once the status is out
            log.exception("request.crashed")
            context.log_fields["code"] = GatewayError.code
            yield encoder.error(internal_error())
        finally:
            context.log_fields["response_bytes"] = sent
            active.close()


def _delivered(body: bytes, active: ActiveResponse) -> Chunks:
    """The one chunk; then the answer's events go on, which confirms the delivery."""
    try:
        yield body
        active.runner.next_chunk()
    except ClientGone:
        request_context.current().log_fields["client_gone"] = True
    except GatewayError as error:  # the response is complete: too late to tell the client
        request_context.current().log_fields["code"] = error.code
    finally:
        request_context.current().log_fields["response_bytes"] = len(body)
        active.close()


def _file(active: ActiveResponse) -> Chunks:
    log_fields = request_context.current().log_fields
    sent = 0
    try:
        while (chunk := active.runner.next_chunk()) is not None:
            sent += len(chunk)
            yield chunk
    except (GeneratorExit, ClientGone):
        log_fields["client_gone"] = True
    except GatewayError as error:
        log_fields["code"] = error.code
        # What a server knows as the end of a connection, and no mistake of the app's.
        raise ConnectionResetError(errno.ECONNRESET, "the file broke off") from None
    finally:
        log_fields["response_bytes"] = sent
        active.close()


def _stopping() -> Overloaded:
    return Overloaded("the gateway is stopping", retry_after=1)
