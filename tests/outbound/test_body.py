"""The body of an HTTP answer, taken apart by hand (gbproxy/outbound/body.py)."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import DecodeError, HTTPError, IncompleteRead, ProtocolError

from gbproxy.outbound.answer import Answer
from gbproxy.outbound.body import READ_SIZE, body_of
from gbproxy.outbound.pools import reader_of

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = "Hello, 世界 👨‍👩‍👧! ".encode() * 3


class File:
    """What an answer is read from: gives its pieces one at a time, then the end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read1(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def give_way(self) -> None:
        """There are no others."""

    def close(self) -> None:
        """Nothing is open."""


class Raw:
    """An answer whose head has been read; `ended` tells how its connection was given back."""

    def __init__(
        self, *pieces: bytes, encoding: str | None = None, head: bytes = CHUNKED_HEAD
    ) -> None:
        if encoding is not None:
            line = b"Content-Encoding: %b\r\n\r\n" % encoding.encode()
            head = head.removesuffix(b"\r\n") + line
        reader: Any = File(head, *pieces)
        self.ended: str | None = None
        self.answer = Answer(reader, give_back=self._note)
        self.answer.begin()

    def _note(self, is_reusable: bool) -> None:
        self.ended = "released" if is_reusable else "closed"


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def pieces_of(raw: Raw) -> list[bytes]:
    body = body_of(raw.answer)
    return list(iter(body.read, b""))


def cuts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((data[:at], data[at:]) for at in range(1, len(data)))


def test_chunks_that_came_together_are_given_together() -> None:
    raw = Raw(chunked(b"one", b"two", b"three"))

    assert pieces_of(raw) == [b"onetwothree"]
    assert raw.ended == "released"


def test_a_chunk_is_given_as_far_as_it_has_come() -> None:
    raw = Raw(b"b\r\nHello", b" world", b"\r\n0\r\n\r\n")

    assert pieces_of(raw) == [b"Hello", b" world"]


def test_a_body_is_the_same_wherever_it_was_cut() -> None:
    wire = chunked(TEXT[:10], TEXT[10:11], TEXT[11:], end=b"0\r\nX-Trailer: yes\r\n\r\n")

    for first, second in cuts(wire):
        raw = Raw(first, second)
        assert b"".join(pieces_of(raw)) == TEXT
        assert raw.ended == "released"
    assert b"".join(pieces_of(Raw(*(wire[at : at + 1] for at in range(len(wire)))))) == TEXT


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_any_chunks_in_any_pieces_give_their_content(chunks: list[bytes], sizes: list[int]) -> None:
    wire = chunked(*chunks)
    pieces = []
    while wire:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(wire[:size])
        wire = wire[size:]

    assert b"".join(pieces_of(Raw(*pieces))) == b"".join(chunks)


def test_extensions_of_a_size_line_are_passed_over() -> None:
    assert pieces_of(Raw(b"3;name=value\r\nabc\r\n0;last\r\n\r\n")) == [b"abc"]


def test_a_connection_that_holds_more_than_the_body_is_not_used_again() -> None:
    raw = Raw(chunked(b"abc") + b"HTTP/1.1 200 OK")

    assert pieces_of(raw) == [b"abc"]
    assert raw.ended == "closed"


def test_a_body_that_is_cut_off_anywhere_is_an_error() -> None:
    wire = chunked(b"abc", b"defg")

    for at in range(len(wire)):
        with pytest.raises(IncompleteRead):
            pieces_of(Raw(wire[:at]))


def test_what_was_said_is_given_before_an_end_that_is_late_or_missing() -> None:
    wire = chunked(b"abc", end=b"0\r\n")

    for first, second in [(wire, b""), *cuts(wire)]:
        body = body_of(Raw(first, *filter(None, [second])).answer)
        said: list[bytes] = []
        with pytest.raises(IncompleteRead):
            said.extend(iter(body.read, b""))
        assert b"".join(said) == b"abc"


@pytest.mark.parametrize("line", [b"", b"xyz", b"-1", b"0x10", b" ", b"1" * 17, b"1" * 2000])
def test_a_size_that_is_none_is_an_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        pieces_of(Raw(line + b"\r\nabc\r\n0\r\n\r\n"))


def test_what_is_good_before_a_fault_is_given_first() -> None:
    body = body_of(Raw(chunked(b"abc", end=b"nonsense\r\n")).answer)

    assert body.read() == b"abc"
    with pytest.raises(ProtocolError):
        body.read()


@given(st.binary(max_size=200))
def test_garbage_only_ever_raises_what_urllib3_raises(wire: bytes) -> None:
    try:
        pieces = pieces_of(Raw(wire))
    except HTTPError:
        return
    assert all(pieces)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT, wbits=-zlib.MAX_WBITS)),
    ],
    ids=["gzip", "x-gzip", "deflate", "deflate without its head"],
)
def test_a_compressed_body_is_unpacked_wherever_it_was_cut(encoding: str, packed: bytes) -> None:
    for first, second in cuts(chunked(packed)):
        assert b"".join(pieces_of(Raw(first, second, encoding=encoding))) == TEXT


