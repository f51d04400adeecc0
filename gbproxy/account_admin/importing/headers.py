"""Requests -> partial accounts; and request headers as browsers show and copy them, one request
after another.

`name: value`, as Chromium's and Firefox's raw view have it, with the request's line or `:authority`
and `:path`; the name on a line of its own, with a colon or without, and the value on the next
(Chromium's table), also behind a tab (Firefox's).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from gbproxy.account_admin.importing import cookies
from gbproxy.account_admin.importing.bounds import (
    BUSINESS_HOST,
    NO_FURTHER,
    Further,
    Hosts,
    WorkLimit,
    further_of_call,
    host_of,
    is_consumers,
    server_token,
    user_agent,
)
from gbproxy.account_admin.importing.partial_account import (
    PartialAccount,
    from_address,
    from_authorization,
    from_cookies,
)

_WIDGET_CALL = re.compile(r"[^?#]{0,2048}/(?:widget\w{1,64}+|lookupWidgetConfig)(?=[?#]|$)")
_CONFIG_ID_IN_BODY = re.compile(r'"(?:configId|widgetConfigId)"\s*+:\s*+"([!#-\[\]-~]{1,256}+)"')
_TOLD = "cookie|set-cookie|authorization|referer|host|:authority|:path|x-server-token"
_OTHERS = (
    r":method|:scheme|:status|:protocol|accept(?:-[a-z]++)*|alt-svc|cache-control|connection|content-[a-z-]++|date|dnt|etag|"
    r"expires|if-[a-z-]++|origin|pragma|priority|range|sec-[a-z-]++|server|te|upgrade(?:-[a-z]++)*|user-agent|vary|via|x-[\w-]++"
)
# In a command that lost its beginning they stand behind an option, in a list of them between
# quotes.
_NAME = rf"[ \t]*+(?:(?:-H|--header)[ \t=]*+)?+\$?+[\"']?+(?P<name>{_TOLD}|{_OTHERS})[\"']?+"
_HEADER = re.compile(
    rf"{_NAME}(?:[ \t]*+:[ \t]*+|[ ]*+\t[ \t]*+|(?=[ \t]*+\r?$))", re.IGNORECASE | re.MULTILINE
)
_REQUEST_LINE = re.compile(
    r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)[ \t]++(\S{1,8192}+)[ \t]++HTTP/[0-9.]++"
)
_BEGINNING = re.compile(
    rf"(?:{_NAME.replace(f'|{_OTHERS}', '|:method|:scheme')}(?:[ \t]*+:|[ ]*+\t|[ \t]*+\r?$))",
    re.I | re.M,
)
_LINE = re.compile(r"[^\r\n]*+")
_END = re.compile(r"\r?\n|\r|\Z")
_WORDS_OF_A_HEADER = 4
_SET = "set-cookie"
_OF_REQUESTS = frozenset({
    ":authority", ":method", ":path", "host", "accept", "authorization", "cookie", "referer",
    "user-agent",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a browser has sent it: `headers` by their names in any case, `body` may be cut.

    `is_guessed`: the text does not say to which host and path it went.
    """

    url: str
    headers: Iterable[tuple[str, str]] = ()
    cookies: Iterable[tuple[str, str]] = ()
    body: str = ""
    is_guessed: bool = False


def from_request(request: Request, hosts: Hosts) -> PartialAccount | None:
    """The values in a request to a page or the API; None for any other, of which only the host is
    read.
    """
    host = host_of(request.url)
    if is_consumers(host):
        return PartialAccount().doubted("app")
    if host is None or not hosts.is_api(host):
        return None
    is_call = _WIDGET_CALL.match(request.url) is not None
    partial = PartialAccount()
    if is_call and (found := _CONFIG_ID_IN_BODY.search(request.body)):
        partial = PartialAccount(config_id=found[1])
    headers = [(name.lower(), value.strip()) for name, value in request.headers]
    for name, value in headers:
        if name in ("referer", "origin"):
            partial = partial.overlaid(from_address(value, hosts))
        elif name == "authorization":
            partial = partial.overlaid(from_authorization(value))
    address = from_address(request.url, hosts)
    partial = partial.overlaid(
        replace(address, further=NO_FURTHER) if request.is_guessed else address
    )
    if is_call:
        partial = partial.overlaid(
            PartialAccount(further=further_of_call(request.url, "" if request.is_guessed else host))
        )
    if is_call or hosts.is_page(host):
        partial = partial.overlaid(
            PartialAccount(further=_sent_along(headers, is_call=is_call or request.is_guessed))
        )
    return (
        partial.overlaid(_from_jar(request, headers, host, hosts))
        if hosts.is_page(host)
        else partial
    )


