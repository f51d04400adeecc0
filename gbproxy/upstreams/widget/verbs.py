"""The widget's control verbs: what metrics and logs call them, and how their answers are read.

Source: docs/upstream.md, calls, errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gbproxy.errors import (
    ConfigRefused,
    SessionDenied,
    UpstreamBroken,
    UpstreamError,
    UpstreamProtocolError,
)
from gbproxy.outbound import Reply
from gbproxy.upstreams.decoding.objects import decode_body
from gbproxy.upstreams.stream_assist import google_errors
from gbproxy.upstreams.stream_assist.wording import ErrorContext

T = TypeVar("T")

_WITHOUT_SESSION = ("widgetCreateSession", "widgetListSessions", "lookupWidgetConfig")
_WORDS = {
    "widgetCreateSession": "createSession",
    "widgetListSessions": "listSessions",
    "widgetDeleteSession": "deleteSession",
    "widgetAddContextFile": "addContextFile",
    "widgetListSessionFileMetadata": "listSessionFileMetadata",
    "lookupWidgetConfig": "lookupWidgetConfig",
}


def word(verb: str) -> str:
    """What metrics and logs call a verb."""
    return _WORDS[verb]


def answered(verb: str, reply: Reply) -> Mapping[str, Any]:
    """The object that a call is answered with. Raises the error that it is refused with, and
    UpstreamProtocolError when it is no object.
    """
    # A 403 does not say what it means; whether the call named a session does.
    denied: type[UpstreamError] = ConfigRefused if verb in _WITHOUT_SESSION else SessionDenied
    with ErrorContext(_WORDS[verb], reply, reply.body):
        if reply.status != 200:
            raise google_errors.from_reply(reply.status, reply.headers, reply.body, denied=denied)
        return _object(reply, denied)


def asked_twice(ask: Callable[[], T]) -> T:
    """Ask once more where the connection broke, as an idle one may at any moment: for calls that do
    nothing twice.
    """
    try:
        return ask()
    except UpstreamBroken:
        return ask()


def _object(reply: Reply, denied: type[UpstreamError]) -> Mapping[str, Any]:
    answer = decode_body(reply.body or b"{}")
    if isinstance(answer, dict):
        error_object = google_errors.in_stream(answer)
        if error_object is not None:
            raise google_errors.from_error(error_object, denied=denied)
        return answer
    raise UpstreamProtocolError("the upstream's answer is not an object")
