"""The memory that large files take on their way."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import MEASURED
from tests.support.messages_with_files import image, says, text, uploads
from tests.support.serving import GUNICORN, Served, SharedUpstream, serving

MB = 1_000_000
REQUESTS = 10
FILE_BYTES = 20 * MB
MOST_BYTES = 300 * MB
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


def memory(gateway: Served, field: str) -> int:
    """Bytes of all the gateway's processes by their status: VmRSS now, VmHWM at most so far."""
    pids = [gateway.pid, *gateway.worker_pids()]
    found = [
        re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in pids
    ]
    return sum(int(each[1]) * 1024 for each in found if each)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_ten_requests_with_large_files_at_once_stay_small(
    upstream: SharedUpstream, stream: bool, record_property: Callable[[str, object], None]
) -> None:
    bodies = [
        json.dumps(
            {
                "stream": stream,
                "messages": [says(text("What is it?"), image(PNG + os.urandom(FILE_BYTES - 8)))],
            }
        )
        for _ in range(REQUESTS)
    ]
    with (
        serving(upstream.environment(), command=GUNICORN, WEB_CONCURRENCY="1") as gateway,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):
        assert gateway.ask("Hello").succeeded
        idle = memory(gateway, "VmRSS")
        began = time.monotonic()
        sent = [
            pool.submit(gateway.request, "POST", "/v1/chat/completions", body, gateway.headers, 90)
            for body in bodies
        ]
        replies = [each.result() for each in sent]
        took_s = time.monotonic() - began
        most, left = memory(gateway, "VmHWM") - idle, memory(gateway, "VmRSS") - idle

    record_property(
        MEASURED,
        f"{REQUESTS} requests with 20 MB at once: {most / MB:.0f} MB above idle at most,"
        f" {left / MB:.0f} MB afterwards, {took_s:.1f} s",
    )
    assert all(reply.succeeded for reply in replies)
    assert len(uploads(upstream)) == REQUESTS
    assert most < MOST_BYTES
