"""Linked attachments, fetched."""

from __future__ import annotations

import hashlib

import pytest

from gbproxy.domain.attachment import Attachment, LinkedAttachment, Wanted
from gbproxy.errors import BadRequest, RequestTooLarge
from gbproxy.outbound.attachments import fetched
from gbproxy.outbound.fetch import FileFetcher
from tests.support.file_server import answer, serving

PNG = b"\x89PNG\r\n\x1a\npixels"
PLACE = "messages[0].content[1].image_url"


def load(
    content: bytes, label: str, name: str = "", wanted: Wanted = "image", max_bytes: int = 1000
) -> Attachment:
    files = FileFetcher(resolve=lambda _: ["127.0.0.1"], is_allowed=lambda to: to.is_loopback)
    with serving(answer(content, Content_Type=label)) as server:
        link = LinkedAttachment(
            f"http://example.com:{server.port}/a/fox.jpeg?x=1.gif", PLACE, name, wanted
        )
        return fetched(link, files, max_bytes)


@pytest.mark.parametrize(("name", "sent"), [("", "fox.png"), ("mine.png", "mine.png")])
def test_a_link_becomes_a_file_of_its_real_type(name: str, sent: str) -> None:
    digest = hashlib.sha256(PNG).hexdigest()

    assert load(PNG, "image/jpeg", name) == Attachment(PNG, sent, "image/png", digest, PLACE)


def test_a_web_page_is_no_image_but_may_be_a_file() -> None:
    with pytest.raises(BadRequest, match="is a web page, not an image") as caught:
        load(b"<html>Sign in", "image/png")
    assert caught.value.param == PLACE

    assert load(b"<html>", "text/html", wanted="file").media_type == "text/html"


def test_what_is_empty_or_too_large_names_its_part() -> None:
    with pytest.raises(BadRequest, match="empty") as empty:
        load(b"", "image/png")
    with pytest.raises(RequestTooLarge) as large:
        load(PNG, "image/png", max_bytes=5)

    assert empty.value.param == large.value.param == PLACE
