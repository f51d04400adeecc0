"""The body of an HTTP answer, in as few pieces as the network brings.

urllib3 gives one piece for each HTTP chunk, however many of them one read of the socket has brought. Here the chunks are
taken apart by hand, from the file that http.client reads from, and what came together is given together. That file is not
part of a public interface: where it is not found as expected, the body is read through urllib3.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from urllib3.exceptions import DecodeError, IncompleteRead, ProtocolError

if TYPE_CHECKING:
    from gbproxy.outbound.wire import Wire

READ_SIZE = 64 * 1024  # at most
_FIRST_READ_SIZE = 2 * 1024  # also the least: each answer that waits holds as much
_MAX_SIZE_LINE = 1024
_SIZE_LINE = re.compile(rb"[ \t]*+([0-9a-fA-F]{1,16})[ \t]*+(?:;[^\n]*+)?\r?\n")


class Body(Protocol):
    """`read` waits for what arrives next, and gives b"" at the end. Raises what urllib3 raises."""

    def read(self) -> bytes: ...

    def close(self) -> None:
        """Nothing is read any more."""
        ...


def body_of(raw: Any) -> Body:
    """The body of a urllib3 response, by the quickest way that fits it."""
    response = getattr(raw, "_fp", None)
    file = getattr(response, "fp", None)
    encoding = raw.headers.get("Content-Encoding", "identity").strip().lower()
    fits = (
        getattr(response, "chunked", None) is True
        and getattr(response, "chunk_left", "") is None
        and hasattr(file, "read1")
        and hasattr(response, "_close_conn")
        and encoding in ("identity", "", "gzip", "x-gzip", "deflate")
    )
    if not fits or file is None:
        return _ThroughUrllib3(raw)
    chunks = _Chunked(raw, response, file)
    return chunks if encoding in ("identity", "") else _Inflated(chunks, deflate=encoding == "deflate")


class ObservedBody:
    """Tells each piece of another body, and its end, to somebody else too."""

    def __init__(self, body: Body, note: Callable[[bytes], None]) -> None:
        self._body = body
        self._note = note

    def read(self) -> bytes:
        data = self._body.read()
        self._note(data)
        return data

    def close(self) -> None:
        self._body.close()


class _ThroughUrllib3:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def read(self) -> bytes:
        data: bytes = self._raw.read1(READ_SIZE, decode_content=True)
        return data

    def close(self) -> None:
        pass


class _Chunked:
    """Takes the chunks of the transfer coding apart (RFC 9112, 7.1)."""

    def __init__(self, raw: Any, response: Any, file: Any) -> None:
        self._raw = raw
        self._response = response
        self._file = file
        self._read1 = file.read1
        self._wire: Wire | None = None
        self._rest = b""  # bytes that are not a whole size line yet
        self._left = 0  # bytes of the running chunk that are still to come, with its line end
        self._ended = False
        self._fault: ProtocolError | None = None
        self._read_size = _FIRST_READ_SIZE

    def read(self) -> bytes:
        while not self._ended:
            if self._fault is not None:
                raise self._fault
            data = self._read1(self._read_size)
            if not data:
                raise IncompleteRead(0, 1)
            if self._file is not None and len(data) < self._read_size:
                self._leave_file()
            # Room for what comes next: large pieces in few reads, and no large buffer for each small piece.
            self._read_size = min(max(_FIRST_READ_SIZE, 4 * len(data)), READ_SIZE)
            pieces: list[bytes] = []
            try:
                self._split(data, pieces)
            except ProtocolError as fault:  # behind what is good, and raised behind it
                self._fault = fault
            if pieces:
                return b"".join(pieces)
        return b""

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _leave_file(self) -> None:
        """It has given less than it was asked for, so its buffer is empty: what comes now can be read below it."""
        self._wire = _wire_below(self._file)
        self._file = None
        if self._wire is not None:
            self._read1 = self._wire.read1

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
            self._left = length + 2

    def _take(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take over what there is of the running chunk; its last two bytes are the line end."""
        end = min(position + self._left, len(data))
        content_end = min(end, position + self._left - 2)
        if content_end > position:
            pieces.append(data[position:content_end])
        self._left -= end - position
        return end

    def _end(self, behind: bytes) -> None:
        """The last chunk is in: read the trailers, and give the connection back."""
        while (end := _end_of_trailers(behind)) is None:
            if len(behind) > READ_SIZE or not (more := self._read1(READ_SIZE)):
                raise IncompleteRead(0, 1)
            behind += more
        self._ended = True
        if end == len(behind):
            self._response._close_conn()
            self._raw.release_conn()
        else:  # bytes that belong to nothing: the connection cannot be used again
            self._raw.close()


class _Inflated:
    """Unpacks gzip and deflate; deflate also without its head, as some servers send it."""

    def __init__(self, chunks: _Chunked, *, deflate: bool) -> None:
        self._chunks = chunks
        self._head = b""
        self._inflater = None if deflate else zlib.decompressobj(16 + zlib.MAX_WBITS)

    def read(self) -> bytes:
        while data := self._chunks.read():
            try:
                plain = self._inflate(data)
            except zlib.error as error:
                raise DecodeError(str(error)) from error
            if plain:
                return plain
        if self._inflater is None or not self._inflater.eof:
            raise DecodeError("the compressed body is cut off")
        return b""

    def close(self) -> None:
        self._chunks.close()

    def _inflate(self, data: bytes) -> bytes:
        if self._inflater is None:
            self._head += data
            if len(self._head) < 2:
                return b""
            data = self._head
            has_head = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)
        return self._inflater.decompress(data)


def _wire_below(file: Any) -> Wire | None:
    """The connection that a file reads from, where it is one of gevent's; nobody else is to load gevent for it."""
    sock = getattr(getattr(file, "raw", None), "_sock", None)
    if not type(sock).__module__.startswith("gevent."):
        return None
    from gbproxy.outbound.wire import Wire

    return Wire(sock)


def _end_of_trailers(behind: bytes) -> int | None:
    """Where the body ends, in the bytes behind the last chunk's size; None while that is not in."""
    if behind.startswith(b"\r\n"):
        return 2
    end = behind.find(b"\r\n\r\n")
    return end + 4 if end >= 0 else None
