"""Exceptions of requests, urllib3, http.client and the system -> our errors."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from typing import NoReturn

import requests
import socks  # type: ignore[import-untyped]
import urllib3.exceptions

from gbproxy.errors import UpstreamBroken, UpstreamProtocolError, UpstreamUnreachable
from gbproxy.outbound.timeouts import Deadline


def reraise(error: Exception, deadline: Deadline) -> NoReturn:
    """Raise an error of requests, urllib3 or the system as ours, any other as it is.

    Their messages hold addresses and are not passed on.
    """
    if isinstance(error, requests.RequestException):
        # What it is about is the reason that requests has wrapped.
        error = next((known for known in error.args if isinstance(known, Exception)), error)
    match error:
        # A refused connection is of this class, too.
        case urllib3.exceptions.ConnectTimeoutError() if not isinstance(
            error, urllib3.exceptions.NewConnectionError
        ):
            if deadline.is_over():
                raise deadline.overrun() from error
            connect_s = deadline.timeouts.connect_s
            raise UpstreamUnreachable(
                f"no connection to the upstream within {connect_s:g} s"
            ) from error
        case urllib3.exceptions.ReadTimeoutError() | TimeoutError():
            raise deadline.overrun() from error
        case urllib3.exceptions.ProxyError():
            raise UpstreamBroken(
                f"the proxy in PROXY could not be used ({_cause(error)})"
            ) from error
        case urllib3.exceptions.SSLError() | ssl.SSLError():
            raise UpstreamBroken(
                f"the upstream's TLS certificate or handshake failed ({_cause(error)})"
            ) from error
        case urllib3.exceptions.DecodeError():
            raise UpstreamProtocolError(
                "the upstream's answer could not be decompressed"
            ) from error
        case urllib3.exceptions.HTTPError() | HTTPException() | OSError():
            if any(isinstance(known, socks.ProxyError) for known in _chain(error)):
                raise UpstreamBroken(
                    f"the proxy in PROXY could not be used ({_cause(error)})"
                ) from error
            raise UpstreamBroken(
                f"the connection to the upstream broke ({_cause(error)})"
            ) from error
        case _:
            raise error


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
