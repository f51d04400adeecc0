"""What one piece of a paste says about an account.

Only requests to the two hosts of an account are looked into, and of cookies only its two. Everything else is dropped
unread. Source: docs/upstream.md, credentials.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gbproxy.domain import jsontext
from gbproxy.domain.pasted.site import Site, host_of

COOKIES = {"__secure-c_ses": "secure_c_ses", "__host-c_oses": "host_c_oses"}
"""The two cookies, in lower case, and what the gateway calls them. Their case is not the user's fault."""

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{1,16384}")  # RFC 6265, cookie-octet
_REDACTED = re.compile(r"redacted|removed|\*{3}", re.IGNORECASE)  # what cleaned captures hold in place of a value
_CONFIG_ID_IN_PATH = re.compile(r"[^?#]{0,2048}?/cid/([A-Za-z0-9._~-]{1,256}+)(?=[/?#]|$)")
_CSESIDX_IN_QUERY = re.compile(r"[?&]csesidx=([0-9]{1,64}+)(?=[&#]|$)")
_WIDGET_CALL = re.compile(r"[^?#]{0,2048}/widget\w{1,64}+(?=[?#]|$)")
_CONFIG_ID_IN_BODY = re.compile(r'"configId"\s*+:\s*+"([!#-\[\]-~]{1,256}+)"')
_BEARER = re.compile(r"bearer\s++[\w-]{1,8192}+\.([\w-]{1,8192}+)\.", re.IGNORECASE)
_SUBJECT = re.compile(r"csesidx/([0-9]{1,64})")


@dataclass(frozen=True, slots=True)
class Clue:
    """Values that were seen together. `is_account`: somebody wrote them down as one account."""

    csesidx: str | None = None
    config_id: str | None = None
    secure_c_ses: str | None = field(default=None, repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
    name: str | None = None
    is_account: bool = False

    def given(self) -> dict[str, str]:
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value is not None}

    def overlaid(self, later: Clue) -> Clue:
        """The same with what a later piece says."""
        name = later.name if later.name is not None else self.name
        return replace(self, **later.given(), name=name, is_account=self.is_account or later.is_account)


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
    if site.is_business(host):
        clue = clue.overlaid(from_cookies(request.cookies))
        for name, value in headers:
            if name in ("cookie", "set-cookie"):
                clue = clue.overlaid(from_cookie_header(value))
    return clue


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
    """The account's cookies of a `Cookie` header's value, or of `Set-Cookie`'s."""
    pairs = (part.partition("=") for part in value.split(";"))
    return from_cookies((name, content) for name, is_pair, content in pairs if is_pair)


def from_cookies(pairs: Iterable[tuple[str, str]]) -> Clue:
    """The account's cookies of pairs of name and value; a value that no cookie can have counts as none."""
    values: dict[str, str] = {}
    for name, value in pairs:
        known = COOKIES.get(name.strip(_AROUND).lower())
        bare = value.strip(_AROUND) if known else ""
        if known and _COOKIE_VALUE.fullmatch(bare) and not _REDACTED.search(bare):
            values[known] = bare
    return Clue(secure_c_ses=values.get("secure_c_ses"), host_c_oses=values.get("host_c_oses"))


_AROUND = " \t\r\n\"',"
