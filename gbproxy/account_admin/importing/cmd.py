"""The words of a command in the quoting of Windows' cmd.exe, without it.

Two readers meet there: cmd takes `^` away and what it protects as it stands (at a line's end it
continues the command, an empty line after it is a line break), then the program's own start-up
reads `"…"`, in which `\\"` and `""` are quotes. Some browsers put carets between quotes where cmd
would leave them: they are taken away there too. `%%` is how scripts write `%`. Source:
https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments
"""

from __future__ import annotations

import re

from gbproxy.account_admin.importing.bash import WORD_CHARS
from gbproxy.account_admin.importing.work_limit import WorkLimit

# what is read of one command: a body stands at its end, with the id at its beginning
_COMMAND_CHARS = 262_144
_COMMAND = re.compile(r"(?:[^\r\n^]++|\^(?:\r?\n(?:\r?\n)?+|.)|\r(?!\n))*+", re.DOTALL)
_CARET = re.compile(r"\^(?:\r?\n(\r?\n)?+|(.))", re.DOTALL)
_PIECES = r'"[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*+"?+|[^\s"\\]++|\\"|\\'
_WORD = re.compile(rf"(?:{_PIECES})++", re.DOTALL)
_PIECE = re.compile(_PIECES, re.DOTALL)
_IN_QUOTES = re.compile(r'\\(["\\])|"(")|"')  # the last is the end of the quotes


def commands(text: str, at: int, limit: WorkLimit) -> tuple[list[list[str]], int]:
    """The words of each command of the line that begins at `at`, and where it ends; several are
    divided by `&`.
    """
    whole = _COMMAND.match(text, at)
    end = whole.end() if whole else at
    found: list[list[str]] = [[]]
    for word in _WORD.finditer(_without_carets(text[at : min(end, at + _COMMAND_CHARS)])):
        limit.spend()
        if word[0] in ("&", "&&", ";"):
            found.append([])
        else:
            found[-1].append(_PIECE.sub(_piece, word[0][:WORD_CHARS]))
    return found, end


def _without_carets(command: str) -> str:
    return _CARET.sub(r"\1\2", command.replace("%%", "%"))


def _piece(matched: re.Match[str]) -> str:
    piece = matched[0]
    if piece[0] != '"':
        return piece.removeprefix("\\") if piece == '\\"' else piece
    return _IN_QUOTES.sub(r"\1\2", piece[1:])
