"""The file parts of a chat message -> attachments.

Source: https://platform.openai.com/docs/api-reference/chat/create, content parts; and the names
that the same parts have in the Responses API, which programs mix up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.base64_pieces import go_on
from gbproxy.errors import BadRequest

FILE_PARTS = ("image_url", "input_image", "video_url", "input_audio", "file", "input_file")
_AUDIO_NAME = "audio"


class AttachmentReader:
    """`max_bytes`: of each file; `rest` is called every few milliseconds of long work."""

    def __init__(self, max_bytes: int, rest: Callable[[], None] = go_on) -> None:
        self._max_bytes = max_bytes
        self._rest = rest

    def read(self, part: Mapping[str, Any], place: str) -> Attachment | LinkedAttachment:
        """`part` is one of FILE_PARTS, `place` where it stands: `messages[2].content[1]`.

        Raises BadRequest or RequestTooLarge, whose `param` names the part's field.
        """
        match part["type"]:
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
        self, part: Mapping[str, Any], field: str, place: str, *, is_image: bool = False
    ) -> Attachment | LinkedAttachment:
        """The URL stands in an object, or is the field itself."""
        place = f"{place}.{field}"
        value = part.get(field)
        url = value.get("url") if isinstance(value, dict) else value
        return self._from(_text(url, place), place, wanted="image" if is_image else "file")

    def _audio(self, part: Mapping[str, Any], place: str) -> Attachment:
        place, audio = f"{place}.input_audio", _object(part, "input_audio", place)
        data = _text(audio.get("data"), place)
        format_ = audio.get("format")
        label = f"audio/{format_}" if isinstance(format_, str) else ""
        return attachment.of_data(
            data, place, self._max_bytes, label=label, name=_AUDIO_NAME, rest=self._rest
        )

    def _file(self, file: Mapping[str, Any], place: str) -> Attachment | LinkedAttachment:
        name = file.get("filename")
        name = name if isinstance(name, str) else ""
        if file.get("file_url") is not None:
            place = f"{place}.file_url"
            return self._from(_text(file["file_url"], place), place, name=name)
        if file.get("file_data") is None and file.get("file_id") is not None:
            place = f"{place}.file_id"
            raise BadRequest(f"{place}: there is no such file", param=place)
        place = f"{place}.file_data"
        data = _text(file.get("file_data"), place)
        return attachment.of_data(data, place, self._max_bytes, name=name, rest=self._rest)

    def _from(
        self, url: str, place: str, *, name: str = "", wanted: attachment.Wanted = "file"
    ) -> Attachment | LinkedAttachment:
        return attachment.of_url(
            url, place, self._max_bytes, name=name, wanted=wanted, rest=self._rest
        )


def _object(part: Mapping[str, Any], field: str, place: str) -> Mapping[str, Any]:
    value = part.get(field)
    if not isinstance(value, dict):
        raise BadRequest(f"{place}.{field} must be an object", param=f"{place}.{field}")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{place} must be a text that holds a file or its URL", param=place)
    return value
