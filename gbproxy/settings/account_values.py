"""Parsers of an account's values, which settings, the admin API and the import share: ids, cookies,
headers, the page's address; and the cookies of the consumer Gemini app, which people paste in their
place.

A parser raises ValueError with what is allowed, never with the value. Source: docs/upstream.md,
credentials, editions and hosts.
"""

from __future__ import annotations

import re

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
    """True if two texts name the same widget: an id and an address with it may be equal."""
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
    if _is_consumer_value(value):
        raise ValueError(f"is {OF_CONSUMER_APP}")
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
    """True for what can be a cookie's bare value and is no placeholder."""
    return bool(_COOKIE_VALUE.fullmatch(text)) and not _NO_COOKIE.search(text)


# As the address bar shows it, with or without the scheme.
_PAGE = re.compile(
    r"(?:(?:https?:)?//)?(?:(?P<business>business\.gemini\.google)|vertexaisearch\.cloud\.google)"
    r"(?::[0-9]+)?(?:/(?P<location>global|us|eu))?/(?:\S*/)?cid/",
    re.IGNORECASE,
)


def read_page_address(text: str) -> dict[str, str]:
    """The fields of an account that its page's address names: ids, and edition and location where
    it has the page's host. Without a location in its path it is the global one's.

    {} for a text that is no address; a part that is wrong is left out.
    """
    bare = text.strip()
    if not re.search(r"cid/|csesidx", bare, re.IGNORECASE):
        return {}
    found = {}
    for name, parse in (("config_id", config_id), ("csesidx", csesidx)):
        try:
            found[name] = parse(bare)
        except ValueError:
            continue
    page = _PAGE.match(bare)
    if page:
        found["edition"] = "business" if page["business"] else "enterprise"
        found["location"] = (page["location"] or "global").lower()
    return found


CONSUMER_HOST = "gemini.google.com"

OF_CONSUMER_APP = (
    f"of the consumer Gemini app ({CONSUMER_HOST}), which is another service: open"
    " https://business.gemini.google (Enterprise: https://vertexaisearch.cloud.google), sign in"
    " there, and copy __Secure-C_SES and __Host-C_OSES"
)

_CONSUMER_NAMES = frozenset({
    "__secure-1psid", "__secure-1psidts", "__secure-1psidcc", "__secure-1psidrts",
    "__secure-3psid", "__secure-3psidts", "__secure-3psidcc", "__secure-3psidrts",
    "__secure-1papisid", "__secure-3papisid",
    "secure_1psid", "secure_1psidts", "sapisid", "apisid", "hsid", "sidcc",
})  # fmt: skip
_AMBIGUOUS_NAMES = frozenset({"sid", "ssid", "lsid"})  # other sites have cookies of these names
_CONSUMER_VALUE = re.compile(r"g\.a\d{3}[\w-]")
_CONSUMER_PAIR = re.compile(
    r"(?<![\w-])(?:(?:__Secure-[13]P(?:SID(?:TS|CC|RTS)?|APISID)|SECURE_1PSID(?:TS)?|S?APISID|HSID|SIDCC)[\"']?+(?:["
    r" ]*+[=:]|\t)"
    r"|SID[\"']?+(?:[ ]*+[=:][ ]*+|\t)[\"']?+g\.a)",
    re.IGNORECASE,
)


def is_consumer_cookie(name: str, value: str) -> bool:
    """True for a cookie that only the consumer app's sign-in has."""
    known = name.lower()
    return known in _CONSUMER_NAMES or (known == "sid" and bool(_CONSUMER_VALUE.match(value)))


def is_consumer_cookie_name(name: str) -> bool:
    """True if the consumer app has a cookie of this name; other sites may have one too."""
    return name.lower() in _CONSUMER_NAMES or name.lower() in _AMBIGUOUS_NAMES


def has_consumer_cookie(line: str) -> bool:
    """True if a line has a cookie of the consumer app, with its name and value."""
    return "sid" in line.lower() and _CONSUMER_PAIR.search(line) is not None


def _is_consumer_value(text: str) -> bool:
    """True for the value of a consumer cookie, bare or behind its name."""
    return bool(_CONSUMER_VALUE.match(text) or _CONSUMER_PAIR.match(text))
