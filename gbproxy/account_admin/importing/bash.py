"""The words of a command in the quoting of bash and its like, without a shell.

As browsers write it: `'…'`, `$'…'` with escapes, a backslash at the end of a line. By hand also
`"…"`. Nothing is expanded. Source: https://www.gnu.org/software/bash/manual/html_node/Quoting.html
"""

from __future__ import annotations

import re

from gbproxy.account_admin.importing.work_limit import WorkLimit

WORD_CHARS = 65_536
"""What is read of one word: cookies and ids are shorter, and stand at the beginning of a body."""

# Each quote may lack its end: a search for it that fails would be repeated from the next quote on.
_SINGLE, _DOUBLE = r"'[^']*+'?+", r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_ANSI_C = r"\$'[^'\\]*+(?:\\.[^'\\]*+)*+'?+"
_PIECES = rf"{_ANSI_C}|{_SINGLE}|{_DOUBLE}|\\\r\n|\\.|[^\s'\"\\;&|$]++|\$|\\"
_WORD = re.compile(rf"(?:{_PIECES})++", re.DOTALL)
_PIECE = re.compile(_PIECES, re.DOTALL)
_LINE = re.compile(r"[^\r\n]*+")
_CUT_COOKIE = re.compile(r"[^;=\s]++=[^;]*+\Z")  # the last value of a cut header is cut too
_BETWEEN = re.compile(r"(?:[ \t]++|\\\r?\n)*+")
_IN_DOUBLE = re.compile(r'\\([\\"$`])|\\\r?\n|"')  # the last is the end of the quote
_IN_ANSI_C = re.compile(
    r"\\(?:(?P<sign>[abeEfnrtv\\'\"?])|x(?P<x>[0-9a-fA-F]{1,2})|u(?P<u>[0-9a-fA-F]{1,4})|U(?P<U>[0-9a-fA-F]{1,8})|(?P<o>[0-7]{1,3}))|'"
)
_SIGNS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


def words(text: str, at: int, limit: WorkLimit) -> tuple[list[str], int]:
    """The words of the command that begins at `at`, and where it ends: at a line's end, `;`, `&` or
    `|`.

    A quote without an end was cut off: then the command ends with the line in which it begins.
    """
    found: list[str] = []
    while True:
        at = _end(_BETWEEN, text, at)
        word = _WORD.match(text, at)
        if word is None:
            return found, at
        limit.spend()
        decoded = _decoded(text[at : min(word.end(), at + WORD_CHARS)])
        if word.end() == len(text) and not _is_closed(word[0]):
            limit.backtrack(len(text) - at)
            return [*found, _CUT_COOKIE.sub("", decoded)], _end(_LINE, text, at)
        found.append(decoded)
        at = word.end()


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    matched = pattern.match(text, at)
    return matched.end() if matched else at


def _is_closed(word: str) -> bool:
    """Whether the last quote of the last word has its end."""
    last = ""
    for piece in _PIECE.finditer(word):
        last = piece[0]
    quoted = last.removeprefix("$")
    return quoted[:1] not in ("'", '"') or (len(quoted) > 1 and quoted[-1] == quoted[0])


def _decoded(word: str) -> str:
    return _PIECE.sub(_piece, word)


def _piece(matched: re.Match[str]) -> str:
    piece = matched[0]
    match piece[0]:
        case "'":
            return piece.strip("'")
        case '"':
            return _IN_DOUBLE.sub(r"\1", piece[1:])
        case "$" if len(piece) > 1:
            return _IN_ANSI_C.sub(_escape, piece[2:])
        case "\\":
            return "" if piece.endswith("\n") else piece[1:]
        case _:
            return piece


def _escape(matched: re.Match[str]) -> str:
    if matched[0] == "'":  # the end of the quote
        return ""
    if sign := matched["sign"]:
        return _SIGNS.get(sign, sign)
    if octal := matched["o"]:
        return chr(int(octal, 8))
    code = int(matched["x"] or matched["u"] or matched["U"] or "0", 16)
    return chr(code) if code <= 0x10FFFF else "\ufffd"
