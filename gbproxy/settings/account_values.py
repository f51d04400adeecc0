"""The values of an account, out of what people write for them; one rule for settings, the admin API
and the import.

A rule raises ValueError with what is allowed, never with the value. Source: docs/upstream.md,
credentials.
"""

from __future__ import annotations

import re

from gbproxy.settings import consumer

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# The id alone, or the page's address: all of it, or any end or beginning of it in which the id
# still stands.
_CONFIG_ID = re.compile(rf"(?:{_UUID}|(?:\S*/)?cid/{_UUID})(?=[/?#&]\S*|$)")
_CSESIDX = re.compile(r"(?:\S*[?&])?csesidx\s*[=:]\s*([0-9]{1,64})(?=[&#]\S*|$)", re.IGNORECASE)
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{1,16384}")  # RFC 6265, cookie-octet
# What cleaned captures and examples hold in place of a value.
_NO_COOKIE = re.compile(
    r"redacted|removed|\*{3}|^(?:your[_-]\w{3}|<[\w-]{3,}>$|\$?\{+\w{3,}\}+$)", re.IGNORECASE
)
_COOKIE_NAMES = ("__Secure-C_SES", "__Host-C_OSES")
_COOKIE_PAIR = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}=[!-:<-~]*")
_MOST_COOKIES_CHARS = 16_384
_AROUND_COOKIE = " \t\r\n;\"'"

_WHERE = (
    "the page's address, https://business.gemini.google/home/cid/<config id>?csesidx=<digits>"
    " (Enterprise: on https://vertexaisearch.cloud.google)"
)


def config_id(text: str) -> str:
    """The id of a widget, in lower case: it alone, the page's address, or a part of that with the
    id in it.
    """
    found = _CONFIG_ID.match(text.strip())
    if found is None:
        raise ValueError(f"must be the UUID after /cid/ in {_WHERE}, or that address")
    id_ = found[0][-36:].lower()
    if len(set(id_) - {"-"}) == 1:
        raise ValueError(
            f"is a placeholder; it must be the UUID after /cid/ in {_WHERE}, or that address"
        )
    return id_


def is_same_config_id(one: object, other: object) -> bool:
    """Whether two texts name the same widget, however they are written."""
    return _as_config_id(one) == _as_config_id(other)


def _as_config_id(given: object) -> object:
    try:
        return config_id(given) if isinstance(given, str) else given
    except ValueError:
        return given


def csesidx(text: str) -> str:
    """The number of a sign-in: it alone, the page's address, or a part of that with `csesidx=` in
    it.
    """
    bare = text.strip()
    found = _CSESIDX.match(bare)
    digits = found[1] if found else bare
    if not re.fullmatch(r"[0-9]{1,64}", digits):
        raise ValueError("must be decimal digits")
    return digits


def further_cookies(text: str) -> str:
    """A Cookie header's `name=value; …`, also with its name in front, without the two cookies that
    have fields of their own.
    """
    bare = re.sub(r"^\s*cookie\s*:", "", text, flags=re.IGNORECASE).strip(_AROUND_COOKIE)
    pairs = [pair.strip() for pair in bare.split(";") if pair.strip()]
    if not all(map(_COOKIE_PAIR.fullmatch, pairs)) or len(bare) > _MOST_COOKIES_CHARS:
        raise ValueError("must look like a Cookie header: name=value; name=value")
    own = {name.casefold() for name in _COOKIE_NAMES}
    further = [pair for pair in pairs if pair.partition("=")[0].casefold() not in own]
    if not further:
        raise ValueError(
            f"has no cookie beside {' and '.join(_COOKIE_NAMES)}, which are given apart: leave"
            " it out"
        )
    return "; ".join(further)


def server_token(text: str) -> str:
    """The value of the header x-server-token, also with its name in front."""
    return _header_of_browser(
        text, "x-server-token", r"[!-~]{1,1024}", "printable ASCII without spaces"
    )


def user_agent(text: str) -> str:
    """The value of the header user-agent, also with its name in front."""
    return _header_of_browser(text, "user-agent", r"[ -~]{1,1024}", "printable ASCII")


def _header_of_browser(text: str, name: str, pattern: str, allowed: str) -> str:
    value = re.sub(rf"^\s*{name}\s*:", "", text, flags=re.IGNORECASE).strip()
    if not re.fullmatch(pattern, value):
        raise ValueError(f"must be the value of the header {name}, {allowed}")
    return value


def cookie(text: str, name: str) -> str:
    """A cookie's bare value, also of a pasted `name=value;` or `name: value`."""
    value = text.strip(_AROUND_COOKIE)
    value = re.sub(rf"^{name}[\"']?(?:\s*[=:]|\s)", "", value, flags=re.IGNORECASE).strip(
        _AROUND_COOKIE
    )
    if not value or value.casefold() == name.casefold():
        raise ValueError(f"is empty; it must be the value of the cookie {name}")
    for other in _COOKIE_NAMES:
        if value.casefold().startswith(other.casefold()):
            raise ValueError(f"is the cookie {other}; it must be the value of {name}")
    if consumer.is_pasted_as_value(value):
        raise ValueError(f"is {consumer.WRONG_SERVICE}")
    if ";" in value:
        raise ValueError(f"contains `;`; it must be the value of the one cookie {name}")
    if re.search(r"\s", value):
        raise ValueError(
            f"contains white space; it must be the value of the cookie {name} alone, without a"
            " comment behind it"
        )
    if _NO_COOKIE.search(value):
        raise ValueError(f"is a placeholder; it must be the value of the cookie {name}")
    if not is_cookie_value(value):
        raise ValueError(
            "contains characters that no cookie has, or is too long; it must be the value of the"
            f" cookie {name}"
        )
    return value


def is_cookie_value(text: str) -> bool:
    """Whether this can be a cookie's bare value, and is no placeholder."""
    return bool(_COOKIE_VALUE.fullmatch(text)) and not _NO_COOKIE.search(text)
