"""The head of an HTTP answer, taken apart by hand (gbproxy/outbound/answer.py)."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.outbound.answer import Answer


class Pieces:
    """Gives what an answer is read from one piece at a time, then the end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read1(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        """Nothing is open."""


def answer_of(*pieces: bytes, method: str = "GET") -> Answer:
    reader: Any = Pieces(*pieces)
    answer = Answer(reader, method=method)
    answer.begin()
    return answer


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_head_is_the_same_wherever_it_was_cut(end: bytes) -> None:
    lines = (b"HTTP/1.1 200 All right", b"Set-Cookie: a", b"X-One:  1 ", b"set-cookie: b", b"", b"")
    head = end.join(lines)

    for at in range(1, len(head)):
        answer = answer_of(head[:at], head[at:] + b"rest")
        assert (answer.status, answer.reason) == (200, "All right")
        assert answer.header_pairs == (("Set-Cookie", "a"), ("X-One", "1"), ("set-cookie", "b"))
        assert answer.headers["SET-COOKIE"] == answer.value("set-cookie") == "a, b"
        assert answer.unread == b"rest"


@pytest.mark.parametrize("fold", [b"\r\n ", b"\n\t", b" \r\n \t "])
def test_a_folded_value_is_one(fold: bytes) -> None:
    answer = answer_of(b"HTTP/1.1 200 OK\r\nX-Long: one%btwo\r\nX-Next: 3\r\n\r\n" % fold)

    assert answer.value("x-long").split() == ["one", "two"]
    assert answer.value("x-next") == "3"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_what_is_no_head_is_an_error(head: bytes) -> None:
    with pytest.raises(HTTPException):
        answer_of(head)


def test_what_is_no_answer_is_known_before_its_end() -> None:
    reader: Any = Pieces(b"SSH-2.0-OpenSSH_9.0\r\n", b"never read")
    with pytest.raises(HTTPException):
        Answer(reader).begin()

    assert reader.read1(1) == b"never read"


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6))
def test_garbage_only_ever_raises_what_http_client_raises(pieces: list[bytes]) -> None:
    try:
        answer = answer_of(b"HTTP/1.1 200 OK\r\n", *pieces)
    except HTTPException:
        return
    assert answer.status == 200


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length : 9\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno header\r\n", False),
    ],
)
def test_only_a_connection_whose_answer_is_clear_is_kept(head: bytes, is_kept: bool) -> None:
    answer = answer_of(head + b"\r\n")

    answer.end()

    assert answer.ended_exactly is is_kept


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    answer = answer_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method="HEAD")

    assert answer.length == 0
