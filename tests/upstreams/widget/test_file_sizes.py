"""Sizes of files, by what was listed and what the head of a download says."""

from __future__ import annotations

import base64

import pytest

from gbproxy.upstreams.widget import file_body


@pytest.mark.parametrize(
    ("listed", "length", "is_encoded", "size"),
    [
        (100, "100", False, 100),
        (40, "100", False, 100),
        (40, "", False, 40),
        (None, "136", True, None),
        (400, "136", True, None),
        (40, "136", True, None),
        (100, "136", True, 100),
    ],
)
def test_what_comes_with_the_file_counts_where_the_list_says_another(
    listed: int | None, length: str, is_encoded: bool, size: int | None
) -> None:
    headers = {"content-length": length}

    assert file_body.size(headers, listed, encoded=is_encoded) == size


@pytest.mark.parametrize("size", [1, 2, 3, 56, 57, 58, 10_000])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
def test_a_listed_size_holds_however_the_base64_is_written(size: int, encode: object) -> None:
    assert callable(encode)
    text = encode(bytes(size)).replace(b"\n", b"\r\n")

    assert file_body.size({"content-length": str(len(text))}, size, encoded=True) == size
