"""Files out of data URLs and base64: strict, in limits, and without a second copy of a large one."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain import attachment, base64_pieces
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.errors import BadRequest, RequestTooLarge

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PLACE = "messages[2].content[1].image_url"
MB = 1024 * 1024
LARGE = 20 * MB


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("url", "content", "kind", "name"),
    [
        (f"data:image/png;base64,{b64(PNG)}", PNG, "image/png", "file.png"),
        (f"DATA:image/jpeg ; BASE64,{b64(PNG)}", PNG, "image/png", "file.png"),
        (f"data:;base64,{b64(b'hello')}", b"hello", "text/plain", "file.txt"),
        (f"data:text/csv;charset=utf-8;base64,{b64(b'a,b')}", b"a,b", "text/csv", "file.csv"),
        (f"data:image/png;name=f%C3%BCchse.png;base64,{b64(PNG)}", PNG, "image/png", "füchse.png"),
        ("data:,hello%20w%C3%B6rld", "hello wörld".encode(), "text/plain", "file.txt"),
        ("data:image/svg+xml,<svg>ü</svg>", "<svg>ü</svg>".encode(), "image/svg+xml", "file.svg"),
    ],
)
def test_a_data_url_holds_a_file(url: str, content: bytes, kind: str, name: str) -> None:
    found = attachment.of_url(url, PLACE, MB)

    digest = hashlib.sha256(content).hexdigest()
    assert found == Attachment(content, name, kind, digest, PLACE)


@pytest.mark.parametrize("url", ["https://example.com/a.png", " HTTP://example.com/"])
def test_a_url_of_the_web_is_a_link(url: str) -> None:
    found = attachment.of_url(url, PLACE, MB, name="a.png", wanted="image")

    assert found == LinkedAttachment(url, PLACE, "a.png", "image")
    assert url not in repr(found)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must begin with data:"),
        ("ftp://example.com/a", "must begin with data:"),
        ("/etc/passwd", "must begin with data:"),
        ("data:image/png;base64", "has no data"),
        ("data:image/png;base64,", "is empty"),
        ("data:,", "is empty"),
        (f"data:,{'x' * (MB + 1)}", "must be base64"),
        ("data:image/png;base64,ab", "not valid base64"),
        ("data:image/png;base64,abc", "not valid base64"),
        ("data:image/png;base64,abcde", "not valid base64"),
        ("data:image/png;base64,ab=c", "not valid base64"),
        ("data:image/png;base64,abc=d", "not valid base64"),
        ("data:image/png;base64,=abc", "not valid base64"),
        ("data:image/png;base64,abcd====", "not valid base64"),
        ("data:image/png;base64,ab\ncd", "not valid base64"),
        ("data:image/png;base64,ab-_", "not valid base64"),
        ("data:image/png;base64,äbcd", "not valid base64"),
        ("data:image/png;base64,%69bcd", "not valid base64"),
    ],
)
def test_what_is_no_file_is_400_and_names_its_part(url: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        attachment.of_url(url, PLACE, 10 * MB)

    assert (caught.value.status, caught.value.param) == (400, PLACE)
    assert caught.value.message.startswith(f"{PLACE}: ")


@pytest.mark.parametrize("size", [9, 10, 11, 12])
def test_a_file_may_be_as_large_as_the_limit_and_beyond_it_is_413(size: int) -> None:
    url = f"data:text/plain;base64,{b64(b'x' * size)}"
    if size <= 10:
        assert attachment.of_url(url, PLACE, 10).content == b"x" * size  # type: ignore[union-attr]
        return

    with pytest.raises(RequestTooLarge, match="MAX_FILE_MB") as caught:
        attachment.of_url(url, PLACE, 10)
    assert (caught.value.status, caught.value.param) == (413, PLACE)
    with pytest.raises(RequestTooLarge):
        attachment.of_url(f"data:,{'x' * size}", PLACE, 10)


@pytest.mark.parametrize("pieces", [0, 1, 2])
@pytest.mark.parametrize("odd", [0, 1, 2, 3])
def test_large_files_come_out_of_their_pieces_as_they_went_in(pieces: int, odd: int) -> None:
    content = bytes(range(256)) * (pieces * 768) + b"x" * odd
    rests: list[None] = []

    decoded = base64_pieces.decode("x:" + b64(content), 2, lambda: rests.append(None))

    assert decoded == content
    assert len(rests) == pieces + (odd > 0)
    assert b"".join(base64_pieces.encoded(content)).decode() == b64(content)
    assert base64_pieces.encoded_size(content) == len(b64(content))
    assert base64_pieces.decoded_size(b64(content)) == len(content)


def test_padding_at_the_border_of_a_piece_is_no_end() -> None:
    first = "A" * (256 * 1024 - 4) + "AA=="

    with pytest.raises(ValueError, match="padded"):
        base64_pieces.decode(first + "AAAA")


@given(st.text("ABab01+/=-_ \n", max_size=40))
def test_what_is_taken_is_what_strict_base64_is(text: str) -> None:
    try:
        content = base64_pieces.decode(text)
    except ValueError:
        return
    assert base64.b64decode(text, validate=True) == content
    assert len(text) % 4 == 0
    assert base64_pieces.decoded_size(text) == len(content)


@given(st.binary(max_size=40))
def test_lax_base64_may_be_the_one_for_urls_and_unpadded(content: bytes) -> None:
    for text in (b64(content), base64.urlsafe_b64encode(content).decode()):
        for form in (text, text.rstrip("=")):
            assert base64_pieces.decode(form, is_lax=True) == content
            assert base64_pieces.decoded_size(form) == len(content)


@pytest.mark.parametrize("text", ["A", "AAAAA", "A=", "AA=A", "A A=", "äAAA", "AA==AA=="])
def test_lax_base64_is_base64_nevertheless(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base64_pieces.decode(text, is_lax=True)


@pytest.mark.parametrize("form", ["data URL", "lax"])
def test_a_large_file_is_never_held_twice(form: str) -> None:
    content = (PNG + b"x\xfb\xff?").ljust(LARGE, b"x")
    text = f"data:image/png;base64,{b64(content)}"
    if form == "lax":
        text = base64.urlsafe_b64encode(content).decode().rstrip("=")
        assert {"-", "_"} < set(text)

    tracemalloc.start()
    try:
        found = attachment.of_data(text, PLACE, LARGE, is_lax=form == "lax")
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(found, Attachment)
    assert len(found.content) == LARGE
    assert held < LARGE + MB
    assert most < LARGE * 1.25  # the buffer grows ahead


def test_too_large_a_file_is_refused_before_anything_is_decoded() -> None:
    url = "data:image/png;base64," + "!" * LARGE

    with pytest.raises(RequestTooLarge):
        attachment.of_url(url, PLACE, MB)
