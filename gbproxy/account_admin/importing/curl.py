"""`curl` commands as browsers copy them: bash's or cmd's quoting, one or "all as cURL"."""

from __future__ import annotations

import re

from gbproxy.account_admin.importing import bash, cmd
from gbproxy.account_admin.importing.partial_account import Request
from gbproxy.account_admin.importing.work_limit import WorkLimit

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
_LINE = re.compile(r"[^\r\n]{0,1024}+")


def read(text: str, at: int, limit: WorkLimit) -> tuple[list[Request], int]:
    """The requests of the command, or the line of commands, that begins at `at`, and where it
    ends.
    """
    if _is_for_cmd(text, at):
        several, end = cmd.commands(text, at, limit)
    else:
        words, end = bash.words(text, at, limit)
        several = [words]
    return [request for words in several if (request := _request(words)) is not None], end


def _is_for_cmd(text: str, at: int) -> bool:
    """The first quote tells; a plain `"` is bash's where the first line shows nothing of cmd."""
    line = _LINE.match(text, at)
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
