"""A paste is several pieces one after another: which piece begins where, and who reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.domain.pasted import accounts_json, curl, lines, powershell
from gbproxy.domain.pasted.budget import Budget
from gbproxy.domain.pasted.clues import Clue, from_request
from gbproxy.domain.pasted.site import Site

_BLANKS = re.compile(r"[\s;&,\ufeff]*+")
_BRACKET = re.compile(r"[\[{]")
_JSON = re.compile(r"\{\s*+[\"}]|\[\s*+[{\]]")
_BEFORE_BRACKET = re.compile(r"[\[{][^\r\n\[{]*+(?=[\[{])")
_WORDS_OF_A_PIECE = 8
_DEPTH = 100  # a HAR file has ten
# A string ends with its line, if it has no end: the text is no JSON then.
_IN_JSON = re.compile(r'"[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+("?)|[\[{]|([\]}])', re.DOTALL)
_CURL = re.compile(r"curl(?:\.exe)?+(?=[ \t\\^])", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*+")


def clues(text: str, site: Site, budget: Budget) -> Iterator[Clue]:
    """What each piece of a text says, in its order; what nobody can read is passed over."""
    return _Paste(text, site, budget).clues()


class _Paste:
    def __init__(self, text: str, site: Site, budget: Budget) -> None:
        self._text = text
        self._site = site
        self._budget = budget
        self._never_closed: set[int] = set()  # places of brackets

    def clues(self) -> Iterator[Clue]:
        at = self._end(_BLANKS, 0)
        while at < len(self._text):
            self._budget.spend(_WORDS_OF_A_PIECE)
            found, end = self._piece(at)
            yield from found
            at = self._end(_BLANKS, max(end, at + 1))

    def _piece(self, at: int) -> tuple[list[Clue], int]:
        if _BRACKET.match(self._text, at):
            return self._json(at)
        if _CURL.match(self._text, at):
            requests, end = curl.read(self._text, at, self._budget)
            return [clue for request in requests if (clue := from_request(request, self._site))], end
        if powershell.START.match(self._text, at):
            return powershell.read(self._text, at, self._site, self._budget)
        end = self._end(_LINE, at)
        return [lines.read(self._text[at:end], self._site)], end

    def _json(self, at: int) -> tuple[list[Clue], int]:
        """What the JSON that begins at `at` says; if it is none, what is within it may be."""
        if _JSON.match(self._text, at) and at not in self._never_closed:
            value, end = self._decoded(at)
            if value is not None:
                return list(accounts_json.read(value, self._site, self._budget)), end
            self._budget.waste(end - at)
        inner = _BEFORE_BRACKET.match(self._text, at)
        if inner is not None:
            return [], inner.end()
        end = self._end(_LINE, at)
        return [lines.read(self._text[at:end], self._site)], end

    def _decoded(self, at: int) -> tuple[Any, int]:
        """The value of the JSON that begins at `at`, and where it ends; None and how far was read when it is none."""
        opened: list[int] = []
        end = at
        for token in _IN_JSON.finditer(self._text, at):
            end = token.end()
            if token[1] == "" or len(opened) > _DEPTH:
                break
            if token[2]:
                opened.pop()
            elif token[1] is None:
                opened.append(token.start())
            if not opened:
                return self._value(at, end), end
        self._never_closed.update(opened)
        return None, end

    def _value(self, at: int, end: int) -> Any:
        try:
            return jsontext.decode(self._text[at:end])
        except ValueError:
            return None

    def _end(self, pattern: re.Pattern[str], at: int) -> int:
        matched = pattern.match(self._text, at)
        return matched.end() if matched else at
