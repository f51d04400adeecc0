"""The upstream's usual stream: one JSON array, sent element by element. Source: docs/upstream.md,
framing.
"""

from __future__ import annotations

import re
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
_TOGETHER_BYTES = 8 * 1024  # behind the end of a first element: others that are decoded with it

# Over whole strings up to the next brace, or into a string that has no end yet, or to the end: it
# matches everywhere.
_TO_MARK = re.compile(
    rb'[^"{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}]*+)*+(?:(\{)|(\})|(")|\Z)', re.DOTALL
)
_OPENING, _CLOSING, _QUOTE = 1, 2, 3  # its groups
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class _Expects:
    """The next thing that the array may hold, in words that complete "… where … was expected". No
    Enum: looking up a member of one takes seven times as long, and each read does it eight times.
    """

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

    `guess_layout` tries first whether objects of the usual pretty-printed layout end at braces in
    column 0. A guess is checked by decoding: no row of objects is the beginning of half an object,
    so what decodes is whole. After a wrong guess the general scanner takes over for good.
    """

    def __init__(
        self, max_element_bytes: int = MAX_ELEMENT_BYTES, *, guess_layout: bool = True
    ) -> None:
        super().__init__(max_element_bytes)
        self._guess_layout = guess_layout
        self._expects: str = _Expects.ANSWER
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
        while position < len(buffer):
            if self._expects not in _INSIDE:
                position = self._step_to_object(position)
                if self._expects not in _INSIDE:
                    break
            end = self._take_objects(position, max(position, known), objects)
            if end is None:
                self._check_size(len(buffer) - position)
                break
            position = end
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
            raise UpstreamProtocolError(f"the upstream's answer ended before {self._expects}")

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
                    f"the upstream's answer has {kind} where {self._expects} was expected"
                )
            self._expects = step
            if step in _INSIDE:
                break
            position += 1
        return position

    def _take_objects(self, start: int, fresh: int, objects: list[dict[str, Any]]) -> int | None:
        """Append the object that begins at `start`, and perhaps others behind it; returns the end
        of the last. None while the first is not in.

        The bytes before `fresh` were looked at in earlier calls: its end is not among them.
        """
        buffer = self._buffer
        guessing = (
            self._guess_layout
            and self._expects is _Expects.INSIDE_ELEMENT
            and buffer.startswith(_PRETTY_START, start)
        )
        if guessing and (pretty_end := _PRETTY_END.search(buffer, max(start, fresh - 1))):
            end = self._last_end(start, pretty_end.end())
            if self._decode_together(start, end, objects):
                self._scanner.reset()
                return end
            self._guess_layout = False  # or an element is at fault, as the scanner will find
        if buffer.find(b"}", fresh) < 0:
            return None
        scanned_end = self._scanner.end_of_object(buffer, start)
        if scanned_end is None:
            return None
        if guessing:
            self._guess_layout = False
        self._check_size(scanned_end - start)
        objects.append(decode_json(bytes(buffer[start:scanned_end])))  # it begins with a brace
        self.seen += 1
        return scanned_end

    def _last_end(self, start: int, first_end: int) -> int:
        """Where the last element ends of those that are to be decoded with the first."""
        until = min(first_end + _TOGETHER_BYTES, start + self._max_element_bytes)
        return max(first_end, self._buffer.rfind(b"\n}", first_end, until) + 2)

    def _decode_together(self, start: int, end: int, objects: list[dict[str, Any]]) -> bool:
        """Append the elements between `start` and `end`, decoded as one array: saves 2 µs of each.
        False, and nothing is done, where these are not whole objects, or one is too large.
        """
        if end - start > self._max_element_bytes:
            return False
        try:
            elements = decode_json(b"[" + self._buffer[start:end] + b"]")
        except UpstreamProtocolError:
            return False
        if set(map(type, elements)) != {dict}:
            return False
        objects += elements
        self.seen += len(elements)
        return True


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
