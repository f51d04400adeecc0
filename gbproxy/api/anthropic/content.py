"""The content blocks of a user's message or of a tool's result -> parts.

Source: https://platform.claude.com/docs/en/api/messages/create, ContentBlockParam. What a user or a
tool says is never passed over: an answer that disregards it would be a wrong one. Blocks that only
this API's own servers write, and clients hand back, are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gbproxy.api.anthropic.sources import SourceReader, source_of
from gbproxy.api.bounds import MOST_PARTS
from gbproxy.domain import jsontext
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import TextPart, ToolResultPart
from gbproxy.errors import BadRequest

_HANDED_BACK = frozenset(
    ("thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use", "fallback",
     "compaction", "browser_state")
)  # fmt: skip
_FAILED = "The tool failed:\n"

Block = Mapping[str, Any]
Said = TextPart | Attachment | LinkedAttachment


class ContentReader:
    """Reads the blocks of one request. `has_passed_over` is True once one was left out."""

    def __init__(self, sources: SourceReader) -> None:
        self.has_passed_over = False
        self._sources = sources
        self._left = MOST_PARTS

    def blocks(self, content: object, place: str) -> list[tuple[str, Block, str]]:
        """Each block of a content with its type and place; a text is one block. Raises
        BadRequest.
        """
        if isinstance(content, str):
            return [("text", {"text": content}, place)]
        if not isinstance(content, list):
            raise BadRequest(f"{place} must be a text or a list of blocks", param=place)
        self._left -= len(content)
        if self._left < 0:
            raise BadRequest(
                f"{place}: the messages have more than {MOST_PARTS} blocks in all", param=place
            )
        return [_typed(block, f"{place}.{i}") for i, block in enumerate(content)]

    def said(self, kind: str, block: Block, place: str) -> Iterator[Said]:
        """The parts of one block, none if it is passed over. Raises BadRequest or
        RequestTooLarge.
        """
        match kind:
            case "text":
                yield text_part(block, place)
            case "image":
                yield self._sources.file(*source_of(block, place), wanted="image")
            case "document":
                yield from self._document(block, place)
            case "container_upload":  # there is no container: the model reads it itself
                yield self._sources.file({**block, "type": "file"}, place)
            case "search_result":
                yield TextPart(_lines(block, "title", "source"))
                yield from self._all(block.get("content"), f"{place}.content")
            case "tool_reference":  # to a tool that the model was told of from the beginning
                yield TextPart(_lines(block, "tool_name"))
            case _ if kind in _HANDED_BACK or kind.endswith("_tool_result"):
                self.has_passed_over = True
            case _:
                place = f"{place}.type"
                raise BadRequest(
                    f"{place}: blocks of the type {kind[:80]} are not taken", param=place
                )

    def result(self, block: Block, place: str) -> tuple[ToolResultPart | Said, ...]:
        """A `tool_result`: its text, then its files."""
        call_id, content = block.get("tool_use_id"), block.get("content")
        parts = list(self._result_content(content, f"{place}.content"))
        text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
        if block.get("is_error") is True:
            text = f"{_FAILED}{text}"
        files = (part for part in parts if not isinstance(part, TextPart))
        return ToolResultPart(call_id if isinstance(call_id, str) else "", text), *files

    def _result_content(self, content: object, place: str) -> Iterator[Said]:
        if content is None:
            return
        if isinstance(content, str | list):
            yield from self._all(content, place)
        else:  # a result that was not made a text of
            yield TextPart(json_text(content, place))

    def _document(self, block: Block, place: str) -> Iterator[Said]:
        source, place = source_of(block, place)
        title = block.get("title")
        match source.get("type"):
            case "text":
                yield from _preface(block, "title", "context")
                yield TextPart(_plain(source, f"{place}.data"))
            case "content":
                yield from _preface(block, "title", "context")
                yield from self._all(source.get("content"), f"{place}.content")
            case _:
                yield from _preface(block, "context")
                yield self._sources.file(
                    source, place, name=title if isinstance(title, str) else ""
                )

    def _all(self, content: object, place: str) -> Iterator[Said]:
        for kind, block, where in self.blocks(content, place):
            yield from self.said(kind, block, where)


def text_part(block: Block, place: str) -> TextPart:
    """Raises BadRequest."""
    text = block.get("text")
    if not isinstance(text, str):
        raise BadRequest(f"{place}.text must be a text", param=f"{place}.text")
    return TextPart(text)


def json_text(value: object, place: str) -> str:
    """The JSON of what a client has decoded. Raises BadRequest."""
    try:
        return jsontext.encode(value)
    except ValueError as error:
        raise BadRequest(f"{place} {error}", param=place) from error


def _typed(block: object, place: str) -> tuple[str, Block, str]:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str):
        raise BadRequest(f"{place} must be an object with a type", param=place)
    return kind, block, place


def _preface(block: Block, *fields: str) -> Iterator[TextPart]:
    """What a client says of a document, before it."""
    if text := _lines(block, *fields):
        yield TextPart(text)


def _lines(block: Block, *fields: str) -> str:
    texts = (block.get(field) for field in fields)
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _plain(source: Block, place: str) -> str:
    data = source.get("data")
    if not isinstance(data, str):
        raise BadRequest(f"{place} must be a text", param=place)
    return data
