"""Sends requests to other people's servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path

import requests
import urllib3.exceptions

from gbproxy.errors import GatewayError
from gbproxy.observability import request_context
from gbproxy.outbound.adapter import Adapter, Upload, prepared
from gbproxy.outbound.connections import prewarm
from gbproxy.outbound.errors import not_sent, reraise
from gbproxy.outbound.reply import Reply, StreamedReply
from gbproxy.outbound.timeouts import DEFAULT_TIMEOUTS, Deadline, Timeouts
from gbproxy.settings.network import ProxyAddress

log = logging.getLogger(__name__)


class HttpClient:
    """Sends requests; safe for use by many threads at once."""

    def __init__(
        self,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        pool_size: int = 1000,
    ) -> None:
        self._timeouts = timeouts
        address = ProxyAddress.parse(proxy) if proxy else None
        self._proxies = {"http": address.url, "https": address.url} if address else {}
        self._adapter = Adapter(ca_bundle, pool_size, address)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Upload | None = None
    ) -> Reply:
        """Send a request and read the whole answer, of at most MAX_BODY_BYTES. Redirects are
        answers like any other.

        It may take `Timeouts.call_s`: what hangs must not hold up all that an account needs for as
        long as an answer may.

        Raises UpstreamTimeout or UpstreamError; any HTTP status is a Reply.
        """
        with self._stream(method, url, headers, body, self._timeouts.of_call()) as streamed:
            return Reply(
                streamed.status, streamed.headers, streamed.set_cookies, streamed.read_body()
            )

    def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Upload | None = None
    ) -> AbstractContextManager[StreamedReply]:
        """Send a request and give the answer as soon as its headers are in; leaving closes what was
        not read.
        """
        return self._stream(method, url, headers, body, self._timeouts)

    @contextmanager
    def _stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        timeouts: Timeouts,
    ) -> Iterator[StreamedReply]:
        context = request_context.current()
        deadline = Deadline(timeouts, context.until)
        if deadline.is_over():
            raise _not_taken(deadline.overrun())
        context.begin_wait()
        if context.trace is not None:
            headers = {**headers, "traceparent": context.trace.header}
        try:
            request = prepared(method, url, headers, body)
            if body is not None and not isinstance(body, bytes):
                request.body = _within(deadline, body)  # type: ignore[assignment]
            response = self._adapter.send(
                request,
                stream=True,
                timeout=deadline,  # type: ignore[arg-type]  # urllib3's own kind is taken, too
                proxies=self._proxies,
            )
        except Exception as error:  # noqa: BLE001  raised again, in our words
            try:
                reraise(error, deadline)
            except GatewayError as ours:
                ours.was_taken = not not_sent(error)
                raise
        finally:
            context.end_wait()
        with closing(StreamedReply(response, deadline)) as reply:
            yield reply

    def prewarm(self, url: str) -> None:
        """See to it that a connection to the host of `url` stands ready, without a request; nothing
        when one does.

        A failure is for the next request to tell: here it only goes to the log.
        """
        try:
            request = prepared("GET", url, {}, None)
            pool = self._adapter.get_connection_with_tls_context(
                request, verify=True, proxies=self._proxies
            )
            prewarm(pool, self._timeouts.connect_s)
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
        ) as error:
            log.debug("connection.failed", extra={"reason": type(error).__name__})

    def close(self) -> None:
        self._adapter.close()


def _not_taken(error: GatewayError) -> GatewayError:
    error.was_taken = False
    return error


def _within(deadline: Deadline, body: Upload) -> Iterator[bytes]:
    """The pieces of a body as long as there is time: a reader may take them ever so slowly."""
    for piece in body:
        if deadline.is_over():
            raise deadline.overrun()
        yield piece
