"""The upstream's usual stream: one JSON array, sent element by element. Source: docs/upstream.md,
framing.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from gbproxy.errors import UpstreamProtocolError
from gbproxy.upstreams.decoding.objects import (
    MAX_ELEMENT_BYTES,
    MOST_PARTS,
    ObjectDecoder,
    decode_json,
    too_many_parts,
)

_SPACE = re.compile(rb"[ \t\r\n]*+")
_SEPARATOR = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+(?=\{)")
_PRETTY_START = (b"{\n", b"{\r\n")
# never inside a string: JSON has no raw newline there; half the cost of find()
_PRETTY_END = re.compile(rb"\n\}")

# Over whole strings up to the next brace, or into a string that has no end yet, or to the end: it
# matches everywhere.
_TO_MARK = re.compile(
    rb'[^"{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}]*+)*+(?:(\{)|(\})|(")|\Z)', re.DOTALL
)
_OPENING, _CLOSING, _QUOTE = 1, 2, 3  # its groups
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class _Expects(Enum):
    """The next thing that the array may hold; the value completes "… where … was expected"."""

    ANSWER = "an array or an object"
    FIRST_ELEMENT = "an object or the closing bracket"
    ELEMENT = "an object"
    SEPARATOR = "a comma or the closing bracket"
    NOTHING = "the end"
    INSIDE_ELEMENT = "the rest of an element"
    INSIDE_ANSWER = "the rest of the object"  # the whole answer is this one object


_STEPS = {
    _Expects.ANSWER: {ord("["): _Expects.FIRST_ELEMENT, ord("{"): _Expects.INSIDE_ANSWER},
    _Expects.FIRST_ELEMENT: {ord("{"): _Expects.INSIDE_ELEMENT, ord("]"): _Expects.NOTHING},
    _Expects.ELEMENT: {ord("{"): _Expects.INSIDE_ELEMENT},
    _Expects.SEPARATOR: {ord(","): _Expects.ELEMENT, ord("]"): _Expects.NOTHING},
    _Expects.NOTHING: {},
}
_INSIDE = (_Expects.INSIDE_ELEMENT, _Expects.INSIDE_ANSWER)
_KINDS = {
    b"<": "markup",
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"]": "a closing bracket",
} | {
    b",": "a comma",
    **dict.fromkeys((bytes([digit]) for digit in b"-0123456789"), "a number"),
}


class ArrayReader(ObjectDecoder):
    """Reads one streamed JSON array, or a bare object (how Google sends errors), from bytes cut
    anywhere.

    `guess_layout` tries first whether an object of the usual pretty-printed layout ends at the next
    brace in column 0. A guess is checked by decoding: no object is the beginning of another, so
    what decodes is the whole one. After a wrong guess the general scanner takes over for good.
    """

    def __init__(
        self, max_element_bytes: int = MAX_ELEMENT_BYTES, *, guess_layout: bool = True
    ) -> None:
        super().__init__(max_element_bytes)
        self._guess_layout = guess_layout
        self._expects = _Expects.ANSWER
        self._scanner = _ObjectScanner()

    @property
    def complete(self) -> bool:
        """True once the closing bracket, or the whole of a bare object, was read without a
        fault.
        """
        return self._expects is _Expects.NOTHING and self._failure is None

    def _read(self, known: int, objects: list[dict[str, Any]], at_most: float) -> None:
        buffer = self._buffer
        position = 0
        while True:
            if self._expects not in _INSIDE:
                position = self._step_to_object(position)
                if self._expects not in _INSIDE:
                    break
            taken = self._take_object(position, max(position, known))
            if taken is None:
                self._check_size(len(buffer) - position)
                break
            element, position = taken
            objects.append(element)
            self.seen += 1
            self._expects = (
                _Expects.SEPARATOR if self._expects is _Expects.INSIDE_ELEMENT else _Expects.NOTHING
            )
            if len(objects) >= at_most:
                self.has_more = True
                break
        del buffer[:position]

    def _check_end(self) -> None:
        if self._expects is _Expects.ANSWER:
            raise UpstreamProtocolError("the upstream's answer was empty")
        if self._expects is not _Expects.NOTHING:
            raise UpstreamProtocolError(f"the upstream's answer ended before {self._expects.value}")

    def _step_to_object(self, position: int) -> int:
        """Step over white space and punctuation as far as they go; expects the inside of an object
        once one begins.
        """
        buffer = self._buffer
        if self._expects is _Expects.SEPARATOR and (
            separator := _SEPARATOR.match(buffer, position)
        ):
            self._expects = _Expects.INSIDE_ELEMENT
            return separator.end()
        while (position := _end_of(_SPACE.match(buffer, position))) < len(buffer):
            step = _STEPS[self._expects].get(buffer[position])
            if step is None:
                kind = _KINDS.get(bytes(buffer[position : position + 1]), "text")
                raise UpstreamProtocolError(
                    f"the upstream's answer has {kind} where {self._expects.value} was expected"
                )
            self._expects = step
            if step in _INSIDE:
                break
            position += 1
        return position

    def _take_object(self, start: int, fresh: int) -> tuple[dict[str, Any], int] | None:
        """Decode the object that begins at `start`; also returns its end. None while that is not
        in.

        The bytes before `fresh` were looked at in earlier calls: its end is not among them.
        """
        buffer = self._buffer
        guessing = self._guess_layout and buffer.startswith(_PRETTY_START, start)
        if guessing and (pretty_end := _PRETTY_END.search(buffer, max(start, fresh - 1))):
            end = pretty_end.end()
            try:
                element = self._decode(start, end)
            except UpstreamProtocolError:
                self._guess_layout = False  # or the element is at fault, as the scanner will find
            else:
                self._scanner.reset()
                return element, end
        if buffer.find(b"}", fresh) < 0:
            return None
        scanned_end = self._scanner.end_of_object(buffer, start)
        if scanned_end is None:
            return None
        if guessing:
            self._guess_layout = False
        return self._decode(start, scanned_end), scanned_end

    def _decode(self, start: int, end: int) -> dict[str, Any]:
        self._check_size(end - start)
        # it begins with a brace
        element: dict[str, Any] = decode_json(bytes(self._buffer[start:end]))
        return element


class _ObjectScanner:
    """Finds where an object ends by counting the braces outside strings; looks at each byte once,
    however it is cut.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._scanned = 0  # bytes from the object's start
        self._depth = 0
        self._opened = 0
        self._in_string = False

    def end_of_object(self, buffer: bytearray, start: int) -> int | None:
        """The position behind the object that begins at `start`; None while that is not in: call
        again with more.

        Raises AnswerTooLarge.
        """
        position = start + self._scanned
        if self._in_string:
            position = _end_of(_REST_OF_STRING.match(buffer, position))
            # the end of the bytes, or of half an escape
            if buffer[position : position + 1] != b'"':
                self._scanned = position - start
                return None
            self._in_string = False
            position += 1
        for mark in _TO_MARK.finditer(buffer, position):
            if mark.lastindex == _OPENING:
                self._depth += 1
                self._opened += 1
            elif mark.lastindex == _CLOSING:
                self._depth -= 1
                if not self._depth:
                    self.reset()
                    return mark.end()
            elif mark.lastindex == _QUOTE:
                self._in_string = True
                self._scanned = _end_of(_REST_OF_STRING.match(buffer, mark.end())) - start
                return None
        self._scanned = len(buffer) - start
        if self._opened > MOST_PARTS:
            raise too_many_parts()
        return None


def _end_of(match: re.Match[bytes] | None) -> int:
    if match is None:  # these patterns also match nothing at all
        raise AssertionError
    return match.end()
