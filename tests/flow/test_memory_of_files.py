"""The memory that large files take on their way."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gbproxy.simulator import HoldHeaders
from tests.conftest import MEASURED
from tests.support.messages_with_files import data_url, image, says, text, uploads
from tests.support.polling import until
from tests.support.serving import Served, SharedUpstream, serving

MB = 1_000_000
REQUESTS = 10
FILE_BYTES = 20 * MB
MOST_BYTES = 300 * MB
LEFT_BYTES = 30 * MB  # once all clients have left
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


def chat(content: bytes) -> dict[str, object]:
    return {"messages": [says(text("What is it?"), image(content))]}


def response(content: bytes) -> dict[str, object]:
    part = {"type": "input_image", "image_url": data_url(content)}
    return {"input": [{"role": "user", "content": [part]}]}


def unstored(content: bytes) -> dict[str, object]:
    return {**response(content), "store": False}


def contents(content: bytes) -> dict[str, object]:
    """As Google's SDK for Python sends them."""
    data = base64.urlsafe_b64encode(content).decode()
    return {"contents": [{"parts": [{"inlineData": {"data": data}}]}]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat),
        ("/v1/responses", response),
        ("/v1/responses", unstored),
        ("/v1beta/models/gemini-auto:generateContent", contents),
    ],
    ids=["chat", "response", "unstored", "contents"],
)
def test_ten_requests_with_large_files_at_once_stay_small(
    upstream: SharedUpstream,
    record_property: Callable[[str, object], None],
    path: str,
    body: Callable[[bytes], dict[str, object]],
) -> None:
    """All of them are held until each has sent its file up and waits for its answer."""
    bodies = [json.dumps(body(PNG + os.urandom(FILE_BYTES - 8))) for _ in range(REQUESTS)]
    with (
        ThreadPoolExecutor(REQUESTS) as pool,
        serving(
            upstream.environment(), WEB_CONCURRENCY="1", ACCOUNT_CONCURRENCY=str(REQUESTS)
        ) as gateway,
    ):
        assert gateway.ask("Hello").succeeded
        idle = memory(gateway, "VmRSS")
        upstream.script(HoldHeaders(), times=REQUESTS)
        calls = [pool.submit(leave_unanswered, gateway, path, each) for each in bodies]
        assert upstream.wait_for(lambda: upstream.open_streams == REQUESTS, 60)
        most = memory(gateway, "VmHWM") - idle
        for call in calls:
            call.result().close()
        assert upstream.wait_for(lambda: upstream.open_streams == 0)
        until(lambda: memory(gateway, "VmRSS") - idle < LEFT_BYTES)
        after = gateway.ask("Are you well?")

    record_property(
        MEASURED,
        f"{path}: {REQUESTS} requests with a file of 20 MB at once: {most / MB:.0f} MB above idle at most",
    )
    assert after.succeeded
    assert len(uploads(upstream)) == REQUESTS
    assert most < MOST_BYTES


def leave_unanswered(gateway: Served, path: str, body: str) -> socket.socket:
    """The connection on which a request was sent, and whose answer is not read."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer"
        f" {gateway.key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(gateway.address, timeout=100)
    connection.sendall(head.encode())
    connection.sendall(body.encode())
    return connection