def test_what_a_compressor_flushed_is_given_at_once() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    first = packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(b"second") + packer.flush()

    assert pieces_of(Raw(chunked(first, end=b""), chunked(rest), encoding="gzip")) == [
        b"first",
        b"second",
    ]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_what_is_packed_is_unpacked_in_steps(pack: Any) -> None:
    encoding = "gzip" if pack is gzip.compress else "deflate"
    plain = bytes(5_000_000) + TEXT

    pieces = pieces_of(Raw(chunked(pack(plain)), encoding=encoding))

    assert b"".join(pieces) == plain
    assert max(map(len, pieces)) <= READ_SIZE


@pytest.mark.parametrize("size", [READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 2 * READ_SIZE])
def test_what_fills_a_step_exactly_ends(size: int) -> None:
    plain = bytes(size)

    assert b"".join(pieces_of(Raw(chunked(gzip.compress(plain)), encoding="gzip"))) == plain


def test_nothing_is_kept_of_what_follows_a_packed_body() -> None:
    more = [chunked(bytes(60_000), end=b"")] * 100
    raw = Raw(chunked(gzip.compress(TEXT), end=b""), *more, chunked(), encoding="gzip")
    body = body_of(raw.answer)
    first = body.read()

    tracemalloc.start()
    assert body.read() == b""
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert first == TEXT
    assert most < 1_000_000


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(TEXT)[:-9], b"\x1f\x8bnonsense", b"plain text"],
    ids=["cut", "broken", "plain"],
)
def test_a_compressed_body_that_is_broken_or_cut_is_an_error(packed: bytes) -> None:
    with pytest.raises(DecodeError):
        pieces_of(Raw(chunked(packed), encoding="gzip"))


def test_a_coding_that_is_not_known_is_given_as_it_is() -> None:
    assert pieces_of(Raw(chunked(b"one", b"two"), encoding="x-odd")) == [b"onetwo"]


def test_several_codings_are_unpacked_one_after_the_other() -> None:
    packed = zlib.compress(gzip.compress(TEXT))

    raw = Raw(chunked(packed), encoding="gzip, deflate")

    assert b"".join(pieces_of(raw)) == TEXT
    assert raw.ended == "released"


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_body_of_a_known_length_ends_with_it(encoding: str | None) -> None:
    packed = TEXT if encoding is None else gzip.compress(TEXT)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(packed)

    for first, second in cuts(packed):
        raw = Raw(first, second, encoding=encoding, head=head)
        assert b"".join(pieces_of(raw)) == TEXT
        assert raw.ended == "released"


