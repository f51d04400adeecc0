"""The file parts of a chat message -> attachments.

Source: https://platform.openai.com/docs/api-reference/chat/create, content parts; and the names
that the same parts have in the Responses API, which programs mix up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.base64_pieces import go_on
from gbproxy.domain.inline_file import InlineFile
from gbproxy.errors import BadRequest

FILE_PARTS = ("image_url", "input_image", "video_url", "input_audio", "file", "input_file")
_AUDIO_NAME = "audio"


class AttachmentReader:
    """`max_bytes`: of each file; `rest` is called every few milliseconds of long work.

    The text of a large file is replaced, where it stands, by an InlineFile of the bytes that were
    read from it, and such an InlineFile is read like the text.
    """

    def __init__(self, max_bytes: int, rest: Callable[[], None] = go_on) -> None:
        self._max_bytes = max_bytes
        self._rest = rest

    def read(self, part: dict[str, Any], place: str) -> Attachment | LinkedAttachment:
        """`part` is one of FILE_PARTS, `place` where it stands: `messages[2].content[1]`.

        Raises BadRequest or RequestTooLarge, whose `param` names the part's field.
        """
        match part["type"]:
            case "input_image" if part.get("image_url") is None and part.get("file_id") is not None:
                place = f"{place}.file_id"
                return StoredAttachment(_text(part["file_id"], place), place, wanted="image")
            case "image_url" | "input_image":
                return self._url(part, "image_url", place, is_image=True)
            case "video_url":
                return self._url(part, "video_url", place)
            case "input_audio":
                return self._audio(part, place)
            case "file":
                return self._file(_object(part, "file", place), f"{place}.file")
            case _:
                return self._file(part, place)

    def _url(
        self, part: dict[str, Any], field: str, place: str, *, is_image: bool = False
    ) -> Attachment | LinkedAttachment:
        """The URL stands in an object, or is the field itself."""
        value = part.get(field)
        holder, key = (value, "url") if isinstance(value, dict) else (part, field)
        return self._from(holder, key, f"{place}.{field}", wanted="image" if is_image else "file")

    def _audio(self, part: Mapping[str, Any], place: str) -> Attachment:
        place, audio = f"{place}.input_audio", _object(part, "input_audio", place)
        format_ = audio.get("format")
        label = f"audio/{format_}" if isinstance(format_, str) else ""
        return self._data(audio, "data", place, label=label, name=_AUDIO_NAME)

    def _file(self, file: dict[str, Any], place: str) -> Attachment | LinkedAttachment:
        name = file.get("filename")
        name = name if isinstance(name, str) else ""
        if file.get("file_url") is not None:
            return self._from(file, "file_url", f"{place}.file_url", name=name)
        if file.get("file_data") is None and file.get("file_id") is not None:
            place = f"{place}.file_id"
            return StoredAttachment(_text(file["file_id"], place), place, name)
        return self._data(file, "file_data", f"{place}.file_data", name=name)

    def _data(
        self, holder: dict[str, Any], key: str, place: str, *, name: str, label: str = ""
    ) -> Attachment:
        value = holder.get(key)
        if isinstance(value, InlineFile):
            return self._inline(value, place, name=name, label=label)
        data = _text(value, place)
        return _kept(
            attachment.of_data(
                data, place, self._max_bytes, label=label, name=name, rest=self._rest
            ),
            holder,
            key,
        )

    def _from(
        self,
        holder: dict[str, Any],
        key: str,
        place: str,
        *,
        name: str = "",
        wanted: attachment.Wanted = "file",
    ) -> Attachment | LinkedAttachment:
        value = holder.get(key)
        if isinstance(value, InlineFile):
            return self._inline(value, place, name=name)
        url = _text(value, place)
        found = attachment.of_url(
            url, place, self._max_bytes, name=name, wanted=wanted, rest=self._rest
        )
        return _kept(found, holder, key) if isinstance(found, Attachment) else found

    def _inline(
        self, file: InlineFile, place: str, *, name: str = "", label: str = ""
    ) -> Attachment:
        return attachment.of_inline_file(
            file, place, self._max_bytes, label=label, name=name, rest=self._rest
        )


def _kept(found: Attachment, holder: dict[str, Any], key: str) -> Attachment:
    """The attachment, whose text in the body is let go of."""
    file = InlineFile.in_place_of(holder[key], found.content)
    if file is not None:
        holder[key] = file
    return found


def _object(part: Mapping[str, Any], field: str, place: str) -> dict[str, Any]:
    value = part.get(field)
    if not isinstance(value, dict):
        raise BadRequest(f"{place}.{field} must be an object", param=f"{place}.{field}")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest(
            f"{place} must be a text that holds a file, its URL or its id", param=place
        )
    return value
