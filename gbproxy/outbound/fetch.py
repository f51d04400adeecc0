"""Fetches files whose URLs clients give, guarded: by checked addresses only, in limits, without
following redirects.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote

import urllib3.exceptions

from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge
from gbproxy.observability import request_context
from gbproxy.outbound.addresses import is_public
from gbproxy.outbound.answer import Answer
from gbproxy.outbound.body import body_of
from gbproxy.outbound.guard import (
    AddressDenied,
    GuardedConnector,
    HostUnknown,
    Policy,
    Resolver,
    look_up,
    seconds_left,
)
from gbproxy.outbound.pools import reader_of
from gbproxy.outbound.request_head import encoded
from gbproxy.outbound.timeouts import Deadline, Timeouts
from gbproxy.outbound.web_url import WebUrl, parse

_CONNECT_S = 10.0
_HEAD_BYTES = 4096  # by which a type is told


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`max_bytes`: of the decoded body; `timeout_s`: for all of it, the lookup included.

    `refusal` is asked with the first bytes, and the type that the server names, whether the rest is
    wanted: it returns why not, as words that complete "the URL …", or None.
    """

    max_bytes: int
    timeout_s: float = 30.0
    refusal: Callable[[bytes, str], str | None] = lambda head, content_type: None


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """`content_type` is what the server names, without parameters, and `name` the last part of the
    URL's path; either may be "".
    """

    content: bytes = field(repr=False)
    content_type: str
    name: str


class FileFetcher:
    """Safe for use by many threads at once. `resolve` and `is_allowed` are for tests."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        user_agent: str = "gbproxy",
        resolve: Resolver = look_up,
        is_allowed: Policy = is_public,
    ) -> None:
        self._connector = GuardedConnector(
            proxy=proxy, ca_bundle=ca_bundle, resolve=resolve, is_allowed=is_allowed
        )
        self._has_proxy = proxy is not None
        self._user_agent = user_agent

    def fetch(self, url: str, limits: FetchLimits, place: str = "") -> FetchedFile:
        """`place` names the part of the request that holds the URL, as errors do.

        Raises BadRequest, or RequestTooLarge for the size, with the reason in words and without an
        address that the host leads to.
        """
        context = request_context.current()
        until = min(time.monotonic() + limits.timeout_s, context.until)
        context.begin_wait()
        try:
            return self._fetched(_parsed(url), limits, until)
        except GatewayError as error:
            error.message, error.param = _at(place, error.message), place or None
            raise
        except _FAILURES as error:
            raise BadRequest(_at(place, self._reason(error)), param=place or None) from error
        finally:
            context.end_wait()

    def _fetched(self, url: WebUrl, limits: FetchLimits, until: float) -> FetchedFile:
        with closing(self._connector.connect(url, min(until, time.monotonic() + _CONNECT_S))) as to:
            request = encoded("GET", url.target, self._headers(url), None)
            to.send_request((request,), Deadline(Timeouts(request_s=seconds_left(until)), until))
            with closing(Answer(reader_of(to.sock, until))) as answer:
                answer.begin()
                _check_head(answer, limits)
                content_type = answer.value("content-type").partition(";")[0].strip().lower()
                content = _read(answer, limits, content_type)
        return FetchedFile(content, content_type, _last_name(url))

    def _headers(self, url: WebUrl) -> dict[str, str]:
        return {
            "Host": url.host_header,
            "User-Agent": self._user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }

    def _reason(self, error: Exception) -> str:
        match error:
            case AddressDenied():
                return "the URL leads into a network that files are not fetched from"
            case HostUnknown():
                return "the URL's host is not known"
            case urllib3.exceptions.NewConnectionError():  # to urllib3 it is a timeout, too
                return self._unreachable()
            case TimeoutError() | urllib3.exceptions.TimeoutError():
                return "the URL's file did not arrive in time"
            case urllib3.exceptions.SSLError() | ssl.SSLError():
                return "the URL's host has no valid TLS certificate, or its handshake failed"
            case _:
                return self._unreachable()

    def _unreachable(self) -> str:
        through = " through the proxy in PROXY" if self._has_proxy else ""
        return f"the URL's host could not be reached{through}, or its answer broke off"


_FAILURES = (AddressDenied, HostUnknown, OSError, HTTPException, urllib3.exceptions.HTTPError)


def _parsed(url: str) -> WebUrl:
    try:
        return parse(url)
    except ValueError as error:
        raise BadRequest(f"the URL {error}") from error


def _check_head(answer: Answer, limits: FetchLimits) -> None:
    status = answer.status
    if 300 <= status < 400:
        raise BadRequest("the URL redirects elsewhere, which is not followed: give the last one")
    if status != HTTPStatus.OK:
        raise BadRequest(f"the URL's host answers with status {status}")
    if answer.length is not None and answer.length > limits.max_bytes:
        raise _too_large(limits)


def _read(answer: Answer, limits: FetchLimits, content_type: str) -> bytes:
    """The decoded body, of which no more than `max_bytes` is ever held."""
    body = body_of(answer)
    content = io.BytesIO()
    is_known = False
    while piece := body.read():
        if content.tell() + len(piece) > limits.max_bytes:
            raise _too_large(limits)
        content.write(piece)
        if not is_known and content.tell() >= _HEAD_BYTES:
            _check_kind(content, content_type, limits)
            is_known = True
    if not is_known:
        _check_kind(content, content_type, limits)
    return content.getvalue()  # which is no copy


def _check_kind(content: io.BytesIO, content_type: str, limits: FetchLimits) -> None:
    refusal = limits.refusal(bytes(content.getbuffer()[:_HEAD_BYTES]), content_type)
    if refusal is not None:
        raise BadRequest(f"the URL {refusal}")


def _too_large(limits: FetchLimits) -> RequestTooLarge:
    return RequestTooLarge(f"the URL's file is larger than {limits.max_bytes} bytes")


def _last_name(url: WebUrl) -> str:
    return unquote(url.target.partition("?")[0].rpartition("/")[2], errors="ignore")


def _at(place: str, message: str) -> str:
    return f"{place}: {message}" if place else message
