"""GatewayError -> the error object of OpenAI's API, in which several formats tell theirs, and what
belongs to no format.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from typing import Any

from gbproxy.domain import jsontext
from gbproxy.errors import GatewayError
from gbproxy.web.operations import AnswerModel


class ErrorObject(AnswerModel):
    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(AnswerModel):
    """`code` is the stable part."""

    error: ErrorObject


def body(error: GatewayError, _status: int) -> bytes:
    """The status that is sent has no place in this body."""
    return jsontext.encode_bytes({"error": error_object(error)}) + b"\n"


def error_object(error: GatewayError) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": _type(error),
        "param": error.param,
        "code": error.code,
    }


def _type(error: GatewayError) -> str:
    """OpenAI's coarse kind of error; `code` is the fine one."""
    if error.status >= 500:
        return "server_error"
    return error.code if error.status == 429 else "invalid_request_error"
