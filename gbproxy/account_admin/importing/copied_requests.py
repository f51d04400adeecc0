"""Requests that browsers hand on whole: `fetch(…)` calls ("Copy as fetch", with or without Node.js)
and HAR files, with or without cookies and authorization ("sanitized").

A call is read without JavaScript: the address comes first, then an object whose headers are pairs
of strings; also as people write it, with names unquoted. Sources: Chromium's NetworkLogView,
Firefox's CopyAsFetch, WebKit's Resource.generateFetchCode;
http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gbproxy.account_admin.importing.bounds import WORD_CHARS, Hosts, WorkLimit
from gbproxy.account_admin.importing.headers import Request, from_request
from gbproxy.account_admin.importing.partial_account import PartialAccount, from_address

# Each quote may lack its end: a search for it that fails would be repeated from the next quote on.
# A string ends with its line, but for one between backticks.
_TOKEN = re.compile(
    r"""(?P<string>"[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+"?+|'[^'\\\r\n]*+(?:\\.[^'\\\r\n]*+)*+'?+|`[^`\\]*+(?:\\.[^`\\]*+)*+`?+)
    |(?P<colon>:)|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<comma>,)|(?P<word>[\w$.-]++)|(?P<other>\s++|.)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r?\n)|(.))", re.DOTALL
)
_HEADERS = {"referrer": "referer"}
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def read_fetch(text: str, at: int, limit: WorkLimit) -> tuple[Request | None, int]:
    """The request of the call whose arguments begin at `at`, and where they end; None if there is
    no address.
    """
    url: str | None = None
    body = ""
    headers: list[tuple[str, str]] = []
    name = last = ""  # what stands before the colon, and the last string or word
    depth = 0
    end = at
    for token in _TOKEN.finditer(text, at):
        limit.spend()
        end = token.end()
        match token.lastgroup:
            case "string" | "word":
                if token.lastgroup == "string" and not _is_closed(token[0]):
                    break  # cut off, and so is the value
                last = _decoded(token[0][:WORD_CHARS]) if token.lastgroup == "string" else token[0]
                if url is None:
                    url = last
                elif name == "body":
                    body += last
                elif name == "configid":  # a body that JSON.stringify makes
                    body += f'"configId":"{last}"'
                elif name:
                    headers.append((_HEADERS.get(name, name), last))
            case "colon":
                name = last.lower()
            case "comma":
                name = ""
            case "open":
                depth += 1
                name = ""
            case "close":
                depth -= 1
                if depth <= 0:
                    break
            case _:
                pass
    is_request = url is not None and url.lower().startswith(("http://", "https://"))
    return (Request(url or "", headers, body=body) if is_request else None), end


def _is_closed(string: str) -> bool:
    return len(string) > 1 and string[-1] == string[0]


def _decoded(string: str) -> str:
    quote = string[0]
    return _ESCAPE.sub(_sign, string[1:].removesuffix(quote))


def _sign(matched: re.Match[str]) -> str:
    if code := matched[1] or matched[2] or matched[3]:
        return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else "\ufffd"
    return "" if matched[4] else _SIGNS.get(matched[5], matched[5])


# HAR


def read_har(log: dict[str, Any], hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    """Yield the values in the pages and requests of a decoded `log`, in their order. Entries that
    are not shaped as HAR are passed over.
    """
    for page in _objects(log.get("pages")):
        limit.spend()
        # Chromium's title of a page is its address
        yield from_address(_text(page.get("title")), hosts)
    for entry in _objects(log.get("entries")):
        limit.spend()
        request, response = _object(entry.get("request")), _object(entry.get("response"))
        headers = [*_pairs(request, "headers"), *_cookies_set(response)]
        body = _text(_object(request.get("postData")).get("text"))
        asked = Request(_text(request.get("url")), headers, _pairs(request, "cookies"), body)
        if partial := from_request(asked, hosts):
            yield partial


def _cookies_set(response: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _pairs(response, "headers"):
        if name.lower() == "set-cookie":
            # Chromium puts several into one
            yield from ((name, line) for line in value.split("\n"))


def _pairs(message: dict[str, Any], key: str) -> list[tuple[str, str]]:
    return [
        (_text(item.get("name")), _text(item.get("value"))) for item in _objects(message.get(key))
    ]


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
