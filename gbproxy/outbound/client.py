"""Sends requests to other people's servers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gbproxy.observability import trace
from gbproxy.outbound.adapter import Adapter, prepared
from gbproxy.outbound.faults import DEFAULT_TIMEOUTS, Timeouts, reraise
from gbproxy.outbound.reply import Reply, StreamedReply


class Outbound:
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
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._adapter = Adapter(ca_bundle, pool_size)

    def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
        """Send a request and read the whole answer, of at most MAX_BODY_BYTES. Redirects are answers like any other.

        Raises UpstreamTimeout or UpstreamError; any HTTP status is a Reply.
        """
        with self.stream(method, url, headers, body) as streamed:
            return Reply(streamed.status, streamed.headers, streamed.set_cookies, streamed.read_body())

    @contextmanager
    def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[StreamedReply]:
        """Send a request and give the answer as soon as its headers are in; leaving closes what was not read."""
        started = time.perf_counter()
        measured = trace.current()
        measured.wait_begins()
        try:
            response = self._adapter.send(
                prepared(method, url, headers, body),
                stream=True,
                timeout=(self._timeouts.connect_s, min(self._timeouts.read_s, self._timeouts.request_s)),
                proxies=self._proxies,
            )
        except Exception as error:  # noqa: BLE001  raised again, in our words
            reraise(error, self._timeouts, started)
        finally:
            measured.wait_ends()
        try:
            yield StreamedReply(response, self._timeouts, started)
        finally:
            response.close()

    def close(self) -> None:
        self._adapter.close()