def _sent_along(headers: Iterable[tuple[str, str]], *, is_call: bool) -> Further:
    values = dict(headers)
    return Further(
        server_token=server_token(values.get("x-server-token", "")) if is_call else None,
        user_agent=user_agent(values.get("user-agent", "")),
    )


def _from_jar(
    request: Request, headers: Iterable[tuple[str, str]], host: str, hosts: Hosts
) -> PartialAccount:
    """The cookies that were sent, each replaced by what the answer has set: after it the browser's
    jar is that.
    """
    pairs = list(request.cookies)
    for name, value in headers:
        if name == "cookie":
            pairs += cookies.split(value)
        elif name == "set-cookie":
            pair, domain = cookies.set_by(value)
            pairs += [pair] if domain is None or hosts.sends_cookies_of(domain) else []
    partial = from_cookies(pairs)
    if not hosts.page_gets(host):  # the sign-in's own host: its other cookies are not the page's
        partial = replace(partial, cookies=replace(partial.cookies, others=()))
    return partial if partial.cookies.secure_c_ses or partial.doubt else partial.doubted("bare")


@dataclass(slots=True)
class _Block:
    """The headers of one request, or of its answer."""

    url: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def is_ended_by(self, name: str) -> bool:
        """True when a header of this name begins another block: each stands in one once, those with
        a colon first.

        What an answer sets is not put to the request above or below it: it may be another's.
        """
        if name == _SET:
            return not self.names.isdisjoint(_OF_REQUESTS)
        is_late = name.startswith(":") and not all(known.startswith(":") for known in self.names)
        return is_late or name in self.names or (_SET in self.names and name in _OF_REQUESTS)

    def partial(self, hosts: Hosts) -> PartialAccount | None:
        values = dict(self.headers)
        named = values.get(":authority") or values.get("host")
        path = values.get(":path") or self.url or "/"
        is_address = path.lower().startswith(("http://", "https://"))
        url = path if is_address else f"https://{named or BUSINESS_HOST}{path}"
        partial = from_request(
            Request(url, self.headers, is_guessed=not (named or is_address)), hosts
        )
        # What was selected may well be a part of the headers, without a cookie: an address beside
        # them has none either.
        is_whole = "cookie" in values or "accept" in self.names
        return (
            partial
            if partial is None or is_whole or partial.doubt is None or partial.doubt.kind != "bare"
            else replace(partial, doubt=None)
        )


def of_pairs(pairs: Iterable[tuple[str, str]], hosts: Hosts) -> PartialAccount | None:
    """The values in the headers of one request, or of its answer, in their order."""
    block = _Block(headers=[(name.lower(), value) for name, value in pairs])
    block.names.update(name for name, _ in block.headers)
    return block.partial(hosts)


def begins(text: str, at: int) -> bool:
    """True when headers begin with the line at `at`."""
    return bool(_BEGINNING.match(text, at) or _REQUEST_LINE.match(text, at))


def read(text: str, at: int, hosts: Hosts, limit: WorkLimit) -> tuple[list[PartialAccount], int]:
    """The values in the requests whose headers begin at `at`, and where the last of them ends: at a
    line that is no header.
    """
    blocks = [_Block()]
    for name, value, end in _headers(text, at, limit):
        if name == "" or blocks[-1].is_ended_by(name):
            blocks.append(_Block(url=value if name == "" else ""))
        if name:
            blocks[-1].headers.append((name, value))
            blocks[-1].names.add(name)
        at = end
    partials = [block.partial(hosts) for block in blocks if block.names]
    return [partial for partial in partials if partial is not None], at


def _headers(text: str, at: int, limit: WorkLimit) -> Iterator[tuple[str, str, int]]:
    """Name in lower case, value and end of each header from `at` on; the name is empty for a
    request's line.
    """
    while at < len(text):
        limit.spend(_WORDS_OF_A_HEADER)
        line_end = _matched(_LINE, text, at)
        if request := _REQUEST_LINE.match(text, at):
            yield "", request[1], line_end
        elif header := _HEADER.match(text, at, line_end):
            value = text[header.end() : line_end].strip()
            if not value:
                value, line_end = _value_below(text, line_end)
            yield header["name"].lower(), value, line_end
        else:
            return
        at = _matched(_END, text, line_end)


def _value_below(text: str, line_end: int) -> tuple[str, int]:
    """The value that stands on the next line, and its end; none if that line is empty or a header
    with its own.
    """
    at = _matched(_END, text, line_end)
    end = _matched(_LINE, text, at)
    value = text[at:end].strip()
    header = _HEADER.match(text, at, end)
    is_header = (
        header is not None
        and header.end() < end
        and ":" in text[header.start("name") + 1 : header.end()]
    )
    return ("", line_end) if not value or is_header else (value, end)


def _matched(pattern: re.Pattern[str], text: str, at: int) -> int:
    matched = pattern.match(text, at)
    return matched.end() if matched else at
