"""GatewayError -> the error of Anthropic's API, as a body or as the last event of a stream.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Any

from gbproxy.api.anthropic.answers import MessageErrorBody
from gbproxy.api.format import encode_line
from gbproxy.domain import jsontext
from gbproxy.errors import (
    BadRequest,
    ContextLengthExceeded,
    GatewayError,
    Overloaded,
    UpstreamOverloaded,
)
from gbproxy.observability import request_context
from gbproxy.web.errors import ErrorFormat, retry_headers

_OVERLOADED = 529
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}


class ThreadUnsupported(BadRequest):
    """The request leaves its history to the server, which does not keep it. The official SDK's tool
    runner sends this at first, and on this error the whole history.
    """

    def __init__(self) -> None:
        super().__init__(
            "thread: this gateway keeps no threads; send the whole history, without it",
            param="thread",
        )


def status(error: GatewayError) -> int:
    """529 where this gateway or the upstream is overloaded, else the error's own."""
    return _OVERLOADED if isinstance(error, Overloaded | UpstreamOverloaded) else error.status


def body(error: GatewayError, _status: int) -> bytes:
    """The status that is sent has no place in this body."""
    return jsontext.encode_bytes(_object(error)) + b"\n"


def headers(error: GatewayError) -> dict[str, str]:
    return {**retry_headers(error), **id_header()}


def id_header() -> dict[str, str]:
    """The header of every response by which Anthropic's SDKs know the request; they read no
    `x-request-id`.
    """
    return {"request-id": request_context.current().request_id}


def frame(error: GatewayError) -> bytes:
    """An error after a stream has begun: the official SDKs raise on it, and nothing follows."""
    return b"event: error\ndata: %b\n\n" % encode_line(_object(error))


ERRORS = ErrorFormat(
    body=body,
    headers=headers,
    schema=MessageErrorBody,
    paths=("/v1/messages", "/messages", "/v1/complete", "/complete"),
    header_names=("anthropic-version",),
    status=status,
)


def _object(error: GatewayError) -> dict[str, Any]:
    told: dict[str, Any] = {"type": _type(error), "message": _message(error)}
    if isinstance(error, ThreadUnsupported):
        told["details"] = {"error_code": "thread_unsupported_request"}
    return {"type": "error", "error": told, "request_id": request_context.current().request_id}


def _type(error: GatewayError) -> str:
    # The worker's own refusals, such as 431, have other statuses.
    if isinstance(error, BadRequest):
        return _TYPES[400]
    return _TYPES.get(status(error), "api_error")


def _message(error: GatewayError) -> str:
    if isinstance(error, ContextLengthExceeded):  # agents compact their history on these words
        return f"prompt is too long: {error.message}"
    return error.message