def test_a_body_that_is_shorter_than_its_length_is_an_error() -> None:
    raw = Raw(b"abc", head=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")

    with pytest.raises(IncompleteRead):
        pieces_of(raw)


def test_what_follows_a_body_of_a_known_length_spoils_the_connection() -> None:
    raw = Raw(b"abc", b"dHTTP/1.1 200 OK", head=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")

    assert pieces_of(raw) == [b"abc", b"d"]
    assert raw.ended == "closed"


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    raw = Raw(b"abc", b"d", head=b"HTTP/1.1 200 OK\r\n\r\n")

    assert pieces_of(raw) == [b"abc", b"d"]
    assert raw.ended == "closed"


def test_a_connection_is_read_as_it_brings_the_bytes_and_nothing_is_lost_on_the_way() -> None:
    ours, theirs = gevent.socket.socketpair()
    wire = CHUNKED_HEAD + chunked(TEXT, TEXT * 200, b"x", end=b"0\r\n\r\n")

    def send() -> None:
        for at in range(0, len(wire), 1500):
            theirs.sendall(wire[at : at + 1500])
            gevent.sleep(0)

    sending = gevent.spawn(send)
    answer = Answer(reader_of(ours, time.monotonic() + 5))
    answer.begin()  # some of the body has come with the head

    assert b"".join(iter(body_of(answer).read, b"")) == TEXT * 201 + b"x"
    assert answer.ended_exactly
    sending.get(timeout=5)
    for end in (ours, theirs):
        end.close()


def test_a_connection_of_a_program_with_threads_is_read_as_it_brings_the_bytes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(CHUNKED_HEAD + chunked(b"one", end=b""))
        answer = Answer(reader_of(ours, time.monotonic() + 5))
        answer.begin()
        body = body_of(answer)
        first = body.read()
        theirs.sendall(chunked(b"two"))

        assert (first, body.read(), body.read()) == (b"one", b"two", b"")
        assert answer.ended_exactly
        assert ours.gettimeout() is None  # as it was


@pytest.mark.parametrize("length", [3, 4000, 9000])
def test_what_came_behind_the_body_spoils_the_connection(length: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(CHUNKED_HEAD + chunked(b"one") + b"x" * length)
        answer = Answer(reader_of(ours, time.monotonic() + 5))
        answer.begin()

        assert list(iter(body_of(answer).read, b"")) == [b"one"]
        assert not answer.ended_exactly


@pytest.mark.parametrize("line", [b"3\r\nabcd\r\n", b"3\r\nabc0\r\n\r\n", b"3\r\nabc\n0\r\n"])
def test_a_chunk_that_is_not_as_long_as_it_says_is_an_error(line: bytes) -> None:
    for first, second in cuts(line + b"0\r\n\r\n"):
        with pytest.raises(ProtocolError):
            pieces_of(Raw(first, second))


@pytest.mark.parametrize(
    "end", [b"0\r\n\r\n", b"0\n\n", b"0\r\nA: b\nC: d\r\n\n", b"0\nA: b\n\r\n"]
)
def test_the_end_is_seen_whatever_ends_its_lines(end: bytes) -> None:
    for first, second in cuts(chunked(b"abc", end=end)):
        raw = Raw(first, second)
        assert b"".join(pieces_of(raw)) == b"abc"
        assert raw.ended == "released"


@pytest.mark.parametrize("padding", [b"", b"\0" * 20, b"nothing of use"])
@pytest.mark.parametrize("members", [2, 5])
def test_gzip_of_several_members_is_unpacked_wherever_it_was_cut(
    members: int, padding: bytes
) -> None:
    packed = (
        b"".join(gzip.compress(TEXT[part::members], mtime=0) for part in range(members)) + padding
    )
    text = b"".join(TEXT[part::members] for part in range(members))

    for first, second in cuts(packed):
        assert b"".join(pieces_of(Raw(chunked(first, second), encoding="gzip"))) == text


def test_a_second_member_that_is_cut_off_is_an_error() -> None:
    packed = gzip.compress(b"first") + gzip.compress(b"second")[:-3]

    with pytest.raises(DecodeError):
        pieces_of(Raw(chunked(packed), encoding="gzip"))
