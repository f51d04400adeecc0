"""The values of an account that one piece of a paste has.

Only requests to an account's hosts are read, and only cookies of its page; everything else is
dropped unread. Source: docs/upstream.md, credentials.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from gbproxy.account_admin.importing import cookies
from gbproxy.account_admin.importing.bounds import (
    NO_FURTHER,
    Further,
    Hosts,
    further_of_host,
    further_of_page,
    host_of,
)
from gbproxy.account_admin.importing.cookies import Cookies
from gbproxy.domain import jsontext
from gbproxy.settings.account_values import OF_CONSUMER_APP

Kind = Literal["bare", "damaged", "unread", "mixed", "json", "consumer", "app"]
"""In this order: a request of the page, or a list of cookies, without the account's own; an own
cookie with an impossible value; its name in an unknown form of text; several jars in one list;
broken JSON; cookies of the consumer app; a request or an address of it.
"""

WRONG_SERVICE = frozenset({"consumer", "app"})

_SAID = {
    "bare": (
        "no __Secure-C_SES stands there, where it was to be expected: the browser's Copy as fetch"
        " and a sanitized HAR leave the cookies out; copy the request as cURL"
    ),
    "damaged": (
        "a value there is none that __Secure-C_SES or __Host-C_OSES can have: it is cut off,"
        " blacked out or damaged"
    ),
    "unread": (
        "the name of a cookie stands there, but its value could not be read: paste it as"
        " name=value, or copy the request as cURL"
    ),
    "mixed": (
        "the cookies of several sign-ins are mixed there, and no __Host-C_OSES was taken, as nobody"
        " can say to which it belongs: paste one sign-in's after the other"
    ),
    "consumer": (f"the cookies there (__Secure-1PSID, SID and the like) are {OF_CONSUMER_APP}"),
    "app": f"what stands there is {OF_CONSUMER_APP}",
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that was expected there and could not be read. `line`: where its piece begins, from
    1; `broken_at`: the line where JSON breaks.
    """

    kind: Kind
    line: int = 0
    broken_at: int = 0

    def __str__(self) -> str:
        if self.kind == "json":
            return f"the JSON that begins in line {self.line} is broken in line {self.broken_at}"
        return f"line {self.line}: {_SAID[self.kind]}"


_CONFIG_ID_IN_PATH = re.compile(r"[^?#]{0,2048}?/cid/([A-Za-z0-9._~-]{1,256}+)(?=[/?#]|$)")
_CSESIDX_IN_QUERY = re.compile(r"[?&]csesidx=([0-9]{1,64}+)(?=[&#]|$)")
_BEARER = re.compile(r"bearer\s++[\w-]{1,8192}+\.([\w-]{1,8192}+)\.", re.IGNORECASE)
_SUBJECT = re.compile(r"csesidx/([0-9]{1,64})")


@dataclass(frozen=True, slots=True)
class PartialAccount:
    """Values that were seen together.

    `is_account`: written down as one account; `is_disabled`: as one that is not to be used;
    `is_row`: one of several rows, which belongs to the rows beside it.
    """

    csesidx: str | None = None
    config_id: str | None = None
    cookies: Cookies = cookies.NONE
    further: Further = NO_FURTHER
    name: str | None = None
    is_account: bool = False
    is_disabled: bool = False
    is_row: bool = False
    doubt: Doubt | None = None

    def given(self) -> dict[str, str]:
        """The found values among the required fields and the second cookie, by field."""
        values = {
            "secure_c_ses": self.cookies.secure_c_ses,
            "host_c_oses": self.cookies.host_c_oses,
            "csesidx": self.csesidx,
            "config_id": self.config_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    def carried(self) -> dict[str, str]:
        """The found values of the further fields, by field."""
        others = self.cookies.header()
        return self.further.given() | ({"cookies": others} if others else {})

    def overlaid(self, later: PartialAccount) -> PartialAccount:
        """These values, replaced by those of a later piece."""
        is_of_same_app = (
            None in (self.config_id, later.config_id) or self.config_id == later.config_id
        )
        return PartialAccount(
            csesidx=later.csesidx or self.csesidx,
            config_id=later.config_id or self.config_id,
            cookies=self.cookies.followed_by(later.cookies),
            further=self.further.followed_by(later.further, is_of_same_app=is_of_same_app),
            name=later.name or self.name,
            is_account=self.is_account or later.is_account,
            is_disabled=self.is_disabled or later.is_disabled,
            doubt=self.doubt or later.doubt,
        )

    def doubted(self, kind: Kind) -> PartialAccount:
        return replace(self, doubt=Doubt(kind))


def merged(partials: Sequence[PartialAccount]) -> PartialAccount:
    """Several partials to one account as one, the later ones over the earlier."""
    return reduce(PartialAccount.overlaid, partials, PartialAccount())


FIELDS = ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
FURTHER_FIELDS = ("edition", "location", "cookies", "server_token", "user_agent")


def from_address(url: str, hosts: Hosts) -> PartialAccount:
    """The two ids in an address of a page, and where its app lives; nothing for every other
    address.
    """
    host = host_of(url)
    if host is None or not hosts.is_page(host):
        return PartialAccount()
    config_id, csesidx = _CONFIG_ID_IN_PATH.match(url), _CSESIDX_IN_QUERY.search(url)
    return PartialAccount(
        csesidx=csesidx[1] if csesidx else None,
        config_id=config_id[1] if config_id else None,
        further=further_of_page(url, host),
    )


def from_config_id(value: str, hosts: Hosts) -> PartialAccount:
    """A config id as it was given, also as the page's whole address."""
    address = from_address(value, hosts)
    return address if address.config_id else PartialAccount(config_id=value)


def from_authorization(value: str) -> PartialAccount:
    """The csesidx that a widget call's bearer is made out to, and by which page; its signature is
    not checked.
    """
    found = _BEARER.match(value.lstrip())
    if not found:
        return PartialAccount()
    try:
        payload = jsontext.decode(base64.urlsafe_b64decode(found[1] + "==").decode())
    except ValueError:  # also base64's and UTF-8's
        return PartialAccount()
    subject, issuer = (
        (payload.get("sub"), payload.get("iss")) if isinstance(payload, dict) else (None, None)
    )
    csesidx = _SUBJECT.fullmatch(subject) if isinstance(subject, str) else None
    page = host_of(issuer) if isinstance(issuer, str) else None
    return PartialAccount(
        csesidx=csesidx[1] if csesidx else None, further=further_of_host(page or "")
    )


def at_page(partial: PartialAccount, domain: str) -> PartialAccount:
    """The partial of a cookie in a list, with the edition that its domain tells."""
    host = domain.strip().lstrip(".").lower()
    return (
        replace(partial, further=further_of_host(host)) if partial.cookies.secure_c_ses else partial
    )


def from_cookie_header(value: str) -> PartialAccount:
    """The account's cookies of a `Cookie` header's value; a doubt when there are none."""
    partial = from_cookies(cookies.split(value))
    return partial if partial.cookies.secure_c_ses or partial.doubt else partial.doubted("bare")


def from_cookies(pairs: Iterable[tuple[str, str]]) -> PartialAccount:
    """The account's cookies of one jar; a doubt when one is damaged, or when they are another
    service's.
    """
    found = cookies.from_pairs(pairs)
    kind: Kind | None = "damaged" if found.is_damaged else None
    if found.is_consumers and found.secure_c_ses is None:
        kind = "consumer"
    return PartialAccount(cookies=found, doubt=Doubt(kind) if kind else None)
