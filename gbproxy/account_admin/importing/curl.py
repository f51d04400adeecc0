"""`curl` commands as browsers copy them, one or "all as cURL", in the quoting of bash or of
cmd.exe.

Their words are read without a shell: nothing is expanded or run. Sources:
https://www.gnu.org/software/bash/manual/html_node/Quoting.html,
https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments
"""

from __future__ import annotations

import re

from gbproxy.account_admin.importing.bounds import WORD_CHARS, WorkLimit
from gbproxy.account_admin.importing.headers import Request

_HEADER = frozenset({"-H", "--header"})
_COOKIE = frozenset({"-b", "--cookie"})
_BODY = frozenset({"-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json"})
_REFERER = frozenset({"-e", "--referer"})
_USER_AGENT = frozenset({"-A", "--user-agent"})
_URL = frozenset({"--url"})
_VALUED = (
    _HEADER
    | _COOKIE
    | _BODY
    | _REFERER
    | _USER_AGENT
    | _URL
    | {"-X", "--request", "-o", "-x", "--proxy"}
)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_FIRST_QUOTE = re.compile(r"[^\r\n'\"^\\]*+(\^?)(['\"])")
_SHOWS_CMD = re.compile(r"\^|\"\"")
_FIRST_LINE = re.compile(r"[^\r\n]{0,1024}+")


def read(text: str, at: int, limit: WorkLimit) -> tuple[list[Request], int]:
    """The requests of the command, or the line of commands, that begins at `at`, and where it
    ends.
    """
    if _is_for_cmd(text, at):
        several, end = cmd_commands(text, at, limit)
    else:
        words, end = bash_words(text, at, limit)
        several = [words]
    return [request for words in several if (request := _request(words)) is not None], end


def _is_for_cmd(text: str, at: int) -> bool:
    """The first quote tells; a plain `"` is bash's where the first line shows nothing of cmd."""
    line = _FIRST_LINE.match(text, at)
    first = line[0] if line else ""
    quote = _FIRST_QUOTE.match(first)
    if quote is not None and quote[2] == "'":
        return False
    return bool(_SHOWS_CMD.search(first))


def _request(words: list[str]) -> Request | None:
    url: str | None = None
    body = ""
    headers: list[tuple[str, str]] = []
    rest = iter(words[1:])
    for word in rest:
        option, value = _option(word)
        if option in _VALUED and value is None:
            value = next(rest, "")
        if option in _HEADER:
            name, _, content = (value or "").partition(":")
            headers.append((name.strip(), content.strip()))
        elif option in _COOKIE:
            headers.append(("cookie", value or ""))
        elif option in _REFERER:
            headers.append(("referer", value or ""))
        elif option in _USER_AGENT:
            headers.append(("user-agent", value or ""))
        elif option in _BODY:
            body += value or ""
        elif option in _URL:
            url = value
        elif url is None and _ADDRESS.match(word):
            url = word
    # and no word of a sentence
    is_command = url is not None or any(len(word) > 1 and word[0] == "-" for word in words)
    return Request(url or "", headers, body=body) if is_command else None


def _option(word: str) -> tuple[str, str | None]:
    """An option and the value that is written to it without a space, as `-Hname: value` is."""
    if len(word) > 2 and word[0] == "-" and word[1] != "-" and word[:2] in _VALUED:
        return word[:2], word[2:]
    return word, None


# bash: as browsers write it `'…'`, `$'…'` with escapes, a backslash at the end of a line; by hand
# also `"…"`.

# Each quote may lack its end: a search for it that fails would be repeated from the next quote on.
_SINGLE, _DOUBLE = r"'[^']*+'?+", r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_ANSI_C = r"\$'[^'\\]*+(?:\\.[^'\\]*+)*+'?+"
_BASH_PIECES = rf"{_ANSI_C}|{_SINGLE}|{_DOUBLE}|\\\r\n|\\.|[^\s'\"\\;&|$]++|\$|\\"
_BASH_WORD = re.compile(rf"(?:{_BASH_PIECES})++", re.DOTALL)
_BASH_PIECE = re.compile(_BASH_PIECES, re.DOTALL)
_WHOLE_LINE = re.compile(r"[^\r\n]*+")
_LAST_COOKIE = re.compile(r"(?<![^=\s])[^=\s]++=.*+", re.DOTALL)  # behind the last `;`
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


