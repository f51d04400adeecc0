"""The body of a chat in a session: the message, its session, and its files."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gbproxy.api.native.request import parse
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import ChatRequest, TextPart
from gbproxy.domain.principal import Principal
from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()
MAX_BYTES = 1000
CLIENT = Principal(b"k" * 32)


def read(**body: Any) -> ChatRequest:
    return parse({"message": "Hi", **body}, CLIENT, MAX_BYTES).chat


def test_a_message_alone_is_for_a_session_of_its_own() -> None:
    chat = read()

    assert chat.messages[0].parts == (TextPart("Hi"),)
    assert (chat.conversation, chat.is_kept, chat.is_streamed) == (None, False, False)
    assert chat.principal == CLIENT
    assert chat.key_digest == b""


@pytest.mark.parametrize("name", ["session_id", "session"])
def test_a_session_is_named_either_way(name: str) -> None:
    chat = read(**{name: "sess_1"}, stream=True, model="gemini-auto", include_reasoning=True)

    assert (chat.conversation, chat.is_kept, chat.key_digest) == ("sess_1", True, CLIENT.key_digest)
    assert (chat.is_streamed, chat.model, chat.show_thoughts) == (True, "gemini-auto", True)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_session_is_none(empty: str | None) -> None:
    assert read(session_id=empty).conversation is None


def test_fields_of_others_are_let_through() -> None:
    assert read(temperature=1, history=[]) == read()


@pytest.mark.parametrize(
    "file",
    [
        f"data:image/png;base64,{PNG}",
        {"data": PNG, "name": "a.png"},
        {"data": f"data:image/png;base64,{PNG}"},
        {"data": PNG, "mime_type": "image/png"},
        {"url": f"data:;base64,{PNG}", "name": "a.png"},
    ],
    ids=["data URL", "data and name", "data URL in data", "data and type", "data URL in url"],
)
def test_a_file_in_the_body_is_an_attachment(file: object) -> None:
    text, attached = read(files=[file]).messages[0].parts

    assert text == TextPart("Hi")
    assert isinstance(attached, Attachment)
    assert (attached.media_type, base64.b64encode(attached.content).decode()) == ("image/png", PNG)


def test_a_file_elsewhere_is_a_link() -> None:
    _, first, second = (
        read(files=["https://a.example/x.png", {"url": "http://a.example/y", "name": "y.pdf"}])
        .messages[0]
        .parts
    )

    assert first == LinkedAttachment("https://a.example/x.png", "files[0]")
    assert second == LinkedAttachment("http://a.example/y", "files[1].url", "y.pdf")


@pytest.mark.parametrize("said", [{}, {"message": ""}])
def test_files_need_no_words(said: dict[str, str]) -> None:
    body = {**said, "files": [f"data:image/png;base64,{PNG}"]}

    assert len(parse(body, CLIENT, MAX_BYTES).chat.messages[0].parts) == 2


@pytest.mark.parametrize(
    ("file", "kind", "param"),
    [
        ({"data": PNG, "url": "https://a.example"}, BadRequest, "files[0]"),
        ({"name": "a.png"}, BadRequest, "files[0]"),
        ({"data": "a" * 4000}, RequestTooLarge, "files[0].data"),
        ("data:image/png;base64,", BadRequest, "files[0]"),
        (None, BadRequest, "files[0]"),
    ],
    ids=str,
)
def test_a_file_that_is_none_is_named(file: object, kind: type[GatewayError], param: str) -> None:
    with pytest.raises(kind) as caught:
        read(files=[file])

    assert caught.value.param == param
