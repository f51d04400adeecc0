"""The public face; and a second service on the same server: what misbehaves comes with the server."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from gbproxy import simulator
from gbproxy.simulator import (
    CutBytes,
    Element,
    End,
    Fin,
    HoldHeaders,
    Rst,
    Simulator,
    Stall,
    Text,
    cut_after,
    json_reply,
)
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import AnswerAction, Script
from gbproxy.simulator.scripting.service import Call, Context, Reply
from gbproxy.simulator.scripting.switches import FramingSwitches, layout_for
from tests.support.widget_client import Client, parse_stream, read_to_end, text_of

LOADED = """
import sys, gbproxy.simulator
print(*[name for name in sys.modules if name.startswith("gbproxy.")])
print("cryptography" in sys.modules)
"""


def test_it_loads_nothing_else_of_the_project_and_no_cryptography() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    names, cryptography = done.stdout.splitlines()

    assert all(name.startswith("gbproxy.simulator") for name in names.split())
    assert cryptography == "False"


def test_every_public_name_is_there() -> None:
    assert [name for name in simulator.__all__ if not hasattr(simulator, name)] == []


HOST = "numbers.example"
COUNTED = [{"n": number} for number in range(5)]


class Numbers:
    """Streams `{"n": 0}`, `{"n": 1}` … as `GET /numbers/<count>` asks; words it tells apart."""

    hosts = (HOST,)
    streams = ("numbers",)

    def __init__(self, context: Context) -> None:
        self._scripts = context.scripts

    def accept(self, request: Request, switches: FramingSwitches) -> Call | None:
        if not request.path.startswith("/numbers/"):
            return None
        return Call(
            "numbers", request.query.get("user"), reply=lambda: self._reply(request, switches)
        )

    def _reply(self, request: Request, switches: FramingSwitches) -> Reply:
        count = int(request.path.rpartition("/")[2])
        script = self._scripts.take("numbers", request.query.get("user"))
        counted: Script = (*(Element({"n": number}) for number in range(count)), End())
        sse = request.query.get("alt") == "sse"
        return Reply(script or counted, layout_for(switches, sse=sse), stream=self)

    def elements(self, action: AnswerAction) -> Iterator[dict[str, Any]]:
        yield {"word": action.text if isinstance(action, Text) else type(action).__name__}

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator(seed=1, services=[Numbers]) as simulator:
        yield simulator


def count(upstream: Simulator, query: str = "") -> requests.Response:
    return requests.get(f"{upstream.url}/numbers/5{query}", timeout=5)


def raw_count(client: Client) -> tuple[bytes, str]:
    """The bytes that answer a count, and how the connection ended."""
    with client.connect() as sock:
        sock.sendall(b"GET /numbers/5 HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n")
        return read_to_end(sock)


def test_both_services_answer_on_one_server(upstream: Simulator, client: Client) -> None:
    assert count(upstream, "?user=ann").json() == COUNTED
    assert text_of(client.ask("2+2").json()) == "2+2 = **4**"

    (call,) = upstream.calls("numbers")
    assert (call.path, call.csesidx) == ("/numbers/5", "ann")
    assert len(upstream.calls("widgetStreamAssist")) == 1
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@pytest.mark.parametrize(
    "switches",
    [
        {"layout": "padded"},
        {"cuts": "1"},
        {"cuts": "random", "gzip": True},
        {"transfer": "content_length"},
        {"transfer": "close"},
        {"sse_lines": "crlf", "sse_comments": True, "sse_multiline": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("query", ["", "?alt=sse"], ids=["array", "sse"])
def test_framing_and_cuts_are_those_of_the_switches(
    upstream: Simulator, switches: dict[str, object], query: str
) -> None:
    plain = count(upstream, query)
    upstream.set(**switches)

    framed = count(upstream, query)

    assert parse_stream(framed) == parse_stream(plain) == COUNTED


def test_every_byte_can_be_a_chunk(upstream: Simulator, client: Client) -> None:
    upstream.set(cuts="1", layout="compact")

    raw, _ = raw_count(client)

    assert raw.partition(b"\r\n\r\n")[2].startswith(b"1\r\n[\r\n1\r\n{\r\n1\r\n")


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ((Text("a"), Fin()), b'[{"word":"a"}'),
        ((CutBytes(9), Text("abc"), End()), b'[{"word":'),
        (cut_after(2), b'[{"word":"One "},{"word":"two "}'),
    ],
    ids=["fin", "bytes", "elements"],
)
def test_a_script_cuts_its_answers(
    upstream: Simulator, client: Client, script: Any, seen: bytes
) -> None:
    upstream.set(layout="compact", transfer="close")
    upstream.script(*script, path="numbers")

    raw, end = raw_count(client)

    assert (raw.partition(b"\r\n\r\n")[2], end) == (seen, "fin")


def test_a_script_resets_its_connection(upstream: Simulator, client: Client) -> None:
    upstream.script(Text("a"), Rst(), path="numbers")

    _, end = raw_count(client)

    assert end == "rst"


def test_a_script_is_one_accounts_own_and_may_come_from_another_process(
    upstream: Simulator,
) -> None:
    described = {"path": "numbers", "csesidx": "ann", "script": [{"action": "text", "text": "a"}]}
    queued = requests.post(f"{upstream.url}/_simulator/script", json=described, timeout=5)

    assert queued.json() == {"queued": 1}
    assert count(upstream, "?user=bob").json() == COUNTED
    assert count(upstream, "?user=ann").json() == [{"word": "a"}]
    assert count(upstream, "?user=ann").json() == COUNTED


def test_its_answers_are_delayed(upstream: Simulator) -> None:
    upstream.set(control_delay_s=0.1)
    upstream.script(HoldHeaders(0.1), *json_reply(503, {}), path="numbers")
    began = time.monotonic()

    response = count(upstream)

    assert (response.status_code, response.json()) == (503, {})
    assert time.monotonic() - began >= 0.2


def test_an_answer_that_stalls_is_open_until_its_peer_leaves(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(Text("a"), Stall(), path="numbers")
    with client.connect() as sock:
        sock.sendall(b"GET /numbers/5 HTTP/1.1\r\nHost: upstream\r\n\r\n")
        assert upstream.wait_for(lambda: upstream.open_streams == 1)

    assert upstream.wait_for(lambda: upstream.open_streams == 0)


def test_it_is_reached_by_its_own_name_over_tls() -> None:
    with Simulator(tls=True, services=[Numbers]) as upstream:
        proxy = upstream.url.replace("https:", "http:", 1)

        response = requests.get(
            f"https://{HOST}/numbers/5",
            proxies={"https": proxy},
            verify=str(upstream.ca_file),
            timeout=5,
        )

    assert json.loads(response.content) == COUNTED
