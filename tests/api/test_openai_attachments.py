"""The file parts of chat messages, as programs send them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gbproxy.api.openai.attachments import FILE_PARTS, AttachmentReader
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge

AT = "messages[2].content[1]"
PNG = b"\x89PNG\r\n\x1a\npixels"
WAV = b"RIFF\x01\x02\x03\x04WAVEfmt "
PDF = b"%PDF-1.7"
LINK = "https://example.com/a"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def data_url(content: bytes, label: str = "application/octet-stream") -> str:
    return f"data:{label};base64,{b64(content)}"


def read(part: dict[str, Any], max_bytes: int = 1000) -> Attachment | LinkedAttachment:
    return AttachmentReader(max_bytes).read(part, AT)


@pytest.mark.parametrize(
    ("part", "field", "content", "kind", "name"),
    [
        ({"type": "image_url", "image_url": {"url": data_url(PNG, "image/jpeg"), "detail": "low"}}, "image_url", PNG, "image/png", "file.png"),
        ({"type": "image_url", "image_url": data_url(PNG)}, "image_url", PNG, "image/png", "file.png"),
        ({"type": "input_image", "image_url": data_url(PNG)}, "image_url", PNG, "image/png", "file.png"),
        ({"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "mp3"}}, "input_audio", WAV, "audio/wav", "audio.wav"),
        ({"type": "input_audio", "input_audio": {"data": b64(b"\0\0"), "format": "mp3"}}, "input_audio", b"\0\0", "audio/mpeg", "audio.mp3"),
        ({"type": "input_audio", "input_audio": {"data": data_url(WAV)}}, "input_audio", WAV, "audio/wav", "audio.wav"),
        ({"type": "file", "file": {"file_data": data_url(PDF), "filename": "a.pdf"}}, "file.file_data", PDF, "application/pdf", "a.pdf"),
        ({"type": "file", "file": {"file_data": b64(b"a,b"), "filename": "a.csv"}}, "file.file_data", b"a,b", "text/csv", "a.csv"),
        ({"type": "file", "file": {"file_data": b64(PDF), "file_id": "file-1"}}, "file.file_data", PDF, "application/pdf", "file.pdf"),
        ({"type": "input_file", "file_data": data_url(PDF), "filename": None}, "file_data", PDF, "application/pdf", "file.pdf"),
    ],
)  # fmt: skip
def test_a_part_holds_a_file(
    part: dict[str, Any], field: str, content: bytes, kind: str, name: str
) -> None:
    found = read(part)

    assert isinstance(found, Attachment)
    assert (found.content, found.media_type, found.name) == (content, kind, name)
    assert found.place == f"{AT}.{field}"


@pytest.mark.parametrize(
    ("part", "link"),
    [
        ({"type": "image_url", "image_url": {"url": LINK}}, LinkedAttachment(LINK, f"{AT}.image_url", "", "image")),
        ({"type": "video_url", "video_url": {"url": LINK}}, LinkedAttachment(LINK, f"{AT}.video_url")),
        ({"type": "input_file", "file_url": LINK, "filename": "a.md"}, LinkedAttachment(LINK, f"{AT}.file_url", "a.md")),
    ],
)  # fmt: skip
def test_a_part_holds_a_link(part: dict[str, Any], link: LinkedAttachment) -> None:
    assert read(part) == link


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": 1}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "x.png"}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}, "image_url"),
        ({"type": "input_audio", "input_audio": "UklGRg=="}, "input_audio"),
        ({"type": "input_audio", "input_audio": {"data": "?"}}, "input_audio"),
        ({"type": "file", "file": []}, "file"),
        ({"type": "file", "file": {}}, "file.file_data"),
        ({"type": "file", "file": {"file_id": ""}}, "file.file_id"),
        ({"type": "input_file", "file_url": "ftp://x"}, "file_url"),
    ],
)
def test_a_part_without_a_readable_file_is_named(part: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(part)

    assert caught.value.param == f"{AT}.{param}"
    assert caught.value.message.startswith(caught.value.param)


@pytest.mark.parametrize("kind", FILE_PARTS)
def test_too_large_a_file_is_413_in_any_part(kind: str) -> None:
    url = data_url(b"x" * 11)
    fields = {
        "image_url": url, "video_url": url, "input_audio": {"data": b64(b"x" * 11)},
        "file": {"file_data": url}, "file_data": url,
    }  # fmt: skip

    with pytest.raises(RequestTooLarge) as caught:
        read({"type": kind, **fields}, max_bytes=10)

    assert caught.value.param is not None
    assert caught.value.param.startswith(f"{AT}.")


def test_no_part_of_any_shape_is_read_without_an_error_of_ours() -> None:
    odd: list[Any] = [None, 1, "", [], {}, {"url": None}, {"data": []}, {"file_data": {}}]
    for kind in FILE_PARTS:
        for value in odd:
            fields = dict.fromkeys(("image_url", "video_url", "input_audio", "file"), value)
            with pytest.raises(GatewayError):
                read({"type": kind, **fields, "file_data": value, "file_url": value})


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}}, "file.file_id"),
        ({"type": "input_file", "file_id": "file-1", "filename": "a.pdf"}, "file_id"),
        ({"type": "input_image", "file_id": "file-1"}, "file_id"),
    ],
)
def test_an_uploaded_file_is_named_by_its_id(part: dict[str, Any], field: str) -> None:
    found = AttachmentReader(1000).read(part, "messages[0].content[1]")

    assert isinstance(found, StoredAttachment)
    assert (found.url, found.place) == ("file-1", f"messages[0].content[1].{field}")
