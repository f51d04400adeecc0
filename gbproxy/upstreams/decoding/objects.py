"""The base of the stream's readers, the decoding of one JSON text, and the reading of its fields.

Readers do no I/O: they are fed bytes cut anywhere and return objects. A field of another type than
the wanted one counts as missing. Source: docs/upstream.md, framing.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import islice
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.errors import AnswerTooLarge, UpstreamProtocolError

MAX_ELEMENT_BYTES = 32 * 1024 * 1024  # a file of 20 MB in base64 has room

# A large element is a text or a file; one that is made of very many parts takes seconds to decode,
# and gigabytes.
_LARGE_BYTES = 128 * 1024
MOST_PARTS = 100_000
_MARKS = b",{["
# A string, whole or cut off, or a mark outside strings, with what stands before it: it matches
# everywhere but at the end.
_PART = re.compile(rb'[^",{\[]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[,{\[])', re.DOTALL)
_WHITE_SPACE = b" \t\r\n"
_UTF8_BOM = b"\xef\xbb\xbf"


class ObjectDecoder(ABC):
    """Gives each object of a stream to the call of `feed` that brings its last byte.

    What comes out does not depend on where the bytes were cut: a fault that stands behind whole
    objects in one piece is raised by the next call, after these objects were handed out; without
    such objects at once. A reader that has failed holds no bytes any more and raises the same
    again.
    """

    def __init__(self, max_element_bytes: int = MAX_ELEMENT_BYTES) -> None:
        self._max_element_bytes = max_element_bytes
        self._buffer = bytearray()  # from the first byte that is not used up
        self._begun = False
        self._failure: UpstreamProtocolError | None = None
        self.seen = 0  # objects, and what was in their place
        # than the last call was to return: the next may be made at once, with no bytes
        self.has_more = False

    def feed(self, data: bytes, at_most: float = math.inf) -> list[dict[str, Any]]:
        """Take the next bytes, return every object that they complete, or about so many. Raises
        UpstreamProtocolError.
        """
        self._raise_failure()
        known = 0 if self.has_more else len(self._buffer)
        self.has_more = False
        self._buffer += data
        if not self._begun:
            known = 0
            if not self._begin():
                return []
        objects: list[dict[str, Any]] = []
        try:
            self._read(known, objects, at_most)
        except UpstreamProtocolError as error:
            self._fail(error)
            if not objects:
                raise
        return objects

    def close(self) -> None:
        """Say that the stream has ended. Raises UpstreamProtocolError when it was empty or cut
        off.
        """
        self._raise_failure()
        try:
            self._check_end()
        except UpstreamProtocolError as error:
            self._fail(error)
            raise

    def _begin(self) -> bool:
        """Drop a byte order mark; False as long as these bytes may still become one."""
        if len(self._buffer) < len(_UTF8_BOM) and _UTF8_BOM.startswith(self._buffer):
            return False
        if self._buffer.startswith(_UTF8_BOM):
            del self._buffer[: len(_UTF8_BOM)]
        self._begun = True
        return True

    @property
    def complete(self) -> bool:
        """True once the stream itself marked its end. Event streams have no such mark."""
        return False

    @abstractmethod
    def _read(self, known: int, objects: list[dict[str, Any]], at_most: float) -> None:
        """Append to `objects` what the buffer completes, and drop it there. Its first `known` bytes
        are not new.

        With `at_most` of them it stops, and says that it `has_more`.
        """

    @abstractmethod
    def _check_end(self) -> None: ...

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_element_bytes:
            raise AnswerTooLarge(
                f"an element of the upstream's answer is over {self._max_element_bytes} bytes"
            )

    def _fail(self, error: UpstreamProtocolError) -> None:
        # not the error: its traceback would keep everything alive
        self._failure = type(error)(error.message)
        self._buffer.clear()  # in place: the traceback's frames know this buffer too

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(self._failure.message)


def too_many_parts() -> AnswerTooLarge:
    return AnswerTooLarge(f"an element of the upstream's answer has over {MOST_PARTS} parts")


def decode_json(data: bytes) -> Any:
    """Decode one JSON text without white space around it; every way to fail is an
    UpstreamProtocolError.

    Nothing in the result is half of a surrogate pair, which could be neither sent on nor logged.
    """
    if len(data) > _LARGE_BYTES and _has_too_many_parts(data):
        raise too_many_parts()
    try:
        return jsontext.decode_bytes(data)
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError("an element of the upstream's answer is not UTF-8") from error
    except ValueError as error:
        raise UpstreamProtocolError(f"an element of the upstream's answer {error}") from error


def decode_body(data: bytes) -> Any:
    """As `decode_json`, for a whole body: with white space around, or behind a byte order mark."""
    return decode_json(data.removeprefix(_UTF8_BOM).strip(_WHITE_SPACE))


def _has_too_many_parts(data: bytes) -> bool:
    """A text may hold as many marks as it likes: but to tell that they are in one takes ten times
    as long.
    """
    if len(data) - len(data.translate(None, _MARKS)) <= MOST_PARTS:
        return False
    return next(islice(_PART.finditer(data), 2 * MOST_PARTS, None), None) is not None


# What a log, a database or a terminal may choke on. Halves of surrogate pairs are none: decoding
# has replaced them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_line(value: object, max_chars: int) -> str:
    """The text, without control characters, and cut."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", as_text(value)[:max_chars])
