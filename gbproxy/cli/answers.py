"""What a gateway's API answers -> the object in it, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gbproxy.cli.terminal import CommandError, printable


def object_of(status: int, body: bytes, gateway: str) -> Mapping[str, Any]:
    """The JSON object of an answer that is one, an empty one for none. Raises CommandError for all
    others.
    """
    if not 200 <= status < 300:
        raise failure(status, body, gateway)
    if not body:
        return {}
    answer = _parsed(body)
    if answer is None:
        raise CommandError(
            f"what answers at {gateway} is no gateway of this kind: its answer is not a JSON object"
        )
    return answer


def failure(status: int, body: bytes, gateway: str) -> CommandError:
    """An error in the gateway's words; where it has none, by its status."""
    error = (_parsed(body) or {}).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        return CommandError(
            f"what answers at {gateway} is no gateway of this kind, or out of order: status"
            f" {status}"
        )
    return CommandError(printable(message))


def _parsed(body: bytes) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
