"""The account's two cookies, which belong together: both come from one jar or one request, and are never put together from two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gbproxy.settings.account_values import is_cookie_value

FIELDS = {"__secure-c_ses": "secure_c_ses", "__host-c_oses": "host_c_oses"}
"""The two cookies, in lower case, and what the gateway calls them. Their case is not the user's fault."""

NAMES = "__Secure-C_SES|__Host-C_OSES"
"""The same for regular expressions."""

_AROUND = " \t\r\n\"',"


@dataclass(frozen=True, slots=True)
class Cookies:
    """A pair, as far as it is known. `is_damaged`: one of them stood there with a value that no cookie can have."""

    secure_c_ses: str | None = field(default=None, repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
    is_damaged: bool = False

    def __bool__(self) -> bool:
        return self.secure_c_ses is not None or self.host_c_oses is not None

    def followed_by(self, later: Cookies) -> Cookies:
        """The pair that counts when a later piece has `later`: that one, or what it adds to the same first cookie."""
        if not later or (later.secure_c_ses is None and self.secure_c_ses is not None):
            return self  # a second one alone belongs to a first one that nobody knows
        if later.secure_c_ses == self.secure_c_ses:
            return Cookies(later.secure_c_ses, later.host_c_oses or self.host_c_oses)
        return later


NONE = Cookies()


def from_pairs(pairs: Iterable[tuple[str, str]]) -> Cookies:
    """The account's cookies of one jar's names and values; a value that no cookie can have counts as none."""
    values: dict[str, str] = {}
    is_damaged = False
    for name, value in pairs:
        known = FIELDS.get(name.strip(_AROUND).lower())
        bare = value.strip(_AROUND) if known else ""
        if known and is_cookie_value(bare):
            values[known] = bare
        elif known:
            is_damaged = True
    return Cookies(values.get("secure_c_ses"), values.get("host_c_oses"), is_damaged)


def split(header: str) -> list[tuple[str, str]]:
    """Names and values of a `Cookie` header, or of `Set-Cookie`'s."""
    pairs = (part.partition("=") for part in header.split(";"))
    return [(name, content) for name, is_pair, content in pairs if is_pair]
