"""`make demo`: the command behind it."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.support.serving import free_port, process

DEMO = (sys.executable, "-m", "gbproxy", "demo")


@pytest.mark.waits
def test_the_demo_streams_one_whole_answer_whatever_proxy_the_environment_names() -> None:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")

    with process(DEMO, {**proxies, "DEMO_EXIT": "1", "PORT": str(free_port())}) as running:
        status = running.wait()

    assert (status, running.stderr) == (0, "")
    assert "What can you do?" in running.stdout
    assert (
        "With a real account configured, the same requests are answered by a real model."
        in running.stdout
    )


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(DEMO, {"DEMO_EXIT": "1", "PORT": str(port)}) as running:
            status = running.wait()

    assert status == 1
    assert running.stderr.startswith(f"demo: port {port} cannot be used")
