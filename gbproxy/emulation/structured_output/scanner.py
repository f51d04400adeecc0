"""Follows one JSON object or array to its end as it is written, and mends what is not quite JSON.

What is valid passes as it stands, numbers and texts with every sign. Chat models write line breaks
and single backslashes within texts, single quotes, Python's words, commas behind the last item, and
forget closing brackets at the very end.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

_DEEPEST = 256  # brackets that are open at once
_LONGEST_WORD = 1000  # characters of a number

_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"[A-Za-z0-9+\-.]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": "true", "false": "false", "null": "null"}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "'": re.compile(r"""[^'"\\\x00-\x1f]+""")}
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_BEGUN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_CLOSING = {"{": "}", "[": "]"}


class _Next(Enum):
    VALUE = auto()
    FIRST_ITEM = auto()  # or the end of an empty array
    KEY = auto()
    FIRST_KEY = auto()  # or the end of an empty object
    COLON = auto()
    COMMA = auto()  # or the end


_VALUES = (_Next.VALUE, _Next.FIRST_ITEM)
_KEYS = (_Next.KEY, _Next.FIRST_KEY)


class JsonScanner:
    """Reads one text that begins with `{` or `[`. Once `is_over` or with a `problem`, in words for
    the model, the rest of it is of no use.

    Held back is at most a number, an escape, or a comma with the white space behind it.
    """

    def __init__(self) -> None:
        self.repairs: set[str] = set()
        self.problem: str | None = None
        self.is_over = False
        self.rest = ""  # of the text that was fed: what has not been read
        self._next = _Next.VALUE
        self._closers: list[str] = []  # of the brackets that are open, the innermost last
        self._quote = ""  # that ends the string which is open
        self._comma: list[str] = []  # the comma, and the white space behind it
        self._out: list[str] = []

    @property
    def has_ended(self) -> bool:
        return self.is_over or self.problem is not None

    def feed(self, text: str) -> str:
        """The JSON so far, as it is to be passed on."""
        if self.has_ended:
            return ""
        text = self.rest + text
        at = 0
        while at < len(text) and not self.has_ended:
            step = self._in_string(text, at) if self._quote else self._outside(text, at)
            if step == 0:
                break
            at += step
        self.rest = text[at:]
        out = "".join(self._out)
        self._out.clear()
        return out

    def finish(self) -> str:
        """What is left to pass on of a text that is whole."""
        if self.has_ended:
            return ""
        # behind a word that was not over
        out = "" if self._quote else self.feed("\n").rstrip("\n")
        if self.problem is None and (self._quote or self._next is not _Next.COMMA):
            self.problem = "it is not complete"
        if self.problem is not None:
            return out
        self.repairs.add("brackets")
        self.is_over = True
        return out + "".join(reversed(self._closers))

    def _in_string(self, text: str, at: int) -> int:
        """Read on within a string. Returns the characters that were read; 0: more are needed."""
        plain = _PLAIN[self._quote].match(text, at)
        if plain is not None:
            self._out.append(plain[0])
            return len(plain[0])
        sign = text[at]
        if sign == self._quote:
            self._out.append('"')
            self._quote = ""
            self._next = _Next.COLON if self._next in _KEYS else _Next.COMMA
        elif sign == '"':
            self._mend("quotes", r"\"")
        elif sign != "\\":
            self._mend("line breaks", json.dumps(sign)[1:-1])
        else:
            return self._escape(text, at)
        return 1

    def _escape(self, text: str, at: int) -> int:
        if _BEGUN_ESCAPE.match(text, at):
            return 0
        escape = _ESCAPE.match(text, at)
        if escape is not None:
            self._out.append(escape[0])
            return len(escape[0])
        if text[at + 1] == "'":
            self._mend("quotes", "'")
            return 2
        self._mend("escapes", r"\\")  # a pattern such as `\d`
        return 1

    def _outside(self, text: str, at: int) -> int:
        """Read on between strings. Returns the characters that were read; 0: more are needed."""
        space = _SPACE.match(text, at)
        if space is not None:
            self._pass_space(space[0])
            return len(space[0])
        sign = text[at]
        if sign in "\"'" and self._next in (*_VALUES, *_KEYS):
            self._pass_comma()
            self._quote = sign
            self._out.append('"')
            if sign == "'":
                self.repairs.add("quotes")
        elif sign in "{[" and self._next in _VALUES:
            self._open(sign)
        elif sign in "}]" and self._may_close(sign):
            self._close(sign)
        elif sign == ":" and self._next is _Next.COLON:
            self._out.append(sign)
            self._next = _Next.VALUE
        elif sign == "," and self._next is _Next.COMMA:
            self._comma.append(sign)
            self._next = _Next.KEY if self._closers[-1] == "}" else _Next.VALUE
        elif self._next in _VALUES and (word := _WORD.match(text, at)):
            return self._word(word[0], is_over=word.end() < len(text))
        else:
            self.problem = f"it is not valid JSON: there is a {sign} where none may be"
        return 1

    def _word(self, word: str, *, is_over: bool) -> int:
        if not is_over and len(word) <= _LONGEST_WORD:
            return 0
        if _NUMBER.fullmatch(word) or word in _WORDS:
            self._pass_comma()
            self._out.append(word)
        elif word in _PYTHON_WORDS:
            self._pass_comma()
            self._mend("python words", _PYTHON_WORDS[word])
        else:
            self.problem = "it is not valid JSON: there is a value that is none"
        self._next = _Next.COMMA
        return len(word)

    def _open(self, sign: str) -> None:
        if len(self._closers) == _DEEPEST:
            self.problem = "it is nested too deeply"
            return
        self._pass_comma()
        self._out.append(sign)
        self._closers.append(_CLOSING[sign])
        self._next = _Next.FIRST_KEY if sign == "{" else _Next.FIRST_ITEM

    def _may_close(self, sign: str) -> bool:
        if not self._closers or self._closers[-1] != sign:
            return False
        is_behind_comma = bool(self._comma)
        return is_behind_comma or self._next in (_Next.FIRST_KEY, _Next.FIRST_ITEM, _Next.COMMA)

    def _close(self, sign: str) -> None:
        if self._comma:
            self._mend("commas", "".join(self._comma[1:]))
            self._comma.clear()
        self._out.append(sign)
        self._closers.pop()
        self._next = _Next.COMMA
        self.is_over = not self._closers

    def _pass_space(self, space: str) -> None:
        (self._comma or self._out).append(space)

    def _pass_comma(self) -> None:
        """A value follows, so the comma stays."""
        self._out += self._comma
        self._comma.clear()

    def _mend(self, repair: str, text: str) -> None:
        self.repairs.add(repair)
        self._out.append(text)
