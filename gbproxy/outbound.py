"""The one door to other people's HTTP: timeouts, proxy, TLS, errors.

Requests go straight through `HTTPAdapter`, without a `requests.Session`: a session would carry cookies from one account to
another, follow redirects and read proxies and netrc from the environment. Here none of that can happen.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import requests
import requests.adapters
import socks  # type: ignore[import-untyped]
import urllib3.exceptions

from gbproxy.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout
from gbproxy.observability import trace

READ_SIZE = 64 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
_LINGER_S = 0.05  # how long the end of a body that is already whole may take


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect; of silence between bytes; for a whole answer."""

    connect_s: float = 10
    read_s: float = 120
    request_s: float = 1800


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are matched in any case."""

    status: int
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...]
    body: bytes


class Outbound:
    """Sends requests; safe for use by many threads at once."""

    def __init__(
        self,
        timeouts: Timeouts = Timeouts(),
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        pool_size: int = 1000,
    ) -> None:
        self._timeouts = timeouts
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._adapter = _Adapter(ca_bundle, pool_size)

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
        with _upstream_errors(self._timeouts, started):
            response = self._adapter.send(
                requests.Request(method, url, headers=dict(headers), data=body).prepare(),
                stream=True,
                timeout=(self._timeouts.connect_s, min(self._timeouts.read_s, self._timeouts.request_s)),
                proxies=self._proxies,
            )
        trace.current().upstream_s += time.perf_counter() - started
        try:
            yield StreamedReply(response, self._timeouts, started)
        finally:
            response.close()

    def close(self) -> None:
        self._adapter.close()


class StreamedReply:
    """An answer whose body is still arriving."""

    def __init__(self, response: requests.Response, timeouts: Timeouts, started: float) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._raw = response.raw
        self._timeouts = timeouts
        self._begun = started
        self._silence_s = timeouts.read_s

    @property
    def set_cookies(self) -> tuple[str, ...]:
        return tuple(self._raw.headers.getlist("Set-Cookie"))

    def reads(self) -> Generator[bytes]:
        """Yield the decoded body as it arrives, in the pieces in which it arrives.

        Raises UpstreamTimeout on silence or when the whole answer takes too long, UpstreamError when the connection breaks.
        """
        measured = trace.current()
        while True:
            started = time.perf_counter()
            left_s = self._begun + self._timeouts.request_s - started
            if left_s <= 0:
                raise UpstreamTimeout(_what_took_too_long(self._timeouts, self._timeouts.request_s))
            if left_s < self._silence_s:
                self._set_timeout(left_s)
            try:
                with _upstream_errors(self._timeouts, self._begun):
                    data = self._raw.read1(READ_SIZE, decode_content=True)
            finally:
                measured.upstream_s += time.perf_counter() - started
            if not data:
                return
            yield data

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

    def limit_silence(self, seconds: float) -> None:
        """From now on let the upstream be silent for so long only."""
        self._silence_s = seconds
        self._set_timeout(seconds)

    def finish(self) -> None:
        """The body is known to be whole: read its formal end, so that the connection is kept, but hardly wait for it."""
        self.limit_silence(_LINGER_S)
        try:
            while self._raw.read1(READ_SIZE, decode_content=True):
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            self._raw.close()

    def _set_timeout(self, seconds: float) -> None:
        sock = getattr(self._raw.connection, "sock", None)
        if sock is None:  # a connection that ends with its answer has left its socket to the file that reads it
            sock = getattr(getattr(getattr(self._raw, "_fp", None), "fp", None), "raw", None)
            sock = getattr(sock, "_sock", None)
        if sock is not None:
            sock.settimeout(seconds)


class _Adapter(requests.adapters.HTTPAdapter):
    """An HTTPAdapter with one TLS context for all its connections: reading the CA bundle costs 10 ms each time."""

    def __init__(self, ca_bundle: Path | None, pool_size: int) -> None:
        self._context = _tls_context(ca_bundle)
        super().__init__(pool_connections=32, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if not proxy.lower().startswith("socks"):
            kwargs["proxy_ssl_context"] = self._context
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave trust to the context, which requires a valid certificate and the right host name."""
        conn.cert_reqs = "CERT_REQUIRED"


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is not None:
        is_dir = ca_bundle.is_dir()
        return ssl.create_default_context(
            cafile=None if is_dir else str(ca_bundle), capath=str(ca_bundle) if is_dir else None
        )
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_ca_directory():
        context.load_verify_locations(certifi.where())
    return context


def _has_ca_directory() -> bool:
    capath = ssl.get_default_verify_paths().capath
    return capath is not None and any(Path(capath).iterdir())


@contextmanager
def _upstream_errors(timeouts: Timeouts, started: float) -> Iterator[None]:
    """Turn what requests and urllib3 raise into ours. Their messages hold addresses and are not passed on."""
    try:
        yield
    except (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError) as error:
        raise UpstreamTimeout(f"no connection to the upstream within {timeouts.connect_s:g} s") from error
    except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise UpstreamTimeout(_what_took_too_long(timeouts, time.perf_counter() - started)) from error
    except requests.exceptions.ProxyError as error:
        raise UpstreamError(f"the proxy in PROXY could not be used ({_cause(error)})") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError) as error:
        raise UpstreamError(f"the upstream's TLS certificate or handshake failed ({_cause(error)})") from error
    except urllib3.exceptions.DecodeError as error:
        raise UpstreamProtocolError("the upstream's answer could not be decompressed") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if any(isinstance(known, socks.ProxyError) for known in _chain(error)):
            raise UpstreamError(f"the proxy in PROXY could not be used ({_cause(error)})") from error
        raise UpstreamError(f"the connection to the upstream broke ({_cause(error)})") from error


def _what_took_too_long(timeouts: Timeouts, elapsed_s: float) -> str:
    if elapsed_s >= timeouts.request_s:
        return f"the answer took longer than {timeouts.request_s:g} s"
    if elapsed_s < timeouts.read_s:  # nothing may be read yet: the TLS handshake has the time that connecting has
        return f"no connection to the upstream within {timeouts.connect_s:g} s"
    return f"the upstream was silent for {timeouts.read_s:g} s"


def _chain(error: BaseException) -> list[BaseException]:
    """An error and all that led to it, the innermost last."""
    reasons = [error]
    for known in reasons:
        inner = [known.__cause__, known.__context__, getattr(known, "reason", None), *known.args]
        reasons += [e for e in inner if isinstance(e, BaseException) and e not in reasons]
    return reasons


def _cause(error: BaseException) -> str:
    """The innermost reason, in the operating system's or OpenSSL's words, which hold no address."""
    reasons = _chain(error)
    for known in reversed(reasons):
        if isinstance(known, ssl.SSLError):
            return known.reason or "TLS"
        if isinstance(known, OSError) and known.strerror:
            return known.strerror
    return type(reasons[-1]).__name__