def bash_words(text: str, at: int, limit: WorkLimit) -> tuple[list[str], int]:
    """The words of the command that begins at `at`, and where it ends: at a line's end, `;`, `&` or
    `|`.

    A quote without an end was cut off: then the command ends with the line in which it begins.
    """
    found: list[str] = []
    while True:
        at = _end(_BETWEEN, text, at)
        word = _BASH_WORD.match(text, at)
        if word is None:
            return found, at
        limit.spend()
        decoded = _bash_decoded(text[at : min(word.end(), at + WORD_CHARS)])
        if word.end() == len(text) and not _is_closed(word[0]):
            limit.backtrack(len(text) - at)
            return [*found, _without_cut_value(decoded)], _end(_WHOLE_LINE, text, at)
        found.append(decoded)
        at = word.end()


def _without_cut_value(header: str) -> str:
    """A cut header without its last value, which is cut too."""
    whole, semicolon, last = header.rpartition(";")
    return whole + semicolon + _LAST_COOKIE.sub("", last)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    matched = pattern.match(text, at)
    return matched.end() if matched else at


def _is_closed(word: str) -> bool:
    """True when the last quote of the last word has its end."""
    last = ""
    for piece in _BASH_PIECE.finditer(word):
        last = piece[0]
    quoted = last.removeprefix("$")
    return quoted[:1] not in ("'", '"') or (len(quoted) > 1 and quoted[-1] == quoted[0])


def _bash_decoded(word: str) -> str:
    return _BASH_PIECE.sub(_bash_piece, word)


def _bash_piece(matched: re.Match[str]) -> str:
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


# cmd.exe: two readers meet there. cmd takes `^` away and what it protects as it stands (at a line's
# end it continues the command, an empty line after it is a line break); then the program's own
# start-up reads `"…"`, in which `\"` and `""` are quotes. Some browsers put carets between quotes
# where cmd would leave them: they are taken away there too. `%%` is how scripts write `%`.

# what is read of one command: a body stands at its end, with the id at its beginning
_CMD_LINE_CHARS = 262_144
_CMD_LINE = re.compile(r"(?:[^\r\n^]++|\^(?:\r?\n(?:\r?\n)?+|.)|\r(?!\n))*+", re.DOTALL)
_CARET = re.compile(r"\^(?:\r?\n(\r?\n)?+|(.))", re.DOTALL)
_CMD_PIECES = r'"[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*+"?+|[^\s"\\]++|\\"|\\'
_CMD_WORD = re.compile(rf"(?:{_CMD_PIECES})++", re.DOTALL)
_CMD_PIECE = re.compile(_CMD_PIECES, re.DOTALL)
_IN_QUOTES = re.compile(r'\\(["\\])|"(")|"')  # the last is the end of the quotes


def cmd_commands(text: str, at: int, limit: WorkLimit) -> tuple[list[list[str]], int]:
    """The words of each command of the line that begins at `at`, and where it ends; several are
    divided by `&`.
    """
    whole = _CMD_LINE.match(text, at)
    end = whole.end() if whole else at
    found: list[list[str]] = [[]]
    for word in _CMD_WORD.finditer(_without_carets(text[at : min(end, at + _CMD_LINE_CHARS)])):
        limit.spend()
        if word[0] in ("&", "&&", ";"):
            found.append([])
        else:
            found[-1].append(_CMD_PIECE.sub(_cmd_piece, word[0][:WORD_CHARS]))
    return found, end


def _without_carets(command: str) -> str:
    return _CARET.sub(r"\1\2", command.replace("%%", "%"))


def _cmd_piece(matched: re.Match[str]) -> str:
    piece = matched[0]
    if piece[0] != '"':
        return piece.removeprefix("\\") if piece == '\\"' else piece
    return _IN_QUOTES.sub(r"\1\2", piece[1:])
