"""The account's two cookies, which belong together: both come from one jar or one request, and are
never put together from two.

So do the further cookies of the page that were found with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gbproxy.settings.account_values import (
    is_consumer_cookie,
    is_consumer_cookie_name,
    is_cookie_value,
)

FIELDS = {"__secure-c_ses": "secure_c_ses", "__host-c_oses": "host_c_oses"}
"""The two cookies, in lower case, and what the gateway calls them. Their case is not the user's
fault.
"""

NAMES = "__Secure-C_SES|__Host-C_OSES"
"""The same for regular expressions."""

MAX_OTHERS = 100
_LOOKED_AT = 2_000
_OTHERS_CHARS = 8_192  # servers refuse longer headers

_AROUND = " \t\r\n\"',"
_OTHER_NAME = re.compile(r"[\w!#$%&*+.^|~-]{1,256}", re.ASCII)
# What a Set-Cookie has beside its pair; and NID, which may make the sign-in ask for new cookies.
_NO_OTHERS = frozenset(
    {"path", "domain", "expires", "max-age", "samesite", "priority", "version", "nid"}
)


@dataclass(frozen=True, slots=True)
class Cookies:
    """A pair, as far as it is known, and the further cookies of its jar by name.

    `is_damaged`: one of the pair stood there with a value that no cookie can have. `is_consumers`:
    the jar has cookies of the consumer app's sign-in.
    """

    secure_c_ses: str | None = field(default=None, repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    is_damaged: bool = False
    is_consumers: bool = False

    def __bool__(self) -> bool:
        return self.secure_c_ses is not None or self.host_c_oses is not None

    def header(self) -> str | None:
        """The further cookies as the text of a Cookie header; None where the first of the pair,
        whose they are, is not known.
        """
        pairs: list[str] = []
        left = _OTHERS_CHARS
        for name, value in self.others:
            left -= len(name) + len(value) + 3
            if left >= 0:
                pairs.append(f"{name}={value}")
        return "; ".join(pairs) or None if self.secure_c_ses is not None else None

    def followed_by(self, later: Cookies) -> Cookies:
        """The pair that counts when a later piece has `later`: that one, or what it adds to the
        same first cookie.
        """
        if later.secure_c_ses is None and (
            self.secure_c_ses is not None or not (later or later.others)
        ):
            return self  # without a first one it belongs to an unknown first one
        if later.secure_c_ses == self.secure_c_ses:
            return Cookies(
                later.secure_c_ses,
                later.host_c_oses or self.host_c_oses,
                _joined(self.others, later.others),
            )
        return later

    def with_others_of(self, jar: Cookies) -> Cookies:
        """The same pair with the further cookies of a jar that stood beside it."""
        return Cookies(
            self.secure_c_ses, self.host_c_oses, _joined(jar.others, self.others), self.is_damaged
        )


NONE = Cookies()


def _joined(
    others: tuple[tuple[str, str], ...], later: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    if not others or not later or others == later:
        return later or others
    return tuple((dict(others) | dict(later)).items())[-MAX_OTHERS:]


def from_pairs(pairs: Iterable[tuple[str, str]]) -> Cookies:
    """The cookies of one jar's names and values, in their order; a value that no cookie can have
    counts as none.
    """
    values: dict[str, str] = {}
    others: dict[str, str] = {}
    is_damaged = is_consumers = False
    for number, (written, value) in enumerate(pairs):
        name, bare = written.strip(_AROUND), value.strip(_AROUND)
        known = FIELDS.get(name.lower())
        if known and is_cookie_value(bare):
            values[known] = bare
        elif known:
            is_damaged = True
        elif number >= _LOOKED_AT:  # no browser has as many
            continue
        elif is_consumer_cookie(name, bare):
            is_consumers = True
        elif _is_other(name, bare) and (name in others or len(others) < MAX_OTHERS):
            others[name] = bare
        elif not bare:
            others.pop(name, None)  # taken away by an answer
    return Cookies(
        values.get("secure_c_ses"),
        values.get("host_c_oses"),
        tuple(others.items()),
        is_damaged,
        is_consumers,
    )


def _is_other(name: str, value: str) -> bool:
    return (
        _OTHER_NAME.fullmatch(name) is not None
        and is_cookie_value(value.replace(",", ""))  # browsers send commas too
        and name.lower() not in _NO_OTHERS
        and not is_consumer_cookie_name(name)
    )


def split(header: str) -> list[tuple[str, str]]:
    """Names and values of a `Cookie` header, or of `Set-Cookie`'s."""
    pairs = (part.partition("=") for part in header.split(";"))
    return [(name, content) for name, is_pair, content in pairs if is_pair]


_ENDED = re.compile(r"max-age\s*+=\s*+(?:0|-)", re.IGNORECASE)
_DOMAIN = re.compile(r";\s*+domain\s*+=\s*+([^;\s]++)", re.IGNORECASE)


def set_by(header: str) -> tuple[tuple[str, str], str | None]:
    """Name and value that a `Set-Cookie` sets, the value empty where it ends the cookie; and the
    domain that it names.
    """
    pair, _, rest = header.partition(";")
    name, _, value = pair.partition("=")
    domain = _DOMAIN.search(header)
    return (name, "" if _ENDED.search(rest) else value), domain[1] if domain else None
