"""conf/nginx.conf in front of the gateway, by a real nginx."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gbproxy.api import error_object
from gbproxy.errors import RequestTooLarge
from gbproxy.settings import Settings
from gbproxy.simulator import End, Final, Text, answer
from tests.support.gates import Gate
from tests.support.nginx import CONF, Front, needs_nginx, nginx
from tests.support.polling import until
from tests.support.serving import DONE, ROOT, Served, SharedUpstream, free_port, parse_frames

WORDS = tuple(f"word{number} " for number in range(8))


@pytest.fixture
def front_of_gateway(tmp_path: Path, gateway: Served) -> Iterator[Front]:
    with nginx(tmp_path, gateway.address) as front:
        yield front


@needs_nginx
def test_a_streamed_answer_arrives_as_it_is_made(
    front_of_gateway: Front, upstream: SharedUpstream
) -> None:
    gates = [Gate() for _ in WORDS]
    said = [
        action
        for word, gate in zip(WORDS, gates, strict=True)
        for action in (Text(word), gate.closed)
    ]
    upstream.script(*said, Final(), End())
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "Count"}]}).encode()
    accepting = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}

    whole = b""
    with front_of_gateway.asked("POST", "/v1/chat/completions", body, **accepting) as response:
        assert response.status == 200
        assert response.headers["Content-Encoding"] is None
        while piece := response.read1():
            whole += piece
            for gate in gates[: whole.count(b"word")]:  # the upstream goes on as soon as it is here
                gate.open()

    frames = parse_frames(whole)
    assert frames[-1] == DONE
    contents = [
        choice["delta"].get("content") or "" for frame in frames[:-1] for choice in frame["choices"]
    ]
    assert "".join(contents) == "".join(WORDS)


@needs_nginx
def test_the_gateway_is_left_when_the_client_leaves(
    front_of_gateway: Front, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*["word "] * 600, pause_s=0.02))
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "Count"}]}).encode()

    with front_of_gateway.asked(
        "POST", "/v1/chat/completions", body, **{"Content-Type": "application/json"}
    ) as reply:
        read = b""
        while b"word" not in read:
            read += (piece := reply.read1())
            assert piece

    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@needs_nginx
def test_neither_path_nor_query_is_changed_and_no_query_is_logged(front_of_gateway: Front) -> None:
    front = front_of_gateway

    assert (
        front.ask(
            "GET", "/v1/models?key=sk-secret-in-a-query", Referer="https://secret.example/"
        ).status
        == 200
    )
    assert front.ask("GET", "/media/secret-token").status == 404
    assert (
        front.ask("GET", "/v1/models/nothing%2Fhere").json()["error"]["code"] == "model_not_found"
    )

    wait_for_lines(front.logs / "access.log", 3)
    written_down = "".join(log.read_text() for log in front.logs.glob("*.log"))
    assert '"GET /v1/models" 200' in written_down
    assert "secret" not in written_down


@needs_nginx
def test_its_own_refusals_have_the_shape_of_the_api(front_of_gateway: Front) -> None:
    too_large = {"Content-Type": "application/json", "Content-Length": str(33 * 1024 * 1024)}

    refused = front_of_gateway.ask("POST", "/v1/chat/completions", b"{", **too_large)

    assert refused.status == 413
    error = refused.error
    assert error["code"] == RequestTooLarge.code
    assert (
        error["type"] == json.loads(error_object.body(RequestTooLarge("x"), 413))["error"]["type"]
    )


@needs_nginx
def test_a_gateway_that_is_away_is_a_503_and_no_query_is_logged(tmp_path: Path) -> None:
    with nginx(tmp_path, ("127.0.0.1", free_port())) as front:
        reply = front.ask("GET", "/v1/models?key=sk-secret-in-a-query")

        assert (reply.status, reply.error["code"]) == (503, "overloaded")
        assert reply.headers["Retry-After"] == "2"
        wait_for_lines(tmp_path / "access.log", 1)
        assert "secret" not in "".join(log.read_text() for log in tmp_path.glob("*.log"))


@needs_nginx
def test_what_a_client_says_of_itself_is_replaced_and_a_question_is_never_asked_twice(
    tmp_path: Path,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        nginx(tmp_path, server.getsockname()) as front,
    ):
        heads: list[bytes] = []
        ending = threading.Thread(target=take_and_hang_up, args=(server, heads))
        ending.start()
        forged = {
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Prefix": "/x",
            "X-Forwarded-Proto": "gopher",
        }
        reply = front.ask(
            "POST",
            "/v1/a//b%2Fc?d=%20e",
            b"{}",
            Forwarded="for=192.0.2.1",
            Host="me.example",
            **forged,
        )
        server.shutdown(socket.SHUT_RDWR)
        ending.join(5)

    assert reply.status == 503
    assert len(heads) == 1
    line, *headers = heads[0].decode().partition("\r\n\r\n")[0].split("\r\n")
    assert line == "POST /v1/a//b%2Fc?d=%20e HTTP/1.1"
    told = {
        name.lower(): value for name, _, value in (header.partition(": ") for header in headers)
    }
    assert told["host"] == told["x-forwarded-host"] == "me.example"
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert not {"forwarded", "x-forwarded-prefix", "connection"} & told.keys()


def test_its_limits_fit_those_of_the_gateway() -> None:
    settings = Settings.model_fields
    gunicorn = (ROOT / "gunicorn.conf.py").read_text()
    keepalive = re.search(r"^keepalive = (\d+)", gunicorn, re.MULTILINE)
    assert keepalive is not None

    assert number("client_max_body_size", "m") == settings["max_body_mb"].default
    assert number("proxy_read_timeout", "s") > settings["request_timeout_s"].default
    assert number("worker_shutdown_timeout", "s") > settings["request_timeout_s"].default
    assert number("keepalive_timeout", "s") < int(keepalive[1])
    assert re.search(r"server 127\.0\.0\.1:(\d+);", CONF.read_text())[1] == str(
        settings["port"].default
    )


def take_and_hang_up(server: socket.socket, heads: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # the server was shut down
        while True:
            connection, _ = server.accept()
            with connection:
                heads.append(connection.recv(65536))


def number(directive: str, unit: str) -> int:
    found = re.findall(rf"^\s*{directive}\s+(\d+){unit};", CONF.read_text(), re.MULTILINE)
    assert len(found) == 1, directive
    return int(found[0])


def wait_for_lines(log: Path, count: int) -> None:
    until(lambda: log.read_text().count("\n") >= count, message=log.read_text)
