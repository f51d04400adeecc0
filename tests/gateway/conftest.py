from __future__ import annotations

import pytest

from gbproxy.observability import request_context


@pytest.fixture(autouse=True)
def _request() -> None:
    request_context.begin("req-1")
