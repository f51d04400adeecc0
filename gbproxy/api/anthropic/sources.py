"""The source of an image or document block -> an attachment, or the text of a plain document.

Source: https://platform.claude.com/docs/en/api/messages/create, ImageBlockParam and
DocumentBlockParam.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment, Wanted
from gbproxy.domain.base64_pieces import go_on
from gbproxy.errors import BadRequest

Block = Mapping[str, Any]


class SourceReader:
    """`max_bytes`: of each file; `rest` is called every few milliseconds of long work."""

    def __init__(self, max_bytes: int, rest: Callable[[], None] = go_on) -> None:
        self._max_bytes = max_bytes
        self._rest = rest

    def file(
        self, source: Block, place: str, *, name: str = "", wanted: Wanted = "file"
    ) -> Attachment | LinkedAttachment:
        """The file of a source `base64`, `url` or `file`; `place`: where the source stands.

        Raises BadRequest or RequestTooLarge, whose `param` names the source's field.
        """
        match source.get("type"):
            case "base64":
                label, place = source.get("media_type"), f"{place}.data"
                return attachment.of_data(
                    text_of(source, "data", place),
                    place,
                    self._max_bytes,
                    label=label if isinstance(label, str) else "",
                    name=name,
                    rest=self._rest,
                )
            case "url":
                place = f"{place}.url"
                url = text_of(source, "url", place)
                return attachment.of_url(
                    url, place, self._max_bytes, name=name, wanted=wanted, rest=self._rest
                )
            case "file":
                place = f"{place}.file_id"
                return StoredAttachment(text_of(source, "file_id", place), place, name, wanted)
            case _:
                raise BadRequest(f"{place}.type is unknown", param=f"{place}.type")


def source_of(block: Block, place: str) -> tuple[Block, str]:
    """The source of a block, and its place. Raises BadRequest."""
    source, place = block.get("source"), f"{place}.source"
    if not isinstance(source, Mapping):
        raise BadRequest(f"{place} must be an object", param=place)
    return source, place


def text_of(item: Block, field: str, place: str) -> str:
    """A field that has to be a text, and not an empty one. Raises BadRequest."""
    text = item.get(field)
    if not isinstance(text, str) or not text:
        raise BadRequest(f"{place} must be a text, and not empty", param=place)
    return text
