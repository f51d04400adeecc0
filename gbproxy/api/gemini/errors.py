"""GatewayError -> the error of Google's APIs, as a body or within a stream.

Source: https://cloud.google.com/apis/design/errors; https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gbproxy.api.gemini.answers import GoogleErrorBody
from gbproxy.domain import jsontext
from gbproxy.errors import BadRequest, ContextLengthExceeded, GatewayError
from gbproxy.web.errors import ErrorFormat, retry_headers

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# The gateway's words for fields that have other names here.
_FIELDS = {
    "messages": "contents",
    "n": "generationConfig.candidateCount",
    "response_format": "generationConfig.responseSchema",
}
_TYPE = "type.googleapis.com/google.rpc."


def body(error: GatewayError, status: int) -> bytes:
    return render(error, status) + b"\n"


def render(error: GatewayError, status: int | None = None) -> bytes:
    """The error as one line of JSON. `status`: the one that is sent, None: the error's own."""
    code = error.status if status is None else status
    found: dict[str, Any] = {
        "code": code,
        "message": _message(error),
        "status": _STATUSES.get(code, "INVALID_ARGUMENT" if 400 <= code < 500 else "INTERNAL"),
    }
    if details := _details(error):
        found["details"] = details
    return jsontext.encode_bytes({"error": found})


def _message(error: GatewayError) -> str:
    if isinstance(error, ContextLengthExceeded):  # agents shorten their history on these words
        return (
            "The input token count exceeds the maximum number of tokens allowed. " + error.message
        )
    return error.message


def _details(error: GatewayError) -> list[Mapping[str, Any]]:
    """The wrong field, and the time to wait, which Google's own programs read here alone."""
    details: list[Mapping[str, Any]] = []
    if isinstance(error, BadRequest) and error.param is not None:
        violation = {
            "field": _FIELDS.get(error.param, error.param),
            "description": error.message,
        }
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        seconds = f"{error.retry_after:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{seconds}s"})
    return details


ERRORS = ErrorFormat(
    body=body,
    headers=retry_headers,
    schema=GoogleErrorBody,
    paths=(
        "/v1beta",
        "/v1alpha",
        "/gemini/v1",
        "/gemini/v1beta",
        "/gemini/v1alpha",
        "/upload/v1beta",
        "/upload/v1",
        "/upload/v1alpha",
        "/gemini/upload",
        "/v1/interactions",
    ),
    # Other APIs have names such as `llama3:latest` below this path, but no methods.
    path_pattern=re.compile(r"/v1/models/.+:(?:[a-z]+(?:[A-Z][a-z]+)+|predict)"),
    header_names=("x-goog-api-client",),
    methods=re.compile(r"(?:/gemini)?/v1(?:beta|alpha)?/models/.+:[A-Za-z]+"),
)
