"""How a response is written (gbproxy/server/response.py): the bytes are gunicorn's, in fewer sends."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser

from gbproxy.server.response import Response


class Wire:
    """A connection that keeps what is sent on it."""

    def __init__(self) -> None:
        self.sends: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sends.append(data)


def written(
    kind: type[wsgi.Response],
    request_line: str,
    status: str,
    headers: Sequence[tuple[str, str]],
    pieces: Sequence[bytes],
) -> list[bytes]:
    """What a response of this kind sends for one request."""
    config, wire = Config(), Wire()
    asked = iter([f"{request_line}\r\nHost: gateway\r\n\r\n".encode()])
    request = next(RequestParser(config, asked, ("127.0.0.1", 1)))
    response = kind(request, wire, config)
    response.start_response(status, list(headers))
    for piece in pieces:
        response.write(piece)
    response.close()
    return wire.sends


def undated(sends: Sequence[bytes]) -> bytes:
    return re.sub(rb"Date: [^\r]+", b"Date: -", b"".join(sends))


@pytest.mark.parametrize("pieces", [[], [b""], [b"one"], [b"", b"one", b"", b"two"]])
@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/event-stream")],
        [("X-Name", "\xe9"), ("Content-Length", "3")],
        [("Connection", "close"), ("Content-Length", "6")],
    ],
)
@pytest.mark.parametrize(
    "status", ["200 OK", "204 No Content", "304 Not Modified", "503 Service Unavailable"]
)
@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "HEAD / HTTP/1.1", "GET / HTTP/1.0"])
def test_the_bytes_are_those_of_gunicorn_s_own_response(
    request_line: str, status: str, headers: list[tuple[str, str]], pieces: list[bytes]
) -> None:
    ours = written(Response, request_line, status, headers, pieces)
    gunicorn_s = written(wsgi.Response, request_line, status, headers, pieces)

    assert undated(ours) == undated(gunicorn_s)
    assert len(ours) <= len(gunicorn_s)


def test_the_head_goes_out_with_the_first_piece() -> None:
    head_and_first, second, end = written(
        Response, "GET / HTTP/1.1", "200 OK", [("Content-Type", "text/plain")], [b"one", b"two"]
    )

    assert head_and_first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head_and_first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert (second, end) == (b"3\r\ntwo\r\n", b"0\r\n\r\n")


def test_a_head_whose_first_piece_is_empty_does_not_wait_for_the_next() -> None:
    head, first, _ = written(Response, "GET / HTTP/1.1", "200 OK", [], [b"", b"one"])

    assert head.endswith(b"\r\n\r\n")
    assert first == b"3\r\none\r\n"


def test_a_whole_answer_is_one_send() -> None:
    [sent] = written(Response, "GET / HTTP/1.1", "200 OK", [("Content-Length", "3")], [b"one"])

    assert sent.endswith(b"Content-Length: 3\r\n\r\none")


def test_a_head_that_could_not_be_sent_is_not_followed_by_another() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    config = Config()
    request = next(RequestParser(config, iter([b"GET / HTTP/1.1\r\n\r\n"]), ("127.0.0.1", 1)))
    response = Response(request, ours, config)
    response.start_response("200 OK", [])

    with pytest.raises(OSError, match="pipe"):
        response.write(b"one")

    assert response.headers_sent
    ours.close()
