"""Cut a paste into its pieces, and give each to the reader of its form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gbproxy.account_admin.importing import (
    accounts_json,
    curl,
    headers,
    lines,
    powershell,
)
from gbproxy.account_admin.importing.bounds import Hosts, WorkLimit
from gbproxy.account_admin.importing.copied_requests import read_fetch
from gbproxy.account_admin.importing.headers import Request, from_request
from gbproxy.account_admin.importing.lines import combined
from gbproxy.account_admin.importing.partial_account import Doubt, PartialAccount
from gbproxy.domain import jsontext

_BLANKS = re.compile(r"[\s;&,\ufeff]*+")
# Behind a prompt, a list's sign, the name of a variable or any other words of its line. The look
# ahead makes it quick.
_OPENING = re.compile(
    r"(?=[cf$i\[{])(?:(?<![\w.-])(?P<curl>curl(?:\.exe)?+(?=["
    r" \t\\^]))|(?<![\w$-])(?P<fetch>fetch\s*+(?=\())"
    r"|(?<![\w.-])(?P<powershell>\$session|invoke-webrequest|invoke-restmethod|iwr|irm)(?=[\s.=])|(?P<bracket>[\[{]))",
    re.IGNORECASE,
)
# characters at a time: others have their turn between two looks, and none within one
LOOKED_THROUGH = 128 * 1024
_OPENING_CHARS = 256
_JSON = re.compile(r"\{\s*+[\"}]|\[\s*+[{\]]")
_OBJECT = re.compile(
    r"[\[\s]{0,64}+\{\s*+(?:'[^'\r\n]{1,64}+'|[\w$]{1,64}+)\s*+:"
)  # JavaScript's or Python's, which JSON is not
_WORDS_OF_A_PIECE = 8
_DEPTH = 100  # a HAR file has ten
_BROKEN_TOLD = 10
# A string ends with its line, if it has no end: the text is no JSON then.
_IN_JSON = re.compile(r'"[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+("?)|[\[{]|([\]}])', re.DOTALL)
_LINE = re.compile(r"[^\r\n]*+")
_DECODER = json.JSONDecoder()


def tokenize(text: str, hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    """The values of each piece of a text, in order; an expected value that could not be read is a
    `Doubt`.
    """
    return _Paste(text, hosts, limit).partials()


class _Paste:
    def __init__(self, text: str, hosts: Hosts, limit: WorkLimit) -> None:
        self._text = text
        self._hosts = hosts
        self._limit = limit
        self._never_closed: set[int] = set()  # places of brackets
        self._broken: list[Doubt] = []
        self._broken_to = 0  # what lies before is within broken JSON
        self._counted = (0, 1)  # a place, and its line
        self._line_end = -1  # of the line that is read: several pieces may stand in it

    def partials(self) -> Iterator[PartialAccount]:
        run: list[PartialAccount] = []
        for partial in self._located():
            if partial.is_row:
                run.append(partial)
                continue
            yield from combined(run)
            run.clear()
            yield partial
        yield from combined(run)
        yield from (PartialAccount(doubt=doubt) for doubt in self._broken)

    def _located(self) -> Iterator[PartialAccount]:
        """The partials of each piece, at least one, with the line of what is in doubt."""
        at = self._end(_BLANKS, 0)
        is_line = True
        while at < len(self._text):
            self._limit.spend(_WORDS_OF_A_PIECE)
            found, end = self._piece(at, is_line=is_line)
            for partial in found or [PartialAccount()]:
                yield (
                    replace(partial, doubt=replace(partial.doubt, line=self._line(at)))
                    if partial.doubt
                    else partial
                )
            end = max(end, at + 1)
            at = self._end(_BLANKS, end)
            is_line = at > end and ("\n" in self._text[end:at] or "\r" in self._text[end:at])

    def _piece(self, at: int, *, is_line: bool) -> tuple[list[PartialAccount], int]:
        if is_line and headers.begins(self._text, at):
            found, end = headers.read(self._text, at, self._hosts, self._limit)
            if end > at:
                return found, end
        if at >= self._line_end:
            self._line_end = self._end(_LINE, at)
        line_end = self._line_end
        opening = self._opening(at)
        while opening is not None:
            piece = self._behind(opening)
            if piece is not None:
                return piece
            self._limit.spend(1 if opening["bracket"] else _WORDS_OF_A_PIECE)
            opening = self._opening(opening.end())
        return [lines.read(self._text[at:line_end], self._hosts)], line_end

    def _opening(self, at: int) -> re.Match[str] | None:
        """The next word or bracket in this line with which a piece may begin."""
        for start in range(at, self._line_end, LOOKED_THROUGH):
            found = _OPENING.search(
                self._text, start, min(start + LOOKED_THROUGH + _OPENING_CHARS, self._line_end)
            )
            if found is not None:
                return found
        return None

    def _behind(self, opening: re.Match[str]) -> tuple[list[PartialAccount], int] | None:
        """The values in the command or JSON that begins there, and where it ends; None if it is
        neither.
        """
        at = opening.start()
        match opening.lastgroup:
            case "curl":
                requests, end = curl.read(self._text, at, self._limit)
                return self._asked(requests, at, end)
            case "fetch":
                request, end = read_fetch(self._text, opening.end(), self._limit)
                return self._asked([request] if request else [], at, end)
            case "powershell":
                return powershell.read(self._text, at, self._hosts, self._limit)
            case _:
                return self._json(at)

    def _asked(
        self, requests: list[Request], at: int, end: int
    ) -> tuple[list[PartialAccount], int] | None:
        if not requests:  # the word for it in a sentence
            self._limit.backtrack(end - at)
            return None
        return [
            partial for request in requests if (partial := from_request(request, self._hosts))
        ], end

    def _json(self, at: int) -> tuple[list[PartialAccount], int] | None:
        """The values in the JSON that begins at `at`, and where it ends; None if it is broken: its
        pieces are read by themselves.
        """
        if not _JSON.match(self._text, at):
            if _OBJECT.match(self._text, at):
                self._tell_broken(at, at)
            return None
        if at in self._never_closed:
            return None
        value, end = self._decoded(at)
        if value is not None:
            return list(accounts_json.read(value, self._hosts, self._limit)), end
        self._limit.backtrack(end - at)
        self._tell_broken(at, end)
        return None

    def _decoded(self, at: int) -> tuple[Any, int]:
        """The value of the JSON that begins at `at`, and where it ends; None and how far was read
        when it is none.
        """
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

    def _tell_broken(self, at: int, end: int) -> None:
        """Add a doubt, one for each outermost broken piece."""
        if at < self._broken_to or len(self._broken) >= _BROKEN_TOLD:
            return
        self._broken_to = max(end, at + 1)
        line = self._line(at)
        broken_at = line
        try:
            _DECODER.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            broken_at = line + self._text.count("\n", at, error.pos)
        except (ValueError, RecursionError):  # thousands of digits or brackets
            pass
        self._broken.append(Doubt("json", line, broken_at))

    def _line(self, at: int) -> int:
        """The line that a place is in; places are asked for in their order, or nearly so."""
        counted, line = self._counted
        between = self._text.count("\n", min(counted, at), max(counted, at))
        self._counted = (at, line + (between if at > counted else -between))
        return self._counted[1]

    def _end(self, pattern: re.Pattern[str], at: int) -> int:
        matched = pattern.match(self._text, at)
        return matched.end() if matched else at
