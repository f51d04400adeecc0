"""Where the JSON of an answer begins, behind a fence or words like "Here it is:".

Whatever is decided depends on the text alone, not on where it was cut: an opening bracket is judged
by a bounded stretch of text around it.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from gbproxy.domain import jsontext
from gbproxy.emulation.structured_output.expectation import Expectation

MOST_BEFORE = 40  # characters before a bracket that are looked at
MOST_BEHIND = 400  # characters from a bracket on, by which it is decided

OPENING = re.compile(r"[{\[]")

_SPACE = r"[ \t\r\n]*"
_FIRST_KEY = re.compile(
    rf"""\{{{_SPACE}(?:("(?:[^"\\]|\\.)*")|'((?:[^'\\]|\\.)*)'){_SPACE}:""", re.DOTALL
)
_EMPTY_OBJECT = re.compile(rf"\{{{_SPACE}\}}")
_NO_OBJECT = re.compile(rf"""\{{{_SPACE}[^"' \t\r\n]""")
_FIRST_ITEM = re.compile(rf"""\[{_SPACE}[\[\]{{"'\-0-9tfnTFN]""")
_NO_ARRAY = re.compile(rf"\[{_SPACE}[^ \t\r\n]")

# An array looks like a footnote, `[1]`, or a link; so it has to stand where a value would: at the
# start of a line, behind a colon or a fence.
_BEFORE_ARRAY = re.compile(r"(?:\A|[\n:`]|```\w+)[ \t]*\Z")
_BEFORE_EMPTY = re.compile(r"(?:\A|[\n`]|```\w+)[ \t]*\Z")


class Start(Enum):
    """What an opening bracket is."""

    JSON = auto()  # the beginning of what was asked for
    OTHER = auto()  # of another object: nothing in it is the answer
    NONE = auto()
    UNKNOWN = auto()  # more text is needed to tell


def judge(text: str, at: int, expectation: Expectation, *, is_whole: bool) -> Start:
    """Judge the bracket at `at`.

    `text` holds MOST_BEFORE characters before it, unless the answer begins there. `is_whole`: no
    more text comes.
    """
    before, stretch = text[max(0, at - MOST_BEFORE) : at], text[at : at + MOST_BEHIND]
    is_object = stretch[0] == "{"
    if ("object" if is_object else "array") not in expectation.kinds or before[-1:] == "\\":
        return Start.NONE
    start = _object(before, stretch, expectation) if is_object else _array(before, stretch)
    if start is Start.UNKNOWN and (is_whole or len(stretch) == MOST_BEHIND):
        return Start.NONE
    return start


def _object(before: str, stretch: str, expectation: Expectation) -> Start:
    first = _FIRST_KEY.match(stretch)
    if first is not None:
        is_named = expectation.keys is None or _key(first) in expectation.keys
        return Start.JSON if is_named else Start.OTHER
    if _EMPTY_OBJECT.match(stretch):
        return Start.JSON if _BEFORE_EMPTY.search(before) else Start.NONE
    return Start.NONE if _NO_OBJECT.match(stretch) else Start.UNKNOWN


def _key(first: re.Match[str]) -> str:
    if first[1] is None:
        return first[2]
    try:
        return str(jsontext.decode(first[1]))
    except ValueError:  # a line break, or an escape that is none: it will be mended
        return first[1][1:-1]


def _array(before: str, stretch: str) -> Start:
    if _BEFORE_ARRAY.search(before) is None:
        return Start.NONE
    if _FIRST_ITEM.match(stretch):
        return Start.JSON
    return Start.NONE if _NO_ARRAY.match(stretch) else Start.UNKNOWN
