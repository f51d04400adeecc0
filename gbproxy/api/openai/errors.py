"""GatewayError -> the error of OpenAI's API, as a body or as the last event of a stream.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import json
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.errors import GatewayError
from gbproxy.web.errors import ErrorFormat, retry_headers


def body(error: GatewayError, _status: int) -> bytes:
    """The status that is sent has no place in this body."""
    return jsontext.encode_bytes(_object(error)) + b"\n"


def frame(error: GatewayError) -> bytes:
    """An error after a stream has begun: the official SDKs raise on it. Nothing follows, no
    `[DONE]` either.
    """
    return f"data: {json.dumps(_object(error))}\n\n".encode()


# /v1/models is shared with other APIs, whose clients are known by their headers
ERRORS = ErrorFormat(
    body=body,
    headers=retry_headers,
    paths=tuple(
        f"{prefix}/{path}"
        for path in ("chat", "completions", "embeddings", "audio", "moderations")
        for prefix in ("/v1", "")
    ),
)


def _object(error: GatewayError) -> dict[str, Any]:
    return {
        "error": {
            "message": error.message,
            "type": _type(error),
            "param": error.param,
            "code": error.code,
        }
    }


def _type(error: GatewayError) -> str:
    """OpenAI's coarse kind of error; `code` is the fine one."""
    if error.status >= 500:
        return "server_error"
    return error.code if error.status == 429 else "invalid_request_error"
