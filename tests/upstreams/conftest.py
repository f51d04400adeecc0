"""Readers with and without orjson."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.domain import jsontext


@pytest.fixture(scope="module", params=[True, False], ids=["orjson", "plain"])
def either_decoder(request: pytest.FixtureRequest) -> Iterator[None]:
    """The readers as they are where orjson is installed, and where it is not."""
    chosen = jsontext.decode_bytes
    jsontext.decode_bytes = (
        jsontext.decode_bytes_quickly if request.param else jsontext.decode_bytes_plainly
    )
    yield
    jsontext.decode_bytes = chosen
