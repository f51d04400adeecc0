"""What one element of a streamed answer holds. Source: docs/upstream.md, elements."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from gbproxy.domain.events import FileOutput
from gbproxy.errors import AnswerTooLarge, UpstreamProtocolError
from gbproxy.upstreams.decoding.objects import as_list, as_mapping, as_text

RUNNING = "IN_PROGRESS"
MOST = 1000  # files, sources, and whatever an element may list
# What an element may hold, at any depth, to bring nothing but a text.
_PLAIN_FIELDS = frozenset(
    {"uToken", "streamAssistResponse", "answer", "assistToken", "name", "state", "replies"}
    | {"groundedContent", "content", "role", "text"}
)
_MEDIA = ("image/", "video/", "audio/")


def is_response(element: Mapping[str, Any]) -> bool:
    """The official API sends the response without the widget's wrapper."""
    return any(
        key in element for key in ("answer", "sessionInfo", "assistToken", "connectorAuthErrors")
    )


def plain_text(element: Mapping[str, Any]) -> str:
    """The text of an element that brings a text and nothing else that could matter; "" for any
    other.
    """
    try:
        response = element["streamAssistResponse"]
        answer = response["answer"]
        (reply,) = answer["replies"]
        content = reply["groundedContent"]["content"]
        text, state = content["text"], answer["state"]
    except (KeyError, TypeError, ValueError):
        return ""
    is_plain = (
        type(text) is str
        and state == RUNNING
        and len(reply) == len(reply["groundedContent"]) == 1
        and _PLAIN_FIELDS.issuperset(content)
        and _PLAIN_FIELDS.issuperset(answer)
        and _PLAIN_FIELDS.issuperset(response)
        and _PLAIN_FIELDS.issuperset(element)
    )
    return text if is_plain else ""


def planned_text(answer: Mapping[str, Any]) -> str:
    """The last text of the model's plan steps: no part of the answer, but equal to it."""
    steps = [
        as_mapping(as_mapping(step).get("planStep"))
        for step in listed(as_mapping(answer.get("diagnosticInfo")).get("plannerSteps"))
    ]
    texts = [
        "".join(as_text(as_mapping(part).get("text")) for part in listed(step.get("parts")))
        for step in steps
    ]
    return next(filter(None, reversed(texts)), "")


def file_of(found: Mapping[str, Any]) -> FileOutput | None:
    """A file kept upstream, or image, video or audio data sent along; other inline data
    (suggestions) is none.
    """
    mime_type = as_text(found.get("mimeType"))
    file_id = found.get("fileId")
    name = found.get("name")
    if isinstance(file_id, str) and file_id:
        return FileOutput(
            mime_type or "application/octet-stream",
            file_id,
            name if isinstance(name, str) else None,
        )
    data = found.get("data") or found.get("bytesBase64Encoded")
    if not isinstance(data, str) or not mime_type.startswith(_MEDIA):
        return None
    try:
        return FileOutput(mime_type, data=base64.b64decode(data))
    except (binascii.Error, ValueError):
        raise UpstreamProtocolError("the upstream sent a file that cannot be decoded") from None


def listed(value: object) -> list[Any]:
    """Raises AnswerTooLarge when it is a list of more than any element has use for."""
    listed = as_list(value)
    if len(listed) > MOST:
        raise AnswerTooLarge(f"an element of the upstream's answer lists more than {MOST}")
    return listed
