"""The parts of an item's content -> the parts of a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gbproxy.api.bounds import MOST_PARTS
from gbproxy.api.openai.attachments import FILE_PARTS, AttachmentReader
from gbproxy.api.openai.messages import has_cache_breakpoint, json_of
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import TextPart
from gbproxy.errors import BadRequest

_TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")

ContentPart = TextPart | Attachment | LinkedAttachment


@dataclass(slots=True)
class ContentReader:
    """Reads the contents of one request. `has_cache_breakpoint`: a part has said up to where OpenAI
    is to cache the prompt. Raises BadRequest, whose `param` names the place.
    """

    files: AttachmentReader
    parts_left: int = MOST_PARTS
    has_cache_breakpoint: bool = False

    def read(self, content: object, place: str, *, takes_files: bool) -> Iterator[ContentPart]:
        """What a user, a tool or the system has said: nothing of it is left out."""
        if isinstance(content, str):
            yield TextPart(content)
            return
        for i, part in enumerate(self._counted(content, place)):
            where = f"{place}[{i}]"
            kind = _kind(part, where)
            if kind in _TEXT_PARTS:
                yield TextPart(text_of(part, "text", where))
            elif kind in FILE_PARTS and takes_files:
                yield self.files.read(part, where)
            elif kind in FILE_PARTS:
                raise BadRequest(f"{where}: only text is taken here, no {kind}", param=where)
            else:
                message = f"{where}.type is unknown: only texts and files are taken"
                raise BadRequest(message, param=f"{where}.type")

    def read_answer(self, content: object, place: str) -> str:
        """The text of an assistant's message; a refusal counts where there is no other."""
        if isinstance(content, str | None):
            return content or ""
        texts, refusals = [], []
        for i, part in enumerate(self._counted(content, place)):
            where = f"{place}[{i}]"
            kind = _kind(part, where)
            if kind == "refusal":
                refusals.append(text_of(part, "refusal", where))
            elif kind in _TEXT_PARTS:
                texts.append(text_of(part, "text", where))
        return "\n".join(texts or refusals)

    def read_result(
        self, output: object, place: str
    ) -> tuple[str, list[Attachment | LinkedAttachment]]:
        """The text of a tool's output, and the files in it."""
        if isinstance(output, str):
            return output, []
        if not isinstance(output, list):
            return json_of(output, place), []
        parts = list(self.read(output, place, takes_files=True))
        text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
        return text, [part for part in parts if not isinstance(part, TextPart)]

    def _counted(self, content: object, place: str) -> list[Any]:
        if not isinstance(content, list):
            raise BadRequest(f"{place} must be a text or a list of parts", param=place)
        self.parts_left -= len(content)
        if self.parts_left < 0:
            message = f"{place}: the items have more than {MOST_PARTS} parts in all"
            raise BadRequest(message, param=place)
        self.has_cache_breakpoint |= has_cache_breakpoint(content)
        return content


def text_of(part: Any, field: str, place: str) -> str:
    """A field that has to be a text."""
    text = part.get(field)
    if not isinstance(text, str):
        raise BadRequest(f"{place}.{field} must be a text", param=f"{place}.{field}")
    return text


def _kind(part: object, place: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise BadRequest(f"{place} must be an object with a type", param=place)
    return kind
