"""Forms with files: read in pieces, within their limits, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.errors import GatewayError
from gbproxy.web.form import Form, FormFile, is_form, read_form

BOUNDARY = "b0undary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, *, filename: str = "", kind: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    typed = f"\r\nContent-Type: {kind}" if kind else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}{typed}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def read(
    body: bytes, content_type: str = TYPE, *, most: int = 1 << 20, whole: int = 1 << 22
) -> Form:
    app = Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = whole
    with app.test_request_context("/", method="POST", data=body, content_type=content_type):
        assert is_form()
        return read_form(most)


def refusal(body: bytes, content_type: str = TYPE, **limits: int) -> tuple[int, str | None]:
    with pytest.raises(GatewayError) as caught:
        read(body, content_type, **limits)
    return caught.value.status, caught.value.param


def test_fields_and_files_come_as_they_were_sent() -> None:
    form = read(
        body_of(
            part("prompt", "Ein Fuchs 🦊".encode()),
            part("image[]", b"\r\n--b0undar\x00", filename="a.png", kind="image/png"),
            part("image[]", b"", filename="b.png"),
            part("n", b"1"),
            part("n", b"2"),
        )
    )

    assert form.fields == {"prompt": "Ein Fuchs 🦊", "n": "2"}
    assert form.files == [
        FormFile("image[]", "a.png", "image/png", b"\r\n--b0undar\x00"),
        FormFile("image[]", "b.png", "", b""),
    ]


@given(st.binary(max_size=300_000))
def test_any_bytes_are_a_files(content: bytes) -> None:
    if BOUNDARY.encode() not in content:
        [file] = read(body_of(part("image", content, filename="x"))).files
        assert file.content == content


def cases() -> Iterator[tuple[str, bytes, str, dict[str, int], tuple[int, str | None]]]:
    file = part("image", b"x" * 2000, filename="x.png")
    yield "no boundary", body_of(file), "multipart/form-data", {}, (400, None)
    yield "not a form", b"hello", TYPE, {}, (400, None)
    yield "cut off", body_of(file)[:1000], TYPE, {}, (400, None)
    yield (
        "no head",
        f"--{BOUNDARY}\r\nX: y\r\n\r\nz\r\n--{BOUNDARY}--".encode(),
        TYPE,
        {},
        (400, None),
    )
    yield "file too large", body_of(file), TYPE, {"most": 1999}, (413, "image")
    yield "too large", body_of(file), TYPE, {"whole": 1000}, (413, None)
    yield "field too long", body_of(part("prompt", b"x" * 300_000)), TYPE, {}, (400, "prompt")
    yield "no text", body_of(part("prompt", b"\xff")), TYPE, {}, (400, "prompt")
    yield "too many parts", body_of(*[part("a", b"")] * 201), TYPE, {}, (400, None)


@pytest.mark.parametrize(
    ("body", "content_type", "limits", "expected"),
    [pytest.param(*case, id=name) for name, *case in cases()],
)
def test_what_is_no_form_within_the_limits_is_refused(
    body: bytes, content_type: str, limits: dict[str, int], expected: tuple[int, str | None]
) -> None:
    assert refusal(body, content_type, **limits) == expected
