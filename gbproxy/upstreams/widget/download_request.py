"""The request for a file: its address, of which there are two forms, its headers, and where it may
be redirected to.

Source: docs/upstream.md, download.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from gbproxy.errors import UpstreamError
from gbproxy.upstreams.base import ByteRange
from gbproxy.upstreams.widget.endpoints import Endpoints

VERB = "downloadFile"
# What goes to the hosts that the upstream redirects to, too: who asks there, and for what, is none
# of their business.
_HARMLESS = ("User-Agent", "Accept", "Accept-Encoding", "Range")


def headers_of(endpoints: Endpoints, bearer: str) -> dict[str, str]:
    own = {n: v for n, v in endpoints.api_headers.items() if n.lower() != "content-type"}
    # What is packed has no length that is known before, and no ranges.
    return {**own, "Accept-Encoding": "identity", "Authorization": f"Bearer {bearer}"}


def range_of(wanted: ByteRange) -> str:
    return f"bytes={wanted.start}-{'' if wanted.end is None else wanted.end - 1}"


def url_of(endpoints: Endpoints, form: str, session: str, file_id: str) -> str:
    base = endpoints.api_url.rpartition("/locations/")[0]
    before, _, version = base.rpartition("/")
    query = f"fileId={quote(file_id, safe='')}&alt=media"
    return f"{before}{form}/{version}/{quote(session, safe='/-_.~')}:{VERB}?{query}"


def redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises UpstreamError where files are not fetched from: a file is no
    less protected on its way than the call for it.
    """
    try:
        target = urljoin(url, location)
        scheme, host = origin(target)
    except ValueError:
        scheme = host = ""
    if not location or scheme not in {"https", origin(url)[0]} or not host:
        raise UpstreamError("the upstream redirected a download where it is not fetched from")
    return target


def origin(url: str) -> tuple[str, str]:
    """Scheme and host."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that another host may see."""
    return {name: value for name, value in headers.items() if name in _HARMLESS}
