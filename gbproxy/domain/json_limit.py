"""JSON texts that hold too many values are refused before any value is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_SIGN = re.compile(rb'[\[\]{},:"]')
_NAME = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_STRETCH = 1024 * 1024  # bytes that are looked through in one step
_STEPS = 1000  # of the walk, between two rests
_DEEPEST = 1024  # no decoder goes deeper


class TooManyValues(ValueError):
    """`place`: path of the largest array or object that was open, like `messages[0].content`; ""
    for the whole text.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"holds too many values: {place}")
        self.place = place


@dataclass(slots=True)
class _Container:
    """An array or object that is still open."""

    is_array: bool
    commas: int = 0
    key: tuple[int, int] = (0, 0)  # start and end of the last key in the text


def refuse_too_many_values(data: bytes, most: int, rest: Callable[[], None]) -> None:
    """Raise TooManyValues if a JSON text holds more than `most` values, before any is made. `rest`
    is called every few milliseconds.

    Decoding takes time and memory by the value, not by the byte: a short text in 30 MB costs
    little, ten million empty arrays take a gigabyte. A text that cannot hold too many by the number
    of its commas and brackets is not looked at further. Else its signs are followed from one to the
    next, past its strings, until there are too many.

    The text need not be valid: up to its first mistake, where a decoder stops, its values are
    counted as a decoder makes them.
    """
    if _may_hold_more(data, most, rest):
        _ValueCounter(data, most, rest).follow()


def _may_hold_more(data: bytes, most: int, rest: Callable[[], None]) -> bool:
    """True if commas and brackets could separate more: each value but the outermost stands behind a
    comma or an opening bracket.
    """
    signs = 0
    for start in range(0, len(data), _STRETCH):
        signs += sum(data.count(sign, start, start + _STRETCH) for sign in (b",", b"[", b"{"))
        if signs >= most:
            return True
        rest()
    return False


class _ValueCounter:
    def __init__(self, data: bytes, most: int, rest: Callable[[], None]) -> None:
        self._data = data
        self._left = most - 1  # without the outermost
        self._rest = rest
        self._steps = 0
        self._open: list[_Container] = []

    def follow(self) -> None:
        at, string = 0, (0, 0)
        while (at := self._next_sign(at)) >= 0:
            sign = self._data[at : at + 1]
            at += 1
            if sign == b'"':
                end = self._end_of_string(at)
                if end < 0:
                    return
                string, at = (at, end), end + 1
            elif sign in b"[{":
                if len(self._open) == _DEEPEST:
                    return
                self._open.append(_Container(sign == b"["))
                self._count()
            elif not self._open:
                return
            elif sign == b",":
                self._open[-1].commas += 1
                self._count()
            elif sign == b":":
                self._open[-1].key = string
            else:
                self._open.pop()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooManyValues(self._place())

    def _next_sign(self, at: int) -> int:
        """Index of the next sign; -1 at the end."""
        while at < len(self._data):
            self._step()
            found = _SIGN.search(self._data, at, at + _STRETCH)
            if found:
                return found.start()
            at += _STRETCH
        return -1

    def _end_of_string(self, at: int) -> int:
        """Index of the quotation mark that ends the string; -1 when there is none."""
        while (end := self._data.find(b'"', at)) > at and self._data[end - 1 : end] == b"\\":
            self._step()
            before = self._data[at:end]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                break
            at = end + 1
        return end

    def _step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS == 0:
            self._rest()

    def _place(self) -> str:
        largest = max(range(len(self._open)), key=lambda i: self._open[i].commas)
        place = ""
        for container in self._open[:largest]:
            name = self._data[slice(*container.key)]
            if container.is_array:
                place += f"[{container.commas}]"
            elif _NAME.fullmatch(name):
                place += f".{name.decode()}"
            else:
                break
        return place.lstrip(".")
