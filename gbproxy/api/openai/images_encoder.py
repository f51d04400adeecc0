"""Events -> the answer to a request for images, whole, or as the one event of each picture.

Source: https://platform.openai.com/docs/api-reference/images and images-streaming
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.api.openai import errors, image_facts
from gbproxy.api.openai.images_request import ParsedImages
from gbproxy.domain import jsontext
from gbproxy.domain.base64_pieces import encoded
from gbproxy.domain.choices import Answers, ChoiceEvent
from gbproxy.domain.events import (
    IMAGE_TOKENS,
    Answer,
    ChatEvent,
    Done,
    FileOutput,
    Refusal,
    TextDelta,
    Usage,
)
from gbproxy.domain.media import is_image
from gbproxy.errors import BadRequest, GatewayError, UpstreamError


class ImageBlocked(BadRequest):
    """The upstream's policy forbids the picture."""

    code = "content_policy_violation"


class ImagesEncoder:
    """Writes the pictures of one answer, or of several. Raises ImageBlocked, or UpstreamError where
    an answer has none.

    No picture is sent before its answer is whole, so the only events of a stream are the last ones:
    `partial_images` has no effect.
    """

    heartbeat = b": ping\n\n"
    stream_type = "text/event-stream; charset=utf-8"
    whole_type = "application/json"

    def __init__(self, parsed: ParsedImages) -> None:
        self._parsed = parsed
        self._created = int(time.time())
        self._found: list[FileOutput] = []
        self._has_missed = False  # one whose bytes were not to be had
        self._said: list[str] = []
        self._refusal: str | None = None
        self._usage = Usage(0, 0)

    def feed(self, event: ChatEvent | ChoiceEvent) -> bytes:
        match event:
            case ChoiceEvent(_, Done()):
                pass
            case ChoiceEvent(_, inner):
                self._read(inner)
            case Done():
                self._ensure_found()
                return b"".join(map(self._event, self._found))
            case _:
                self._read(event)
        return b""

    def error(self, error: GatewayError) -> bytes:
        return errors.frame(error)

    def whole(self, answer: Answer | Answers) -> bytes:
        self._usage = answer.usage
        for each in answer.choices if isinstance(answer, Answers) else (answer,):
            for file in each.files:
                self._add(file)
            self._said.append(each.text)
            self._refusal = self._refusal or each.refusal
        self._ensure_found()
        body = {
            "created": self._created,
            "data": [_entry(file) for file in self._found],
            **_shared(list(map(image_facts.of, self._found))),
            "usage": self._counted(),
        }
        return jsontext.encode_bytes(body)

    def _read(self, event: ChatEvent) -> None:
        match event:
            case FileOutput():
                self._add(event)
            case TextDelta(text):
                self._said.append(text)
            case Refusal(text):
                self._refusal = text
            case Usage():
                self._usage = event
            case _:
                pass

    def _add(self, file: FileOutput) -> None:
        if not is_image(file.mime_type):
            return
        if file.data is None and self._parsed.chat.media.image_bytes:
            self._has_missed = True
        else:
            self._found.append(file)

    def _ensure_found(self) -> None:
        if self._found:
            return
        if self._has_missed:
            raise UpstreamError("the image could not be fetched from the upstream")
        if self._refusal is not None:
            raise ImageBlocked(self._refusal, param="prompt")
        raise image_facts.missing("".join(self._said))

    def _event(self, file: FileOutput) -> bytes:
        name = "image_edit.completed" if self._parsed.is_edit else "image_generation.completed"
        event = {
            "type": name,
            "created_at": self._created,
            "size": "auto",  # where it is not known: clients expect the fields
            "quality": "auto",
            "background": "auto",
            **image_facts.of(file),
            **_entry(file),
            "usage": self._counted(),
        }
        return b"event: %b\ndata: %b\n\n" % (name.encode(), jsontext.encode_bytes(event))

    def _counted(self) -> dict[str, Any]:
        usage, images = self._usage, IMAGE_TOKENS * len(self._found)
        return {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"text_tokens": usage.input_tokens, "image_tokens": 0},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {
                "text_tokens": max(0, usage.output_tokens - images),
                "image_tokens": min(images, usage.output_tokens),
            },
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "gbproxy_estimated": True,
        }


def _shared(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all pictures have in common, and the first one's format, which has to be there."""
    first, *others = facts
    return {
        name: value
        for name, value in first.items()
        if name == "output_format" or all(each.get(name) == value for each in others)
    }


def _entry(file: FileOutput) -> dict[str, str]:
    if file.data is None:
        return {"url": file.url}
    return {"b64_json": b"".join(encoded(file.data)).decode()}
