"""What one piece of a paste says about an account.

Only requests to the two hosts of an account are looked into, and of cookies only its two. Everything else is dropped
unread. Source: docs/upstream.md, credentials.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gbproxy.domain import jsontext
from gbproxy.domain.pasted import cookies
from gbproxy.domain.pasted.cookies import Cookies
from gbproxy.domain.pasted.doubts import Doubt, Kind
from gbproxy.domain.pasted.site import Site, host_of

_CONFIG_ID_IN_PATH = re.compile(r"[^?#]{0,2048}?/cid/([A-Za-z0-9._~-]{1,256}+)(?=[/?#]|$)")
_CSESIDX_IN_QUERY = re.compile(r"[?&]csesidx=([0-9]{1,64}+)(?=[&#]|$)")
_WIDGET_CALL = re.compile(r"[^?#]{0,2048}/widget\w{1,64}+(?=[?#]|$)")
_CONFIG_ID_IN_BODY = re.compile(r'"configId"\s*+:\s*+"([!#-\[\]-~]{1,256}+)"')
_BEARER = re.compile(r"bearer\s++[\w-]{1,8192}+\.([\w-]{1,8192}+)\.", re.IGNORECASE)
_SUBJECT = re.compile(r"csesidx/([0-9]{1,64})")


@dataclass(frozen=True, slots=True)
class Clue:
    """Values that were seen together.

    `is_account`: somebody wrote them down as one account; `is_disabled`: as one that is not to be used. `is_row`: one of
    several rows, what stands directly beside it belongs to it. `doubt`: what was to be expected there and could not be read.
    """

    csesidx: str | None = None
    config_id: str | None = None
    cookies: Cookies = cookies.NONE
    name: str | None = None
    is_account: bool = False
    is_disabled: bool = False
    is_row: bool = False
    doubt: Doubt | None = None

    def given(self) -> dict[str, str]:
        values = {
            "secure_c_ses": self.cookies.secure_c_ses,
            "host_c_oses": self.cookies.host_c_oses,
            "csesidx": self.csesidx,
            "config_id": self.config_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    def overlaid(self, later: Clue) -> Clue:
        """The same with what a later piece says."""
        return Clue(
            csesidx=later.csesidx or self.csesidx,
            config_id=later.config_id or self.config_id,
            cookies=self.cookies.followed_by(later.cookies),
            name=later.name or self.name,
            is_account=self.is_account or later.is_account,
            is_disabled=self.is_disabled or later.is_disabled,
            doubt=self.doubt or later.doubt,
        )

    def doubted(self, kind: Kind) -> Clue:
        return replace(self, doubt=Doubt(kind))


FIELDS = ("secure_c_ses", "host_c_oses", "csesidx", "config_id")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a browser has sent it: `headers` by their names in any case, `body` may be cut."""

    url: str
    headers: Iterable[tuple[str, str]] = ()
    cookies: Iterable[tuple[str, str]] = ()
    body: str = ""


def from_request(request: Request, site: Site) -> Clue | None:
    """What a request to one of the two hosts says; None for those to all others, of which only the host is looked at."""
    host = host_of(request.url)
    if host is None or not site.is_api(host):
        return None
    clue = Clue()
    if _WIDGET_CALL.match(request.url) and (found := _CONFIG_ID_IN_BODY.search(request.body)):
        clue = Clue(config_id=found[1])
    headers = [(name.lower(), value) for name, value in request.headers]
    for name, value in headers:
        if name == "referer":
            clue = clue.overlaid(from_address(value, site))
        elif name == "authorization":
            clue = clue.overlaid(from_authorization(value))
    clue = clue.overlaid(from_address(request.url, site))
    return clue.overlaid(_from_jar(request, headers)) if site.is_business(host) else clue


def _from_jar(request: Request, headers: Iterable[tuple[str, str]]) -> Clue:
    """The cookies that were sent, each replaced by what the answer has set: after it the browser's jar is that."""
    pairs = list(request.cookies)
    for name, value in headers:
        if name in ("cookie", "set-cookie"):
            pairs += cookies.split(value)
    clue = from_cookies(pairs)
    return clue if clue.cookies.secure_c_ses or clue.doubt else clue.doubted("bare")


def from_address(url: str, site: Site) -> Clue:
    """The two ids in an address of the business host; nothing for every other address."""
    host = host_of(url)
    if host is None or not site.is_business(host):
        return Clue()
    config_id, csesidx = _CONFIG_ID_IN_PATH.match(url), _CSESIDX_IN_QUERY.search(url)
    return Clue(csesidx=csesidx[1] if csesidx else None, config_id=config_id[1] if config_id else None)


def from_authorization(value: str) -> Clue:
    """The csesidx that a widget call's bearer is made out to; its signature is nobody's concern here."""
    found = _BEARER.match(value.lstrip())
    if not found:
        return Clue()
    try:
        payload = jsontext.decode(base64.urlsafe_b64decode(found[1] + "==").decode())
    except ValueError:  # also base64's and UTF-8's
        return Clue()
    subject = payload.get("sub") if isinstance(payload, dict) else None
    csesidx = _SUBJECT.fullmatch(subject) if isinstance(subject, str) else None
    return Clue(csesidx=csesidx[1] if csesidx else None)


def from_cookie_header(value: str) -> Clue:
    """The account's cookies of a `Cookie` header's value; a doubt when there are none."""
    clue = from_cookies(cookies.split(value))
    return clue if clue.cookies.secure_c_ses or clue.doubt else clue.doubted("bare")


def from_cookies(pairs: Iterable[tuple[str, str]]) -> Clue:
    """The account's cookies of one jar."""
    found = cookies.from_pairs(pairs)
    return Clue(cookies=found, doubt=Doubt("damaged") if found.is_damaged else None)
