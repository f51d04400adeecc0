"""Rows of the request log."""

from __future__ import annotations

from gbproxy.storage.request_log import new_id
from tests.support.clock import NOON


def logged(ended_at: float = NOON, **values: object) -> dict[str, object]:
    """The row of a good request, but for these values."""
    return {
        "id": new_id(ended_at, 0),
        "request_id": "r",
        "key": "0f",
        "key_name": "laptop",
        "surface": "openai_chat",
        "model": "gemini-auto",
        "account": "a1",
        "account_name": "anna",
        "status": 200,
        "code": None,
        "ttft_ms": 400,
        "duration_ms": 2000,
        "input_tokens": 10,
        "output_tokens": 20,
        "attempts": 1,
        "is_streamed": True,
        **values,
    }
