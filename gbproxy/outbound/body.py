"""The body of an HTTP answer, in as few pieces as the network brings.

urllib3 gives one piece for each HTTP chunk, however many of them one read of the socket has
brought. Here the chunks are taken apart by hand, and what came together is given together.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import urllib3
from urllib3.exceptions import DecodeError, IncompleteRead, ProtocolError

from gbproxy.outbound.answer import Answer

READ_SIZE = 64 * 1024  # at most
_FIRST_READ_SIZE = 2 * 1024  # also the least: each answer that waits holds as much
_MAX_SIZE_LINE = 1024
_SIZE_LINE = re.compile(rb"[ \t]*+([0-9a-fA-F]{1,16})[ \t]*+(?:;[^\n]*+)?\r?\n")
_TRAILERS = re.compile(rb"(?:(?!\r?\n)[^\n]*+\n)*+\r?\n")
_LINE_END = b"\r\n"
_GZIP_MAGIC = b"\x1f"  # its first byte: the second may still be on its way


class Body(Protocol):
    """`read` waits for what arrives next, at most READ_SIZE, and gives b"" at the end. Raises what
    urllib3 raises.
    """

    def read(self) -> bytes: ...


def body_of(answer: Answer) -> Body:
    """The body of an answer whose head was read."""
    framed = _Chunked(answer) if answer.chunked else _Plain(answer)
    coding = answer.value("content-encoding").lower()
    if coding in ("", "identity") or answer.length == 0:
        return framed
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Inflated(framed, answer.reader.give_way, deflate=coding == "deflate")
    return _ThroughUrllib3(framed, answer)


class ObservedBody:
    """Another body, each piece and the end of which is also passed to `note`."""

    def __init__(self, body: Body, note: Callable[[bytes], None]) -> None:
        self._body = body
        self._note = note

    def read(self) -> bytes:
        data = self._body.read()
        self._note(data)
        return data


class _ThroughUrllib3:
    """Unpacks by what urllib3 knows; what it does not know is given as it is."""

    def __init__(self, body: Body, answer: Answer) -> None:
        coding = {"Content-Encoding": answer.value("content-encoding")}
        self._packed = urllib3.HTTPResponse(_File(body), coding, preload_content=False)

    def read(self) -> bytes:
        return self._packed.read1(READ_SIZE, decode_content=True)


class _File(io.BufferedIOBase):
    """A body as a file, as far as urllib3 reads from it."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def read1(self, size: int = READ_SIZE, /) -> bytes:
        """READ_SIZE bytes at most, whatever `size` says; urllib3 asks for as many."""
        return self._body.read()


