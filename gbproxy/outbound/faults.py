"""What requests, urllib3 and the system raise -> our errors, and the time limits that some of them speak of."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, replace
from typing import NoReturn

import requests
import socks  # type: ignore[import-untyped]
import urllib3.exceptions

from gbproxy.errors import UpstreamBroken, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect; of silence between bytes; for a whole answer; for a small one, which nobody has to think about."""

    connect_s: float = 10
    read_s: float = 120
    request_s: float = 1800
    call_s: float = 30

    def of_call(self) -> Timeouts:
        return replace(self, read_s=min(self.read_s, self.call_s), request_s=min(self.request_s, self.call_s))


DEFAULT_TIMEOUTS = Timeouts()


def reraise(error: Exception, timeouts: Timeouts, started: float) -> NoReturn:
    """Raise what requests, urllib3 or the system raised as our error, anything else as it is.

    Their messages hold addresses and are not passed on. `started`: when the request was sent (time.perf_counter).
    """
    match error:
        case requests.ConnectTimeout() | urllib3.exceptions.ConnectTimeoutError():
            raise UpstreamUnreachable(f"no connection to the upstream within {timeouts.connect_s:g} s") from error
        case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError() | TimeoutError():
            raise UpstreamTimeout(what_took_too_long(timeouts, time.perf_counter() - started)) from error
        case requests.exceptions.ProxyError():
            raise UpstreamBroken(f"the proxy in PROXY could not be used ({_cause(error)})") from error
        case requests.exceptions.SSLError() | urllib3.exceptions.SSLError() | ssl.SSLError():
            raise UpstreamBroken(f"the upstream's TLS certificate or handshake failed ({_cause(error)})") from error
        case urllib3.exceptions.DecodeError():
            raise UpstreamProtocolError("the upstream's answer could not be decompressed") from error
        case requests.RequestException() | urllib3.exceptions.HTTPError() | OSError():
            if any(isinstance(known, socks.ProxyError) for known in _chain(error)):
                raise UpstreamBroken(f"the proxy in PROXY could not be used ({_cause(error)})") from error
            raise UpstreamBroken(f"the connection to the upstream broke ({_cause(error)})") from error
        case _:
            raise error


def never_left(error: Exception) -> bool:
    """Whether a request surely did not reach the upstream: there was no connection yet."""
    kinds = (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError)
    return isinstance(error, kinds) or any(
        isinstance(known, urllib3.exceptions.NewConnectionError | socks.ProxyError) for known in _chain(error)
    )


def what_took_too_long(timeouts: Timeouts, elapsed_s: float) -> str:
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
