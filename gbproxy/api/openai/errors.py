"""The errors of OpenAI's API: where they are told, and how in a stream that has begun."""

from __future__ import annotations

import json

from gbproxy.api import error_object
from gbproxy.errors import GatewayError
from gbproxy.web.errors import ErrorFormat, retry_headers

# /v1/models is shared with other APIs, whose clients are known by their headers
ERRORS = ErrorFormat(
    body=error_object.body,
    headers=retry_headers,
    schema=error_object.ErrorBody,
    paths=tuple(
        f"{prefix}/{path}"
        for path in (
            "chat",
            "completions",
            "responses",
            "conversations",
            "embeddings",
            "audio",
            "images",
            "moderations",
            "fine_tuning",
            "assistants",
            "containers",
            "evals",
            "realtime",
            "threads",
            "uploads",
            "vector_stores",
            "videos",
        )
        for prefix in ("/v1", "")
    ),
)


def frame(error: GatewayError) -> bytes:
    """An error after a stream has begun: the official SDKs raise on it. Nothing follows, no
    `[DONE]` either.
    """
    told = json.dumps({"error": error_object.error_object(error)})
    return f"data: {told}\n\n".encode()
