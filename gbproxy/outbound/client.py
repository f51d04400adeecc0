"""Sends requests to other people's servers, and gives their answers: whole, or still arriving."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import requests
import urllib3
import urllib3.exceptions

from gbproxy.errors import GatewayError, UpstreamProtocolError
from gbproxy.observability import request_context
from gbproxy.outbound.adapter import Adapter
from gbproxy.outbound.answer import Answer
from gbproxy.outbound.body import Body, ObservedBody, body_of
from gbproxy.outbound.errors import reraise
from gbproxy.outbound.pools import prewarm
from gbproxy.outbound.request_head import Upload, prepared
from gbproxy.outbound.timeouts import DEFAULT_TIMEOUTS, Deadline, Timeouts
from gbproxy.settings.network import ProxyAddress

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 * 1024 * 1024
_LINGER_S = 0.05  # how long the end of a body that is already whole may take


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
        self._call_timeouts = timeouts.of_call()
        address = ProxyAddress.parse(proxy) if proxy else None
        self._proxies = {"http": address.url, "https": address.url} if address else {}
        self._adapter = Adapter(ca_bundle, pool_size, address)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Upload | None = None
    ) -> Reply:
        """Send a request and read the whole answer, of at most MAX_BODY_BYTES. Redirects are
        answers like any other.

        Takes at most `Timeouts.call_s`: a small call that hangs must not hold up an account for as
        long as a streamed answer may.

        Raises UpstreamTimeout or UpstreamError; any HTTP status is a Reply.
        """
        with self._stream(method, url, headers, body, self._call_timeouts) as streamed:
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
        reply = self._ask(method, url, headers, body, timeouts)
        del headers, body  # of the request nothing is held while the answer arrives
        with closing(reply):
            yield reply

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        timeouts: Timeouts,
    ) -> StreamedReply:
        context = request_context.current()
        deadline = Deadline(timeouts, context.until)
        if deadline.is_over():
            raise _not_taken(deadline.overrun())
        context.begin_wait()
        if context.trace is not None:
            headers = {**headers, "traceparent": context.trace.header}
        try:
            response = self._adapter.send(
                prepared(method, url, headers, body),
                stream=True,
                timeout=deadline,  # type: ignore[arg-type]  # urllib3's own kind is taken, too
                proxies=self._proxies,
            )
        except Exception as error:  # noqa: BLE001  raised again, in our words
            try:
                reraise(error, deadline)
            except GatewayError as ours:
                ours.was_taken = deadline.has_connection
                raise
        finally:
            context.end_wait()
        return StreamedReply(response, deadline)

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


def _not_taken(error: GatewayError) -> GatewayError:
    error.was_taken = False
    return error


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are matched in any case."""

    status: int
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...]
    body: bytes


class StreamedReply:
    """An answer whose body is still arriving. Of requests' response only the answer is kept: the
    rest (the request, cookies) is 6 KB, for as long as an answer may take.
    """

    def __init__(self, response: requests.Response, deadline: Deadline) -> None:
        answer: Answer = response.raw  # type: ignore[assignment]  # that of our pools
        self.status = answer.status
        self.reason = answer.reason
        self._answer = answer
        self._body: Body = body_of(answer)
        self._reader = answer.reader
        self._limits = deadline
        self._until = deadline.until

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in any case."""
        return self._answer.headers

    def observe(self, note: Callable[[bytes], None]) -> None:
        """Have `note` called with each piece as it is read, with b"" at the end."""
        self._body = ObservedBody(self._body, note)

    @property
    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """The headers as they came, those of one name one by one."""
        return self._answer.header_pairs

    @property
    def set_cookies(self) -> tuple[str, ...]:
        return tuple(
            value for name, value in self._answer.header_pairs if name.lower() == "set-cookie"
        )

    def read(self) -> bytes:
        """Wait for the next piece of the decoded body, as it arrives; b"" at the end.

        Raises UpstreamTimeout when nothing of the body came for too long, whatever else did, or
        when the whole answer takes too long; UpstreamError when the connection breaks.
        """
        context = request_context.current()
        now = time.monotonic()
        if now >= self._until:
            raise self._limits.overrun()
        self._reader.until = min(now + self._limits.timeouts.read_s, self._until)
        context.begin_wait()
        try:
            return self._body.read()
        except Exception as error:  # noqa: BLE001  raised again, in our words
            reraise(error, self._limits)
        finally:
            context.end_wait()

    def reads(self) -> Generator[bytes]:
        """Yield the pieces of `read` until the end."""
        while data := self.read():
            yield data

    def give_way(self) -> None:
        """Let other requests run when that is due: for long work on the bytes of one `read`."""
        self._reader.give_way()

    def read_body(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Read what is left. Raises UpstreamProtocolError beyond `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.reads():
            size += len(piece)
            if size > limit:
                raise UpstreamProtocolError(f"the upstream's answer is larger than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def limit_rest(self, seconds: float) -> None:
        """From now on all that is still to come may take so long only."""
        self._until = min(self._until, time.monotonic() + seconds)

    def finish(self) -> None:
        """Read the formal end of a body that is known to be whole, so that the connection is kept;
        waits 50 ms at most.
        """
        self._reader.until = time.monotonic() + _LINGER_S
        try:
            while self._body.read():
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            self._answer.close()

    def close(self) -> None:
        """Release the connection; it is closed if the answer was not read to its end."""
        self._answer.close()
