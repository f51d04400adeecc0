"""Cookies of Google's consumer Gemini app, told by their names: people paste them, and they open
nothing here.

Source: docs/upstream.md, editions and hosts.
"""

from __future__ import annotations

import re

HOST = "gemini.google.com"

WRONG_SERVICE = (
    f"of the consumer Gemini app ({HOST}), which is another service: open"
    " https://business.gemini.google (Enterprise: https://vertexaisearch.cloud.google), sign in"
    " there, and copy __Secure-C_SES and __Host-C_OSES"
)

_OWN = frozenset({
    "__secure-1psid", "__secure-1psidts", "__secure-1psidcc", "__secure-1psidrts",
    "__secure-3psid", "__secure-3psidts", "__secure-3psidcc", "__secure-3psidrts",
    "__secure-1papisid", "__secure-3papisid",
    "secure_1psid", "secure_1psidts", "sapisid", "apisid", "hsid", "sidcc",
})  # fmt: skip
_ELSEWHERE_TOO = frozenset({"sid", "ssid", "lsid"})  # other sites have cookies of these names
_VALUE = re.compile(r"g\.a\d{3}[\w-]")
_PAIR = re.compile(
    r"(?<![\w-])(?:(?:__Secure-[13]P(?:SID(?:TS|CC|RTS)?|APISID)|SECURE_1PSID(?:TS)?|S?APISID|HSID|SIDCC)[\"']?+(?:["
    r" ]*+[=:]|\t)"
    r"|SID[\"']?+(?:[ ]*+[=:][ ]*+|\t)[\"']?+g\.a)",
    re.IGNORECASE,
)


def is_cookie(name: str, value: str) -> bool:
    """Whether a cookie is surely one of the consumer app's sign-in."""
    known = name.lower()
    return known in _OWN or (known == "sid" and bool(_VALUE.match(value)))


def is_name(name: str) -> bool:
    """Whether the consumer app, perhaps among others, has a cookie of this name."""
    return name.lower() in _OWN or name.lower() in _ELSEWHERE_TOO


def is_written_in(line: str) -> bool:
    """Whether a line has such a cookie, by its name and with its value."""
    return "sid" in line.lower() and _PAIR.search(line) is not None


def is_pasted_as_value(text: str) -> bool:
    """Whether the value of one cookie is one of these, bare or behind its name."""
    return bool(_VALUE.match(text) or _PAIR.match(text))
