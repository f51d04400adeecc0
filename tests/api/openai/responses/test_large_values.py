"""Large values of a response's items: taken out and put back, and written again."""

from __future__ import annotations

import base64
import gc
import json
import os
import sys

import pytest

from gbproxy.api.openai.responses import large_values
from gbproxy.domain.inline_file import InlineFile

PNG = b"\x89PNG\r\n\x1a\n" + os.urandom(100_000)
PREFIX = 'data:image/png;name="a \\ b.png";base64,'
LONG = "é" * 70_000


def items() -> list[dict[str, object]]:
    image = {"type": "input_image", "image_url": InlineFile(PREFIX, PNG)}
    return [
        {"role": "user", "content": [{"type": "input_text", "text": LONG}, image]},
        {"type": "image_generation_call", "result": InlineFile("", PNG), "status": "completed"},
        {"role": "user", "content": "short"},
    ]


def rested() -> None:
    """No work here is long."""


def test_what_is_large_is_taken_out_and_put_back() -> None:
    value = {"input": items()}

    small, large = large_values.taken_out(value, rested)
    stored = json.loads(json.dumps([small, [each.described() for each in large]]))

    assert len(json.dumps(small)) < 1000
    assert [each.content for each in large] == [LONG.encode(), PNG, PNG]
    assert value == {"input": items()}
    for described, each in zip(stored[1], large, strict=True):
        large_values.put_back(stored[0], described, each.content)
    assert stored[0] == value


def test_files_are_written_as_the_texts_that_they_were() -> None:
    length, pieces = large_values.encoded(items())
    written = b"".join(pieces)

    text = base64.b64encode(PNG).decode()
    first, second, third = json.loads(written)
    assert length == len(written)
    assert first["content"][0]["text"] == LONG
    assert first["content"][1]["image_url"] == PREFIX + text
    assert second["result"] == text
    assert third == items()[2]


def test_a_file_is_let_go_of_at_once() -> None:
    content = bytes(100_000)
    value = [{"result": InlineFile("", content)}]
    held = sys.getrefcount(content)
    gc.disable()
    try:
        large_values.taken_out(value, rested)
        list(large_values.encoded(value)[1])

        assert sys.getrefcount(content) == held
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        (PREFIX + base64.b64encode(PNG).decode(), True),
        (base64.b64encode(PNG).decode(), True),
        ("data:text/plain," + "a" * len(PNG), False),
        (base64.b64encode(PNG[:100]).decode(), False),
    ],
)
def test_only_a_large_files_base64_is_replaced_by_its_bytes(text: str, is_kept: bool) -> None:
    content = PNG if len(text) > 1000 else PNG[:100]

    file = InlineFile.in_place_of(text, content)

    assert (file is not None) == is_kept
    if file is not None:
        assert file.prefix + base64.b64encode(file.content).decode() == text
