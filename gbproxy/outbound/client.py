"""Sends requests to other people's servers; reply.py has what they answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import requests
import urllib3
import urllib3.exceptions

from gbproxy.errors import GatewayError, UpstreamError, UpstreamUnreachable
from gbproxy.observability import request_context
from gbproxy.outbound.adapter import Adapter
from gbproxy.outbound.addresses import is_public
from gbproxy.outbound.answer import Answer
from gbproxy.outbound.errors import reraise
from gbproxy.outbound.guard import (
    AddressDenied,
    GuardedConnector,
    HostUnknown,
    Policy,
    Resolver,
    look_up,
)
from gbproxy.outbound.pools import prewarm, reader_of
from gbproxy.outbound.reply import Reply, StreamedReply
from gbproxy.outbound.request_head import Upload, encoded, prepared
from gbproxy.outbound.timeouts import DEFAULT_TIMEOUTS, Deadline, Timeouts
from gbproxy.outbound.web_url import parse
from gbproxy.settings.network import ProxyAddress

log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """What is asked."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Upload | None


Send = Callable[[Outgoing, Deadline], Answer]


class HttpClient:
    """Sends requests; safe for use by many threads at once."""

    def __init__(
        self,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        pool_size: int = 1000,
        resolve: Resolver = look_up,
        is_allowed: Policy = is_public,
    ) -> None:
        """`resolve` and `is_allowed` are for tests of what goes to public addresses alone."""
        self._timeouts = timeouts
        self._call_timeouts = timeouts.of_call()
        address = ProxyAddress.parse(proxy) if proxy else None
        self._proxies = {"http": address.url, "https": address.url} if address else {}
        self._adapter = Adapter(ca_bundle, pool_size, address)
        # made at first use: it reads the certificates once more
        self._guarded = cache(
            lambda: GuardedConnector(
                proxy=proxy, ca_bundle=ca_bundle, resolve=resolve, is_allowed=is_allowed
            )
        )

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Upload | None = None
    ) -> Reply:
        """Send a request and read the whole answer, of at most MAX_BODY_BYTES. Redirects are
        answers like any other.

        Takes at most `Timeouts.call_s`: a small call that hangs must not hold up an account for as
        long as a streamed answer may.

        Raises UpstreamTimeout or UpstreamError; any HTTP status is a Reply.
        """
        asked = Outgoing(method, url, headers, body)
        with self._stream(self._send, asked, self._call_timeouts) as streamed:
            return Reply(
                streamed.status, streamed.headers, streamed.set_cookies, streamed.read_body()
            )

    def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None = None,
        *,
        is_public: bool = False,
    ) -> AbstractContextManager[StreamedReply]:
        """Send a request and give the answer as soon as its headers are in; leaving closes what was
        not read.

        `is_public`: a GET, of a URL that somebody else names: its host's addresses are checked, and
        one of these is connected to. Raises UpstreamError where one is not of the public internet.
        """
        send = self._send_guarded if is_public else self._send
        return self._stream(send, Outgoing(method, url, headers, body), self._timeouts)

    @contextmanager
    def _stream(self, send: Send, asked: Outgoing, timeouts: Timeouts) -> Iterator[StreamedReply]:
        reply = self._ask(send, asked, timeouts)
        del asked  # of the request nothing is held while the answer arrives
        with closing(reply):
            yield reply

    def _ask(self, send: Send, asked: Outgoing, timeouts: Timeouts) -> StreamedReply:
        context = request_context.current()
        deadline = Deadline(timeouts, context.until)
        if deadline.is_over():
            raise _not_taken(deadline.overrun())
        context.begin_wait()
        if context.trace is not None:
            traced = {**asked.headers, "traceparent": context.trace.header}
            asked = asked._replace(headers=traced)
        try:
            answer = send(asked, deadline)
        except Exception as error:  # noqa: BLE001  raised again, in our words
            try:
                reraise(error, deadline)
            except GatewayError as ours:
                ours.was_taken = deadline.has_connection
                raise
        finally:
            context.end_wait()
        return StreamedReply(answer, deadline)

    def _send(self, asked: Outgoing, deadline: Deadline) -> Answer:
        response = self._adapter.send(
            prepared(*asked),
            stream=True,
            timeout=deadline,  # type: ignore[arg-type]  # urllib3's own kind is taken, too
            proxies=self._proxies,
        )
        answer: Answer = response.raw  # type: ignore[assignment]  # that of our pools
        return answer

    def _send_guarded(self, asked: Outgoing, deadline: Deadline) -> Answer:
        try:
            target = parse(asked.url)
            connection = self._guarded().connect(target, _in(deadline.connect_timeout))
        except (ValueError, AddressDenied) as error:
            raise UpstreamError("the upstream leads to where files are not fetched from") from error
        except HostUnknown as error:
            if self._proxies:  # it may be known to the proxy, which is not in our networks
                return self._send(asked, deadline)
            raise UpstreamUnreachable("the upstream leads to a host that is not known") from error
        answer = Answer(
            reader_of(connection.sock, deadline.until), give_back=lambda _: connection.close()
        )
        try:
            named = {**asked.headers, "Host": target.host_header, "Connection": "close"}
            connection.send_request((encoded(asked.method, target.target, named, None),), deadline)
            answer.reader.until = _in(deadline.read_timeout)
            answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    def prewarm(self, url: str) -> None:
        """Open a connection to the host of `url` unless one stands ready; no request is sent.

        A failure only goes to the log: the next request will raise it.
        """
        try:
            prewarm(self.pool(url), self._timeouts.connect_s)
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
        ) as error:
            log.debug("connection.failed", extra={"reason": type(error).__name__})

    def pool(self, url: str) -> urllib3.HTTPConnectionPool:
        """The connections to the host of `url`. Raises what requests and urllib3 raise."""
        pool: urllib3.HTTPConnectionPool = self._adapter.get_connection_with_tls_context(
            prepared("GET", url, {}), verify=True, proxies=self._proxies
        )
        return pool

    def close(self) -> None:
        self._adapter.close()


def _in(seconds: float) -> float:
    """A moment of the monotonic clock."""
    return time.monotonic() + seconds


def _not_taken(error: GatewayError) -> GatewayError:
    error.was_taken = False
    return error