class _Plain:
    """Ends by its length, or with the connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._left = answer.length
        self._read_size = _FIRST_READ_SIZE
        self._data, answer.unread = answer.unread, b""
        if self._left == 0:
            answer.end(self._data)

    def read(self) -> bytes:
        if self._answer.ended:
            return b""
        data, self._data = self._data or self._answer.reader.read1(self._read_size), b""
        self._read_size = min(max(_FIRST_READ_SIZE, 4 * len(data)), READ_SIZE)
        if self._left is None:
            if not data:
                self._answer.end()
            return data
        if not data:
            raise IncompleteRead(0, self._left)
        behind, data = data[self._left :], data[: self._left]
        self._left -= len(data)
        if not self._left:
            self._answer.end(behind)
        return data


class _Chunked:
    """Takes the chunks of the transfer coding apart (RFC 9112, 7.1)."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._read1 = answer.reader.read1
        self._came, answer.unread = answer.unread, b""  # with the head
        self._rest = b""  # bytes that are not a whole size line yet
        self._left = 0  # bytes of the running chunk that are still to come, with its line end
        self._trailers: bytes | None = None  # as far as they have come, behind the last chunk
        self._ended = False
        self._fault: ProtocolError | None = None
        self._read_size = _FIRST_READ_SIZE

    def read(self) -> bytes:
        while not self._ended:
            if self._fault is not None:
                raise self._fault
            if self._trailers is not None:
                self._read_trailers(self._trailers)
                continue
            data, self._came = self._came or self._read1(self._read_size), b""
            if not data:
                raise IncompleteRead(0, 1)
            # Room for what comes next: large pieces in few reads, and no large buffer for each
            # small piece.
            self._read_size = min(max(_FIRST_READ_SIZE, 4 * len(data)), READ_SIZE)
            pieces: list[bytes] = []
            try:
                self._split(data, pieces)
            except ProtocolError as fault:  # behind what is good, and raised behind it
                self._fault = fault
            if pieces:
                return b"".join(pieces)
        return b""

    def _split(self, data: bytes, pieces: list[bytes]) -> None:
        """Append the content of the chunks in `data`, which begins where the last one ended."""
        data = self._rest + data if self._rest else data
        self._rest = b""
        position, size = 0, len(data)
        while position < size:
            if self._left:
                position = self._take(data, position, pieces)
                continue
            line = _SIZE_LINE.match(data, position)
            if line is None:
                self._rest = data[position:]
                if b"\n" in self._rest or len(self._rest) > _MAX_SIZE_LINE:
                    raise ProtocolError("a chunk's size is not a number, or its line is too long")
                break
            length = int(line[1], 16)
            position = line.end()
            if length == 0:
                self._end(data[position:])
                break
            end = position + length
            if data.startswith(_LINE_END, end):  # whole, as nearly all
                pieces.append(data[position:end])
                position = end + 2
            else:
                self._left = length + 2

    def _take(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Append what has come of the running chunk; its last two bytes are the line end."""
        left = self._left
        end = min(position + left, len(data))
        content_end = min(end, position + left - 2)
        if content_end > position:
            pieces.append(data[position:content_end])
        self._left = left - (end - position)
        is_ended = (
            data.startswith(_LINE_END, content_end)
            if left > 1 and not self._left
            else self._may_end(data[position:end], left)
        )
        if not is_ended:
            raise ProtocolError("a chunk is longer than its size")
        return end

    def _may_end(self, data: bytes, left: int) -> bool:
        """True if the bytes behind a chunk's content begin a line end; its two bytes need not come
        together.
        """
        behind = data[max(0, left - 2) :]
        return behind == _LINE_END[max(0, 2 - left) :][: len(behind)]

    def _end(self, behind: bytes) -> None:
        """The last chunk is in: give the connection back, if the trailers are in too."""
        found = _TRAILERS.match(behind)
        if found is None:  # what was said is given before anybody waits for them
            self._trailers = behind
            return
        self._ended = True
        self._answer.end(behind[found.end() :])

    def _read_trailers(self, begun: bytes) -> None:
        if len(begun) > READ_SIZE or not (more := self._read1(READ_SIZE)):
            raise IncompleteRead(0, 1)
        self._end(begun + more)


class _Inflated:
    """Unpacks gzip, of any number of members, and deflate, a step at a time; deflate also without
    its head, as some send it.
    """

    def __init__(self, body: Body, give_way: Callable[[], None], *, deflate: bool) -> None:
        self._body = body
        self._give_way = give_way
        self._head = b""
        self._packed = b""  # what the last step has left
        self._was_full = False  # there may be more than one step may unpack: zlib keeps some itself
        self._has_members = not deflate
        self._inflater = None if deflate else _gzip_member()

    def read(self) -> bytes:
        while True:
            if self._was_full or self._packed:
                self._give_way()
            else:
                self._packed = self._body.read()
                if not self._packed:
                    break
            try:
                plain = self._step()
            except zlib.error as error:
                raise DecodeError(str(error)) from error
            self._was_full = len(plain) == READ_SIZE
            if plain:
                return plain
        if self._inflater is None or not self._inflater.eof:
            raise DecodeError("the compressed body is cut off")
        return b""

    def _step(self) -> bytes:
        """Unpack some of what has come."""
        data, self._packed = self._packed, b""
        if self._inflater is None:
            self._head += data
            if len(self._head) < 2:
                return b""
            data = self._head
            has_head = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)
        if self._inflater.eof:
            if not (self._has_members and data.startswith(_GZIP_MAGIC)):
                return b""  # padding, or what belongs to nothing
            self._inflater = _gzip_member()
        plain: bytes = self._inflater.decompress(data, READ_SIZE)
        self._packed = (
            self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        )
        return plain


def _gzip_member() -> Any:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)
