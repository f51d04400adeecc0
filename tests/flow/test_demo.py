"""`make demo`: the command behind it."""

from __future__ import annotations

import re
import signal
import socket
import sys
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

import pytest

from gbproxy.cli.demo_question import NoAnswer, ask
from tests.support.serving import Served, free_port, process

CONSOLE = re.compile(r"(http://\S+/admin) +password: (\S+)\n")
DEMO = (sys.executable, "-m", "gbproxy", "demo")


@pytest.mark.waits
def test_the_demo_streams_one_whole_answer_whatever_proxy_the_environment_names() -> None:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")

    with process(DEMO, {**proxies, "DEMO_EXIT": "1", "PORT": str(free_port())}) as running:
        status = running.wait(60)

    assert (status, running.stderr) == (0, "")
    assert "What can you do?" in running.stdout
    assert (
        "With a real account configured, the same requests are answered by a real model."
        in running.stdout
    )


@pytest.mark.slow
def test_the_demo_opens_the_console_to_who_reads_its_lines() -> None:
    with process(DEMO, {"PORT": str(free_port())}, ended_by=signal.SIGINT) as running:
        url, password = running.wait_for(lambda: CONSOLE.search(running.stdout), 60).groups()
        form = urlencode({"admin_key": password}).encode()
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
            fields = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/admin/sign-in", form, fields)
            signed_in = connection.getresponse()
            signed_in.read()
            cookie = (signed_in.getheader("Set-Cookie") or "").partition(";")[0]
            connection.request("GET", urlsplit(url).path, headers={"Cookie": cookie})
            page = connection.getresponse().read().decode()

    assert signed_in.status == 303
    assert "Nothing needs you." in page
    assert "Text today</dt><dd>1</dd>" in page  # the demo's own question


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(DEMO, {"DEMO_EXIT": "1", "PORT": str(port)}) as running:
            status = running.wait(60)

    assert status == 1
    assert running.stderr.startswith(f"demo: port {port} cannot be used")


def test_without_the_official_client_the_gateway_s_own_asks(
    gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)  # as if it were not installed

    said = "".join(ask(gateway.url, gateway.key))

    assert "With a real account configured" in said


@pytest.mark.parametrize("installed", [True, False])
def test_an_answer_that_does_not_arrive_is_told(
    gateway: Served, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "openai", None)

    with pytest.raises(NoAnswer, match="the answer did not arrive"):
        list(ask(gateway.url, "sk-of-nobody-9f2c41d0"))
